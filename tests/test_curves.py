"""Learning curves read back from events: joined over the parts of a resumed run, with minutes and games."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from process_helpers import tiny_config

from tspmz.curves import read_learning_curve
from tspmz.rundir import write_config
from tspmz.tensorboard import EventWriter


def write_part(run_dir: Path, logged: list[tuple[int, float, float]], gaps: list[tuple[int, float]]) -> None:
    """One part of a run: points (step, minutes, moves) of the runner, (step, gap) of the evaluator."""
    train = EventWriter(run_dir / "tensorboard" / "train")
    for step, minutes, moves in logged:
        train.scalars({"run/elapsed_minutes": minutes, "run/env_steps": moves, "loss/total": 1.0}, step)
    train.close()
    evaluation = EventWriter(run_dir / "tensorboard" / "evaluation")
    for step, gap in gaps:
        evaluation.scalars({"evaluation/gap_greedy": gap, "evaluation/gap_multi": gap / 2}, step)
    evaluation.close()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    write_config(tmp_path, "a run", tiny_config())  # 5 cities: 4 moves a game
    return tmp_path


def test_minutes_and_games_lie_between_the_points_of_the_log(run_dir: Path) -> None:
    write_part(run_dir, [(0, 0.0, 0.0), (10, 1.0, 400.0)], [(0, 1.0), (5, 0.5), (10, 0.25)])
    curve = read_learning_curve(run_dir)
    assert curve is not None
    np.testing.assert_array_equal(curve.train_steps, [0, 5, 10])
    np.testing.assert_allclose(curve.minutes, [0, 0.5, 1])
    np.testing.assert_allclose(curve.games, [0, 50, 100])
    np.testing.assert_allclose(curve.gap_greedy, [1, 0.5, 0.25])
    np.testing.assert_allclose(curve.gap_multi, [0.5, 0.25, 0.125])


def test_what_a_resumed_run_did_again_counts_once_and_games_go_on(run_dir: Path) -> None:
    write_part(run_dir, [(0, 0.0, 0.0), (20, 2.0, 800.0)], [(0, 1.0), (20, 0.5)])
    write_part(run_dir, [(10, 1.5, 0.0), (30, 3.5, 400.0)], [(10, 0.75), (30, 0.25)])
    curve = read_learning_curve(run_dir)
    assert curve is not None
    np.testing.assert_array_equal(curve.train_steps, [0, 10, 30])
    np.testing.assert_allclose(curve.games, [0, 200, 300])
    np.testing.assert_allclose(curve.minutes, [0, 1.5, 3.5])


def test_part_without_points_changes_nothing(run_dir: Path) -> None:
    write_part(run_dir, [(0, 0.0, 0.0), (10, 1.0, 40.0)], [(10, 1.0)])
    write_part(run_dir, [], [])
    curve = read_learning_curve(run_dir)
    assert curve is not None
    np.testing.assert_allclose(curve.games, [10.0])


def test_run_without_evaluation_has_no_curve(run_dir: Path) -> None:
    assert read_learning_curve(run_dir) is None
    write_part(run_dir, [(0, 0.0, 0.0)], [])
    assert read_learning_curve(run_dir) is None
