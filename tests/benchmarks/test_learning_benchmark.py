"""The comparison with POMO: what is made of finished trainings, and one tiny training of our own side."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks.beside_pomo import main as show
from benchmarks.beside_pomo import report, rows, table
from benchmarks.learning import Plan, compare, main
from benchmarks.results import Machine
from benchmarks.trainings import Point, Training, Trainings, Wanted

MACHINE = Machine("a cpu", 2, "none", 0.0, "abc", {"python": "3"})


def training(name: str, seed: int, gap: float) -> Training:
    ways = {"one start": gap + 0.025, "all starts": gap, "all starts x 8": gap}
    if name == "tspmz":
        ways["search, learned model"] = gap
    seconds = {"all starts": 2.0 if name == "POMO" else 1.0}
    return Training(name, 20, 4.0, seed, {}, [Point(4.0, 7, {"a": ways}, {"a": seconds})], MACHINE)


OURS = [training("tspmz", 0, 0.025), training("tspmz", 1, 0.075)]
ALL = [*OURS, training("POMO", 0, 0.1), training("POMO", 1, 0.3)]


def test_rows_and_table_by_hand() -> None:
    found = {row.way: row for row in rows(ALL, "a")}
    assert found["one start"].tspmz == pytest.approx([0.05, 0.1])
    assert found["all starts"].tspmz == pytest.approx([0.025, 0.075])
    assert found["all starts"].pomo == pytest.approx([0.1, 0.3])
    assert found["all starts"].ratio == pytest.approx(0.25)
    assert (found["all starts"].seconds, found["all starts"].pomo_seconds) == (1.0, 2.0)
    assert found["search, learned model"].pomo == []
    assert math.isnan(found["search, learned model"].ratio)
    assert "search, true rules" not in found
    text = table(list(found.values()))
    assert "| 4 | all starts | 5.000 (2.500 to 7.500) | 20.000 (10.000 to 30.000) | 0.25 | 1.0 | 2.0 |" in text
    (whole,) = report(ALL)
    assert whole.startswith("20 cities, a, 2 cores, mean and range of the seeds (4 minutes: 2):")
    assert text in whole


def test_trainings_are_kept_and_not_done_again(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    made = []

    def train() -> list[Point]:
        made.append(1)
        return OURS[0].points

    wanted = Wanted("tspmz", 20, 4.0, 0, 2, {"a.key": 0.5}, ["a"])
    first = Trainings(path).get(wanted, train)
    assert first.points == OURS[0].points
    assert first.machine.cores == 2
    again = Trainings(path)
    assert again.get(wanted, train) == first
    assert len(made) == 1
    for other in (wanted._replace(name="POMO"), wanted._replace(cities=50), wanted._replace(cores=1)):
        again.get(other, train)
    assert len(made) == len(Trainings(path).all) == 4


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"settings": {}}, "with the settings a.key=0.5, not as they come. Name another file"),
        ({"settings": {"a.key": 1}}, "with the settings a.key=0.5, not a.key=1."),
        ({"instances": ["a", "c", "b"]}, "measured on a, not on b, c."),
    ],
)
def test_what_is_kept_is_not_taken_for_something_else(
    tmp_path: Path, changed: dict[str, Any], complaint: str
) -> None:
    wanted = Wanted("tspmz", 20, 4.0, 0, 2, {"a.key": 0.5}, ["a"])
    kept = Trainings(tmp_path / "kept.json")
    kept.get(wanted, lambda: OURS[0].points)
    with pytest.raises(click.UsageError, match=re.escape(complaint)):
        kept.get(wanted._replace(**changed), list)
    assert len(Trainings(tmp_path / "kept.json").all) == 1


def test_comparison_with_something_else_kept_is_refused_before_any_training(tmp_path: Path) -> None:
    """Of the two trainings, the kept one comes second."""
    kept = Trainings(tmp_path / "kept.json")
    kept.get(Wanted("tspmz", 20, 4.0, 1, 1, {"a.key": 0.5}, ["a"]), lambda: OURS[0].points)
    plan = Plan(20, [0], 1, 0, {}, {Path("a.npy"): 1.0}, tmp_path / "runs")
    with pytest.raises(click.UsageError, match=r"seed 1, with the settings a\.key=0\.5, not as they come"):
        next(compare(plan, kept, (4.0,), 2, "none"))
    assert not plan.out.exists()


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text('[{"x": 1}]')
    with pytest.raises(ValueError, match="not a file of trainings"):
        Trainings(path)
    shown = CliRunner().invoke(show, [str(path)])
    assert (shown.exit_code, "not a file of trainings" in shown.output) == (2, True)


def test_what_is_kept_is_shown_and_drawn(tmp_path: Path) -> None:
    kept = Trainings(tmp_path / "kept.json")
    for one in ALL:
        end = one.points[0]
        wanted = Wanted(one.name, 20, 4.0, one.seed, 2, {}, ["a"])
        kept.get(wanted, lambda end=end: [end._replace(minutes=2.0), end])  # type: ignore[misc]
        kept.get(wanted._replace(cities=50), lambda end=end: [end])  # type: ignore[misc]
    shown = CliRunner().invoke(show, [str(tmp_path / "kept.json"), "--plots", str(tmp_path)], catch_exceptions=False)
    assert "| 4 | all starts x 8 |" in shown.output
    assert (tmp_path / "beside-pomo-20.png").stat().st_size > 5000
    assert not (tmp_path / "beside-pomo-50.png").exists()  # ends alone make no line


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
    assert (tmp_path / "beside-pomo-20.png").exists()
    before = (tmp_path / "results.json").stat().st_mtime_ns
    again = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert again.exit_code == 0
    assert (tmp_path / "results.json").stat().st_mtime_ns == before
