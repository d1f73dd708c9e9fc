"""The ablation: every variant is one that can be trained, and changes something; what is made of its trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.ablation import VARIANTS, main, outcome, table
from benchmarks.beside_pomo import WAYS
from benchmarks.results import Machine
from benchmarks.trainings import Point, Training, Trainings, Wanted
from tspmz.config_files import build_config, flat_values

MACHINE = Machine("a cpu", 2, "none", 0.0, "abc", {})


@pytest.mark.parametrize("variant", [name for name, settings in VARIANTS.items() if settings])
def test_variant_is_valid_and_changes_something(variant: str) -> None:
    settings = VARIANTS[variant]
    changed, usual = flat_values(build_config(settings)), flat_values(build_config({}))
    assert any(changed[key] != usual[key] for key in settings)


def test_outcome_and_table_by_hand() -> None:
    gaps = [dict.fromkeys(WAYS, 0.0) | {"one start": gap} for gap in (0.05, 0.1)]
    ends = [Point(5.0, steps, {"a": of_set}, {}) for steps, of_set in zip((100, 200), gaps, strict=True)]
    found = outcome("x", [Training("x", 20, 5.0, seed, {}, [end], MACHINE) for seed, end in enumerate(ends)])
    assert found.gaps["one start"] == pytest.approx([0.05, 0.1])
    zero = "0.000 (0.000 to 0.000)"
    assert f"| x | 2 | 7.500 (5.000 to 10.000) | {zero} | {zero} | 150 |" in table([found])


def test_kept_trainings_make_a_table_without_any_training(tmp_path: Path) -> None:
    """Variants of any number of seeds, in their order; what is of other cities, minutes or names stays out."""
    path = tmp_path / "results.json"
    kept = Trainings(path)
    wanted = [("no search", 20, 5.0, 0), ("as it is", 20, 5.0, 0), ("as it is", 20, 5.0, 1)]
    others = [("1 simulation", 50, 5.0, 0), ("2 layers", 20, 4.0, 0), ("no variant", 20, 5.0, 0)]
    for name, cities, minutes, seed in [*wanted, *others]:
        ends = [Point(minutes, 100, {"a": dict.fromkeys(WAYS, 0.01 * (seed + 1))}, {})]
        kept.get(Wanted(name, cities, minutes, seed, 2, {}, ["a"]), lambda ends=ends: ends)
    shown = CliRunner().invoke(main, ["--results", str(path), "--kept"])
    lines = [line.split(" | ")[:3] for line in shown.output.splitlines() if line.startswith("| ")]
    assert lines[1:] == [["| as it is", "2", "1.500 (1.000 to 2.000)"], ["| no search", "1", "1.000"]]
    shown = CliRunner().invoke(main, ["--results", str(path), "--kept", "--only", "no search"])
    assert "| no search | 1 |" in shown.output
    assert "as it is" not in shown.output


@pytest.mark.parametrize(
    ("words", "missing"),
    [(["--kept"], "--results"), (["--kept", "--results", "absent.json"], "absent.json"), ([], "--out")],
)  # fmt: skip
def test_command_says_what_is_missing(words: list[str], missing: str) -> None:
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2
    assert missing in refused.output
