"""Trained weights from wherever a user names them: a run, a checkpoint, or a model that comes with tspmz."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import nn

from tspmz.checkpoint import check_agent_state, list_checkpoints, load_checkpoint, load_latest
from tspmz.errors import UsageError
from tspmz.pretrained import find_agent
from tspmz.rundir import CHECKPOINTS


def read_agent_state(source: str | os.PathLike[str]) -> tuple[dict[str, Any], Path]:
    """Settings and weights of a trained network, and the file they are from.

    Args:
        source: run directory (its newest good checkpoint), checkpoint file, or, where there is nothing of that name,
            the name of a pretrained model.

    Raises:
        CheckpointError: nothing there that can be used.
        UsageError: nothing there, or a folder without checkpoints.
    """
    place = find_agent(Path(source))
    if place.is_dir():
        directory = place / CHECKPOINTS if (place / CHECKPOINTS).is_dir() else place
        if not list_checkpoints(directory):
            raise UsageError(f"{place}: holds no checkpoint; name a run folder, a checkpoint or a pretrained model")
        state, path, _ = load_latest(directory)
    else:
        state, path = load_checkpoint(place), place
    check_agent_state(state, path)
    return state, path


def load_weights(network: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Give a network the weights of `read_agent_state`.

    Raises:
        UsageError: they are of another network.
    """
    try:
        network.load_state_dict(state["learner"]["network"])
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        lines = (str(error) or type(error).__name__).splitlines()
        reason = lines[min(1, len(lines) - 1)].strip()  # torch lists every weight below a line that says nothing
        raise UsageError(f"{path}: the weights do not fit the network of the settings: {reason}") from None
