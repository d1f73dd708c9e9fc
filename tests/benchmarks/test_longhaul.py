"""The long haul's comparison: thirds by hand, intervals that hold what they should, growth that is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.live_run import LiveRun
from benchmarks.longhaul import Haul, Sample, gaps, judge

CALM = {"memory of actor (MiB)": (300.0, 310.0), "descriptors of parent": (40.0, 41.0), "groups sealed / s": (8.0, 8.0)}
ONE = [0.03, 0.02, 0.04]
SAME_GAP = {"one start": {"killed": ONE, "undisturbed": ONE, "difference": [0.0, -0.01, 0.01]}}


def test_thirds_are_means_and_rates_of_the_first_and_the_last_third(tmp_path: Path) -> None:
    haul = Haul(LiveRun(tmp_path, {}))
    for second in range(0, 91, 10):
        memory = 2**20 * (100.0 if second <= 45 else 200.0)
        haul.samples.append(Sample(second, {"actor": memory}, {"actor": 7}, 5 * second, second * second, 0))
    haul.ended_after = 90.0
    found = haul.thirds()
    assert found["memory of actor (MiB)"] == (100.0, 200.0)
    assert found["descriptors of actor"] == (7.0, 7.0)
    assert found["groups sealed / s"] == (5.0, 5.0)
    assert found["train steps / s"] == (30.0, 150.0)  # (30^2 - 0) / 30 and (90^2 - 60^2) / 30


def test_interval_of_the_difference_is_that_of_pairs() -> None:
    rng = np.random.default_rng(1)
    references = rng.uniform(3.0, 5.0, 400)  # instances differ much, and both runs the same way
    calm = references * 1.02
    killed = calm + rng.normal(0.004, 0.01, 400)
    found = gaps(killed, calm, references)
    value, low, high = found["difference"]
    assert value == pytest.approx(killed.mean() / references.mean() - calm.mean() / references.mean())
    assert low < 0.001 < high
    assert high - low < 0.001  # 4 sigma of the mean of pairs: 4 * 0.01 / 20 / 4
    assert found["undisturbed"] == pytest.approx([0.02] * 3)


def test_what_stays_as_it_was_breaks_nothing() -> None:
    assert judge(CALM, CALM, SAME_GAP) == []


@pytest.mark.parametrize(
    ("figure", "values"),
    [
        ("memory of actor (MiB)", (300.0, 331.0)),
        ("descriptors of parent", (40.0, 43.0)),
        ("groups sealed / s", (8.0, 6.0)),
    ],
)
def test_growth_and_loss_of_speed_are_found(figure: str, values: tuple[float, float]) -> None:
    (line,) = judge(CALM | {figure: values}, CALM, SAME_GAP)
    assert figure in line


def test_worse_gap_is_found_only_beyond_its_interval_and_the_spread_of_seeds() -> None:
    for low, broken in ((0.0059, 0), (0.0061, 1)):  # a fifth of 0.03
        worse = {"one start": SAME_GAP["one start"] | {"difference": [0.01, low, 0.02]}}
        assert len(judge(CALM, CALM, worse)) == broken
