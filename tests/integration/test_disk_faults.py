"""Seal, prune, checkpoint and resume on disks that fail at every single operation, and with the power cut at each.

F9, F10, F31: whatever fails, what was acknowledged as sealed is loaded again without gaps, each group as its seed
makes it, and the newest acknowledged checkpoint can be used.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_files import MODES, Crash, FaultyFiles, Mode, PowerCut, RecordingFiles
from process_helpers import tiny_config

from tspmz.channels import Channels, stored_fields
from tspmz.checkpoint import CheckpointError, save_checkpoint
from tspmz.config_files import config_hash
from tspmz.errors import TspmzError
from tspmz.recorder import Recorder
from tspmz.replay.files import FileSystem, atomic_write, temporary_name
from tspmz.replay.manifest import Manifest
from tspmz.replay.ring import Ring
from tspmz.replay.verify import Origin, prefix_problems, scan_folder
from tspmz.resume import Restored, find_restored
from tspmz.rundir import CHECKPOINTS, REPLAY, RunDirectory, read_run_id, write_config
from tspmz.selfplay import GroupSource
from tspmz.settings import group_settings
from tspmz.stats import StatsBoard
from tspmz.tsp import env
from tspmz.types import Group

ACTORS = 2
RUN_ID = "run"
CONFIG = tiny_config(
    problem__num_cities=4, selfplay__group_size=2, selfplay__num_actors=ACTORS, replay__keep_groups=7,
    replay__capacity_groups=4, replay__min_groups=1,
)  # fmt: skip
SOURCES = [GroupSource(**group_settings(CONFIG, actor)) for actor in range(ACTORS)]
ORIGIN = Origin(
    RUN_ID, config_hash(CONFIG), stored_fields(CONFIG), CONFIG.run.seed,
    lambda actor, number: SOURCES[actor].instance(number),
)  # fmt: skip


def played(actor: int, group_id: int) -> Group:
    """A group on the instance of its identity, played in the order of the cities' numbers."""
    coordinates, starts = SOURCES[actor].instance(group_id)
    tours = np.stack([np.roll(np.arange(len(coordinates)), -start) for start in starts])
    state = env.reset(coordinates[None], starts[None])
    rewards = []
    for move in tours[:, 1:].T:
        state, time_step = env.step(state, move[None])
        rewards.append(time_step.rewards[0])
    moves = np.stack(rewards, axis=1)
    absent = (*moves.shape, 0)
    return Group(
        coordinates, tours, moves, moves, moves, np.zeros(absent, np.int32), np.zeros(absent, np.float32),
        actor, group_id, CONFIG.run.seed, 1,
    )  # fmt: skip


BAD = "segment-1-9.h5"
"""A damaged segment that lies in the folder when the run is resumed."""
GROUPS = {(actor, number): played(actor, number) for actor in range(ACTORS) for number in range(16)}


class Life:
    """One life of a run on some disk: groups are played and sealed, old ones pruned, checkpoints written.

    Attributes:
        sealed: by actor, one above the last group whose sealing was acknowledged.
        saved: the newest checkpoint that was acknowledged; -1 = none.
    """

    def __init__(self, path: Path, files: FileSystem) -> None:
        self.path = path
        self.sealed: dict[int, int] = {}
        self.saved = -1
        self._files = files
        self._channels = Channels(
            Ring(ACTORS, 16, stored_fields(CONFIG)), None, None, StatsBoard(ACTORS), None,  # type: ignore[arg-type]
        )  # fmt: skip
        self._next = [0] * ACTORS

    def begin(self) -> None:
        write_config(self.path, RUN_ID, CONFIG, self._files)
        self._record(Manifest(self.path / REPLAY, RUN_ID, files=self._files), {})
        self.save(0)

    def _record(self, manifest: Manifest, sealed: dict[int, int]) -> None:
        self._recorder = Recorder(
            CONFIG, self._channels, self.path / REPLAY, RUN_ID, sealed, manifest, self._files
        )

    def resume(self, restored: Restored) -> None:
        for actor, number in restored.replay.next_group_ids.items():
            self._channels.ring.restore(actor, restored.replay.groups.get(actor, []), number)
            self._next[actor] = self.sealed[actor] = number
        self._record(restored.replay.manifest, restored.replay.next_group_ids)

    def play(self, *counts: int) -> None:
        """Play so many groups of each actor; the recorder takes and seals them."""
        for actor, count in enumerate(counts):
            writer = self._channels.ring.writer(actor)
            for _ in range(count):
                writer.write(GROUPS[actor, self._next[actor]])
                self._next[actor] += 1
        try:
            self._recorder.seal_all()
        finally:
            self.sealed |= {actor: last + 1 for actor, last in self._recorder._last_sealed.items() if last >= 0}

    def save(self, step: int) -> None:
        state: dict[str, Any] = {
            "run_id": RUN_ID, "config": {}, "learner": {"network": {}, "train_steps": step}, "replay": {},
            "limiter": {}, "weights_version": 0,
            "elapsed_seconds": 0.0, "next_group_ids": self._next, "groups_sealed": sum(self.sealed.values()),
        }  # fmt: skip
        with contextlib.suppress(CheckpointError, OSError):
            save_checkpoint(self.path / CHECKPOINTS, state, step, 2, self._files)
            self.saved = step


