"""What holds for every search, whatever the model says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference_search import hash_model
from search_fakes import DEFAULTS, LateModel, PathModel

from tspmz.search import BatchedSearch
from tspmz.types import RecurrentOutput, RootOutput

OPTIONS = {k: v for k, v in DEFAULTS.items() if k != "num_simulations"}


def random_legal(rng: np.random.Generator, batch_size: int, num_actions: int) -> np.ndarray:
    legal = rng.random((batch_size, num_actions)) < 0.6
    legal[np.arange(batch_size), rng.integers(num_actions, size=batch_size)] = True
    return legal


def run(seed: int, batch_size: int = 4, num_actions: int = 7, temperature: float = 1.0, **chosen: Any) -> Any:
    rng = np.random.default_rng(seed)
    legal = random_legal(rng, batch_size, num_actions)
    fake = PathModel([hash_model(b, num_actions) for b in range(batch_size)], legal)
    search = BatchedSearch(batch_size, num_actions, **(DEFAULTS | chosen))
    return fake, search.run(fake.root(), fake.recurrent, rng, temperature=temperature)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1000),
    num_actions=st.integers(1, 12),
    num_simulations=st.integers(1, 30),
    algorithm=st.sampled_from(["gumbel", "puct"]),
    mask_interior=st.booleans(),
    temperature=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_search_keeps_the_rules(seed: int, num_actions: int, **chosen: Any) -> None:
    fake, result = run(seed, 4, num_actions, **chosen)
    legal = fake.legal
    np.testing.assert_allclose(result.action_weights.sum(axis=1), 1.0, rtol=1e-5)
    assert (result.action_weights >= 0).all()
    assert (result.action_weights[~legal] == 0).all()
    assert (result.visit_counts[~legal] == 0).all()
    assert (result.visit_counts.sum(axis=1) == chosen["num_simulations"]).all()
    assert legal[np.arange(4), result.actions].all()
    assert (result.visit_counts[np.arange(4), result.actions] > 0).all()
    assert (result.qvalues[result.visit_counts == 0] == 0).all()
    assert all(np.isfinite(array).all() for array in result)


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_interior_masks_are_exact(algorithm: str) -> None:
    fake, _ = run(3, 5, 6, algorithm=algorithm, num_simulations=60)
    for _, paths, legal in fake.calls:
        for b, path in enumerate(paths):
            assert len(set(path)) == len(path)
            assert fake.legal[b, list(path)].all()
            expected = fake.legal[b].copy()
            expected[list(path)] = False
            np.testing.assert_array_equal(legal[b], expected)


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_without_interior_masks_paths_may_repeat_actions(algorithm: str) -> None:
    fake, _ = run(3, 5, 4, algorithm=algorithm, num_simulations=60, mask_interior=False)
    assert any(len(set(path)) < len(path) for _, paths, _ in fake.calls for path in paths)
    for _, paths, legal in fake.calls:
        np.testing.assert_array_equal(legal, fake.legal)
        assert all(fake.legal[b, path[0]] for b, path in enumerate(paths))


def test_nodes_are_numbered_by_simulation() -> None:
    fake, _ = run(0, num_simulations=9)
    assert [node for node, _, _ in fake.calls] == list(range(1, 10))


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_answers_for_terminal_nodes_reached_again_are_ignored(algorithm: str) -> None:
    def model(path: tuple[int, ...]) -> tuple[float, float, np.ndarray]:
        again = len(path) == 2 and path in seen
        seen.add(path)
        return (1e6 if again else -1.0), 5.0 * (len(path) != 1), np.zeros(2)

    seen: set[tuple[int, ...]] = set()
    fake = PathModel([model], np.ones((1, 2), bool))
    search = BatchedSearch(1, 2, **(OPTIONS | {"algorithm": algorithm}), num_simulations=12)
    result = search.run_with_noise(fake.root(), fake.recurrent, np.zeros((1, 2)))
    # Every path is two moves of reward -1 with nothing behind: Q -> -1 + mean of (0, -1, -1, ...) per child.
    visits = result.visit_counts[0]
    np.testing.assert_allclose(result.qvalues[0], -1 - (visits - 1) / visits, rtol=1e-5)
    assert result.depths[0] == pytest.approx((1 + 1 + 10 * 2) / 12)


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
@pytest.mark.parametrize("rescale_values", [False, True])
def test_extreme_logits_stay_finite(algorithm: str, rescale_values: bool) -> None:
    rng = np.random.default_rng(0)
    legal = random_legal(rng, 6, 5)
    models = [lambda path, b=b: hash_model(b, 5, 1e4)(path) for b in range(6)]
    fake = PathModel(models, legal)
    options = OPTIONS | {"algorithm": algorithm, "rescale_values": rescale_values}
    result = BatchedSearch(6, 5, **options, num_simulations=40).run(fake.root(), fake.recurrent, rng)
    assert all(np.isfinite(array).all() for array in result)
    np.testing.assert_allclose(result.action_weights.sum(axis=1), 1.0, rtol=1e-5)
    assert (result.visit_counts.sum(axis=1) == 40).all()


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_illegal_logits_are_never_read(algorithm: str) -> None:
    rng = np.random.default_rng(1)
    legal = random_legal(rng, 3, 6)
    results = []
    for rubbish in (0.0, np.inf, -np.inf, np.nan):
        fake = PathModel([hash_model(b, 6) for b in range(3)], legal)
        root = fake.root()
        root.policy_logits[~legal] = rubbish

        def recurrent(parents: Any, actions: Any, node: int, legal: Any, fake: Any = fake, x: float = rubbish) -> Any:
            output = fake.recurrent(parents, actions, node, legal)
            output.policy_logits[~legal] = x
            return output

        search = BatchedSearch(3, 6, **OPTIONS | {"algorithm": algorithm}, num_simulations=20)
        results.append(search.run(root, recurrent, np.random.default_rng(2)))
    for result in results[1:]:
        for array, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
@pytest.mark.parametrize("where", ["rewards", "values", "policy_logits"])
def test_numbers_that_are_none_end_in_a_legal_action(algorithm: str, where: str) -> None:
    legal = random_legal(np.random.default_rng(4), 5, 6)
    fake = PathModel([hash_model(b, 6) for b in range(5)], legal)

    def recurrent(parents: Any, actions: Any, node: int, legal: Any) -> Any:
        output = fake.recurrent(parents, actions, node, legal)
        return output._replace(**{where: np.full_like(getattr(output, where), np.nan)})

    search = BatchedSearch(5, 6, **OPTIONS | {"algorithm": algorithm}, num_simulations=30)
    result = search.run(fake.root(), recurrent, np.random.default_rng(2))
    assert legal[np.arange(5), result.actions].all()
    assert (result.visit_counts.sum(axis=1) == 30).all()


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_one_legal_action_is_taken(algorithm: str) -> None:
    legal = np.eye(4, dtype=bool)
    fake = PathModel([hash_model(b, 4) for b in range(4)], legal)
    search = BatchedSearch(4, 4, **OPTIONS | {"algorithm": algorithm}, num_simulations=5)
    result = search.run(fake.root(), fake.recurrent, np.random.default_rng(0))
    np.testing.assert_array_equal(result.actions, np.arange(4))
    np.testing.assert_array_equal(result.action_weights, np.eye(4))
    assert (result.depths == 1.0).all()


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_batch_equals_runs_of_one(algorithm: str) -> None:
    rng = np.random.default_rng(5)
    legal = random_legal(rng, 5, 9)
    models = [hash_model(b, 9) for b in range(5)]
    noise = rng.random((5, 9)).astype(np.float32)
    uniforms = rng.random(5)
    options = OPTIONS | {"algorithm": algorithm, "num_simulations": 25}

    def search(rows: list[int]) -> Any:
        fake = PathModel([models[b] for b in rows], legal[rows])
        searcher = BatchedSearch(len(rows), 9, **options)
        return searcher.run_with_noise(fake.root(), fake.recurrent, noise[rows], uniforms[rows])

    together = search(list(range(5)))
    for b in range(5):
        for whole, one in zip(together, search([b]), strict=True):
            np.testing.assert_array_equal(whole[b], one[0])


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1000),
    num_actions=st.integers(1, 7),
    num_simulations=st.integers(1, 30),
    algorithm=st.sampled_from(["gumbel", "puct"]),
    backup=st.sampled_from(["mean", "max"]),
    mask_interior=st.booleans(),
)
def test_logits_on_demand_lead_to_the_same_trees(seed: int, num_actions: int, **chosen: Any) -> None:
    legal = random_legal(np.random.default_rng(seed), 4, num_actions)
    functions = [hash_model(seed + b, num_actions) for b in range(4)]
    searches, results = [], []
    late = LateModel(functions, legal)
    for model in (PathModel(functions, legal), late):
        search = BatchedSearch(4, num_actions, **(DEFAULTS | chosen))
        results.append(search.run(model.root(), model.recurrent, np.random.default_rng(seed)))
        searches.append(search)
    for array, expected in zip(*results[::-1], strict=True):
        np.testing.assert_array_equal(array, expected)
    for row in range(4):
        trees = [search.grown_tree(row) for search in searches]
        for name in ("visits", "parent", "action", "value", "prior", "logit", "qvalue"):
            np.testing.assert_array_equal(trees[1][name], trees[0][name])
    assert len(set(late.asked)) == len(late.asked)
    # asked for are the nodes below which the search went on, and no others
    parents = {(b, int(node["parent"])) for b in range(4) for node in searches[1].grown_tree(b) if node["parent"] > 0}
    assert len(late.asked) == len(parents)


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_run_is_deterministic_and_noise_is_fresh(algorithm: str) -> None:
    legal = np.ones((8, 12), bool)
    fake = PathModel([hash_model(b, 12, 0.1) for b in range(8)], legal)
    search = BatchedSearch(8, 12, **OPTIONS | {"algorithm": algorithm}, num_simulations=16)
    rng = np.random.default_rng(1)
    first, second = (search.run(fake.root(), fake.recurrent, rng) for _ in range(2))
    again = search.run(fake.root(), fake.recurrent, np.random.default_rng(1))
    for array, expected in zip(again, first, strict=True):
        np.testing.assert_array_equal(array, expected)
    assert (first.visit_counts != second.visit_counts).any()


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_without_noise_and_temperature_the_rng_is_not_used(algorithm: str) -> None:
    fake = PathModel([hash_model(b, 6) for b in range(3)], np.ones((3, 6), bool))
    search = BatchedSearch(3, 6, **OPTIONS | {"algorithm": algorithm}, num_simulations=16)
    rng = np.random.default_rng(1)
    first = search.run(fake.root(), fake.recurrent, rng, temperature=0.0, noise=False)
    assert rng.bit_generator.state == np.random.default_rng(1).bit_generator.state
    expected = search.run_with_noise(fake.root(), fake.recurrent, np.zeros((3, 6)), temperature=0.0)
    for array, other in zip(first, expected, strict=True):
        np.testing.assert_array_equal(array, other)


def test_gumbel_noise_samples_from_the_prior() -> None:
    # With one simulation the action is argmax(logits + Gumbel): distributed as softmax(logits).
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    count = 40_000
    root = RootOutput(np.tile(logits, (count, 1)), np.zeros(count, np.float32), np.ones((count, 3), bool))
    output = RecurrentOutput(np.zeros(count, np.float32), np.zeros(count, np.float32), root.policy_logits)
    search = BatchedSearch(count, 3, algorithm="gumbel", num_simulations=1)
    result = search.run(root, lambda *_: output, np.random.default_rng(0))
    # 5 sigma of a share: 5 * sqrt(0.25 / 40,000) = 0.0125
    np.testing.assert_allclose(np.bincount(result.actions) / count, [0.5, 0.3, 0.2], atol=0.0125)


def test_puct_draws_by_visits_to_the_inverse_temperature() -> None:
    # Equal priors and Q values: three simulations visit 0, 1 and 0 again.
    count = 40_000
    fake_root = RootOutput(np.zeros((count, 2), np.float32), np.zeros(count, np.float32), np.ones((count, 2), bool))
    output = RecurrentOutput(np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros((count, 2), np.float32))
    search = BatchedSearch(count, 2, algorithm="puct", num_simulations=3)
    result = search.run(fake_root, lambda *_: output, np.random.default_rng(0), temperature=0.5, noise=False)
    np.testing.assert_array_equal(result.visit_counts, np.tile([2, 1], (count, 1)))
    # Squares of the visits: 4 to 1.
    np.testing.assert_allclose(np.bincount(result.actions) / count, [0.8, 0.2], atol=0.0125)


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_ties_go_to_the_lowest_action(algorithm: str) -> None:
    fake = PathModel([lambda path: (0.0, 0.0, np.zeros(4))], np.array([[False, True, True, True]]))
    search = BatchedSearch(1, 4, **OPTIONS | {"algorithm": algorithm}, num_simulations=2)
    result = search.run(fake.root(), fake.recurrent, np.random.default_rng(0), temperature=0.0, noise=False)
    np.testing.assert_array_equal(result.visit_counts, [[0, 1, 1, 0]])
    assert result.actions[0] == 1


def test_results_are_copies() -> None:
    fake = PathModel([hash_model(b, 6) for b in range(3)], np.ones((3, 6), bool))
    search = BatchedSearch(3, 6, num_simulations=8)
    first = search.run(fake.root(), fake.recurrent, np.random.default_rng(0))
    kept = [array.copy() for array in first]
    search.run(fake.root(), fake.recurrent, np.random.default_rng(1))
    for array, expected in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_without_simulations_the_moves_are_those_of_the_policy_and_its_noise() -> None:
    fake = PathModel([hash_model(b, 6) for b in range(64)], np.random.default_rng(1).random((64, 6)) < 0.7)
    fake.legal[:, 0] = True
    root = fake.root()

    def asked(*_: Any) -> RecurrentOutput:
        raise AssertionError("nothing is searched")

    search = BatchedSearch(64, 6, num_simulations=0)
    found = search.run(root, asked, np.random.default_rng(7))
    one = BatchedSearch(64, 6, num_simulations=1).run(root, fake.recurrent, np.random.default_rng(7))
    np.testing.assert_array_equal(found.actions, one.visit_counts.argmax(axis=1))
    np.testing.assert_array_equal(found.visit_counts, 0)
    np.testing.assert_array_equal(found.root_values, root.values)
    np.testing.assert_array_equal(found.depths, 0)
    weights = np.where(root.legal_actions, np.exp(root.policy_logits.astype(np.float64)), 0)
    np.testing.assert_allclose(found.action_weights, weights / weights.sum(axis=1, keepdims=True), atol=1e-5)
    greedy = search.run(root, asked, np.random.default_rng(7), noise=False)
    np.testing.assert_array_equal(
        greedy.actions, np.where(root.legal_actions, root.policy_logits, -np.inf).argmax(axis=1)
    )
    assert len(search.grown_tree(3)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_simulations": -1}, "num_simulations = -1: must be at least 0"),
        ({"num_simulations": 0, "algorithm": "puct"}, "num_simulations = 0: must be at least 1"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"algorithm": "alphabeta"}, "must be gumbel or puct"),
        ({"q_normalization": "none"}, "must be tree or siblings"),
        ({"backup": "median"}, "must be mean or max"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchedSearch(**({"batch_size": 2, "num_actions": 3} | options))


def test_wrong_inputs_are_named() -> None:
    search = BatchedSearch(2, 3)
    rng = np.random.default_rng(0)
    good = RootOutput(np.zeros((2, 3), np.float32), np.zeros(2, np.float32), np.ones((2, 3), bool))
    vector = np.zeros(2, np.float32)
    output = RecurrentOutput(vector, vector, np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"policy_logits: shape \(2, 4\), expected \(2, 3\)"):
        search.run(good, lambda *_: output, rng)
    with pytest.raises(ValueError, match=r"root.values: shape \(3,\)"):
        search.run(good._replace(values=np.zeros(3, np.float32)), lambda *_: output, rng)
    with pytest.raises(ValueError, match=r"legal_actions\[1\]: no legal action"):
        search.run(good._replace(legal_actions=np.array([[True] * 3, [False] * 3])), lambda *_: output, rng)
    with pytest.raises(ValueError, match="temperature = -1"):
        search.run(good, lambda *_: output, rng, temperature=-1.0)


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_grown_tree_adds_up_also_when_terminal_nodes_are_met_again(algorithm: str) -> None:
    rng = np.random.default_rng(5)
    legal = np.array([[True, True, True, False], [True, False, True, False]])
    fake = PathModel([hash_model(b, 4) for b in range(2)], legal)
    search = BatchedSearch(2, 4, **(DEFAULTS | {"algorithm": algorithm, "num_simulations": 40}))
    for _ in range(2):  # the second run finds what the first left behind
        result = search.run(fake.root(), fake.recurrent, rng)
        for row, most in ((0, 1 + 3 + 6 + 6), (1, 1 + 2 + 2)):
            nodes = search.grown_tree(row)
            assert len(nodes) <= most
            assert (nodes["parent"][1:] < np.arange(1, len(nodes))).all()
            assert nodes["visits"][0] == 41
            for node in range(len(nodes)):
                below = nodes["visits"][nodes["parent"] == node].sum()
                leaf = nodes["first_child"][node] == -1
                assert below == 0 if leaf else nodes["visits"][node] == 1 + below
            children = nodes[nodes["parent"] == 0]
            counts = np.zeros(4, np.int32)
            counts[children["action"]] = children["visits"]
            np.testing.assert_array_equal(counts, result.visit_counts[row])
