"""The table of TSPLIB: a line per file, and means of gaps by size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from table_helpers import called, table_rows, untrained_run

from benchmarks import tsplib_table
from tspmz.evaluation import InstanceResult


def test_lines_of_tsplib_are_means_of_gaps_by_size() -> None:
    def one(name: str, cities: int, length: float) -> InstanceResult:
        return InstanceResult(name, np.zeros((cities, 2)), np.arange(cities), length, 100.0, None, 0.5)

    instances = [one("a", 49, 100.0), one("b", 50, 102.0), one("c", 100, 104.0), one("d", 101, 110.0)]
    found = tsplib_table.lines_of(instances)
    assert found[0] == ("a", "49", "100", "100", "0.00", "yes", "0.50")
    assert found[1] == ("b", "50", "102", "100", "2.00", "", "0.50")
    assert [(line[0], line[4], line[5], line[6]) for line in found[4:]] == [
        ("mean of the 1 with below 50", "0.00", "1 of 1", "0.50"),
        ("mean of the 2 with 50 to 100", "3.00", "0 of 2", "1.00"),
        ("mean of the 1 with above 100", "10.00", "0 of 1", "0.50"),
        ("mean of the 4 with any number of cities", "4.00", "1 of 4", "2.00"),
    ]


def test_folder_of_tsplib_files_is_measured(tmp_path: Path) -> None:
    corners = "NAME: {}\nDIMENSION: 4\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n1 0 0\n2 30 40\n3 30 0\n4 0 40\n"
    for name in ("gr17", "gr24", "of nobody"):
        (tmp_path / f"{name}.tsp").write_text(corners.format(name))
    run = untrained_run(tmp_path / "run")
    rows = table_rows(called(tsplib_table.main, str(run), str(tmp_path), "--markdown").stdout)
    assert [row[0] for row in rows[:2]] == ["gr17", "gr24"]
    assert rows[0][2:5] == ["140", "2,085", "-93.29"]
    assert len(rows) == 2 + 2