def found(path: Path, files: FileSystem | None = None) -> Restored:
    """What a resume finds."""
    return find_restored(RunDirectory(path, read_run_id(path, files), -1), CONFIG, False, files)


def check(path: Path, life: Life) -> None:
    """The oracle, on a disk that works again."""
    if life.saved < 0:
        return
    restored = found(path)
    assert int(restored.state["learner"]["train_steps"]) >= life.saved
    assert prefix_problems(restored.replay.groups, life.sealed, ORIGIN) == []
    assert set(restored.replay.quarantined) <= {BAD}  # nothing that was written by the run itself is ever half there
    assert list(path.rglob(temporary_name("*"))) == []


def whole_cycle(path: Path, files: FileSystem) -> Iterator[Life]:
    """Two lives of a run; gives the life that is being lived after each step."""
    life = Life(path, files)
    try:
        life.begin()
    except OSError:
        return  # a run that cannot begin says so and is none
    yield life
    for step in (1, 2):
        life.play(3, 0)
        yield life
        life.play(0, 2)
        yield life
        life.save(step)
        yield life
    with contextlib.suppress(OSError):
        atomic_write(files, path / REPLAY / BAD, b"\x89HDF\r\n\x1a\n and no more")
    second = Life(path, files)
    second.sealed, second.saved = dict(life.sealed), life.saved
    try:
        restored = found(path, files)
    except TspmzError:
        return  # one line and exit code 1; the next try goes on
    second.resume(restored)
    yield second
    second.play(2, 1)
    yield second
    second.save(3)
    yield second


def live(path: Path, files: FaultyFiles) -> Life:
    """Live until the end of the cycle or of the process."""
    path.mkdir()
    life = Life(path, files)
    with contextlib.suppress(Crash):
        for life in whole_cycle(path, files):  # noqa: B007
            pass
    return life


def test_cycle_uses_every_operation_and_ends_well(tmp_path: Path) -> None:
    counter = FaultyFiles()
    life = live(tmp_path / "run", counter)
    assert (life.saved, life.sealed) == (3, {0: 8, 1: 5})
    check(tmp_path / "run", life)
    assert [file for file in scan_folder(tmp_path / "run" / REPLAY, ORIGIN) if file.problem] == []
    assert {"make_directory", "create", "write", "fsync", "replace", "fsync_directory", "unlink", "read", "names",
            "append", "close"} == set(counter.log)  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_f9_f10_failure_at_every_operation_of_a_cycle(tmp_path: Path, mode: Mode, every: int) -> None:
    counter = FaultyFiles()
    live(tmp_path / "whole", counter)
    assert counter.operations > 100
    for number in range(MODES.index(mode) % every, counter.operations, every):
        path = tmp_path / str(number)
        life = live(path, FaultyFiles(number, mode, errno.EIO if number % 2 else errno.ENOSPC))
        check(path, life)


def test_f31_power_cut_after_every_operation_of_a_cycle(tmp_path: Path) -> None:
    """The order of write, fsync, rename and fsync of the directory is replayed; see `PowerCut` for what may be lost."""
    path, files = tmp_path / "run", RecordingFiles()
    path.mkdir()
    acknowledged = [(len(files.log), life.sealed.copy(), life.saved, life) for life in whole_cycle(path, files)]
    disk, cuts, seen = PowerCut(), 0, set()
    for done, operation in enumerate(files.log, 1):
        disk.apply(operation)
        reached = [life for count, *life in acknowledged if count <= done]
        if not reached:
            continue
        sealed, saved, life = reached[-1]
        life.sealed, life.saved = sealed, saved
        for state in disk.states():
            key = hash((frozenset(state.items()), saved, tuple(sealed.items())))
            if key in seen:
                continue
            seen.add(key)
            cuts += 1
            disk.write_state(state, path, tmp_path / str(cuts))
            check(tmp_path / str(cuts), life)
    assert cuts > 100


def test_f31_a_disk_that_is_not_synced_is_found_out(tmp_path: Path) -> None:
    """The replay of power cuts finds what it is made to find: without the fsync of files, sealed groups are lost."""

    class Hasty(RecordingFiles):
        def fsync(self, descriptor: int) -> None:
            pass

    path, files = tmp_path / "run", Hasty()
    path.mkdir()
    *_, life = whole_cycle(path, files)
    disk = PowerCut()
    for operation in files.log:
        disk.apply(operation)
    disk.write_state(disk.states()[0], path, tmp_path / "after")
    with pytest.raises((AssertionError, TspmzError)):
        check(tmp_path / "after", life)
