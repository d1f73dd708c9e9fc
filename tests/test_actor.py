"""The actor: plays into its shard with the newest weights, with signs of life within a batch of games."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from process_helpers import TinyRun

from tspmz.actor import Actor
from tspmz.control import Phase


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


def test_actor_ends_when_the_run_stops(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    written = run.channels.ring.written(0)
    run.channels.control.advance(Phase.STOP)
    run.actor.run()
    assert run.channels.ring.written(0) == written
