"""What a resumed run goes on from: the newest good checkpoint and the longest good prefix of the stored episodes."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tspmz.channels import Channels, oldest_in_window, slots_per_actor, stored_fields
from tspmz.checkpoint import CheckpointError, check_run_state, list_checkpoints, load_checkpoint, load_latest, tidy
from tspmz.config import Config, ConfigError
from tspmz.config_files import config_hash, differences
from tspmz.errors import RunError, UsageError
from tspmz.replay.files import FileSystem
from tspmz.replay.loading import LoadReport, load_segments
from tspmz.replay.segments import NewerSchemaError
from tspmz.rundir import CHECKPOINTS, REPLAY, RunDirectory, read_config

_LOG = logging.getLogger(__name__)


class Restored(NamedTuple):
    """What was found in a run directory.

    Attributes:
        checkpoint: the file that the learner loads.
        state: its content.
        replay: the stored episodes.
    """

    checkpoint: Path
    state: dict[str, Any]
    replay: LoadReport


def find_restored(
    run: RunDirectory, config: Config, allow_empty_replay: bool, files: FileSystem | None = None
) -> Restored:
    """Load the newest good checkpoint and verify the stored episodes.

    Raises:
        UsageError: settings that cannot change are others than those of the run; then nothing was touched.
        CheckpointError: no checkpoint can be used; a run never starts again from nothing.
        RunError: the stored settings cannot be read, the checkpoint is of another run, episodes should be there and
            none can be used, some are from a newer version, or the disk refuses.
    """
    _refuse_changes(run.path, config, files)
    try:
        state, path, replay = _read_back(run, config, files)
    except NewerSchemaError as error:
        raise RunError(str(error)) from None
    except OSError as error:
        raise RunError(f"{run.path}: the run cannot be restored, nothing is lost: {error}") from None
    for line in replay.notes:
        _LOG.warning("resume: %s", line)
    sealed = int(state["groups_sealed"])
    if sealed and not replay.stored_groups and not allow_empty_replay:
        raise RunError(
            f"{run.path / REPLAY}: no stored episodes can be used, though {sealed} groups were sealed; "
            f"--allow-empty-replay goes on without them and fills the window first"
        )
    return Restored(path, state, replay)


def _refuse_changes(run_dir: Path, config: Config, files: FileSystem | None) -> None:
    """Before anything is read with other settings, which would set all stored episodes aside."""
    try:
        found = differences(read_config(run_dir, files), config)
    except ConfigError as error:
        raise RunError(str(error)) from None
    changes = [f"{key} = {new}, stored {old}" for key, old, new, fixed in found if fixed]
    if changes:
        raise UsageError(f"{run_dir}: these settings cannot change when a run is resumed: {'; '.join(changes)}")


def _read_back(
    run: RunDirectory, config: Config, files: FileSystem | None
) -> tuple[dict[str, Any], Path, LoadReport]:
    """Newest good checkpoint, its file, and the stored episodes."""
    state, path, refused = load_latest(run.path / CHECKPOINTS, files)
    for line in refused:
        _LOG.warning("resume: %s; falling back to an older checkpoint", line)
    check_run_state(state, path)
    if state["run_id"] != run.run_id:
        raise RunError(f"{path}: of another run ({state['run_id']}, not {run.run_id})")
    tidy(run.path / CHECKPOINTS, path, files)
    # serial mode needs the window as it was at the checkpoint, which what was sealed later must not push out
    keep = sys.maxsize if config.run.mode == "serial" else slots_per_actor(config)
    return state, path, load_segments(
        run.path / REPLAY, run.run_id, config_hash(config), keep, files, stored_fields(config)
    )


def needed_group_ids(run_dir: Path, config: Config, next_group_ids: Mapping[int, int]) -> dict[int, int]:
    """Of each actor, the oldest stored group that a resume puts back into the window.

    In serial mode also every group that is in the window of a checkpoint, whatever was sealed after it.

    Args:
        run_dir: the run directory.
        config: its settings.
        next_group_ids: by actor, one above its last sealed group.
    """
    needed = oldest_in_window(config, {actor: number - 1 for actor, number in next_group_ids.items()})
    if config.run.mode == "serial":
        for path in list_checkpoints(run_dir / CHECKPOINTS):
            with contextlib.suppress(CheckpointError, KeyError):
                replay = load_checkpoint(path)["replay"]
                for actor, number in zip(replay["actor"].tolist(), replay["group_id"].tolist(), strict=True):
                    needed[actor] = min(number, needed.get(actor, number))
    return needed


def bound_reached(state: dict[str, Any], config: Config) -> str:
    """Which bound of the run its checkpoint has reached, for people; empty where there is work left."""
    run = config.run
    steps, minutes = int(state["learner"]["train_steps"]), float(state["elapsed_seconds"]) / 60
    if run.train_steps and steps >= run.train_steps:
        return f"the bound of {run.train_steps} train steps is reached ({steps} done)"
    if run.minutes and minutes >= run.minutes:
        return f"the bound of {run.minutes:g} minutes is reached ({minutes:.1f} done)"
    return ""


def first_group_ids(restored: Restored, config: Config) -> tuple[int, ...]:
    """Of each actor that ever played, the first group not yet sealed.

    It is the one behind the last that is stored: numbers of groups that were played but not sealed are used again, so
    that what is stored stays free of gaps. Where nothing of an actor is stored any more (it did not play for long, and
    was pruned away) its number in the checkpoint counts, so that no instance comes twice.
    """
    at_checkpoint, stored = restored.state["next_group_ids"], restored.replay.next_group_ids
    count = max(config.selfplay.num_actors, len(at_checkpoint))
    known = [int(number) for number in at_checkpoint] + [0] * count
    return tuple(stored.get(actor, known[actor]) for actor in range(count))


def restore_channels(channels: Channels, restored: Restored, config: Config) -> Channels:
    """Fill the ring and the limiter; call before any child starts. Takes the groups out of `restored`.

    An actor goes on at its `first_group_ids`. In serial mode the ring holds exactly what it held at the checkpoint:
    what was played after it is played again, with the same result. Where nothing is stored (`replay.persist`) the
    checkpoint's numbers count, too.

    Returns:
        The channels, with `first_group_ids`.
    """
    from_checkpoint = config.run.mode == "serial" or not config.replay.persist
    at_checkpoint = dict(enumerate(restored.state["next_group_ids"]))
    first = first_group_ids(restored, config)
    stored = restored.replay.groups
    idle = [actor for actor in stored if actor >= config.selfplay.num_actors]
    size = 0
    for actor in range(config.selfplay.num_actors):
        next_id = at_checkpoint.get(actor, 0) if from_checkpoint else first[actor]
        groups = [group for group in stored.pop(actor, []) if group.group_id < next_id]
        groups = groups[-channels.ring.slots_per_actor :]
        channels.ring.restore(actor, groups, next_id)
        size += len(groups)
    stored.clear()
    held = config.selfplay.num_actors * config.selfplay.groups_in_parallel
    channels.limiter.load_state(restored.state["limiter"], size, overshoot=held)
    train_steps = int(restored.state["learner"]["train_steps"])
    channels.stats.row("learner").set("train_steps", train_steps)  # or the first rate would count all of them
    if idle:
        actors = config.selfplay.num_actors
        _LOG.info("resume: %d actors play now; episodes of actors %s stay on disk only", actors, idle)
    _LOG.info(
        "resume: step %d, %d groups in the window, %d stored on disk",
        train_steps, size, restored.replay.stored_groups,
    )  # fmt: skip
    return channels._replace(first_group_ids=first)
