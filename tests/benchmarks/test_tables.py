"""The tables of the docs on small sets: every row is there, and its numbers follow from the lengths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from table_helpers import called, untrained_run

from benchmarks import baselines, tables
from tspmz.tsp.instances import load_instances
from tspmz.tsp.reference import solve_exact

pytest.importorskip("elkai")


def test_tables_of_several_sizes_are_stored_apart_and_shown_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "COUNTS", {6: 8, 7: 4})
    with_agent, without = tmp_path / "six.json", tmp_path / "seven.json"
    agent = f"6={untrained_run(tmp_path / 'run', search__num_simulations=0)}"  # it searches all the same
    called(tables.main, agent, "--limited", "0", "--instances", "5", "--store", str(with_agent))
    called(tables.main, "7=none", "--limited", "0", "--store", str(without))
    shown = called(tables.main, "--stored", str(with_agent), "--stored", str(without), "--markdown").stdout
    assert "TSP6, 5 instances, seed 1234, one core, agent after 0 train steps" in shown
    assert "TSP7, 4 instances, seed 1234, one core:" in shown
    rows = [tables.Row(**row) for row in json.loads(with_agent.read_text())["tables"][0]["rows"]]
    by_name = {row.method: row for row in rows}
    assert by_name["LKH"].gap == 0.0
    assert by_name["LKH"].solved == 1.0
    assert by_name["random"].gap > by_name["farthest insertion"].gap >= -1e-6
    assert by_name["tspmz, greedy, 6 starts"].gap <= by_name["tspmz, greedy, one start"].gap
    assert len(rows) == 1 + 3 + 11
    for row in rows:
        assert row.count == 5
        assert row.low <= row.gap <= row.high
        assert row.gap == pytest.approx(row.length / by_name["LKH"].length - 1)
    assert shown.count("| LKH |") == 2
    assert shown.count("tspmz") == 11


@pytest.mark.parametrize("arguments", [[], ["30=none"], ["20"], ["x=none"]])
def test_wrong_use_of_the_tables_is_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(tables.main, arguments).exit_code == 2


def test_pyvrp_finds_what_lkh_finds() -> None:
    pytest.importorskip("pyvrp")
    points = load_instances("uniform:8:2:1").coordinates
    np.testing.assert_allclose(baselines.pyvrp(0.05)(points), solve_exact(points)[1], rtol=1e-5)
