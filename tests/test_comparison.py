"""Agents side by side: paired differences by hand, names that tell them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tspmz.comparison import paired_difference, short_names
from tspmz.decode import Decoding
from tspmz.evaluation import EvaluationResult, InstanceResult


def a_result(lengths: list[float], references: list[float] | None, sizes: list[int] | None = None) -> EvaluationResult:
    instances = []
    for i, length in enumerate(lengths):
        cities = sizes[i] if sizes else 3
        reference = references[i] if references else None
        instances.append(
            InstanceResult(str(i), np.zeros((cities, 2)), np.arange(cities), length, reference, None, 0.1)
        )
    plain: dict[str, Any] = {
        "source": "run", "train_steps": 7, "device": "cpu", "decoding": Decoding(), "simulations": 0,
        "reference": "lkh", "seconds": 1.0,
    }  # fmt: skip
    return EvaluationResult(**plain, instances=tuple(instances))


def test_difference_is_in_shares_of_the_mean_reference() -> None:
    first, other = a_result([11, 22], [10, 20]), a_result([10.5, 21], [10, 20])
    difference, (low, high) = paired_difference(first, other)
    assert difference == pytest.approx((31.5 - 33) / 30)
    # resamples hold instance 0 twice, both, or instance 1 twice; each is 5 % shorter
    assert (low, high) == pytest.approx((-0.05, -0.05))


def test_pairing_makes_the_interval_narrow() -> None:
    rng = np.random.default_rng(0)
    references = (1 + rng.random(200)).tolist()
    lengths = (np.array(references) * (1 + 0.2 * rng.random(200))).tolist()
    first, other = a_result(lengths, references), a_result([length * 0.99 for length in lengths], references)
    _, (low, high) = paired_difference(first, other)
    assert high < 0
    summary = first.summary()["gap_interval"]
    assert high - low < (summary[1] - summary[0]) / 10


def test_agent_beside_itself_differs_by_nothing() -> None:
    same = a_result([11, 22, 33], [10, 20, 30])
    assert paired_difference(same, same) == (0.0, (0.0, 0.0))


def test_without_references_the_first_one_is_the_measure() -> None:
    assert paired_difference(a_result([10, 20], None), a_result([11, 20], None))[0] == pytest.approx(1 / 30)


def test_instances_of_several_sizes_count_by_their_own_fractions() -> None:
    sizes = [3, 5]
    first, other = a_result([10, 1000], [10, 1000], sizes), a_result([11, 1000], [10, 1000], sizes)
    assert paired_difference(first, other)[0] == pytest.approx(0.05)


def test_names_are_as_short_as_they_can_be() -> None:
    assert short_names([Path("runs/20-1"), Path("runs/20-2")]) == ["20-1", "20-2"]
    assert short_names(["a/run", "b/run", "tsp20"]) == ["a/run", "b/run", "tsp20"]
    assert short_names(["a/run", "a/run"]) == ["a/run (1)", "a/run (2)"]
