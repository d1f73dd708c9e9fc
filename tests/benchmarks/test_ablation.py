"""The ablation: every variant is one that can be trained, and changes something; what is made of its trainings."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from benchmarks.ablation import VARIANTS, outcome, table, train_variants
from benchmarks.beside_pomo import WAYS
from benchmarks.learning import Plan
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


def test_variants_with_something_else_kept_are_refused_before_any_training(tmp_path: Path) -> None:
    """Of the two variants, the kept one comes second."""
    kept = Trainings(tmp_path / "kept.json")
    kept.get(Wanted("no search", 20, 5.0, 3, 1, {}, ["a"]), lambda: [Point(5.0, 1, {"a": {}}, {})])
    plan = Plan(20, [0], 1, 0, {}, {Path("a.npy"): 1.0}, tmp_path / "runs")
    with pytest.raises(click.UsageError, match=r"'no search', .* seed 3, with the settings as they come, not"):
        next(train_variants(plan, kept, ["as it is", "no search"], 5.0, range(3, 4)))
    assert not plan.out.exists()
