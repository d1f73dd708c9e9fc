"""Decoding: whole tours, more looking is never worse, and the same as doing it one by one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import KINDS, random_coordinates, tiny_network

from tspmz import decode as decode_module
from tspmz.decode import Decoding, decode, policy_tours, searched_tours
from tspmz.errors import UsageError
from tspmz.network.attention import legal_bias
from tspmz.search import BatchedSearch
from tspmz.tsp import symmetry
from tspmz.tsp.tours import is_permutation, tour_lengths

INSTANCES, N = 7, 6


def make_search(batch_size: int, num_cities: int) -> BatchedSearch:
    return BatchedSearch(batch_size, num_cities, num_simulations=4)


def how(factory: Any, starts: int = 1, augment: int = 1) -> Decoding:
    return Decoding("search" if factory else "greedy", starts=starts, augment=augment)


def slow_tour(network: Any, points: np.ndarray, start: int) -> list[int]:
    """The greedy tour of one instance from one start, one city at a time."""
    tour = [start]
    with torch.no_grad():
        context = network.encode(torch.from_numpy(points[None]))
        while len(tour) < len(points):
            legal = torch.ones(1, 1, len(points), dtype=torch.bool)
            legal[0, 0, tour] = False
            current = torch.tensor([[tour[-1]]])
            embeddings = network.representation(context, torch.tensor([[start]]), current, legal.float())
            logits, _ = network.prediction(context, embeddings, current, legal_bias(legal))
            tour.append(max((city for city in range(len(points)) if city not in tour), key=logits[0, 0].__getitem__))
    return tour


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tours_equal_those_made_one_by_one(kind: str) -> None:
    network, points = tiny_network(kind, N), random_coordinates(INSTANCES, N)
    starts = np.random.default_rng(1).integers(N, size=(INSTANCES, 3))
    found = policy_tours(network, points, starts)
    assert is_permutation(found).all()
    for i in range(INSTANCES):
        for g in range(3):
            assert found[i, g].tolist() == slow_tour(network, points[i], int(starts[i, g]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factory", [None, make_search])
def test_best_tour_and_its_length_fit_together(kind: str, factory: Any) -> None:
    points = random_coordinates(INSTANCES, N)
    found = decode(tiny_network(kind, N), points, how(factory, 2, 8), make_search=factory)
    assert is_permutation(found.tours).all()
    assert found.lengths.dtype == np.float64
    np.testing.assert_array_equal(found.lengths, tour_lengths(points, found.tours[:, None])[:, 0])


@pytest.mark.parametrize("factory", [None, make_search])
def test_more_starts_and_symmetries_are_never_worse(factory: Any) -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    rows = [
        decode(network, points, how(factory, starts, augment), make_search=factory).lengths
        for starts, augment in ((1, 1), (2, 1), (N, 1), (N, 8))
    ]
    for fewer, more in pairwise(rows):
        assert (more <= fewer + 1e-9).all()
    assert rows[-1].mean() < rows[0].mean()


def test_best_of_starts_and_symmetries_is_that_of_all_tours_one_by_one() -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    found = decode(network, points, Decoding(starts=3, augment=8))
    for i, instance in enumerate(points):
        lengths = [
            tour_lengths(instance[None], np.array([[slow_tour(network, symmetry.apply(instance, index), start)]]))[0, 0]
            for index in range(8)
            for start in range(3)
        ]
        assert found.lengths[i] == pytest.approx(min(lengths), rel=1e-12)


def test_other_lengths_decide_which_tour_is_the_best() -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    shortest = decode(network, points, Decoding(starts=None))
    longest = decode(network, points, Decoding(starts=None), lengths_of=lambda part, t: -tour_lengths(points[part], t))
    assert (-longest.lengths >= shortest.lengths).all()
    assert -longest.lengths.mean() > shortest.lengths.mean()


def test_sampled_cities_have_the_probabilities_of_the_policy() -> None:
    """The second city of 4,000 tours from city 0: each share within five standard deviations (0.04) of the policy."""
    network, points = tiny_network(num_cities=N), random_coordinates(2, N)
    with torch.no_grad():
        context = network.encode(torch.from_numpy(points))
        legal = torch.ones(2, 1, N, dtype=torch.bool)
        legal[:, :, 0] = False
        at = torch.zeros(2, 1, dtype=torch.int64)
        embeddings = network.representation(context, at, at, legal.float())
        policy = network.prediction(context, embeddings, at, legal_bias(legal))[0].softmax(dim=-1)[:, 0].numpy()
    uniforms = np.random.default_rng(0).random((2, 4000, N), dtype=np.float32)
    found = policy_tours(network, points, np.zeros((2, 4000), np.int64), uniforms=uniforms)
    assert is_permutation(found).all()
    for i in range(2):
        np.testing.assert_allclose(np.bincount(found[i, :, 1], minlength=N) / 4000, policy[i], atol=0.04)


def test_sampled_tours_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    decoding = Decoding("sample", starts=2, augment=8, samples=2, seed=3)
    whole = decode(network, points, decoding)
    monkeypatch.setattr(decode_module, "_CACHE_BYTES", 1)
    assert np.array_equal(whole.tours, decode(network, points, decoding).tours)


@pytest.mark.parametrize("decode_by", ["greedy", "sample"])
def test_tours_from_some_starts_are_those_of_all_at_once(decode_by: str) -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    decoding = Decoding(decode_by, starts=None, augment=8, samples=2 if decode_by == "sample" else 1, seed=3)
    whole = decode(network, points, decoding)
    parts = [
        decode(network, points, decoding._replace(starts=count, first_start=first))
        for first, count in ((0, 1), (1, 3), (4, None))
    ]
    np.testing.assert_array_equal(np.min([part.lengths for part in parts], axis=0), whole.lengths)
    with pytest.raises(ValueError, match="first_start = 4: must be 0 to 3"):
        decode(network, points, decoding._replace(starts=3, first_start=4))


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2.0**-24])
def test_extreme_draws_are_legal(uniform: float) -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    starts = np.tile(np.arange(N), (INSTANCES, 1))
    uniforms = np.full((INSTANCES, N, N), uniform, np.float32)
    assert is_permutation(policy_tours(network, points, starts, uniforms=uniforms)).all()


def test_true_rules_find_tours_no_longer_than_they_play() -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    decoding = Decoding("search", starts=2, augment=8, dynamics="true")
    found = decode(network, points, decoding, make_search=make_search)
    assert is_permutation(found.tours).all()
    assert found.record is not None
    assert (found.lengths <= found.record.played_lengths + 1e-6).all()
    np.testing.assert_allclose(found.record.best_lengths[-1], found.lengths, rtol=1e-5)
    greedy = decode(network, points, Decoding(starts=2, augment=8))
    assert greedy.record is None


def test_one_start_is_city_0() -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    starts = np.zeros((INSTANCES, 1), np.int64)
    assert np.array_equal(decode(network, points, Decoding()).tours, policy_tours(network, points, starts)[:, 0])


@pytest.mark.parametrize("factory", [None, make_search])
@pytest.mark.parametrize("batch_bytes", [1, 3 * 4 * N * 512 * 2])
def test_small_batches_give_the_same_tours(factory: Any, batch_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    whole = decode(network, points, how(factory, 2), make_search=factory)
    monkeypatch.setattr(decode_module, "_BATCH_BYTES", batch_bytes)
    monkeypatch.setattr(decode_module, "_CACHE_BYTES", batch_bytes)
    finished: list[int] = []
    parts = decode(network, points, how(factory, 2), make_search=factory, on_progress=finished.append)
    assert np.array_equal(whole.tours, parts.tours)
    assert np.array_equal(whole.lengths, parts.lengths)
    assert sum(finished) == INSTANCES
    if batch_bytes == 1:
        assert finished == [1] * INSTANCES


def test_searched_tours_are_permutations_and_repeatable() -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(INSTANCES, N)
    starts = np.tile(np.arange(2), (INSTANCES, 1))
    found = [searched_tours(network, make_search, points, starts) for _ in range(2)]
    assert is_permutation(found[0]).all()
    assert np.array_equal(found[0][:, :, 0], starts)
    assert np.array_equal(found[0], found[1])


PARTS = (
    Decoding(starts=N, augment=8),
    Decoding("sample", starts=3, augment=8, samples=4, seed=3),
    Decoding("search", starts=N, augment=8),
    Decoding("search", starts=N, augment=8, dynamics="true"),
    Decoding("search", starts=N, dynamics="true", prior="uniform"),
)


@pytest.mark.parametrize("decoding", PARTS, ids=lambda one: f"{one.decode} {one.dynamics} {one.prior}")
@pytest.mark.parametrize("episodes", [1, 2, 5, 7])
def test_starts_of_one_instance_may_be_decoded_apart(
    decoding: Decoding, episodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, points = tiny_network(num_cities=N), random_coordinates(2, N)
    whole = decode(network, points, decoding, make_search=make_search)
    make = decode_module._Maker(network, decoding, make_search, 0.0, "cpu")
    city_bytes = 4 * N * (512 if decoding.decode == "search" else 24)
    monkeypatch.setattr(decode_module, "_CACHE_BYTES", 1)
    monkeypatch.setattr(
        decode_module, "_BATCH_BYTES", episodes * decoding.augment * (city_bytes + make._tree_bytes(N))
    )
    made: list[int] = []
    tours = decode_module._Maker.tours

    def noted(maker: Any, points: np.ndarray, starts: np.ndarray, draws: Any) -> Any:
        made.append(len(starts))
        return tours(maker, points, starts, draws)

    monkeypatch.setattr(decode_module._Maker, "tours", noted)
    parts = decode(network, points, decoding, make_search=make_search)
    total = (decoding.starts or N) * decoding.samples
    assert made == 2 * [min(episodes, total - first) for first in range(0, total, episodes)]
    np.testing.assert_allclose(whole.lengths, parts.lengths, rtol=1e-12)  # of tours as long as each other, either
    assert is_permutation(parts.tours).all()
    assert (whole.record is None) == (parts.record is None)
    for array, other in zip(whole.record or (), parts.record or (), strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("cities", "simulations", "decoding"),
    [
        (20, 10_000, Decoding("search", dynamics="true", prior="uniform")),
        (500, 10_000, Decoding("search", starts=None, augment=8, dynamics="true")),
        (500, 8, Decoding("search", starts=100, augment=8)),
        (500, 1000, Decoding("search", starts=None, augment=8)),
        (500, 1, Decoding("sample", starts=None, augment=8, samples=1000)),
    ],
)
def test_memory_of_what_is_made_at_a_time_is_bounded(cities: int, simulations: int, decoding: Decoding) -> None:
    def make(batch: int, num_actions: int) -> BatchedSearch:
        return BatchedSearch(batch, num_actions, num_simulations=simulations, algorithm="puct")

    episodes = (decoding.starts or cities) * decoding.samples
    maker = decode_module._Maker(tiny_network(num_cities=cities), decoding, make, 0.0, "cpu")
    made = list(maker.parts(256, cities, episodes))
    one_tree = make(1, cities).num_bytes if decoding.decode == "search" else 0
    for instances, parts in made:
        trees = (instances.stop - instances.start) * decoding.augment * max(part.stop - part.start for part in parts)
        assert trees * (one_tree + 8 * cities) < 2**29
        assert [parts[0].start, parts[-1].stop] == [0, episodes]
    assert sum(instances.stop - instances.start for instances, _ in made) == 256


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"starts": 0}, "starts = 0: must be 1 to 6"),
        ({"starts": 7}, "starts = 7: must be 1 to 6"),
        ({"augment": 2}, "augment = 2: must be 1 or 8"),
        ({"samples": 0}, "samples = 0: must be at least 1"),
        ({"decode": "search", "simulations": 0}, "simulations = 0: must be at least 1"),
        ({"decode": "beam"}, "must be greedy, sample or search"),
        ({"decode": "search"}, "needs make_search"),
        ({"dynamics": "false"}, "must be learned or true"),
        ({"prior": "none"}, "must be network or uniform"),
        ({"prior": "uniform"}, "prior = 'uniform' needs decode = 'search'"),
        ({"simulations": 4}, "simulations needs decode = 'search'"),
        ({"dynamics": "true"}, "dynamics = 'true' needs decode = 'search'"),
        ({"decode": "sample", "backup": "max"}, "backup needs decode = 'search'"),
        ({"samples": 2}, "samples needs decode = 'sample'"),
        (
            {"decode": "search", "dynamics": "true", "prior": "uniform", "leaf_values": "network"},
            "leaf_values = 'network' needs a network's prior",
        ),
        ({"decode": "search", "leaf_values": "zero"}, "leaf_values needs decode = 'search' and dynamics = 'true'"),
    ],
)
def test_wrong_arguments_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, UsageError), match=message):
        decode(tiny_network(num_cities=N), random_coordinates(1, N), Decoding(**settings))
