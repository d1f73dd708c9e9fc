"""Paired timing: candidates take turns in every round, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Timed = Callable[[int], float]
"""Makes so many calls and returns the seconds that they took altogether. See `here`; `Peer.timed` is another."""

_MOST_CALLS = 1_000_000
_LONG = 20.0  # no compilation makes a call that fills a round so much longer


class Timing(NamedTuple):
    """Seconds per call of a candidate.

    Attributes:
        rounds: one mean over the calls of each round.
    """

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the rounds."""
        return float(np.median(self.rounds))


class Ratio(NamedTuple):
    """How many times faster one candidate is than another.

    Attributes:
        median: of the ratios of the rounds, in each of which both ran one after the other.
        low, high: the smallest and the largest of them.
    """

    median: float
    low: float
    high: float


def here(function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> Timed:
    """A function of this process as a candidate.

    Args:
        function: what a call is.
        clock: seconds; `time.process_time` counts CPU time alone.
    """

    def timed(calls: int) -> float:
        started = clock()
        for _ in range(calls):
            function()
        return clock() - started

    return timed


def interleaved(
    candidates: Mapping[str, Timed], *, rounds: int = 5, seconds: float = 0.2, short: bool = False
) -> dict[str, Timing]:
    """Measure all candidates in turn, round after round; each next round begins with another one.

    A first call of each is not counted (it may compile), and a second says how many calls fill a round, unless the
    first one took so long that it will be one.

    Args:
        candidates: by name.
        rounds: at least 5, for a median worth the name.
        seconds: of each candidate in each round; at least one call.
        short: one round of one call, to see that the code works.
    """
    if short:
        rounds, seconds = 1, 0.0
    calls = {}
    for name, timed in candidates.items():
        once = timed(1)
        if once < _LONG * seconds:
            once = timed(1)
        calls[name] = min(max(1, round(seconds / max(once, 1e-9))), _MOST_CALLS)
    spent: dict[str, list[float]] = {name: [] for name in candidates}
    names = list(candidates)
    for r in range(rounds):
        first = r % len(names) if names else 0
        for name in names[first:] + names[:first]:
            spent[name].append(candidates[name](calls[name]) / calls[name])
    return {name: Timing(tuple(values)) for name, values in spent.items()}


def times_faster(ours: Timing, theirs: Timing, units: float = 1.0) -> Ratio:
    """How many times faster `ours` is than `theirs`, round by round.

    Args:
        ours, theirs: from the same `interleaved`.
        units: work of one of our calls over that of one of theirs.
    """
    return ratio([units * b / a for a, b in zip(ours.rounds, theirs.rounds, strict=True)])


def ratio(rounds: Sequence[float]) -> Ratio:
    """Of ratios that were measured in rounds, one each."""
    return Ratio(float(np.median(rounds)), float(min(rounds)), float(max(rounds)))


@contextlib.contextmanager
def one_core() -> Iterator[int]:
    """Keep this process, and what it starts meanwhile, on one core: everyone competes with the same neighbors.

    Returns:
        The core.
    """
    import torch

    allowed, threads = os.sched_getaffinity(0), torch.get_num_threads()
    core = max(allowed)
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    try:
        yield core
    finally:
        os.sched_setaffinity(0, allowed)
        torch.set_num_threads(threads)
