"""The environment as the model of a search: true states at every node, and the tours found there."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tspmz.search import BatchedSearch
from tspmz.tsp import env
from tspmz.tsp.dynamics import TrueDynamics
from tspmz.tsp.generators import uniform_instances
from tspmz.tsp.reference import solve_exact
from tspmz.tsp.tours import is_permutation, tour_lengths
from tspmz.types import RootOutput

# Cities on the corners of a rectangle, in order: sides 0.3, 0.4, 0.3, 0.4, diagonals 0.5.
RECTANGLE = np.array([[[0.0, 0.0], [0.3, 0.0], [0.3, 0.4], [0.0, 0.4]]], np.float32)


class Watched(TrueDynamics):
    """Keeps what every node of every tree was asked and answered: `(path, output row)`."""

    def initial(self, first: Any, current: Any, legal_actions: Any) -> RootOutput:
        self.paths: dict[int, list[tuple[int, ...]]] = {0: [()] * first.size}
        self.answers: list[tuple[int, tuple[int, ...], float, float, np.ndarray]] = []
        return super().initial(first, current, legal_actions)

    def recurrent(self, parents: Any, actions: Any, node: int, legal_actions: Any) -> Any:
        output = super().recurrent(parents, actions, node, legal_actions)
        pairs = enumerate(zip(parents, actions, strict=True))
        self.paths[node] = [(*self.paths[int(parent)][b], int(action)) for b, (parent, action) in pairs]
        for b, path in enumerate(self.paths[node]):
            self.answers.append((b, path, output.rewards[b], output.values[b], output.legal_actions[b]))
        return output


def search_of(trees: int, num_cities: int, simulations: int, **settings: Any) -> BatchedSearch:
    chosen = {"algorithm": "puct", "backup": "max", "max_considered_actions": num_cities} | settings
    return BatchedSearch(trees, num_cities, num_simulations=simulations, **chosen)


def play_out(model: TrueDynamics, search: BatchedSearch, points: np.ndarray, starts: np.ndarray) -> Any:
    """Search at each move, as `selfplay.play` does; the tours found and those played."""
    state = env.reset(points, starts)
    tours = [starts]
    model.encode(points)
    for _ in range(points.shape[1] - 2):
        root = model.initial(state.first, state.current, env.legal_actions(state))
        result = search.run(root, model.recurrent, np.random.default_rng(0), temperature=0.0, noise=False)
        state, _ = env.step(state, result.actions.reshape(starts.shape))
        tours.append(state.current)
    tours.append(env.legal_actions(state).argmax(axis=-1))
    return model.found(np.stack(tours, axis=-1))


def left_by_nearest(points: np.ndarray, first: int, path: list[int]) -> float:
    """Length from the end of `path` home, always to the nearest city: the slow way."""
    left, here, length = set(range(len(points))) - set(path), path[-1], 0.0
    exact = points.astype(np.float64)
    if not left:
        return 0.0
    while left:
        city = min(left, key=lambda c: (np.linalg.norm(exact[here] - exact[c]), c))
        length += float(np.linalg.norm(exact[here] - exact[city]))
        left.remove(city)
        here = city
    return length + float(np.linalg.norm(exact[here] - exact[first]))


def left_by_insertion(points: Any, first: int, path: list[int]) -> float:
    """Length of completing `path` by inserting the farthest city where it costs least, in plain Python."""
    exact = points.astype(np.float64)

    def apart(a: int, b: int) -> float:
        return float(np.linalg.norm(exact[a] - exact[b]))

    left, way = set(range(len(points))) - set(path), [path[-1], first]
    if not left:
        return 0.0
    while left:
        city = max(left, key=lambda c: min(apart(c, on) for on in way))
        costs = [apart(a, city) + apart(city, b) - apart(a, b) for a, b in itertools.pairwise(way)]
        way.insert(1 + int(np.argmin(costs)), city)
        left.remove(city)
    return sum(apart(a, b) for a, b in itertools.pairwise(way))


RULES = {"nearest_neighbor": left_by_nearest, "farthest_insertion": left_by_insertion}


@pytest.mark.parametrize("rule", RULES)
def test_rewards_values_and_legal_actions_are_those_of_the_environment(rule: str) -> None:
    points = uniform_instances(np.random.default_rng(0), 2, 6)
    starts = np.array([[0, 3], [5, 1]])
    state = env.reset(points, starts)
    second = np.array([[2, 4], [1, 0]])
    state, _ = env.step(state, second)
    model = Watched(None, 61, rule)
    model.encode(points)
    model.initial(*(env.reset(points, starts)[i] for i in (1, 2)), env.legal_actions(env.reset(points, starts)))
    root = model.initial(state.first, state.current, env.legal_actions(state))
    search_of(4, 6, 60).run(root, model.recurrent, np.random.default_rng(0))
    assert {len(path) for _, path, *_ in model.answers} == {1, 2, 3, 4}
    for b, path, reward, value, legal in model.answers:
        i, g = divmod(b, 2)
        at = env.TSPState(points[i : i + 1], *(x[i : i + 1, g : g + 1] for x in state[1:4]), state.step)
        for city in path:
            at, step = env.step(at, np.array([[city]]))
        assert reward == step.rewards[0, 0]
        np.testing.assert_array_equal(legal, env.legal_actions(at)[0, 0])
        whole = [starts[i, g], second[i, g], *path]
        assert value == pytest.approx(-RULES[rule](points[i], starts[i, g], whole), abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_rule_completes_a_tour_that_is_as_long_as_its_value_says(rule: str, size: int) -> None:
    points = uniform_instances(np.random.default_rng(8), 20, 9)
    order = np.random.default_rng(9).permuted(np.tile(np.arange(9), (20, 1)), axis=1)
    model = TrueDynamics(None, 2, rule)
    model.encode(points)
    for moves in range(size):
        legal = np.ones((20, 1, 9), np.bool_)
        np.put_along_axis(legal[:, 0], order[:, : moves + 1], False, axis=1)
        root = model.initial(order[:, :1], order[:, moves : moves + 1], legal)
    found = model.found(order[:, None])
    stops = np.take_along_axis(points.astype(np.float64), order[:, :size, None], axis=1)
    walked = np.linalg.norm(np.diff(stops, axis=1), axis=-1).sum(axis=1)
    expected = [RULES[rule](points[i], int(order[i, 0]), order[i, :size].tolist()) for i in range(20)]
    np.testing.assert_allclose(root.values, -np.array(expected), atol=1e-6)
    assert is_permutation(found.tours).all()
    assert (found.lengths[:, 0] <= walked + expected + 1e-9).all()
    if size == 1:  # nothing else was found yet
        shorter = np.minimum(expected, found.played_lengths[:, 0])
        np.testing.assert_allclose(found.lengths[:, 0], shorter, rtol=1e-9)


def test_values_on_a_rectangle_by_hand() -> None:
    model = TrueDynamics(None, 2, "nearest_neighbor")
    state = env.reset(RECTANGLE, np.array([[0]]))
    model.encode(RECTANGLE)
    root = model.initial(state.first, state.current, env.legal_actions(state))
    assert root.values[0] == pytest.approx(-1.4)  # 0 1 2 3 and home
    output = model.recurrent(np.array([0]), np.array([2]), 1, env.legal_actions(state)[0])
    assert output.rewards[0] == pytest.approx(-0.5)
    assert output.values[0] == pytest.approx(-(0.3 + 0.5 + 0.3))  # from 2 to 3, 1 and home
    assert output.legal_actions.tolist() == [[False, True, False, True]]
    assert (output.policy_logits == 0.0).all()
    found = model.found(np.array([[[0, 2, 1, 3]]]))
    assert found.lengths[0, 0] == pytest.approx(1.4)
    assert found.tours[0, 0].tolist() == [0, 1, 2, 3]
    assert found.played_lengths[0, 0] == pytest.approx(0.5 + 0.4 + 0.5 + 0.4)


@pytest.mark.parametrize("algorithm", ["puct", "gumbel"])
@pytest.mark.parametrize("backup", ["mean", "max"])
@pytest.mark.parametrize("leaf_values", ["nearest_neighbor", "farthest_insertion", "zero"])
def test_the_optimum_of_small_instances_is_found(algorithm: str, backup: str, leaf_values: str) -> None:
    points = uniform_instances(np.random.default_rng(1), 6, 6)
    starts = np.tile([0, 2], (6, 1))
    model = TrueDynamics(None, 2001, leaf_values)
    found = play_out(model, search_of(12, 6, 2000, algorithm=algorithm, backup=backup), points, starts)
    optimum = solve_exact(points)[1]
    np.testing.assert_allclose(found.lengths, np.tile(optimum[:, None], 2), rtol=1e-9)
    assert is_permutation(found.tours).all()
    np.testing.assert_array_equal(found.tours[:, :, 0], starts)
    np.testing.assert_allclose(found.lengths, tour_lengths(points, found.tours), rtol=1e-12)
    if backup == "max":  # the whole tree below the root fits: its best path is played
        np.testing.assert_allclose(found.played_lengths, found.lengths, rtol=1e-6)


def test_one_minus_edge_rewards_are_worth_one_more_for_each_edge() -> None:
    model = TrueDynamics(None, 4, "nearest_neighbor", edge_reward=1.0)
    state = env.reset(RECTANGLE, np.array([[0]]))
    model.encode(RECTANGLE)
    root = model.initial(state.first, state.current, env.legal_actions(state))
    assert root.values[0] == pytest.approx(4 - 1.4)
    legal = env.legal_actions(state)[0]
    steps = [model.recurrent(np.array([n]), np.array([city]), n + 1, legal) for n, city in enumerate((1, 2, 3))]
    assert [step.rewards[0] for step in steps] == pytest.approx([1 - 0.3, 1 - 0.4, 2 - 0.7])
    assert [step.values[0] for step in steps] == pytest.approx([3 - 1.1, 2 - 0.7, 0.0])


def test_record_falls_to_the_best_length() -> None:
    points = uniform_instances(np.random.default_rng(2), 4, 9)
    starts = np.zeros((4, 1), np.int64)
    found = play_out(TrueDynamics(None, 41, "zero"), search_of(4, 9, 40), points, starts)
    assert found.simulations[0] == 1
    assert found.simulations[-1] == 40 * 7
    assert (np.diff(found.simulations) > 0).all()
    assert found.best_lengths.shape == (len(found.simulations), 4, 1)
    assert np.isinf(found.best_lengths[0]).all()  # no episode ends after one move
    assert np.isfinite(found.best_lengths[-1]).all()
    pairs = zip(found.best_lengths[:-1], found.best_lengths[1:], strict=True)
    assert all((later <= earlier).all() for earlier, later in pairs)
    assert (found.lengths <= found.best_lengths[-1] + 1e-12).all()
    assert (found.lengths <= found.played_lengths).all()


def test_next_instances_start_anew() -> None:
    points = uniform_instances(np.random.default_rng(3), 2, 7)
    model, search = TrueDynamics(None, 31, "nearest_neighbor"), search_of(1, 7, 30)
    starts = np.zeros((1, 1), np.int64)
    rows = [play_out(model, search, points[i : i + 1], starts) for i in (0, 1, 0)]
    np.testing.assert_array_equal(rows[0].tours, rows[2].tours)
    np.testing.assert_array_equal(rows[0].best_lengths, rows[2].best_lengths)
    assert rows[0].lengths[0, 0] != rows[1].lengths[0, 0]


class AskedPrior:
    """Likes high numbers, and keeps the states that it was asked about."""

    def __init__(self, stacked_observations: int = 0) -> None:
        self.stacked_observations = stacked_observations
        self.asked: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.pasts: list[Any] = []
        self.encoded = 0

    def encode(self, coordinates: np.ndarray) -> None:
        self.encoded += 1

    def initial(self, first: Any, current: Any, legal_actions: Any, history: Any = None) -> RootOutput:
        self.pasts.append(history)
        self.asked.append((first.copy(), current.copy(), legal_actions.copy()))
        flat = legal_actions.reshape(-1, legal_actions.shape[-1])
        logits = np.tile(np.arange(flat.shape[1], dtype=np.float32), (len(flat), 1))
        return RootOutput(logits, flat.sum(axis=1).astype(np.float32), flat)


def test_prior_judges_the_true_states() -> None:
    points = uniform_instances(np.random.default_rng(4), 3, 6)
    prior = AskedPrior()
    model = Watched(prior, 21, "network")
    state = env.reset(points, np.array([[0], [1], [2]]))
    model.encode(points)
    root = model.initial(state.first, state.current, env.legal_actions(state))
    assert prior.encoded == 1
    np.testing.assert_array_equal(root.values, [5.0, 5.0, 5.0])
    search_of(3, 6, 20).run(root, model.recurrent, np.random.default_rng(0), noise=False)
    assert len(prior.asked) == 21
    for node, (first, current, legal) in enumerate(prior.asked):
        np.testing.assert_array_equal(first, state.first)
        for b, path in enumerate(model.paths[node]):
            assert current[b, 0] == (path[-1] if path else b)
            np.testing.assert_array_equal(np.flatnonzero(~legal[b, 0]), sorted({b, *path}))
    assert [path[0] for _, path, *_ in model.answers[:3]] == [5, 5, 5]


def test_prior_that_stacks_observations_is_told_the_past() -> None:
    points = uniform_instances(np.random.default_rng(4), 2, 7)
    prior = AskedPrior(stacked_observations=3)
    model = Watched(prior, 31, "network")
    state = env.reset(points, np.array([[0], [1]]))
    model.encode(points)
    model.initial(state.first, state.current, env.legal_actions(state))
    state, _ = env.step(state, np.array([[3], [4]]))
    root = model.initial(state.first, state.current, env.legal_actions(state))
    prior.pasts.clear()
    search_of(2, 7, 30).run(root, model.recurrent, np.random.default_rng(0), noise=False)
    assert {len(path) for _, path, *_ in model.answers} >= {1, 2, 3}
    for node, past in enumerate(prior.pasts, 1):
        for b, path in enumerate(model.paths[node]):
            before = [-1, -1, -1, b, (3, 4)[b], *path][:-1]
            assert past[b, 0].tolist() == before[:-4:-1]


def test_prior_and_rollouts_go_together() -> None:
    model = TrueDynamics(AskedPrior(), 2, "nearest_neighbor")
    state = env.reset(RECTANGLE, np.array([[0]]))
    model.encode(RECTANGLE)
    root = model.initial(state.first, state.current, env.legal_actions(state))
    assert root.values[0] == pytest.approx(-1.4)
    assert root.policy_logits[0].tolist() == [0.0, 1.0, 2.0, 3.0]


class StatePrior(AskedPrior):
    """Likes and dislikes that depend on the whole state and on the instance."""

    def initial(self, first: Any, current: Any, legal_actions: Any, history: Any = None) -> RootOutput:
        output = super().initial(first, current, legal_actions, history)
        cities = np.arange(legal_actions.shape[-1])
        visited = (~legal_actions * np.sqrt(2.0 + cities)).sum(axis=-1)
        state = 3.1 * np.arange(len(first))[:, None] + 1.7 * first + 2.3 * current + visited
        if history is not None:
            state = state + history @ (0.1 * np.arange(1, history.shape[-1] + 1))
        logits = np.sin(5.0 * state[..., None] + cities * (1.0 + state[..., None]))
        return output._replace(policy_logits=logits.reshape(-1, len(cities)).astype(np.float32))


class Hasty(TrueDynamics):
    """Asks the prior about every node, needed or not."""

    def recurrent(self, parents: Any, actions: Any, node: int, legal_actions: Any) -> Any:
        output = super().recurrent(parents, actions, node, legal_actions)
        everywhere = np.full(len(parents), node), np.ones(len(parents), bool)
        assert callable(output.policy_logits)
        return output._replace(policy_logits=output.policy_logits(*everywhere))


@pytest.mark.parametrize("stacked", [0, 2])
@pytest.mark.parametrize("leaf_values", ["nearest_neighbor", "farthest_insertion", "zero"])
@pytest.mark.parametrize(
    "chosen",
    [{"algorithm": "gumbel", "max_considered_actions": 3, "backup": "mean"}, {"algorithm": "puct"}],
    ids=["gumbel", "puct"],
)
def test_prior_is_asked_about_few_states_and_the_tours_are_the_same(
    stacked: int, leaf_values: str, chosen: dict[str, Any]
) -> None:
    points = uniform_instances(np.random.default_rng(6), 3, 8)
    starts = np.tile(np.arange(5), (3, 1))
    found, states = [], []
    for kind in (Hasty, TrueDynamics):
        prior = StatePrior(stacked)
        found.append(play_out(kind(prior, 13, leaf_values), search_of(15, 8, 12, **chosen), points, starts))
        states.append(sum(first.size for first, *_ in prior.asked))
    for lazy, hasty in zip(found[1], found[0], strict=True):
        np.testing.assert_array_equal(lazy, hasty)
    assert states[1] < 0.8 * states[0]


def test_memory_is_what_it_says() -> None:
    points = uniform_instances(np.random.default_rng(5), 2, 30)
    model = TrueDynamics(None, 1001, "zero")
    state = env.reset(points, np.zeros((2, 3), np.int64))
    model.encode(points)
    model.initial(state.first, state.current, env.legal_actions(state))
    held = sum(array.nbytes for array in vars(model).values() if isinstance(array, np.ndarray))
    stated = TrueDynamics.bytes_per_node(30) * 1001 * 6
    assert stated <= held <= 1.1 * stated


@pytest.mark.parametrize(
    ("prior", "leaf_values", "message"),
    [(None, "best", "leaf_values = 'best': must be one of"), (None, "network", "needs a network")],
)
def test_wrong_arguments_are_named(prior: Any, leaf_values: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrueDynamics(prior, 2, leaf_values)
