"""When the learner's numbers go bad: keep the batch for people, take an earlier state, go on more slowly."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np

from tspmz.checkpoint import CheckpointError, list_checkpoints, load_checkpoint, tidy
from tspmz.errors import RunError
from tspmz.learner import Learner
from tspmz.replay.files import FileSystem, atomic_write
from tspmz.rundir import BAD_BATCHES, CHECKPOINTS
from tspmz.types import Batch

_LOG = logging.getLogger(__name__)


class Rollbacks:
    """Takes a learner back to a checkpoint, a few times in one part of a run.

    Args:
        run_dir: the run directory.
        most: rollbacks before the run ends.
        rate_factor: on the learning rate, at each of them.
        files: the file operations.

    Attributes:
        count: rollbacks so far.
    """

    def __init__(self, run_dir: Path, most: int, rate_factor: float, files: FileSystem | None = None) -> None:
        self.count = 0
        self._run_dir = run_dir
        self._most = most
        self._rate_factor = rate_factor
        self._files = files or FileSystem()
        self._last_step = -1

    def roll_back(self, learner: Learner, batch: Batch | None, why: str) -> None:
        """Store what went wrong, then give the learner the newest checkpoint's weights and optimizer.

        Where it made no good step since the last rollback, that checkpoint was no better: the one before is taken.

        Args:
            learner: whose numbers went bad.
            batch: the last one it was given; None before the first.
            why: for people.

        Raises:
            RunError: it happened too often, or there is no checkpoint to go back to; the checkpoints are as they were.
        """
        kept = self._keep_batch(learner, batch)
        advice = f"the last checkpoint is kept: go on with --resume and a lower learner.learning_rate{kept}"
        if self.count >= self._most:
            after = f" after {self.count} rollbacks" if self.count else ""
            raise RunError(f"{why}{after}; {advice}")
        again = learner.train_steps == self._last_step
        path, state = self._earlier_state(again, f"{why}; {advice}")
        learner.roll_back(state["learner"], self._rate_factor)
        self.count += 1
        self._last_step = learner.train_steps
        try:
            tidy(path.parent, path, self._files)
        except OSError as error:
            _LOG.warning("learner: checkpoints behind %s keep their names: %s", path.name, error)
        _LOG.warning(
            "learner: %s: rolled back to %s, learning rate now %g of its schedule (rollback %d of at most %d)%s",
            why, path.name, learner.rate_factor, self.count, self._most, kept,
        )  # fmt: skip

    def _earlier_state(self, again: bool, why: str) -> tuple[Path, dict[str, Any]]:
        paths = list_checkpoints(self._run_dir / CHECKPOINTS, self._files)
        for path in reversed(paths[:-1] if again and len(paths) > 1 else paths):
            try:
                return path, load_checkpoint(path, self._files)
            except CheckpointError as error:
                _LOG.warning("learner: no rollback to %s", error)
        raise RunError(f"{why} (no checkpoint to roll back to)")

    def _keep_batch(self, learner: Learner, batch: Batch | None) -> str:
        """Store the batch and the weights; where, for people, empty where there is no batch or the disk refused."""
        if batch is None:
            return ""
        arrays = {name: value for name, value in batch._asdict().items() if value is not None}
        weights = learner.state()["network"]
        arrays |= {f"network/{name}": value.numpy() for name, value in weights.items()}
        arrays |= {"train_steps": np.int64(learner.train_steps), "attempts": np.int64(learner.attempts)}
        image = io.BytesIO()
        np.savez(image, **arrays)
        path = self._run_dir / BAD_BATCHES / f"batch-{learner.attempts:010d}.npz"
        try:
            self._files.make_directory(path.parent)
            atomic_write(self._files, path, image.getvalue())
        except OSError as error:
            _LOG.warning("learner: the bad batch could not be stored: %s", error)
            return ""
        return f"; the batch and the weights are in {path}"
