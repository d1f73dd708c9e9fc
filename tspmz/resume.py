"""What a run starts from: nothing, or the newest checkpoint and the longest good prefix of the stored episodes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from tspmz.channels import Channels, slots_per_actor
from tspmz.checkpoint import load_latest
from tspmz.config import Config, config_hash
from tspmz.errors import RunError
from tspmz.replay.loading import LoadReport, load_segments
from tspmz.rundir import CHECKPOINTS, REPLAY, RunDirectory

_LOG = logging.getLogger(__name__)


class Restored(NamedTuple):
    """What was found in a run directory.

    Attributes:
        checkpoint: the file that the learner loads.
        state: its content.
        replay: the stored episodes.
    """

    checkpoint: Path
    state: dict
    replay: LoadReport


def find_restored(run: RunDirectory, config: Config, allow_empty_replay: bool) -> Restored:
    """Load the newest good checkpoint and verify the stored episodes.

    Raises:
        CheckpointError: no checkpoint can be used; a run never starts again from nothing.
        RunError: the checkpoint is of another run, or episodes should be there and none can be used.
    """
    state, path, refused = load_latest(run.path / CHECKPOINTS)
    for line in refused:
        _LOG.warning("resume: %s; falling back to an older checkpoint", line)
    if state["run_id"] != run.run_id:
        raise RunError(f"{path}: of another run ({state['run_id']}, not {run.run_id})")
    replay = load_segments(run.path / REPLAY, run.run_id, config_hash(config), slots_per_actor(config))
    for line in replay.notes:
        _LOG.warning("resume: %s", line)
    played = state["limiter"]["inserted"]
    if played >= config.replay.min_groups and not replay.stored_groups and not allow_empty_replay:
        raise RunError(
            f"{run.path / REPLAY}: no stored episodes can be used, though {played} groups were played; "
            f"--allow-empty-replay goes on without them and fills the window first"
        )
    return Restored(path, state, replay)


def restore_channels(channels: Channels, restored: Restored, config: Config) -> None:
    """Fill the ring and the limiter; call before any child starts.

    An actor goes on behind its last stored group: numbers of groups that were played but not sealed are used again,
    so that what is stored stays free of gaps. In serial mode the ring holds exactly what it held at the checkpoint: what was played after it is played again,
    with the same result.
    """
    serial = config.run.mode == "serial"
    at_checkpoint = dict(enumerate(restored.state["next_group_ids"]))
    size = 0
    for actor in range(config.selfplay.num_actors):
        next_id = at_checkpoint.get(actor, 0) if serial else restored.replay.next_group_ids.get(actor, 0)
        groups = [group for group in restored.replay.groups.get(actor, []) if group.group_id < next_id]
        channels.ring.restore(actor, groups, next_id)
        size += len(groups)
    held = config.selfplay.num_actors * config.selfplay.groups_in_parallel
    channels.limiter.load_state(restored.state["limiter"], size, overshoot=held)
    idle = [actor for actor in restored.replay.groups if actor >= config.selfplay.num_actors]
    if idle:
        _LOG.info("resume: %d actors play now; episodes of actors %s stay on disk only", config.selfplay.num_actors, idle)
    _LOG.info(
        "resume: step %d, %d groups in the window, %d stored on disk",
        restored.state["learner"]["train_steps"], size, restored.replay.stored_groups,
    )  # fmt: skip
