"""The best model of a run so far: weights and their figures, in one file that is replaced as a whole."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import torch

from tspmz.checkpoint import CheckpointError, load_checkpoint, write_state
from tspmz.config import Config
from tspmz.replay.files import FileSystem

_LOG = logging.getLogger(__name__)


class BestModel:
    """Keeps the weights with the smallest gap, across resumes of the run.

    The file can be used like a checkpoint wherever only weights are needed; a run cannot go on from it.

    Args:
        path: the file; its folder exists.
        config: the run's settings.
        files: the file operations.

    Attributes:
        gap: of the model in the file; infinite while there is none.
    """

    def __init__(self, path: Path, config: Config, files: FileSystem | None = None) -> None:
        self._path = path
        self._config = config
        self._files = files or FileSystem()
        self.gap = math.inf
        try:
            if path.name in self._files.names(path.parent):
                self.gap = float(load_checkpoint(path, self._files)["figures"]["gap_greedy"])
        except (OSError, CheckpointError, KeyError, TypeError, ValueError) as error:
            _LOG.warning("the best model so far cannot be read, the next one replaces it: %s", error)

    def offer(self, network: torch.nn.Module, train_steps: int, figures: dict[str, Any]) -> bool:
        """Keep `network` if its `figures["gap_greedy"]` is the smallest so far; True if it was written.

        A disk that refuses costs the file, not the run.
        """
        gap = float(figures["gap_greedy"])
        if not gap < self.gap:
            return False
        state = {
            "config": self._config.to_dict(),
            "learner": {"network": network.state_dict(), "train_steps": train_steps},
            "figures": figures,
        }
        try:
            write_state(self._path, state, self._files)
        except (OSError, CheckpointError) as error:
            _LOG.warning("the best model at step %d was not written: %s", train_steps, error)
            return False
        self.gap = gap
        return True
