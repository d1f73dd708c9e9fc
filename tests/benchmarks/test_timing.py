"""Paired timing: turns, counts of calls, ratios round by round."""

from __future__ import annotations

import pytest

from benchmarks.timing import Timing, here, interleaved, times_faster


def test_candidates_take_turns_and_each_round_begins_with_another() -> None:
    seen: list[str] = []

    def candidate(name: str, seconds: float):  # type: ignore[no-untyped-def]
        def timed(calls: int) -> float:
            seen.append(f"{name}{calls}")
            return seconds * calls

        return timed

    found = interleaved({"a": candidate("a", 0.1), "b": candidate("b", 0.5)}, rounds=3, seconds=1.0)
    assert seen == ["a1", "a1", "b1", "b1", "a10", "b2", "b2", "a10", "a10", "b2"]
    assert found["a"].rounds == pytest.approx((0.1,) * 3)
    assert found["b"].median == pytest.approx(0.5)


def test_ratios_are_those_of_the_rounds() -> None:
    ours, theirs = Timing((1.0, 2.0, 1.0)), Timing((2.0, 8.0, 3.0))
    assert times_faster(ours, theirs) == (3.0, 2.0, 4.0)
    assert times_faster(ours, theirs, units=10.0).median == 30.0


def test_functions_here_are_called_as_often_as_said() -> None:
    calls = []
    clock = iter((5.0, 7.0))
    assert here(lambda: calls.append(1), lambda: next(clock))(3) == 2.0
    assert len(calls) == 3
