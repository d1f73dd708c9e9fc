"""Ablations of several days in one table: each gap beside that of the unchanged settings on its day."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.ablation_ratios import day, main, ratios, table
from benchmarks.beside_pomo import WAYS
from benchmarks.results import Machine
from benchmarks.trainings import Point, Training, Trainings, Wanted

MACHINE = Machine("a cpu", 2, "none", 0.0, "abc", {})


def _training(name: str, seed: int, gap: float, train_steps: int, cities: int = 20, minutes: float = 5.0) -> Training:
    end = Point(minutes, train_steps, {"a": dict.fromkeys(WAYS, gap)}, {})
    return Training(name, cities, minutes, seed, {}, [end], MACHINE)


def _kept(path: Path, trainings: list[Training]) -> Path:
    kept = Trainings(path)
    for one in trainings:
        kept.get(Wanted(one.name, one.cities, one.minutes, one.seed, 2, {}, ["a"]), lambda one=one: one.points)
    return path


def _shown(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_each_training_is_divided_by_the_mean_of_its_own_day() -> None:
    """A fast day: 2 % as it is (1 and 3), 4 % and 1 % without search. A slow one: 10 % as it is, 5 % without search."""
    fast = [("as it is", 0, 0.01, 900), ("as it is", 1, 0.03, 1100), ("no search", 0, 0.04, 1500)]
    fast.append(("no search", 1, 0.01, 1500))
    slow = [("no search", 2, 0.05, 250), ("as it is", 2, 0.1, 500)]
    days = [day(name, [_training(*one) for one in of_day], 20, 5.0) for name, of_day in (("f", fast), ("s", slow))]
    as_it_is, no_search = ratios(days)
    assert (as_it_is.variant, no_search.variant) == ("as it is", "no search")
    assert as_it_is.gaps["one start"] == pytest.approx([0.5, 1.5, 1.0])
    assert no_search.gaps["all starts"] == pytest.approx([2.0, 0.5, 0.5])
    assert no_search.train_steps == pytest.approx([1.5, 1.5, 0.5])
    one_way = "1.00 (0.50 to 2.00)"
    assert f"| no search | 3 | {one_way} | {one_way} | {one_way} | 1.17 |" in table([no_search])


def test_files_become_tables_and_a_picture(tmp_path: Path) -> None:
    """What is of other cities, minutes or names stays out."""
    others = [_training("1 simulation", 0, 0.1, 1, cities=50), _training("2 layers", 0, 0.1, 1, minutes=4.0)]
    others.append(_training("no variant", 0, 0.1, 1))
    first = _kept(tmp_path / "one.json", [*others, _training("as it is", 0, 0.02, 1000)])
    second = _kept(tmp_path / "two.json", [_training("no search", 1, 0.01, 100), _training("as it is", 1, 0.04, 200)])
    picture = tmp_path / "ratios.png"
    shown = _shown(first, second, "--plot", picture)
    lines = [line.strip("| ").split(" | ") for line in shown.output.splitlines() if line.startswith("| ")]
    of_day, of_variant = lines[1:3], lines[4:]
    assert [(line[0], *line[2:4], line[-1]) for line in of_day] == [
        ("one.json", "1", "2.000", "1,000"), ("two.json", "1", "4.000", "200")
    ]  # fmt: skip
    assert of_variant == [
        ["as it is", "2", *["1.00 (1.00 to 1.00)"] * 3, "1.00"], ["no search", "1", *["0.25"] * 3, "0.50"]
    ]  # fmt: skip
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("name", "minutes"), [("no search", 5.0), ("as it is", 4.0)])
def test_file_without_the_unchanged_settings_is_refused(tmp_path: Path, name: str, minutes: float) -> None:
    kept = _kept(tmp_path / "results.json", [_training(name, 0, 0.1, 1, minutes=minutes)])
    refused = _shown(kept)
    assert refused.exit_code == 2
    assert "results.json has no training 'as it is'" in refused.output
    assert "--only 'as it is'" in refused.output


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("{", encoding="utf-8")
    refused = _shown(path)
    assert refused.exit_code == 2
    assert "not a file of trainings" in refused.output
