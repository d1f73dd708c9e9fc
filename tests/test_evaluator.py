"""The evaluator: gaps of the newest weights on instances that are always the same."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_helpers import TinyRun, tiny_config

from tspmz import evaluator
from tspmz.control import Phase
from tspmz.decode import Decoded, Decoding, decode
from tspmz.evaluator import Evaluator, held_out_instances
from tspmz.tensorboard import EventWriter, event_files, read_events
from tspmz.tsp import reference
from tspmz.tsp.tours import tour_length, tour_lengths

ORDERS = list(itertools.permutations(range(1, 5)))


class Events:
    """Keeps the scalars and texts that are written."""

    def __init__(self) -> None:
        self.values: list[dict[str, float]] = []
        self.texts: list[str] = []

    def scalars(self, values: dict[str, float], step: int) -> None:
        self.values.append(values)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        self.texts.append(markdown)

    def histogram(self, *args: Any) -> None:
        """Not looked at."""

    def image(self, *args: Any) -> None:
        """Not looked at."""


def images(directory: Path) -> list[str]:
    events = [event for path in event_files(directory) for event in read_events(path)]
    return [value.tag for event in events for value in event.summary.value if value.HasField("image")]


def test_held_out_instances_depend_on_their_own_seed_only() -> None:
    one = held_out_instances(tiny_config(run__seed=1), lambda: None)
    other = held_out_instances(tiny_config(run__seed=2), lambda: None)
    assert np.array_equal(one.coordinates, other.coordinates)
    assert one.coordinates.shape == (3, 5, 2)
    again = held_out_instances(tiny_config(evaluation__instance_seed=1), lambda: None)
    assert not np.array_equal(one.coordinates, again.coordinates)


def test_held_out_instances_are_solved_once_for_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("elkai")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    beats: list[int] = []
    solved = held_out_instances(tiny_config(), lambda: beats.append(1))
    assert len(beats) == 3
    monkeypatch.setattr(reference, "solve_lkh", None)
    again = held_out_instances(tiny_config(run__seed=7), lambda: None)
    assert again.source == solved.source == "lkh"
    assert np.array_equal(again.lengths, solved.lengths)
    assert np.array_equal(again.tours, solved.tours)


def test_without_a_solver_the_reference_is_farthest_insertion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(coordinates: object, on_instance: object) -> None:
        raise reference.ReferenceSolverError("elkai is missing")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(reference, "solve_lkh", fail)
    assert held_out_instances(tiny_config(), lambda: None).source == "farthest insertion"
    assert "gaps are against farthest insertion: elkai is missing" in caplog.text


def test_newest_weights_are_measured_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tspmz")
    run = TinyRun(tmp_path)
    tested = Evaluator(run.config, run.channels, EventWriter(tmp_path / "events"))
    result = tested.evaluate()
    assert result is not None
    assert 0.0 <= result.gap_multi <= result.gap_greedy
    row = run.channels.stats.row("evaluator")
    assert row.get("gap_greedy") == row.get("best_gap_greedy") == result.gap_greedy
    assert "evaluation at step 0: gap" in caplog.text
    assert tested.evaluate() is None
    run.loop.publish()
    assert tested.evaluate() is not None
    assert row.get("evaluations") == 2


def test_instances_in_parts_are_measured_as_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TinyRun(tmp_path)
    whole = Evaluator(run.config, run.channels, EventWriter(tmp_path, enabled=False)).evaluate()
    monkeypatch.setattr(evaluator, "_INSTANCES_AT_ONCE", 2)
    parts = Evaluator(run.config, run.channels, EventWriter(tmp_path, enabled=False)).evaluate()
    assert whole is not None
    assert parts is not None
    assert parts.gap_greedy == pytest.approx(whole.gap_greedy, rel=1e-6)
    assert np.array_equal(parts.greedy.tours, whole.greedy.tours)


def test_games_without_noise_report_reward_and_length(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, problem__reward="one_minus_edge", evaluation__test_games=2)
    written: list[dict[str, float]] = []
    for _ in range(2):
        events = Events()
        tested = Evaluator(run.config, run.channels, events)  # type: ignore[arg-type]
        assert tested.evaluate() is not None
        written += [values for values in events.values if "evaluation/total_reward" in values]
    assert written[0] == written[1]
    assert written[0]["evaluation/episode_length"] == 4
    points = held_out_instances(run.config, lambda: None).coordinates[:2]
    longest = max(tour_length(points[i], np.array([0, *order])) for i in range(2) for order in ORDERS)
    shortest = min(tour_length(points[i], np.array([0, *order])) for i in range(2) for order in ORDERS)
    assert 5 - longest <= written[0]["evaluation/total_reward"] <= 5 - shortest
    none = Events()
    off = TinyRun(tmp_path / "off", evaluation__test_games=0)
    Evaluator(off.config, off.channels, none).evaluate()  # type: ignore[arg-type]
    assert not any("evaluation/total_reward" in values for values in none.values)


def test_mixed_sizes_are_measured_each_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tspmz")
    run = TinyRun(tmp_path, problem__mixed_sizes="4,5")
    events = Events()
    tested = Evaluator(run.config, run.channels, events)  # type: ignore[arg-type]
    result = tested.evaluate()
    assert result is not None
    assert result.greedy.tours.shape == (3, 5)
    found = {name: value for values in events.values for name, value in values.items()}
    held_out = held_out_instances(run.config, lambda: None, 4)
    assert held_out.coordinates.shape == (3, 4, 2)
    for name, starts in (("gap_greedy", 1), ("gap_multi", 4)):
        lengths = decode(tested._network, held_out.coordinates, Decoding(starts=starts)).lengths
        gap = lengths.mean() / held_out.lengths.mean() - 1
        assert found[f"evaluation/{name}_4"] == pytest.approx(gap, rel=1e-6, abs=1e-9)
        assert f"evaluation/{name}_5" not in found
    assert "evaluation at step 0, 4 cities: gap" in caplog.text


def test_final_weights_are_measured_at_the_end(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    run.channels.control.advance(Phase.FINISH)
    Evaluator(run.config, run.channels, EventWriter(tmp_path, enabled=False)).run(1000.0, 1000.0)
    assert run.channels.stats.row("evaluator").get("evaluations") == 1


def test_fixed_graph_is_the_one_that_is_played_and_solved_exactly(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, problem__fixed_graph=True, selfplay__starts="first_city")
    held_out = held_out_instances(run.config, lambda: None)
    group = run.channels.ring.read(0, 0)
    assert group is not None
    assert np.array_equal(held_out.coordinates, group.coordinates[None])
    assert held_out.source == "exact"
    shortest = min(tour_length(group.coordinates, np.array([0, *rest])) for rest in itertools.permutations(range(1, 5)))
    assert held_out.lengths[0] == pytest.approx(shortest, rel=1e-9)


def test_large_fixed_graph_has_no_exact_optimum() -> None:
    config = tiny_config(problem__fixed_graph=True, problem__num_cities=13)
    assert held_out_instances(config, lambda: None).source != "exact"


@pytest.mark.parametrize("optimal", [False, True])
def test_optimum_of_the_fixed_graph_is_announced_once_and_only_if_found(
    optimal: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "tspmz")
    run = TinyRun(tmp_path, problem__fixed_graph=True, selfplay__starts="first_city")
    events = Events()
    tested = Evaluator(run.config, run.channels, events)  # type: ignore[arg-type]
    best, points = tested._held_out.tours, tested._held_out.coordinates[0]
    worse = max(itertools.permutations(range(5)), key=lambda tour: tour_length(points, np.array(tour)))
    tours = best if optimal else np.array([worse])
    lengths = tour_lengths(tested._held_out.coordinates, tours[:, None])[:, 0]
    monkeypatch.setattr(evaluator, "decode", lambda *args, **settings: Decoded(tours, lengths))
    for _ in range(2):
        run.loop.publish()
        tested.evaluate()
    assert run.channels.stats.row("evaluator").get("optimum_found") == optimal
    found = [values["evaluation/optimum_found"] for values in events.values if "evaluation/optimum_found" in values]
    assert found == [optimal] * 2
    said = [line for line in caplog.messages if "optimal tour of the fixed graph found at step 0" in line]
    assert len(said) == len(events.texts) == optimal


def test_every_picture_is_drawn_once_for_an_evaluation(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    tested = Evaluator(run.config, run.channels, EventWriter(tmp_path / "events"))
    tested.draw()
    assert images(tmp_path / "events") == []
    tested.evaluate()
    tested.draw()
    tested.draw()
    assert images(tmp_path / "events") == ["tours/greedy", "policy/entropy_by_move", "value/calibration", "search/tree"]
    assert run.channels.stats.row("evaluator").get("picture_seconds") > 0


def test_no_pictures_where_none_are_wanted(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, evaluation__num_pictures=0)
    run.channels.control.advance(Phase.FINISH)
    Evaluator(run.config, run.channels, EventWriter(tmp_path / "events")).run(0.0, 0.0)
    assert run.channels.stats.row("evaluator").get("evaluations") == 1
    assert images(tmp_path / "events") == []
