"""Solving one instance: the length is that of the tour, more work is never worse, and it ends in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_helpers import TinyRun

from tspmz import solving
from tspmz.agent import Agent, load_agent, load_pretrained
from tspmz.errors import UsageError
from tspmz.solving import Progress, solve
from tspmz.tsp import tsplib
from tspmz.tsp.instances import InstanceError, load_instances
from tspmz.tsp.reference import solve_exact
from tspmz.tsp.tours import farthest_insertion, tour_length

N = 7


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An untrained one."""
    folder = tmp_path_factory.mktemp("run")
    TinyRun(folder, played=0).loop.save()
    return load_agent(folder, "cpu")


@pytest.fixture
def points() -> np.ndarray:
    return 100.0 * np.random.default_rng(0).random((N, 2))


@pytest.mark.parametrize("decode", ["greedy", "sample", "search"])
def test_length_is_that_of_the_tour_in_the_unit_of_the_coordinates(
    agent: Agent, points: np.ndarray, decode: str
) -> None:
    found = solve(points, agent, decode=decode)
    assert found.length == pytest.approx(tour_length(points, found.tour), rel=1e-5)
    assert found.length == found.agent_length
    assert found.length >= solve_exact(points[None])[1][0] * (1 - 1e-5)
    assert "2-opt" not in found.method


def test_every_start_of_every_symmetry_is_tried_once(agent: Agent, points: np.ndarray) -> None:
    seen: list[Progress] = []
    found = solve(points, agent, on_progress=seen.append)
    assert tuple(seen) == found.history
    assert found.history[-1].tours == 8 * N
    assert found.history[-1].simulations == 0
    twice = solve(points, agent, decode="sample")
    assert twice.history[-1].tours == 2 * 8 * N
    assert twice.length <= found.length
    searched = solve(points, agent, decode="search", simulations=3)
    assert searched.history[-1].simulations == 8 * N * (N - 2) * 3  # one tree per move, but the last two are forced


def test_without_an_agent_it_is_the_one_that_comes_along(points: np.ndarray) -> None:
    found = solve(points)
    assert found.length == solve(points, load_pretrained()).length


def test_true_rules_find_the_best_tour_of_few_cities(agent: Agent, points: np.ndarray) -> None:
    """Untrained, but every tour that a search comes across counts, and 720 tours are soon seen."""
    found = solve(points, agent, decode="search", simulations=50, dynamics="true")
    assert found.length == pytest.approx(solve_exact(points[None])[1][0], rel=1e-5)
    assert found.length == pytest.approx(tour_length(points, found.tour), rel=1e-5)


def test_rule_that_values_new_nodes_is_that_of_the_caller(agent: Agent, points: np.ndarray) -> None:
    how = {"decode": "search", "simulations": 1, "dynamics": "true"}
    found = solve(points, agent, **how, leaf_values="farthest_insertion")  # type: ignore[arg-type]
    assert found.length <= tour_length(points, farthest_insertion(points[None])[0]) * 1.01
    assert found.length == pytest.approx(tour_length(points, found.tour), rel=1e-5)
    with pytest.raises(ValueError, match="leaf_values = 'guess': must be one of"):
        solve(points, agent, **how, leaf_values="guess")  # type: ignore[arg-type]


