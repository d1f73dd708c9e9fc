"""What a network is told of states and actions: by hand, and from the tour prefix as from stored states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import CITIES, VISITS, loss_inputs, random_coordinates, tiny_network

from tspmz.decode import policy_tours
from tspmz.loss import _past_cities
from tspmz.network.inference import SearchModel
from tspmz.network.observation import Observation
from tspmz.search import BatchedSearch
from tspmz.selfplay import play
from tspmz.tsp.tours import past_cities

N = 4
STACKING = (
    {"network__kind": "resnet"}, CITIES, {"network__kind": "fullyconnected"},
    {**VISITS, "network__kind": "fullyconnected"},
)  # fmt: skip


def planes_of(observation: Observation, tour: list[int], step: int) -> list[list[float]]:
    """Planes `[X, N]` of the state of one episode after `step` moves."""
    tours = np.array([[tour]])
    legal = torch.tensor([[[0.0 if city in tour[: step + 1] else 1.0 for city in range(N)]]])
    past = torch.from_numpy(past_cities(tours, step, observation.stacked_observations))
    found = observation.state(torch.tensor([[tour[0]]]), torch.tensor([[tour[step]]]), legal, past)
    assert found.shape == (1, 1, N, observation.num_planes)
    return found[0, 0].T.tolist()  # type: ignore[no-any-return]


def test_full_observation_shows_first_current_and_unvisited() -> None:
    assert planes_of(Observation(N, "full", 0, "one_hot"), [2, 0, 1, 3], 1) == [
        [0, 0, 1, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 1],
    ]


def test_observation_of_visits_is_the_pair_of_visited_flag_and_current_city() -> None:
    assert planes_of(Observation(N, "visits", 0, "one_hot"), [2, 0, 1, 3], 1) == [[1, 0, 1, 0], [1, 0, 0, 0]]


def test_past_states_and_actions_are_stacked_and_zero_before_the_start() -> None:
    assert planes_of(Observation(N, "visits", 2, "one_hot"), [2, 0, 1, 3], 1) == [
        [1, 0, 1, 0],  # now: visited
        [1, 0, 0, 0],  # now: current
        [0, 0, 1, 0],  # one move ago: visited
        [0, 0, 1, 0],  # one move ago: current
        [1, 0, 0, 0],  # the action taken there
        [0, 0, 0, 0],  # before the start
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_plane_of_an_action_is_one_number() -> None:
    assert planes_of(Observation(N, "visits", 1, "plane"), [2, 0, 1, 3], 2)[4] == [0.5] * N  # (1 + 1) / 4
    actions = torch.tensor([[0, 3]])
    assert Observation(N, "full", 0, "plane").action(actions).tolist() == [[[0.25] * N, [1.0] * N]]
    assert Observation(N, "full", 0, "one_hot").action(actions).tolist() == [[[1, 0, 0, 0], [0, 0, 0, 1]]]


@pytest.mark.parametrize("kind", ["full", "visits"])
def test_stacked_planes_are_those_that_were_seen_before(kind: str) -> None:
    tour = [3, 1, 0, 2]
    plain, stacked = Observation(N, kind, 0, "one_hot"), Observation(N, kind, 3, "one_hot")
    for step in range(N):
        found = planes_of(stacked, tour, step)[plain.num_planes :]
        for back in range(1, 4):
            visited, current, action = found[3 * back - 3 : 3 * back]
            if back > step:
                assert visited == current == action == [0] * N
                continue
            before = planes_of(Observation(N, "visits", 0, "one_hot"), tour, step - back)
            assert [visited, current] == before
            assert action == [float(city == tour[step - back + 1]) for city in range(N)]


def test_past_cities_are_the_latest_first() -> None:
    tours = np.array([[4, 2, 0, 1, 3]])
    assert past_cities(tours, 0, 2).tolist() == [[-1, -1]]
    assert past_cities(tours, 1, 2).tolist() == [[4, -1]]
    assert past_cities(tours, 4, 2).tolist() == [[1, 0]]
    assert past_cities(tours, 4, 0).shape == (1, 0)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_past_cities_of_the_loss_are_those_of_play(count: int) -> None:
    rng = np.random.default_rng(0)
    tours = np.stack([[rng.permutation(6) for _ in range(3)] for _ in range(2)])
    positions = np.array([[0, 2, 4], [1, 2, 3]])
    found = _past_cities(loss_inputs(tours, positions=torch.from_numpy(positions)), count).unflatten(1, (3, 3))
    for m in range(2):
        for p in range(3):
            assert np.array_equal(found[m, :, p].numpy(), past_cities(tours[m], positions[m, p], count))


@pytest.mark.parametrize("settings", STACKING)
def test_networks_that_stack_play_and_decode_and_see_the_past(settings: dict[str, Any]) -> None:
    network = tiny_network("", 6, **settings, network__stacked_observations=2)
    model = SearchModel(network, 3)
    coordinates, starts = random_coordinates(2, 6), np.zeros((2, 2), np.int64)
    search = BatchedSearch(4, 6, num_simulations=2, algorithm="puct")
    tours = play(model, search, coordinates, starts, np.random.default_rng(0)).tours
    assert (np.sort(tours, axis=-1) == np.arange(6)).all()
    assert (np.sort(policy_tours(network, coordinates, starts), axis=-1) == np.arange(6)).all()
    legal = np.zeros((1, 1, 6), np.bool_)
    legal[0, 0, [3, 4, 5]] = True
    model.encode(coordinates[:1])
    first, here = np.zeros((1, 1), np.int64), np.full((1, 1), 2)
    seen = [model.initial(first, here, legal, np.array([[past]])).values[0] for past in ([1, 0], [0, 1])]
    assert seen[0] != seen[1]
    with pytest.raises(ValueError, match="past cities: none given, the network stacks 2"):
        model.initial(first, here, legal)
