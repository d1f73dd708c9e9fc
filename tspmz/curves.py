"""Learning curves of a run, read back from its TensorBoard events: the gap against steps, minutes and games."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tspmz.rundir import TENSORBOARD, read_config
from tspmz.tensorboard import event_files, read_events
from tspmz.types import Float64, Int64

_GAPS = ("evaluation/gap_greedy", "evaluation/gap_multi")
_MINUTES, _ENV_STEPS = "run/elapsed_minutes", "run/env_steps"

Points = list[tuple[int, float]]
"""(train step, value), in the order of writing."""


class LearningCurve(NamedTuple):
    """Gaps on the held-out instances while training; P evaluations. Earlier parts of a resumed run are included.

    Attributes:
        train_steps: `[P]` int64, of the weights.
        minutes: `[P]` float64, training time; between two points of the log, in proportion.
        games: `[P]` float64, episodes played; in the same way.
        gap_greedy: `[P]` float64, fraction.
        gap_multi: `[P]` float64, fraction.
    """

    train_steps: Int64
    minutes: Float64
    games: Float64
    gap_greedy: Float64
    gap_multi: Float64


def read_learning_curve(run_dir: Path) -> LearningCurve | None:
    """The curve of a run, also of one at work; None where there is no evaluation, or nothing to read.

    Raises:
        UsageError: `run_dir` is no run.
        ConfigError: its settings are damaged.
        OSError: an event file cannot be read.
    """
    mean_moves = read_config(run_dir).problem.mean_moves
    evaluated = [_points(path, _GAPS) for path in event_files(run_dir / TENSORBOARD / "evaluation")]
    logged = [_points(path, (_MINUTES, _ENV_STEPS)) for path in event_files(run_dir / TENSORBOARD / "train")]
    greedy, multi = (_joined([part[tag] for part in evaluated]) for tag in _GAPS)
    minutes = _joined([part[_MINUTES] for part in logged])
    moves = _joined(_continued([part[_ENV_STEPS] for part in logged]))
    if not (greedy and len(greedy) == len(multi) and minutes and moves):
        return None
    steps = np.array([step for step, _ in greedy], np.int64)
    return LearningCurve(
        steps,
        _interpolated(steps, minutes),
        _interpolated(steps, moves) / mean_moves,
        np.array([value for _, value in greedy]),
        np.array([value for _, value in multi]),
    )


def _points(path: Path, tags: Sequence[str]) -> dict[str, Points]:
    """The points of some curves in one event file, each in the order of writing."""
    found: dict[str, Points] = {tag: [] for tag in tags}
    for event in read_events(path):
        for value in event.summary.value:
            if value.tag in found:
                found[value.tag].append((event.step, value.simple_value))
    return found


def _joined(parts: Sequence[Points]) -> Points:
    """The parts of a resumed run as one curve: what a later part did again counts, as TensorBoard shows it."""
    joined: Points = []
    for part in parts:
        if part:
            joined = [point for point in joined if point[0] < part[0][0]]
        joined += part
    return joined


def _continued(parts: Sequence[Points]) -> list[Points]:
    """The parts of a total that starts from 0 in each part, going on where the last one ended."""
    before, shifted = 0.0, []
    for part in parts:
        shifted.append([(step, before + value) for step, value in part])
        before += part[-1][1] if part else 0.0
    return shifted


def _interpolated(steps: Int64, points: Points) -> Float64:
    known, values = zip(*points, strict=True)
    return np.interp(steps, known, values)
