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
_MEASURED_ON = ("instances", "instance_seed")
"""Figures that say what tours were measured on: those of others cannot be compared."""


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
        self._figures: dict[str, Any] = {}
        try:
            if path.name in self._files.names(path.parent):
                figures = dict(load_checkpoint(path, self._files)["figures"])
                self.gap, self._figures = float(figures["gap_greedy"]), figures
        except (OSError, CheckpointError, KeyError, TypeError, ValueError) as error:
            _LOG.warning("the best model so far cannot be read, the next one replaces it: %s", error)

    def offer(self, network: torch.nn.Module, train_steps: int, figures: dict[str, Any]) -> bool:
        """Keep `network` if its greedy tours are the shortest so far; True if it was written.

        A model that was measured on other instances than the kept one takes its place. A disk that refuses costs the
        file, not the run.

        Args:
            network: of the run.
            train_steps: that it has had.
            figures: `gap_greedy`; `tour_length_greedy`, which counts where the reference has changed; and what they
                were measured on: `instances`, `instance_seed`, `reference`.
        """
        gap = float(figures["gap_greedy"])
        if math.isnan(gap) or (self._comparable(figures) and not self._shorter(figures)):
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
        self.gap, self._figures = gap, figures
        return True

    def _comparable(self, figures: dict[str, Any]) -> bool:
        known = [key for key in _MEASURED_ON if key in figures and key in self._figures]
        return all(figures[key] == self._figures[key] for key in known)

    def _shorter(self, figures: dict[str, Any]) -> bool:
        if self._figures and self._figures.get("reference") != figures.get("reference"):
            return float(figures["tour_length_greedy"]) < float(self._figures.get("tour_length_greedy", math.inf))
        return float(figures["gap_greedy"]) < self.gap
