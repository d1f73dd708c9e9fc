"""Several agents on the same instances, compared pair by pair with the first of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tspmz.curves import LearningCurve, read_learning_curve
from tspmz.errors import UsageError
from tspmz.evaluation import EvaluationResult, evaluate, gap_interval
from tspmz.rundir import CONFIG
from tspmz.tsp.instances import load_instance_sets
from tspmz.tsp.reference import SOLVED_TOLERANCE


class Compared(NamedTuple):
    """One agent, beside the first.

    Attributes:
        name: short and unlike the others'.
        result: of its evaluation.
        difference: mean over instances of (its length - the first one's), as a fraction of the mean reference length
            (where there are none, of the first one's mean length); of instances of several sizes, the mean of each
            one's own fraction. Below 0 it is better than the first.
        interval: 95 % of `difference`, by resampling instances: what both have in common cancels out.
        shorter: instances where its tour is shorter than the first one's.
        longer: instances where it is longer.
        curve: of its training; None where `source` is no run folder, or holds none.
    """

    name: str
    result: EvaluationResult
    difference: float
    interval: tuple[float, float]
    shorter: int
    longer: int
    curve: LearningCurve | None

    def summary(self) -> dict[str, Any]:
        """Plain numbers: `result.summary()` with name, difference, difference_interval, shorter, longer, and
        learning_curve (lists by name, or None)."""
        return {
            "name": self.name,
            **self.result.summary(),
            "difference": self.difference,
            "difference_interval": list(self.interval),
            "shorter": self.shorter,
            "longer": self.longer,
            "learning_curve": None
            if self.curve is None
            else {name: values.tolist() for name, values in self.curve._asdict().items()},
        }


def compare(
    sources: Sequence[str | os.PathLike[str]], instances: Sequence[str], *, device: str = "auto", **how: Any
) -> list[Compared]:
    """Evaluate every agent in the same way on the same instances.

    Args:
        sources: run folders, checkpoints or names of pretrained models; the first is what the others are compared
            with.
        instances: texts as for `tsp.instances.load_instance_sets`.
        device: `auto`, `cpu` or `cuda`.
        how: as for `evaluation.evaluate`.

    Raises:
        UsageError: less than two agents, or as `evaluate`.
        TspmzError, InstanceError, ReferenceSolverError: as `evaluate`.
    """
    if len(sources) < 2:
        raise UsageError("a comparison needs two agents or more")
    sets = load_instance_sets(instances)
    results = [evaluate(source, sets, device=device, **how) for source in sources]
    rows = []
    for name, source, result in zip(short_names(sources), sources, results, strict=True):
        difference, interval = paired_difference(results[0], result)
        changes = result.lengths / results[0].lengths - 1
        rows.append(
            Compared(
                name, result, difference, interval,
                int((changes < -SOLVED_TOLERANCE).sum()), int((changes > SOLVED_TOLERANCE).sum()),
                read_learning_curve(Path(source)) if (Path(source) / CONFIG).is_file() else None,
            )
        )  # fmt: skip
    return rows


def paired_difference(first: EvaluationResult, other: EvaluationResult) -> tuple[float, tuple[float, float]]:
    """`Compared.difference` and its interval, of two results on the same instances."""
    base = first.reference_lengths if first.reference_lengths is not None else first.lengths
    moved = base + other.lengths - first.lengths  # its gap to `base` is the difference
    if len({one.num_cities for one in first.instances}) > 1:
        moved, base = moved / base, np.ones(len(base))
    return float(moved.mean() / base.mean() - 1), gap_interval(moved, base)


def short_names(sources: Sequence[str | os.PathLike[str]]) -> list[str]:
    """For each source the last parts of its path, as many as it takes to tell all of them apart."""
    parts = [Path(source).parts for source in sources]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-count:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{Path(source)} ({number})" for number, source in enumerate(sources, 1)]
