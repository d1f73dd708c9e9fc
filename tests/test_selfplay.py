"""Self-play: whole tours, rewards that add up, and play that is a function of seed, group and weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from model_helpers import KINDS, random_coordinates, tiny_network

from tspmz.network.inference import SearchModel
from tspmz.replay.checks import stored_rewards_add_up, valid_groups
from tspmz.replay.fields import fields_for
from tspmz.replay.packing import load_group
from tspmz.rng import generator_for
from tspmz.search import BatchedSearch
from tspmz.selfplay import GroupSource, Play, play, play_groups
from tspmz.tsp import generators
from tspmz.tsp.tours import is_permutation, tour_lengths
from tspmz.types import Group

INSTANCES, EPISODES, N, SIMULATIONS = 2, 3, 6, 4
SOURCE = GroupSource(seed=3, actor=1, distribution="uniform", num_cities=N, num_clusters=3, group_size=EPISODES)
SPECS = fields_for(N, EPISODES, "gumbel")


class WatchedSearch(BatchedSearch):
    """Keeps how it was called."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.temperatures: list[float] = []
        self.noises: list[bool] = []
        self.next_numbers: list[float] = []

    def run(self, root: Any, recurrent_fn: Any, rng: Any, *, temperature: float = 1.0, noise: bool = True) -> Any:
        self.temperatures.append(temperature)
        self.noises.append(noise)
        self.next_numbers.append(copy.deepcopy(rng).random())
        return super().run(root, recurrent_fn, rng, temperature=temperature, noise=noise)


def make_search(algorithm: str = "gumbel", batch_size: int = INSTANCES * EPISODES) -> WatchedSearch:
    return WatchedSearch(batch_size, N, algorithm=algorithm, num_simulations=SIMULATIONS)


def played(
    algorithm: str = "gumbel", kind: str = "attention", rng_seed: int = 0, search: Any = None, **settings: Any
) -> tuple[np.ndarray, np.ndarray, Play]:
    """Coordinates, starts, and the play on them."""
    coordinates = random_coordinates(INSTANCES, N)
    starts = np.array([[0, 3, 5], [1, 2, 4]])
    model = SearchModel(tiny_network(kind, N), SIMULATIONS + 1)
    rng = np.random.default_rng(rng_seed)
    return coordinates, starts, play(model, search or make_search(algorithm), coordinates, starts, rng, **settings)


def groups_of(first: int, count: int, model: SearchModel | None = None, source: GroupSource = SOURCE) -> list[Group]:
    model = model or SearchModel(tiny_network(num_cities=N), SIMULATIONS + 1)
    search = make_search(batch_size=count * EPISODES)
    records = play_groups(model, search, source, first, count, 7, SPECS, temperature=1.0, temperature_threshold=0)
    return [load_group(record) for record in records]


def equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("edge_reward", [0.0, 1.0])
def test_without_values_roots_are_worth_what_came_of_them(edge_reward: float) -> None:
    search, network = BatchedSearch(2 * EPISODES, N, num_simulations=0), tiny_network(num_cities=N)
    source = SOURCE._replace(edge_reward=edge_reward)
    asked, unasked = (
        play_groups(
            SearchModel(network, 1, with_values=wanted), search, source, 0, 2, 7, SPECS,
            temperature=1.0, temperature_threshold=0, with_values=wanted,
        )
        for wanted in (True, False)
    )  # fmt: skip
    assert np.array_equal(asked["tours"], unasked["tours"])
    assert np.array_equal(asked["prior_log_probs"], unasked["prior_log_probs"])
    paid = unasked["rewards"] + edge_reward
    paid[..., -1] += edge_reward
    np.testing.assert_allclose(unasked["root_values"], paid[..., ::-1].cumsum(axis=-1)[..., ::-1], rtol=1e-5)
    assert not np.allclose(asked["root_values"], unasked["root_values"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_tours_are_permutations_whose_rewards_sum_to_their_lengths(algorithm: str, kind: str) -> None:
    coordinates, starts, found = played(algorithm, kind)
    assert is_permutation(found.tours).all()
    assert np.array_equal(found.tours[:, :, 0], starts)
    np.testing.assert_allclose(-found.rewards.sum(axis=-1), tour_lengths(coordinates, found.tours), rtol=1e-5)
    assert 1.0 <= found.mean_depth <= SIMULATIONS


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_search_statistics_are_of_the_legal_moves(algorithm: str) -> None:
    _, _, found = played(algorithm)
    order = np.argsort(found.tours, axis=-1)
    legal = order[:, :, None, :] > np.arange(N - 1)[:, None]
    assert (found.visit_counts[~legal] == 0).all()
    assert (found.action_weights[~legal] == 0).all()
    np.testing.assert_allclose(found.action_weights.sum(axis=-1), 1.0, rtol=1e-5)
    assert (found.visit_counts[:, :, :-1].sum(axis=-1) == SIMULATIONS).all()


def test_forced_move_is_worth_its_reward() -> None:
    coordinates, _, found = played()
    assert np.array_equal(found.root_values[:, :, -1], found.rewards[:, :, -1])
    last = found.tours[:, :, -1:]
    assert (np.take_along_axis(found.visit_counts[:, :, -1], last, axis=-1) == 1).all()
    assert (np.take_along_axis(found.action_weights[:, :, -1], last, axis=-1) == 1.0).all()
    points = np.take_along_axis(coordinates[:, None], found.tours[..., None], axis=2).astype(np.float64)
    edges = np.linalg.norm(points[:, :, -1] - points[:, :, -2], axis=-1)
    edges += np.linalg.norm(points[:, :, -1] - points[:, :, 0], axis=-1)
    np.testing.assert_allclose(found.rewards[:, :, -1], -edges, rtol=1e-6)


def test_three_cities_are_two_moves_one_of_them_searched() -> None:
    search = WatchedSearch(2, 3, num_simulations=2)
    model = SearchModel(tiny_network(num_cities=3), 3)
    found = play(model, search, random_coordinates(1, 3), np.array([[0, 2]]), np.random.default_rng(0))
    assert len(search.temperatures) == 1
    assert is_permutation(found.tours).all()


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_play_without_noise_at_temperature_zero_needs_no_random_numbers(algorithm: str) -> None:
    results = [played(algorithm, rng_seed=seed, noise=False, temperature=0.0)[2] for seed in (0, 1)]
    assert equal(results[0], results[1])


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_play_with_noise_depends_on_the_generator(algorithm: str) -> None:
    results = [played(algorithm, rng_seed=seed)[2] for seed in (0, 0, 1)]
    assert equal(results[0], results[1])
    assert not equal(results[0], results[2])


@pytest.mark.parametrize(("threshold", "temperatures"), [(0, [0.5] * 4), (1, [0.5, 0, 0, 0]), (9, [0.5] * 4)])
def test_temperature_falls_to_zero_from_the_threshold_on(threshold: int, temperatures: list[float]) -> None:
    search = make_search()
    played(search=search, temperature=0.5, temperature_threshold=threshold, noise=False)
    assert search.temperatures == temperatures
    assert search.noises == [False] * 4


def test_group_is_what_was_asked_for() -> None:
    groups = groups_of(5, 2)
    assert [group.group_id for group in groups] == [5, 6]
    for group in groups:
        assert (group.actor, group.seed, group.weights_version) == (1, 3, 7)
        assert is_permutation(group.tours).all()
        assert len(set(group.tours[:, 0])) == EPISODES
        lengths = tour_lengths(group.coordinates[None], group.tours[None])[0]
        np.testing.assert_allclose(-group.rewards.sum(axis=-1), lengths, rtol=1e-5)


def test_play_of_groups_is_a_function_of_weights_source_and_first_group() -> None:
    model = SearchModel(tiny_network(num_cities=N), SIMULATIONS + 1)
    first = groups_of(4, 2, model)
    groups_of(9, 2, model)  # what was played in between leaves no trace
    for one, again in zip(first, groups_of(4, 2, model), strict=True):
        assert equal(one, again)
    others = groups_of(4, 2, source=SOURCE._replace(seed=4)), groups_of(4, 2, source=SOURCE._replace(actor=0))
    for other in others:
        assert not np.array_equal(first[0].coordinates, other[0].coordinates)


def test_noise_of_groups_is_drawn_from_their_own_stream() -> None:
    for first in (4, 5):
        search = make_search(batch_size=EPISODES)
        model = SearchModel(tiny_network(num_cities=N), SIMULATIONS + 1)
        play_groups(model, search, SOURCE, first, 1, 0, SPECS, temperature=1.0, temperature_threshold=0)
        assert search.next_numbers[0] == generator_for(SOURCE.seed, "search", SOURCE.actor, first).random()


def test_instance_of_a_group_can_be_made_again_from_the_seed() -> None:
    for group in groups_of(4, 3):
        rng = generator_for(group.seed, "instance", group.actor, group.group_id)
        coordinates = generators.generate("uniform", rng, 1, N, 3)[0]
        assert np.array_equal(group.coordinates, coordinates)
        assert np.array_equal(group.coordinates, SOURCE.instance(group.group_id)[0])
        assert np.array_equal(group.tours[:, 0], SOURCE.instance(group.group_id)[1])


def test_instance_does_not_depend_on_how_many_groups_are_played_together() -> None:
    alone, together = groups_of(6, 1)[0], groups_of(4, 3)[2]
    assert np.array_equal(alone.coordinates, together.coordinates)
    assert np.array_equal(alone.tours[:, 0], together.tours[:, 0])


def test_clock_gets_the_seconds_of_each_stage_once() -> None:
    class Clock:
        def __init__(self) -> None:
            self.totals: dict[str, float] = {}

        def add(self, name: str, value: float) -> None:
            self.totals[name] = self.totals.get(name, 0.0) + value

    clock = Clock()
    played(clock=clock)
    assert set(clock.totals) == {"network_seconds", "tree_seconds", "env_seconds"}
    assert min(clock.totals.values()) >= 0.0


def test_groups_on_a_fixed_graph_differ_by_noise_only_and_start_in_city_0() -> None:
    source = SOURCE._replace(fixed_graph=True, first_city=True)
    groups = groups_of(0, 4, source=source)
    graph = generators.fixed_graph("uniform", SOURCE.seed, N, 3)
    assert all(np.array_equal(group.coordinates, graph) for group in groups)
    assert all((group.tours[:, 0] == 0).all() for group in groups)
    assert len({tuple(tour) for group in groups for tour in group.tours}) > 1
    other_actor, other_seed = (source._replace(**change).instance(0)[0] for change in ({"actor": 5}, {"seed": 4}))
    assert np.array_equal(other_actor, graph)
    assert not np.array_equal(other_seed, graph)


def test_forced_move_is_worth_its_two_edges_where_edges_are_worth_something() -> None:
    _, _, found = played(edge_reward=1.0)
    np.testing.assert_allclose(found.root_values[:, :, -1], 2.0 + found.rewards[:, :, -1], rtol=1e-6)
    assert (found.rewards < 0).all()


@pytest.mark.parametrize("target", ["visit_counts", "gumbel", "advantage"])
def test_records_hold_what_was_played(target: str) -> None:
    """The same play as with arrays of its own, in the fields that the policy target stores."""
    network = tiny_network(num_cities=N)
    records = play_groups(
        SearchModel(network, SIMULATIONS + 1), make_search(), SOURCE, 4, INSTANCES, 7, fields_for(N, EPISODES, target),
        temperature=1.0, temperature_threshold=0,
    )  # fmt: skip
    instances = [SOURCE.instance(number) for number in (4, 5)]
    found = play(
        SearchModel(network, SIMULATIONS + 1), make_search(), np.stack([points for points, _ in instances]),
        np.stack([starts for _, starts in instances]), generator_for(SOURCE.seed, "search", SOURCE.actor, 4),
    )  # fmt: skip
    stored = set(records.dtype.names or ())
    assert stored & {"visit_counts", "action_weights"} == {
        "visit_counts": {"visit_counts"}, "gumbel": {"action_weights"}, "advantage": set(),
    }[target]  # fmt: skip
    for name in stored & set(Play._fields):
        np.testing.assert_array_equal(records[name], getattr(found, name), err_msg=name)
    assert valid_groups(records).all()
    assert stored_rewards_add_up(records).all()


MIXED = SOURCE._replace(num_cities=9, mixed_sizes=(5, 7, 9))


def test_group_on_fewer_cities_fills_a_part_of_its_record() -> None:
    specs = fields_for(9, EPISODES, "gumbel")
    search = BatchedSearch(2 * EPISODES, 7, num_simulations=SIMULATIONS)
    model = SearchModel(tiny_network(num_cities=7), SIMULATIONS + 1)
    records = play_groups(model, search, MIXED, 3, 2, 0, specs, temperature=1.0, temperature_threshold=0)
    assert records["num_cities"].tolist() == [7, 7]
    assert valid_groups(records).all()
    assert np.isnan(records["rewards"][:, :, 6:]).all()
    assert (records["tours"][:, :, 7:] == -1).all()
    group = load_group(records[1])
    lengths = tour_lengths(group.coordinates[None], group.tours[None])[0]
    np.testing.assert_allclose(-group.rewards.sum(axis=-1), lengths, rtol=1e-5)


def test_sizes_take_turns_in_blocks_and_actors_begin_with_different_ones() -> None:
    assert [MIXED.size_of(number) for number in (0, 15, 16, 31, 32, 48)] == [7, 7, 9, 9, 5, 7]
    assert [MIXED._replace(actor=actor).size_of(0) for actor in range(4)] == [5, 7, 9, 5]
    assert SOURCE.size_of(10**9) == N


def test_batch_ends_with_the_block_of_its_size() -> None:
    assert [MIXED.batch_size(first, 6) for first in (0, 10, 11, 15, 16)] == [6, 6, 5, 1, 6]
    assert SOURCE.batch_size(15, 6) == 6
    for first in range(40):
        assert len({MIXED.size_of(first + i) for i in range(MIXED.batch_size(first, 6))}) == 1


def test_instance_of_a_group_follows_from_its_number_whatever_its_size() -> None:
    for number in (3, 17, 40):
        coordinates, starts = MIXED.instance(number)
        assert coordinates.shape == (MIXED.size_of(number), 2)
        assert len(set(starts)) == EPISODES
        assert starts.max() < len(coordinates)
        again, _ = MIXED._replace().instance(number)
        np.testing.assert_array_equal(coordinates, again)
