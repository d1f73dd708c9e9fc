"""Resuming: never from nothing, the newest good state, the window back in its slots, nothing to do at the bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faulty_files import FaultyFiles
from process_helpers import TinyRun, tiny_channels, tiny_config

from tspmz.actor import Actor
from tspmz.agent import load_agent
from tspmz.channels import Channels
from tspmz.checkpoint import CheckpointError, checkpoint_path, list_checkpoints, save_checkpoint
from tspmz.config import Config
from tspmz.config_files import config_hash
from tspmz.errors import RunError, TspmzError
from tspmz.recorder import Recorder
from tspmz.replay.loading import LoadReport, load_segments
from tspmz.replay.manifest import Manifest
from tspmz.replay.verify import Origin, prefix_problems
from tspmz.resume import Restored, bound_reached, find_restored, restore_channels
from tspmz.rundir import RunDirectory
from tspmz.runner import train
from tspmz.selfplay import GroupSource
from tspmz.settings import group_settings
from tspmz.training import TrainingLoop


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
    assert channels.stats.row("learner").get("train_steps") == run.loop.train_steps  # no rate counts them again
    assert restored.replay.groups == {}


def test_window_comes_back_with_other_numbers_of_actors(stopped: Stopped) -> None:
    three = tiny_config(selfplay__num_actors=3)
    channels = tiny_channels(three)
    restore_channels(channels, find_restored(stopped.reopened(), three, False), three)
    assert list(channels.ring.all_written()) == [8, 0, 0]


def test_f28_actors_8_to_3_to_8_number_their_groups_on(tmp_path: Path) -> None:
    """Who does not play keeps its number, even when all its groups are pruned away; who plays on goes on."""
    eight = tiny_config(selfplay__num_actors=8)
    three = tiny_config(selfplay__num_actors=3)
    state: dict[str, Any] = {"next_group_ids": [10 + actor for actor in range(8)], "groups_sealed": 80}
    stored = {actor: 9 + actor for actor in range(8)}

    def channels_of(config: Config, next_group_ids: dict[int, int]) -> Channels:
        report = LoadReport({}, next_group_ids, Manifest(tmp_path, "run"), [], [], 1)
        limiter = {"inserted": 8, "sampled": 8, "correction": 0.0, "learner_correction": 0.0}
        whole = {**state, "limiter": limiter, "learner": {"train_steps": 1}}
        return restore_channels(tiny_channels(config), Restored(tmp_path, whole, report), config)

    channels = channels_of(three, stored)
    assert list(channels.ring.all_written()) == [9, 10, 11]
    loop = TrainingLoop(three, channels, tmp_path, "run", "cpu")
    state["next_group_ids"] = loop.state()["next_group_ids"]
    assert state["next_group_ids"] == [9, 10, 11, 12, 13, 14, 15, 16]

    channels = channels_of(eight, {0: 30, 1: 30, 2: 30, 3: 12})  # the groups of 4 to 7 are pruned
    assert list(channels.ring.all_written()) == [30, 30, 30, 12, 13, 14, 15, 16]
    recorder = Recorder(eight, channels, tmp_path / "replay", "run", {0: 30}, Manifest(tmp_path / "replay", "run"))
    recorder.collect()
    assert channels.stats.row("recorder").get("groups_lost") == 0


def test_f28_groups_of_all_actors_come_back_and_follow_each_other(tmp_path: Path) -> None:
    """Runs with 3, 1 and 3 actors: every actor's groups on disk are a gap-free run, each as its seed makes it."""
    path = tmp_path / "run"
    directory = RunDirectory.create(path, tiny_config(selfplay__num_actors=3))
    window: list[list[int]] = []
    for actors, played in ((3, 4), (1, 6), (3, 4)):
        config = tiny_config(selfplay__num_actors=actors, replay__keep_groups=100)
        channels = tiny_channels(config)
        restored = find_restored(directory, config, False) if window else None
        if restored:
            channels = restore_channels(channels, restored, config)
        loop = TrainingLoop(config, channels, path, directory.run_id, "cpu", restored.state if restored else None)
        window.append(sorted(loop.buffer.state()["actor"].tolist()))
        for index in range(actors):
            actor = Actor(index, config, channels)
            actor.pull_weights()
            while channels.ring.written(index) - (channels.first_group_ids or (0,) * 3)[index] < played:
                actor.play_once()
        manifest = restored.replay.manifest if restored else Manifest(path / "replay", directory.run_id)
        sealed = restored.replay.next_group_ids if restored else {}
        Recorder(config, channels, path / "replay", directory.run_id, sealed, manifest).finish()
        loop.save()
    assert window == [[], [0] * 4, [0] * 6 + [1] * 4 + [2] * 4]
    sources = [GroupSource(**group_settings(tiny_config(), actor)) for actor in range(3)]
    origin = Origin(
        directory.run_id, config_hash(tiny_config()), None, 0, lambda actor, number: sources[actor].instance(number)
    )
    groups = load_segments(path / "replay", directory.run_id, config_hash(tiny_config()), 100).groups
    assert {actor: len(stored) for actor, stored in groups.items()} == {0: 14, 1: 8, 2: 8}
    assert prefix_problems(groups, {0: 14, 1: 8, 2: 8}, origin) == []


