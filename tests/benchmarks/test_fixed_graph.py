"""What the benchmark on one graph makes of a run's evaluations."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fixed_graph import Outcome, cells, nearest_neighbor_gap, outcome
from tspmz.curves import LearningCurve


def curve(*gaps: float) -> LearningCurve:
    """Evaluations every half a minute, 10 train steps and 100 games apart."""
    places = np.arange(len(gaps))
    return LearningCurve(10 * places, 0.5 * places, 100.0 * places, np.array(gaps), np.array(gaps))


def test_first_shortest_tour_counts_and_what_is_kept_from_there() -> None:
    assert outcome(curve(0.2, 0.1, -1e-8, 0.009, 0.0, 0.0)) == Outcome(1.0, 20, 200.0, 0.75, 0.0, 50)
    assert outcome(curve(0.2, 0.009)) == Outcome(None, None, None, None, 0.009, 10)


def test_lines_of_the_table() -> None:
    assert cells("resnet", 2, 0.125, Outcome(1.0, 1020, 20000.4, 0.75, -1e-9, 4000)) == (
        "resnet", "2", "12.50", "1.00", "1,020", "20,000", "75", "0.00", "4,000",
    )  # fmt: skip
    assert cells("resnet", 2, 0.125, outcome(curve(0.009)))[3:] == ("not reached", "", "", "", "0.90", "0")


def test_nearest_neighbor_of_the_graph_of_a_run_is_no_shorter_than_the_optimum() -> None:
    assert nearest_neighbor_gap(0, 5) == pytest.approx(0.0089, abs=5e-5)  # as runs with this seed log it
    assert all(nearest_neighbor_gap(seed, 7) >= -1e-9 for seed in range(5))
