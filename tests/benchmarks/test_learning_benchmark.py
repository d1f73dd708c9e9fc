"""The comparison with POMO: what is made of finished trainings, and one tiny training of our own side."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.learning import Point, Training, main, rows, store, stored, table


def training(method: str, seed: int, length: float) -> Training:
    ways = {"one start": [length, length + 0.2], "all starts": [length], "all starts x 8": [length]}
    if method == "tspmz":
        ways["search, learned model"] = [length]
    seconds = {"all starts": 2.0 if method == "POMO" else 1.0}
    return Training(method, 4.0, seed, [Point(4.0, 7, {"a": ways}, {"a": seconds})])


def test_rows_and_table_by_hand() -> None:
    ours = [training("tspmz", 0, 4.1), training("tspmz", 1, 4.3)]
    trainings = [*ours, training("POMO", 0, 4.4), training("POMO", 1, 5.2)]
    found = {row.way: row for row in rows(trainings, "a", 4.0)}
    assert found["one start"].tspmz == pytest.approx([0.05, 0.1])
    assert found["all starts"].tspmz == pytest.approx([0.025, 0.075])
    assert found["all starts"].pomo == pytest.approx([0.1, 0.3])
    assert found["all starts"].ratio == pytest.approx(0.25)
    assert (found["all starts"].seconds, found["all starts"].pomo_seconds) == (1.0, 2.0)
    assert found["search, learned model"].pomo == []
    assert math.isnan(found["search, learned model"].ratio)
    text = table("a", list(found.values()))
    assert "| 4 | all starts | 5.000 (2.500 to 7.500) | 20.000 (10.000 to 30.000) | 0.25 | 1.0 | 2.0 |" in text


def test_training_is_stored_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    assert stored(path) is None
    store(training("POMO", 3, 4.0), path)
    assert stored(path) == training("POMO", 3, 4.0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_our_own_side_trains_and_is_measured_once(tmp_path: Path) -> None:
    arguments = [
        "--cities", "20", "--minutes", "0.3", "--seeds", "1", "--cores", "1", "--points", "2", "--instance-seed", "5",
        "--simulations", "2", "--peers-python", "none", "--out", str(tmp_path),
    ]  # fmt: skip
    first = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert first.exit_code == 0, first.output
    assert "| 0.3 | all starts x 8 |" in first.output
    assert (tmp_path / "gap.png").exists()
    before = (tmp_path / "tspmz-0.3-0.json").stat().st_mtime_ns
    again = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert again.exit_code == 0
    assert (tmp_path / "tspmz-0.3-0.json").stat().st_mtime_ns == before
