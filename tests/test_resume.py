"""Resuming: never from nothing, the newest good state, the window back in its slots, nothing to do at the bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from process_helpers import TinyRun, tiny_channels, tiny_config

from tspmz.checkpoint import CheckpointError, list_checkpoints
from tspmz.errors import RunError, TspmzError
from tspmz.recorder import Recorder
from tspmz.replay.manifest import Manifest
from tspmz.resume import bound_reached, find_restored, restore_channels
from tspmz.rundir import RunDirectory
from tspmz.runner import train


class Stopped:
    """A run directory as a stopped run leaves it, with checkpoints at steps 0 and 2 and 8 groups sealed."""

    def __init__(self, path: Path, **values: Any) -> None:
        self.config = tiny_config(**values)
        self.directory = RunDirectory.create(path, self.config)
        self.path = path
        self.run = TinyRun(path, played=0, **values)
        self.run.loop._run_id = self.directory.run_id
        self.run.loop.save()
        self.run.play(8)
        replay = path / "replay"
        manifest = Manifest(replay, self.directory.run_id)
        Recorder(self.config, self.run.channels, replay, self.directory.run_id, {}, manifest).finish()
        for _ in range(2):
            self.run.loop.train_once()
        self.run.loop.save()

    def reopened(self) -> RunDirectory:
        self.directory.close()
        self.directory = RunDirectory.open(self.path)
        return self.directory


@pytest.fixture
def stopped(tmp_path: Path) -> Stopped:
    return Stopped(tmp_path / "run")


def test_window_and_counters_come_back(stopped: Stopped) -> None:
    run = stopped.run
    restored = find_restored(stopped.reopened(), stopped.config, False)
    channels = tiny_channels(stopped.config)
    restore_channels(channels, restored, stopped.config)
    assert channels.ring.written(0) == 8
    for group_id in range(8):
        slot = run.channels.ring.slot_of(0, group_id)
        one, other = run.channels.ring.read(slot, group_id), channels.ring.read(slot, group_id)
        assert one is not None
        assert other is not None
        assert (one.tours == other.tours).all()
    assert channels.limiter.inserted == 8
    assert channels.limiter.sampled == run.channels.limiter.sampled
    assert restored.replay.groups == {}


def test_window_comes_back_with_other_numbers_of_actors(stopped: Stopped) -> None:
    three = tiny_config(selfplay__num_actors=3)
    channels = tiny_channels(three)
    restore_channels(channels, find_restored(stopped.reopened(), three, False), three)
    assert list(channels.ring.all_written()) == [8, 0, 0]


def test_damaged_newest_checkpoint_falls_back(stopped: Stopped, caplog: pytest.LogCaptureFixture) -> None:
    newest = list_checkpoints(stopped.path / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    restored = find_restored(stopped.reopened(), stopped.config, False)
    assert restored.state["learner"]["train_steps"] == 0
    assert "falling back to an older checkpoint" in caplog.text
    assert list_checkpoints(stopped.path / "checkpoints") == [restored.checkpoint]


def test_run_without_a_good_checkpoint_never_starts_again(stopped: Stopped) -> None:
    paths = list_checkpoints(stopped.path / "checkpoints")
    for path in paths:
        path.write_bytes(b"nonsense")
    stopped.directory.close()
    with pytest.raises(CheckpointError, match="can be used"):
        train(stopped.config, stopped.path, resume=True)
    for path in paths:
        path.unlink()
    with pytest.raises(CheckpointError, match="holds none"):
        train(stopped.config, stopped.path, resume=True)
    assert (stopped.path / "config.json").exists()


def test_checkpoint_of_another_run_is_refused(stopped: Stopped) -> None:
    stopped.run.loop._run_id = "another"
    stopped.run.loop.save()
    with pytest.raises(RunError, match="of another run"):
        find_restored(stopped.reopened(), stopped.config, False)


def test_lost_episodes_must_be_allowed(stopped: Stopped) -> None:
    for segment in (stopped.path / "replay").glob("*.h5"):
        segment.unlink()
    directory = stopped.reopened()
    with pytest.raises(RunError, match="--allow-empty-replay"):
        find_restored(directory, stopped.config, False)
    restored = find_restored(directory, stopped.config, True)
    channels = tiny_channels(stopped.config)
    restore_channels(channels, restored, stopped.config)
    assert channels.limiter.size == 0
    assert channels.limiter.actor_may_insert(0)
    assert not channels.limiter.learner_may_sample()


def test_run_that_had_sealed_nothing_goes_on_without_episodes(stopped: Stopped) -> None:
    stopped.run.channels.stats.row("recorder").set("groups_sealed", 0)
    stopped.run.loop.save()
    for file in (stopped.path / "replay").iterdir():
        file.unlink()
    assert find_restored(stopped.reopened(), stopped.config, False).replay.stored_groups == 0


@pytest.mark.parametrize(
    ("steps", "minutes", "text"),
    [
        (2, 0.0, "2 train steps"),
        (1, 0.0, "1 train steps"),
        (3, 0.0, ""),
        (0, 0.0, ""),
        (0, 5.0, ""),
        (9, 1.0, "1 minutes"),
    ],
)
def test_bound_that_is_reached_is_named(steps: int, minutes: float, text: str) -> None:
    config = tiny_config(run__train_steps=steps, run__minutes=minutes)
    state = {"learner": {"train_steps": 2}, "elapsed_seconds": 100.0}
    assert text in bound_reached(state, config)
    assert bool(bound_reached(state, config)) == bool(text)


def test_new_run_that_cannot_begin_leaves_the_folder_empty(tmp_path: Path) -> None:
    config = tiny_config(run__shm_dir=str(tmp_path / "missing"))
    with pytest.raises(TspmzError, match="missing"):
        train(config, tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
