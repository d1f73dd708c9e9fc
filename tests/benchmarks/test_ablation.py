"""The ablation: every variant is one that can be trained, and changes something; what is made of its trainings."""

from __future__ import annotations

import pytest

from benchmarks.ablation import VARIANTS, outcome, table
from benchmarks.learning import Point, Training
from tspmz.config_files import build_config, flat_values


@pytest.mark.parametrize("variant", [name for name, settings in VARIANTS.items() if settings])
def test_variant_is_valid_and_changes_something(variant: str) -> None:
    settings = VARIANTS[variant]
    changed, usual = flat_values(build_config(settings)), flat_values(build_config({}))
    assert any(changed[key] != usual[key] for key in settings)


def test_outcome_and_table_by_hand() -> None:
    ends = [
        Point(5.0, steps, {"a": {"one start": [length, length], "all starts": [4.0]}}, {})
        for steps, length in ((100, 4.2), (200, 4.4))
    ]
    found = outcome("x", [Training("tspmz", 5.0, seed, [end]) for seed, end in enumerate(ends)], "a", 4.0)
    assert found.gaps["one start"] == pytest.approx([0.05, 0.1])
    assert "| x | 7.500 (5.000 to 10.000) | 0.000 (0.000 to 0.000) | 150 |" in table("a", [found])
