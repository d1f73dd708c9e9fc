"""Rate limiter: holds play or training so that each group is sampled neither too rarely nor too often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tspmz.shared import SharedBlock, Signal

_CACHE_LINE = 64
_WORDS = _CACHE_LINE // 8

# a wake-up can be missed when both sides look at the same moment: no wait sleeps longer than this before it looks again
_RECHECK_SECONDS = 0.1


class Wait(NamedTuple):
    """How a wait ended.

    Attributes:
        granted: the caller may go on.
        seconds: time spent waiting.
        reason: empty if granted; else who waits for what.
    """

    granted: bool
    seconds: float
    reason: str


class RateLimiter:
    """Keeps `sampled / inserted` between two bounds (after Reverb, SampleToInsertRatio), without locks.

    Between the bounds nobody waits, and the ratio is what the machine makes of it. All groups have the same number of
    episodes, so groups are counted; the errors are in groups played:

        error         = (inserted - min_groups) - sampled / samples_per_insert + correction
        learner_error = (inserted - min_groups) - sampled / max_samples_per_insert + learner_correction

    - an actor may insert while `error < error_buffer_groups`, or while the window is still filling:
      `size + (inserted - seen) < min_groups`, where `size` groups are in the window after the learner has looked at
      the first `seen` inserts (so that groups it refused are played again, and nobody waits for ever);
    - the learner may sample while `size >= min_groups` and `learner_error > -error_buffer_groups`, or while actors are
      held (`error >= error_buffer_groups`).

    A lead is not saved up: the corrections keep `error >= -2 * error_buffer_groups` and
    `learner_error <= 2 * error_buffer_groups`, so that no burst follows a slow stretch. At a resume they bring both
    errors that are out of these bounds back into the buffer. Actors look before they play a group and insert it
    later, so several of them together may overshoot by the groups they hold.

    Counters are in shared memory, one writer each: inserts by their actor, the rest by the learner. Pickles into a
    spawned child.

    Args:
        num_actors: actors, >= 1.
        samples_per_insert: groups sampled per group played, at least; > 0.
        min_groups: groups in the window before the first sample.
        error_buffer_groups: groups that play or training may run ahead, > 0.
        max_samples_per_insert: groups sampled per group played, at most; None = as `samples_per_insert`.

    Raises:
        ValueError: numbers out of range.
        SharedMemoryError: no shared memory.
    """

    def __init__(
        self,
        num_actors: int,
        samples_per_insert: float,
        min_groups: int,
        error_buffer_groups: float,
        max_samples_per_insert: float | None = None,
    ) -> None:
        most = samples_per_insert if max_samples_per_insert is None else max_samples_per_insert
        if num_actors < 1 or samples_per_insert <= 0.0 or min_groups < 1 or error_buffer_groups <= 0:
            raise ValueError(
                f"a rate limiter cannot hold {num_actors} actors to samples_per_insert {samples_per_insert}, "
                f"min_groups {min_groups}, error_buffer_groups {error_buffer_groups}: all must be above 0"
            )
        if most < samples_per_insert:
            raise ValueError(f"max_samples_per_insert {most} is below samples_per_insert {samples_per_insert}")
        self.num_actors = num_actors
        self.max_samples_per_insert = most
        self.samples_per_insert = samples_per_insert
        self.min_groups = min_groups
        self.error_buffer_groups = error_buffer_groups
        self._block = SharedBlock((num_actors + 1) * _CACHE_LINE, "the rate limiter")
        self._to_actors = [Signal() for _ in range(num_actors)]
        self._to_learner = Signal()
        self._attach()

    def _attach(self) -> None:
        actors = self._block.array(0, (self.num_actors, _WORDS), np.int64)
        self._inserted = actors[:, 0]
        self._waiting = actors[:, 1]
        offset = self.num_actors * _CACHE_LINE
        self._learner = self._block.array(offset, (4,), np.int64)  # sampled, size, seen, inserted before the resume
        self._corrections = self._block.array(offset + 32, (2,), np.float64)  # of error, of learner_error

    def __getstate__(self) -> dict[str, Any]:
        views = ("_inserted", "_waiting", "_learner", "_corrections")
        return {name: value for name, value in self.__dict__.items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._attach()

    @property
    def inserted(self) -> int:
        """Groups inserted over the whole run."""
        return int(self._inserted.sum()) + int(self._learner[3])

    @property
    def sampled(self) -> int:
        """Groups sampled over the whole run."""
        return int(self._learner[0])

    @property
    def size(self) -> int:
        """Groups in the window, as the learner last saw it."""
        return int(self._learner[1])

    @property
    def error(self) -> float:
        """Groups that play is ahead of training at the lower ratio; negative where training is ahead."""
        ahead = self.inserted - self.min_groups - self.sampled / self.samples_per_insert
        return ahead + float(self._corrections[0])

    @property
    def learner_error(self) -> float:
        """Groups that play is ahead of training at the upper ratio; negative where training is ahead."""
        ahead = self.inserted - self.min_groups - self.sampled / self.max_samples_per_insert
        return ahead + float(self._corrections[1])

    def record_insert(self, actor: int, groups: int = 1) -> None:
        """Count groups that `actor` has written; only `actor` may call it, after `RingWriter.write_stored`."""
        self._inserted[actor] += groups
        self._to_learner.set()

    def record_sample(self, groups: int) -> None:
        """Count groups that the learner has drawn, and wake the actors that wait; only the learner may call it."""
        self._learner[0] += groups
        self._forget_lead()
        self._wake_actors()

    def record_window(self, size: int, seen: int) -> None:
        """Publish the size of the window after the first `seen` inserts; only the learner may call it."""
        self._learner[1] = size
        self._learner[2] = seen
        self._forget_lead()
        self._wake_actors()

    def _forget_lead(self) -> None:
        """Leads beyond twice the buffer are not saved up; training cannot lead before it has begun."""
        if not self.sampled:
            return
        most = 2.0 * self.error_buffer_groups
        self._corrections[0] += max(0.0, -most - self.error)
        self._corrections[1] -= max(0.0, self.learner_error - most)

    def _wake_actors(self) -> None:
        for actor in np.flatnonzero(self._waiting.copy()):  # of a copy: numpy fails on what changes while it counts
            self._to_actors[actor].set()

    def actor_may_insert(self, actor: int) -> bool:
        """Whether `actor` may play on; a refusal marks it as waiting, so that the learner wakes it."""
        pending = max(0, self.inserted - int(self._learner[2]))
        granted = self.error < self.error_buffer_groups or self.size + pending < self.min_groups
        self._waiting[actor] = not granted
        return granted

    def learner_may_sample(self) -> bool:
        """Whether the learner may draw a batch."""
        held = self.error >= self.error_buffer_groups
        return self.size >= self.min_groups and (held or self.learner_error > -self.error_buffer_groups)

    def wait_to_insert(self, actor: int, timeout: float) -> Wait:
        """Wait until `actor` may insert, at most `timeout` seconds."""
        return self._wait(lambda: self.actor_may_insert(actor), self._to_actors[actor], timeout, f"actor {actor}")

    def wait_to_sample(self, refresh: Callable[[], int], timeout: float) -> Wait:
        """Wait until the learner may sample, at most `timeout` seconds.

        Args:
            refresh: takes in new groups and returns the size of the window; called at least once.
            timeout: seconds.
        """

        def granted() -> bool:
            seen = self.inserted
            self.record_window(refresh(), seen)
            return self.learner_may_sample()

        return self._wait(granted, self._to_learner, timeout, "the learner")

    def _wait(self, granted: Callable[[], bool], signal: Signal, timeout: float, who: str) -> Wait:
        start = time.monotonic()
        while not granted():
            left = timeout - (time.monotonic() - start)
            if left <= 0.0:
                return Wait(False, time.monotonic() - start, self._reason(who))
            signal.wait(min(left, _RECHECK_SECONDS))
        return Wait(True, time.monotonic() - start, "")

    def _reason(self, who: str) -> str:
        numbers = (
            f"inserted {self.inserted}, sampled {self.sampled}, samples_per_insert {self.samples_per_insert:g} to "
            f"{self.max_samples_per_insert:g}, error {self.error:.1f} of {self.error_buffer_groups:g} groups"
        )
        if who != "the learner":
            return f"{who} waits for the learner to sample: {numbers}"
        if self.size < self.min_groups:
            filling = f"{self.size} of {self.min_groups} groups"
            return f"the learner waits for actors to fill the window: {filling}; {numbers}"
        return f"the learner waits for actors to play: {numbers}"

    def state(self) -> dict[str, float]:
        """Plain numbers for a checkpoint."""
        correction, learner_correction = self._corrections.tolist()
        return {
            "inserted": self.inserted,
            "sampled": self.sampled,
            "correction": correction,
            "learner_correction": learner_correction,
        }

    def load_state(self, state: dict[str, float], size: int, overshoot: float = 0.0) -> None:
        """Go on from a checkpoint, before any child starts.

        Args:
            state: from `state`.
            size: groups in the restored window.
            overshoot: groups that actors may have held when they were let through; kept above the error buffer.
        """
        self._learner[0] = int(state["sampled"])
        self._learner[3] = int(state["inserted"]) - int(self._inserted.sum())
        self._corrections[:] = state["correction"], state["learner_correction"]
        low, high = -2.0 * self.error_buffer_groups, self.error_buffer_groups + overshoot
        # exact where nothing has to be capped: a resumed serial run must take the same turns
        for index, error in enumerate((self.error, self.learner_error)):
            if not low <= error <= (high if index == 0 else -low):
                self._corrections[index] += min(max(error, -self.error_buffer_groups), high) - error
        self.record_window(size, self.inserted)
