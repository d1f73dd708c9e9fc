"""A policy followed through episodes is the network's own policy of each state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import KINDS, random_coordinates, tiny_network

from tspmz.network.attention import legal_bias
from tspmz.network.rollout import AttentionRollout, NetworkRollout, start_rollout

M, G, N = 3, 4, 6


def randomized(network: Any, seed: int) -> Any:
    """The network with every weight drawn anew: slopes and biases that start at 0 take part, too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_policy_of_every_state_is_that_of_the_prediction(kind: str, seed: int) -> None:
    network = randomized(tiny_network(kind, N), seed)
    points = torch.from_numpy(random_coordinates(M, N, seed))
    paths = torch.from_numpy(np.random.default_rng(seed).permuted(np.tile(np.arange(N), (M, G, 1)), axis=-1))
    legal = torch.ones(M, G, N, dtype=torch.bool)
    with torch.inference_mode():
        context = network.encode(points)
        rollout = start_rollout(network, points, paths[..., 0])
        for t in range(N - 1):
            legal.scatter_(2, paths[..., t : t + 1], False)
            embeddings = network.representation(context, paths[..., 0], paths[..., t], legal.float())
            expected = network.prediction(context, embeddings, paths[..., t], legal_bias(legal))[0]
            scores = rollout.scores()
            found = rollout.policy_logits(scores)
            torch.testing.assert_close(found[legal], expected[legal], atol=2e-4, rtol=1e-4)
            assert (scores[~legal] <= -0.9e9).all()
            assert torch.equal(scores.argmax(dim=-1), found.argmax(dim=-1))
            rollout.move(paths[..., t + 1])


def test_attention_has_its_own_way() -> None:
    points, starts = torch.from_numpy(random_coordinates(M, N)), torch.zeros(M, G, dtype=torch.int64)
    with torch.inference_mode():
        assert isinstance(start_rollout(tiny_network("attention", N), points, starts), AttentionRollout)
        assert isinstance(start_rollout(tiny_network("resnet", N), points, starts), NetworkRollout)
