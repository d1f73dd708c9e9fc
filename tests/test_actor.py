"""The actor: plays into its shard with the newest weights, with signs of life within a batch of games."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from process_helpers import TinyRun

from tspmz import actor as actor_module
from tspmz.actor import Actor
from tspmz.control import Phase
from tspmz.errors import RunError
from tspmz.replay.fields import Records
from tspmz.selfplay import play_groups


def test_groups_go_into_the_shard_with_their_version_and_are_counted(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=4)
    row = run.channels.stats.row("actor", 0)
    assert run.channels.ring.written(0) == 4
    assert run.channels.limiter.inserted == 4
    assert row.get("groups_played") == 4
    assert row.get("env_steps") == 4 * 4 * 4
    assert row.get("simulations") == 4 * 4 * 3 * 2
    group = run.channels.ring.read(3, 3)
    assert group is not None
    assert group.weights_version == run.channels.weights.version
    assert np.array_equal(np.sort(group.tours, axis=1), np.tile(np.arange(5), (4, 1)))


def test_games_without_search_are_played_and_learned_from(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, search__num_simulations=0)
    row = run.channels.stats.row("actor", 0)
    assert (row.get("groups_played"), row.get("simulations"), row.get("root_depth_sum")) == (4, 0, 0)
    group = run.channels.ring.read(3, 3)
    assert group is not None
    assert np.array_equal(np.sort(group.tours, axis=1), np.tile(np.arange(5), (4, 1)))
    assert np.isfinite(group.root_values).all()
    run.loop.train_once()
    assert run.loop.learner.train_steps == 1


def test_only_newer_weights_are_pulled(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    pulls = run.channels.stats.row("actor", 0).get("weights_pulls")
    run.actor.pull_weights()
    assert run.channels.stats.row("actor", 0).get("weights_pulls") == pulls
    run.loop.publish()
    run.actor.pull_weights()
    assert run.actor.weights_version == run.channels.weights.version


def test_restarted_actor_goes_on_with_the_next_group(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=4)
    again = Actor(0, run.config, run.channels)
    again.pull_weights()
    again.play_once()
    assert run.channels.ring.written(0) == 6


def test_each_stage_of_a_batch_is_a_sign_of_life(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    row = run.channels.stats.row("actor", 0)
    row.set("heartbeat", 0.0)
    run.actor._clock.add("tree_seconds", 1.0)
    assert row.get("heartbeat") > 0.0


def test_temperature_follows_the_train_steps(tmp_path: Path) -> None:
    settings = {"selfplay__temperature": 0.9, "selfplay__temperature_schedule": "10:0.5,20:0"}
    run = TinyRun(tmp_path, **settings)
    found = []
    for steps in (0, 9, 10, 19, 20, 1000):
        run.channels.stats.row("learner").set("train_steps", steps)
        found.append(run.actor.temperature)
    assert found == [0.9, 0.9, 0.5, 0.5, 0.0, 0.0]
    assert TinyRun(tmp_path / "plain").actor.temperature == 1.0


def test_rest_is_cut_short_by_the_end_of_the_run(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    control = run.channels.control
    beats: list[int] = []
    control.pause(0.0, lambda: beats.append(1))
    assert beats == []
    control.pause(1e-3, lambda: beats.append(1))
    assert beats == [1]
    control.pause(1e9, lambda: control.advance(Phase.STOP))
    assert control.phase == Phase.STOP


def test_actor_and_learner_rest_after_each_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delays = {"selfplay__delay_seconds": 7.0, "learner__delay_seconds": 9.0}
    run = TinyRun(tmp_path, played=6, **delays)
    rests: list[float] = []

    def pause(seconds: float, beat: object) -> None:
        rests.append(seconds)
        run.channels.control.advance(Phase.STOP)

    monkeypatch.setattr(run.channels.control, "pause", pause)
    run.actor.run()
    assert rests == [7.0]
    monkeypatch.setattr(type(run.channels.control), "phase", Phase.RUN)
    monkeypatch.setattr(type(run.loop), "finished", property(lambda loop: len(rests) > 1))
    run.loop.run()
    assert rests == [7.0, 9.0]


def test_actor_ends_when_the_run_stops(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    written = run.channels.ring.written(0)
    run.channels.control.advance(Phase.STOP)
    run.actor.run()
    assert run.channels.ring.written(0) == written


def test_f20_batch_whose_weights_got_too_old_is_played_again_with_newer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = TinyRun(tmp_path, played=0, selfplay__max_weights_lag=2)
    publications = [3, 2]  # while the first batch is played, and while the second one is

    def slowly(*args: Any, **settings: Any) -> Records:
        for _ in range(publications.pop(0)):
            run.loop.publish()
        return play_groups(*args, **settings)

    monkeypatch.setattr(actor_module, "play_groups", slowly)
    row = run.channels.stats.row("actor", 0)
    run.actor.play_once()
    assert [row.get(name) for name in ("weights_lag", "groups_dropped", "groups_played")] == [3, 2, 0]
    assert run.channels.ring.written(0) == run.channels.limiter.inserted == 0
    assert "3 versions of the weights were published while a batch was played" in caplog.text

    run.actor.pull_weights()
    newest = run.channels.weights.version
    run.actor.play_once()
    assert [row.get(name) for name in ("weights_lag", "groups_dropped", "groups_played")] == [2, 2, 2]
    group = run.channels.ring.read(0, 0)
    assert group is not None
    assert group.weights_version == newest


@pytest.mark.parametrize("overlap", [False, True])
def test_f30_batch_that_does_not_fit_is_played_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool
) -> None:
    settings = {"selfplay__groups_in_parallel": 5, "selfplay__overlap": overlap}
    run = TinyRun(tmp_path, played=0, **settings)
    played: list[int] = []

    def cramped(model: Any, search: Any, source: Any, first: int, count: int, *args: Any, **settings: Any) -> Any:
        if count > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        played.append(first)
        return play_groups(model, search, source, first, count, *args, **settings)

    monkeypatch.setattr(actor_module, "play_groups", cramped)
    run.actor.play_once()
    assert run.channels.ring.written(0) == run.channels.limiter.inserted == 5
    assert [group.group_id for group in map(run.channels.ring.read, range(5), range(5)) if group] == list(range(5))
    assert {groups for _, groups, _ in run.actor._players} <= {1, 2}  # those for more are gone
    played.clear()
    run.actor.play_once()
    assert sorted(played) == list(range(5, 10))


@pytest.mark.parametrize("overlap", [False, True])
def test_f30_what_failed_is_given_back_before_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: bool
) -> None:
    run = TinyRun(tmp_path, played=0, selfplay__groups_in_parallel=4, selfplay__overlap=overlap)
    held: list[weakref.ref[np.ndarray[Any, Any]]] = []
    alive_at_retry: list[int] = []

    def cramped(model: Any, search: Any, source: Any, first: int, count: int, *args: Any, **settings: Any) -> Any:
        large = np.ones(1000)
        if count > 1:
            held.append(weakref.ref(large))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        alive_at_retry.append(sum(one() is not None for one in held))
        return play_groups(model, search, source, first, count, *args, **settings)

    monkeypatch.setattr(actor_module, "play_groups", cramped)
    run.actor.play_once()
    assert held
    assert set(alive_at_retry) == {0}


def test_f30_actor_without_memory_for_one_group_says_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cramped(*_: Any, **settings: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.\nand more")

    run = TinyRun(tmp_path, played=0)
    monkeypatch.setattr(actor_module, "play_groups", cramped)
    with pytest.raises(RunError, match=r"lower selfplay\.group_size or search\.num_simulations \(CUDA out of m"):
        run.actor.play_once()
    assert run.channels.ring.written(0) == 0


def test_f20_dropped_batches_cannot_starve_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TinyRun(tmp_path, played=4, selfplay__max_weights_lag=1, learner__publish_every=1)

    def beside_an_eager_learner(*args: Any, **settings: Any) -> Records:
        for _ in range(10):
            if run.channels.limiter.learner_may_sample():
                run.loop.train_once()
        return play_groups(*args, **settings)

    monkeypatch.setattr(actor_module, "play_groups", beside_an_eager_learner)
    for _ in range(50):
        run.actor.pull_weights()
        run.actor.play_once()
        run.loop.refresh()
    row = run.channels.stats.row("actor", 0)
    assert row.get("groups_dropped") > 0
    assert run.channels.ring.written(0) > 4  # the limiter held the learner, so that a batch could be finished


def test_two_halves_are_played_as_each_would_be_alone(tmp_path: Path) -> None:
    """Two threads, the groups of the first half in front; each half has the noise of its own first group."""
    run = TinyRun(tmp_path, selfplay__groups_in_parallel=5, selfplay__overlap=True)
    records = np.concatenate(run.actor._play(10))
    assert records["group_id"].tolist() == [10, 11, 12, 13, 14]
    alone = TinyRun(tmp_path / "alone", selfplay__groups_in_parallel=3)
    fewer = TinyRun(tmp_path / "fewer", selfplay__groups_in_parallel=2)
    expected = np.concatenate([*alone.actor._play(10), *fewer.actor._play(13)])
    for name in records.dtype.names or ():
        assert np.array_equal(records[name], expected[name]), name
    row = run.channels.stats.row("actor", 0)
    before = run.channels.ring.written(0)
    run.actor.play_once()
    assert run.channels.ring.written(0) == before + 5
    assert row.get("groups_played") == before + 5
    assert row.get("network_seconds") > 0.0


@pytest.mark.parametrize("overlap", [False, True])
def test_actor_plays_mixed_sizes_each_batch_of_one(tmp_path: Path, overlap: bool) -> None:
    run = TinyRun(
        tmp_path, problem__mixed_sizes="4,5", selfplay__groups_in_parallel=3, selfplay__overlap=overlap,
        replay__capacity_groups=64,
    )  # fmt: skip
    while (played := run.channels.ring.written(0)) < 36:
        run.actor.play_once()
    moves = 0
    for number in range(played):
        group = run.channels.ring.read(number, number)
        assert group is not None
        coordinates, starts = run.actor._source.instance(number)
        np.testing.assert_array_equal(group.coordinates, coordinates)
        np.testing.assert_array_equal(group.tours[:, 0], starts)
        size = len(coordinates)
        assert np.array_equal(np.sort(group.tours, axis=1), np.tile(np.arange(size), (4, 1)))
        moves += 4 * (size - 1)
    assert {len(run.actor._source.instance(number)[0]) for number in (0, 16)} == {4, 5}
    row = run.channels.stats.row("actor", 0)
    assert row.get("env_steps") == moves
    run.loop.refresh()
    assert run.loop.buffer.size == played
    assert run.loop.train_once()
