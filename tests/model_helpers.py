"""Networks, batches and states for tests of what stands on the network: tiny, and known by heart."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from process_helpers import tiny_config

from tspmz.loss import LossInputs
from tspmz.network.build import build_network
from tspmz.settings import network_settings
from tspmz.tsp import env

KINDS = ("attention", "resnet", "fullyconnected")
CITIES = {"network__kind": "resnet", "network__resnet_board": "cities"}
VISITS = {
    "network__observation": "visits", "network__action_input": "plane", "problem__fixed_graph": True,
    "selfplay__starts": "first_city",
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "convolution": CITIES,
    "downsampled convolution": {**CITIES, "network__downsample": True, "network__resnet_policy_layers": "8,8"},
    "convolution on visits": {**CITIES, **VISITS},
    "downsampled convolution on visits": {**CITIES, **VISITS, "network__downsample": True},
    "fullyconnected on visits": {**VISITS, "network__kind": "fullyconnected", "network__fc_representation_layers": ""},
    "resnet told of actions by a plane": {"network__kind": "resnet", "network__action_input": "plane"},
}
"""Names beside `KINDS` that `tiny_network` knows."""


def tiny_network(kind: str = "attention", num_cities: int = 6, seed: int = 0, **values: Any) -> Any:
    """A small network of a kind or variant, in evaluation mode."""
    chosen = {**VARIANTS.get(kind, {"network__kind": kind}), **values}
    config = tiny_config(**chosen, problem__num_cities=num_cities, selfplay__group_size=2)
    return build_network(seed, **network_settings(config)).eval()


def random_coordinates(count: int, num_cities: int, seed: int = 0) -> np.ndarray:
    """`[count, num_cities, 2]` float32."""
    return np.random.default_rng(seed).random((count, num_cities, 2)).astype(np.float32)


class States(NamedTuple):
    """True states of E episodes on each of M instances, as the network gets them."""

    coordinates: torch.Tensor  # [M, N, 2]
    first: torch.Tensor  # [M, E]
    current: torch.Tensor  # [M, E]
    legal: torch.Tensor  # [M, E, N] bool


def random_states(instances: int, episodes: int, num_cities: int, moves: int = 2, seed: int = 0) -> States:
    """States after `moves` random moves."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(num_cities, size=(instances, episodes))
    state = env.reset(random_coordinates(instances, num_cities, seed), starts)
    for _ in range(moves):
        scores = np.where(env.legal_actions(state), rng.random(state.visited.shape), -1.0)
        state, _ = env.step(state, scores.argmax(axis=-1))
    arrays = (state.coordinates, state.first, state.current, env.legal_actions(state))
    return States(*(torch.from_numpy(np.array(array)) for array in arrays))


class PathNetwork(torch.nn.Module):
    """Its embedding is the path taken, as digits: `path = path * 100 + city + 1`; the outputs show it.

    The value is the path of the state, the reward the path before the move, the policy logits the path plus the
    city's number. Both are read off the first atom, as if the support were the identity.
    """

    embedding_dim = 1
    stacked_observations = 0

    class _Identity:
        def to_scalar(self, logits: torch.Tensor) -> torch.Tensor:
            return logits[..., 0]

    support: Any = _Identity()

    def encode(self, coordinates: torch.Tensor) -> torch.Tensor:
        return coordinates

    def representation(
        self, context: Any, first: Any, current: torch.Tensor, legal_actions: Any, history: Any = None
    ) -> torch.Tensor:
        return (current + 1).float().unsqueeze(-1)

    def dynamics(
        self, context: Any, embeddings: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return embeddings * 100 + (actions + 1).float().unsqueeze(-1), embeddings

    def prediction(
        self, context: Any, embeddings: torch.Tensor, current: torch.Tensor, legal_bias: torch.Tensor, rows: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return embeddings + torch.arange(legal_bias.shape[-1]) + legal_bias, embeddings


def loss_inputs(tours: Any, **values: Any) -> LossInputs:
    """Inputs of the loss for `tours [M, G, N]`: everything else is plain unless given."""
    tours = torch.as_tensor(tours)
    num_groups, group_size, num_cities = tours.shape
    moves = num_cities - 1
    plain = {
        "coordinates": torch.from_numpy(random_coordinates(num_groups, num_cities)),
        "tours": tours,
        "rewards": torch.zeros(num_groups, group_size, moves),
        "prior_log_probs": torch.zeros(num_groups, group_size, moves),
        "value_targets": torch.zeros(num_groups, group_size, moves + 1),
        "policy_targets": None,
        "policy_weights": torch.ones(num_groups, group_size),
        "importance_weights": torch.ones(num_groups),
        "positions": torch.arange(moves).expand(num_groups, -1),
        "unrolled": None,
        "position_weights": None,
    } | values
    return LossInputs(**{name: plain[name] for name in LossInputs._fields})


LOSS_SETTINGS: dict[str, Any] = {
    "unroll_steps": 0,
    "value_loss_weight": 0.25,
    "reward_loss_weight": 1.0,
    "entropy_bonus": 0.0,
    "dynamics_gradient_scale": 0.5,
}