def test_chunks_of_starts_give_the_tours_of_all_at_once(
    agent: Agent, points: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = solve(points, agent, decode="search")
    monkeypatch.setattr(solving, "_CHUNK_SECONDS", 0.0)  # one start at a time, after the first chunk of each kind
    parts = solve(points, agent, decode="search")
    assert parts.history[-1].tours == whole.history[-1].tours
    assert len(parts.history) > len(whole.history)
    assert parts.length == pytest.approx(whole.length, rel=1e-6)


def test_history_never_gets_worse_and_the_end_is_the_result(agent: Agent, points: np.ndarray) -> None:
    found = solve(points, agent, decode="search")
    for field in ("seconds", "tours", "simulations"):
        values = [getattr(state, field) for state in found.history]
        assert values == sorted(values)
    lengths = [state.length for state in found.history]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == found.agent_length


def test_time_is_kept_and_simulations_double(
    agent: Agent, points: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that goes on by itself: a second whenever it is read."""

    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 1.0
            return self.now

    clock = Clock()
    monkeypatch.setattr(solving, "time", clock)
    found = solve(points, agent, seconds=90.0, decode="search", simulations=2)
    assert 90.0 <= clock.now < 100.0
    methods = list(dict.fromkeys(state.method for state in found.history))
    assert methods[:3] == ["greedy", "search, 2 simulations", "search, 4 simulations"]


def test_caller_can_stop_it(agent: Agent, points: np.ndarray) -> None:
    found = solve(points, agent, seconds=3600.0, decode="sample", should_stop=lambda: True)
    assert len(found.history) == 1
    assert sorted(found.tour) == list(range(N))


def test_polish_is_named_and_never_longer(agent: Agent, points: np.ndarray) -> None:
    plain, polished = solve(points, agent), solve(points, agent, polish=True)
    assert polished.agent_length == plain.length
    assert polished.length <= plain.length
    assert polished.method == f"{plain.method}, then 2-opt and Or-opt"
    assert polished.length == pytest.approx(tour_length(points, polished.tour), rel=1e-5)


def test_file_is_solved_by_its_own_rule(agent: Agent, tmp_path: Path) -> None:
    rows = "".join(f"{i + 1} {x} {y}\n" for i, (x, y) in enumerate([(0, 0), (1, 1), (2, 0), (3, 1), (9, 9)]))
    path = tmp_path / "ceil.tsp"
    path.write_text(f"DIMENSION: 5\nEDGE_WEIGHT_TYPE: CEIL_2D\nNODE_COORD_SECTION\n{rows}")
    found = solve(path, agent, polish=True)
    assert found.length == tsplib.tour_lengths(tsplib.read_problem(path), found.tour)
    assert found.length == int(found.length)


@pytest.mark.parametrize(
    ("instance", "error"),
    [
        (np.zeros((2, 5, 2)), InstanceError),
        (np.random.default_rng(0).random((2, 5, 2)), ValueError),
        ("none.tsp", InstanceError),
    ],
)
def test_what_is_not_one_instance_is_refused(agent: Agent, instance: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        solve(instance, agent)


def test_unknown_decoding_is_refused(agent: Agent, points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be greedy, sample or search"):
        solve(points, agent, decode="beam")


def test_set_of_one_is_taken(agent: Agent) -> None:
    one = load_instances("uniform:7:1:1234")
    assert solve(one, agent).length == solve(one.coordinates[0], agent).length


@pytest.mark.parametrize("decode", ["greedy", "sample"])
def test_tour_does_not_depend_on_how_fast_the_machine_is(
    agent: Agent, points: np.ndarray, monkeypatch: pytest.MonkeyPatch, decode: str
) -> None:
    found = []
    for chunk in (1, 3, 8):
        monkeypatch.setattr(solving, "_FIRST_CHUNK", chunk)
        monkeypatch.setattr(solving, "_CHUNK_SECONDS", 0.0)
        found.append(solve(points, agent, decode=decode, seed=5))
    assert found[0].length == found[1].length == found[2].length
    assert np.array_equal(found[0].tour, found[1].tour)


def test_options_that_mean_nothing_are_refused(agent: Agent, points: np.ndarray) -> None:
    with pytest.raises(UsageError, match="dynamics = 'true' needs decode = 'search'"):
        solve(points, agent, dynamics="true")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"seconds": -1.0}, "seconds = -1.0: must be above"), ({"simulations": 0}, "simulations = 0: must be at least")],
)
def test_numbers_out_of_range_are_refused(
    agent: Agent, points: np.ndarray, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        solve(points, agent, decode="search", **arguments)
