"""The ladder on a small set: every rung is there, and gaps are to the optimum."""

from __future__ import annotations

from pathlib import Path

import pytest
from table_helpers import called, table_rows, untrained_run

from benchmarks import ladder
from benchmarks.baselines import nearest_neighbor
from tspmz.tsp.instances import load_instances
from tspmz.tsp.reference import solve_exact

pytest.importorskip("elkai")


def test_ladder_has_every_rung_and_its_gaps_are_those_of_the_optimum(tmp_path: Path) -> None:
    spec = "uniform:6:5:1234"
    small = ("--unguided-simulations", "40", "--simulations", "3", "--markdown")
    rows = table_rows(called(ladder.main, str(untrained_run(tmp_path)), "--instances", spec, *small).stdout)
    assert [row[0] for row in rows[:3]] == ["random", "nearest neighbor", "farthest insertion"]
    assert len(rows) == 3 + 2 + 1 + 2 + 4
    assert all(float(row[2]) >= 0.0 and float(row[4]) >= float(row[2]) for row in rows)  # played is never shorter
    points = load_instances(spec).coordinates
    optimum = solve_exact(points)[1].mean()
    assert float(rows[1][2]) == pytest.approx(100 * (nearest_neighbor(points).mean() / optimum - 1), abs=0.01)
    unguided = {row[0]: float(row[2]) for row in rows if "no network" in row[0]}
    assert unguided["true rules, no network, nearest_neighbor values"] <= float(rows[1][2])
