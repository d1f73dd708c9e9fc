"""The parent's words to its children: go on or stop, and the clock of the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntEnum

import numpy as np

from tspmz.shared import SharedBlock

_BEAT_SECONDS = 0.5


class Phase(IntEnum):
    """How far the run is; it only moves forward."""

    RUN = 0
    STOP = 1
    """No more play or training: actors end, the learner writes its last checkpoint and ends."""
    FINISH = 2
    """The recorder seals what is left, the evaluator ends."""


class Control:
    """A few shared words with one writer, the parent. Pickles into a spawned child only.

    Args:
        elapsed_before: seconds of training in earlier parts of the run.
        shm_dir: as for `SharedBlock`.
    """

    def __init__(self, elapsed_before: float = 0.0, shm_dir: str = "") -> None:
        self._block = SharedBlock(4096, "the control words", shm_dir)
        self._attach()
        self._floats[:] = elapsed_before, time.monotonic()

    def _attach(self) -> None:
        self._words = self._block.array(0, (1,), np.int64)
        self._floats = self._block.array(64, (2,), np.float64)

    def __getstate__(self) -> dict[str, object]:
        return {"_block": self._block}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._attach()

    @property
    def phase(self) -> Phase:
        """How far the run is."""
        return Phase(int(self._words[0]))

    def advance(self, phase: Phase) -> None:
        """Move on to `phase`; an earlier one changes nothing."""
        self._words[0] = max(int(self._words[0]), int(phase))

    def start_clock(self) -> None:
        """The training time starts to count now."""
        self._floats[1] = time.monotonic()

    def pause(self, seconds: float, beat: Callable[[], None]) -> None:
        """Rest for so long, or until the run stops; `beat` is called at least twice a second."""
        end = time.monotonic() + seconds
        while self.phase == Phase.RUN and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _BEAT_SECONDS))
            beat()

    def elapsed(self) -> float:
        """Seconds of training, earlier parts of a resumed run included."""
        return float(self._floats[0]) + time.monotonic() - float(self._floats[1])