def test_run_that_stores_nothing_goes_on_behind_its_checkpoint_with_an_empty_window(tmp_path: Path) -> None:
    stopped = Stopped(tmp_path / "run", replay__persist=False)
    for segment in (stopped.path / "replay").iterdir():
        segment.unlink()  # `Stopped` always has a recorder
    stopped.run.channels.stats.row("recorder").set("groups_sealed", 0)
    stopped.run.loop.save()
    channels = tiny_channels(stopped.config)
    restore_channels(channels, find_restored(stopped.reopened(), stopped.config, False), stopped.config)
    assert channels.ring.next_group_id(0) == 8
    assert channels.limiter.size == 0
    assert channels.limiter.actor_may_insert(0)
    assert not channels.limiter.learner_may_sample()


def test_f17_damaged_newest_checkpoint_falls_back(stopped: Stopped, caplog: pytest.LogCaptureFixture) -> None:
    newest = list_checkpoints(stopped.path / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    restored = find_restored(stopped.reopened(), stopped.config, False)
    assert restored.state["learner"]["train_steps"] == 0
    assert "falling back to an older checkpoint" in caplog.text
    assert list_checkpoints(stopped.path / "checkpoints") == [restored.checkpoint]


def test_f17_run_without_a_good_checkpoint_never_starts_again(stopped: Stopped) -> None:
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


def test_checkpoint_that_lacks_what_a_run_needs_is_no_traceback(stopped: Stopped) -> None:
    save_checkpoint(stopped.path / "checkpoints", {"run_id": stopped.directory.run_id}, 9, 9)
    with pytest.raises(CheckpointError, match=r"no checkpoint of a run: config, learner, .* missing or wrong"):
        find_restored(stopped.reopened(), stopped.config, False)
    with pytest.raises(CheckpointError, match="no checkpoint of a run"):
        load_agent(stopped.path)
    state = stopped.run.loop.state()
    learner = {**state["learner"], "network": 3}
    for wrong in ({"replay": {"actor": "x"}}, {"next_group_ids": ["1"]}, {"learner": learner}):
        save_checkpoint(stopped.path / "checkpoints", {**state, **wrong}, 9, 9)
        with pytest.raises(CheckpointError, match="missing or wrong"):
            find_restored(stopped.directory, stopped.config, False)
    assert checkpoint_path(stopped.path / "checkpoints", 9).exists()


def test_f15_newer_replay_stops_the_resume_with_one_line(stopped: Stopped) -> None:
    manifest = stopped.path / "replay" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    before = sorted(path.name for path in stopped.path.rglob("*"))
    with pytest.raises(RunError, match="schema version 99, newer than 1"):
        find_restored(stopped.reopened(), stopped.config, False)
    assert sorted(path.name for path in stopped.path.rglob("*")) == before


def test_disk_that_cannot_be_read_stops_the_resume_with_one_line(stopped: Stopped) -> None:
    directory = stopped.reopened()
    counter = FaultyFiles()
    find_restored(directory, stopped.config, False, counter)
    for number in range(counter.operations):
        with pytest.raises(TspmzError, match="No space left"):
            find_restored(directory, stopped.config, False, FaultyFiles(number, "on"))
    assert find_restored(directory, stopped.config, False).replay.stored_groups == 8


def test_f33_lost_episodes_must_be_allowed(stopped: Stopped) -> None:
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
