"""Looking into a network: entropies, values and returns along tours, step by step the same as by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import random_coordinates, tiny_network

from tspmz.diagnostics import along_tours, search_move
from tspmz.network.attention import legal_bias
from tspmz.search import BatchedSearch
from tspmz.tsp import env
from tspmz.tsp.tours import past_cities, random_tours, tour_lengths

STACKED: dict[str, dict[str, Any]] = {"attention": {}, "fullyconnected": {"network__stacked_observations": 2}}


def test_returns_are_what_the_environment_pays_from_each_move_on() -> None:
    points = random_coordinates(3, 6)
    tours = random_tours(np.random.default_rng(0), 3, 6)
    state, rewards = env.reset(points, tours[:, :1]), []
    for t in range(1, 6):
        state, time_step = env.step(state, tours[:, t : t + 1])
        rewards.append(time_step.rewards[:, 0])
    told = along_tours(tiny_network(), points, tours)
    by_hand = np.stack([np.sum(rewards[t:], axis=0) for t in range(5)], axis=1)
    np.testing.assert_allclose(told.returns, by_hand, rtol=1e-5)
    lengths = tour_lengths(points, tours[:, None])[:, 0]
    np.testing.assert_allclose(-told.returns[:, 0], lengths, rtol=1e-6)
    shaped = along_tours(tiny_network(), points, tours, edge_reward=1.0)
    np.testing.assert_allclose(shaped.returns[:, 0], 6 - lengths, rtol=1e-5)


@pytest.mark.parametrize("kind", STACKED)
def test_entropies_and_values_are_those_of_each_state_alone(kind: str) -> None:
    network = tiny_network(kind, **STACKED[kind])
    points = random_coordinates(2, 6)
    tours = random_tours(np.random.default_rng(1), 2, 6)
    told = along_tours(network, points, tours)
    assert told.entropies.shape == told.values.shape == (2, 5)
    for i in range(2):
        for t in range(5):
            legal = np.ones(6, bool)
            legal[tours[i, : t + 1]] = False
            with torch.inference_mode():
                context = network.encode(torch.from_numpy(points[i : i + 1]))
                here = torch.from_numpy(tours[i : i + 1, t : t + 1])
                mask = torch.from_numpy(legal[None, None])
                first = torch.from_numpy(tours[i : i + 1, :1])
                past = torch.from_numpy(past_cities(tours[i : i + 1, None], t, network.stacked_observations))
                embedding = network.representation(context, first, here, mask.float(), past)
                logits, value_logits = network.prediction(context, embedding, here, legal_bias(mask))
            p = np.exp(logits[0, 0].double().numpy()[legal])
            p /= p.sum()
            assert told.entropies[i, t] == pytest.approx(-(p * np.log(p)).sum(), abs=1e-5)
            assert told.values[i, t] == pytest.approx(float(network.support.to_scalar(value_logits)), abs=1e-5)
    assert np.all(told.entropies[:, -1] == 0)
    assert np.all(told.entropies <= np.log(np.arange(5, 0, -1)) + 1e-9)


def test_many_instances_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    points = random_coordinates(5, 6)
    tours = random_tours(np.random.default_rng(2), 5, 6)
    whole = along_tours(tiny_network(), points, tours)
    monkeypatch.setattr("tspmz.diagnostics._INSTANCES_AT_ONCE", 2)
    parts = along_tours(tiny_network(), points, tours)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", STACKED)
def test_searched_move_visits_open_cities_only(kind: str) -> None:
    path = np.array([2, 0, 5])
    search = BatchedSearch(1, 6, num_simulations=12)
    move = search_move(tiny_network(kind, **STACKED[kind]), search, random_coordinates(1, 6)[0], path)
    children = move.nodes[move.nodes["parent"] == 0]
    assert set(children["action"]) <= {1, 3, 4}
    assert children["visits"].sum() == 12 == move.nodes["visits"][0] - 1
