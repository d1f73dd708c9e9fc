"""What the processes share: sizes, the plan, the control words."""

from __future__ import annotations

import pytest
from process_helpers import tiny_channels, tiny_config

from tspmz.channels import memory_plan, open_channels, slots_per_actor, window_per_actor
from tspmz.control import Control, Phase
from tspmz.errors import TspmzError


@pytest.mark.parametrize(
    ("capacity", "actors", "parallel", "window", "slots"),
    [(16, 1, 2, 16, 64), (17, 2, 2, 9, 64), (16, 8, 2, 2, 64), (16, 2, 16, 16, 512), (1000, 1, 2, 1000, 1000)],
)
def test_shard_is_its_share_of_the_window_and_32_batches_where_that_is_cheap(
    capacity: int, actors: int, parallel: int, window: int, slots: int
) -> None:
    config = tiny_config(
        replay__capacity_groups=capacity, selfplay__num_actors=actors, selfplay__groups_in_parallel=parallel
    )
    assert window_per_actor(config) == window
    assert slots_per_actor(config) == slots
    assert tiny_channels(config).ring.num_slots == actors * slots


def test_plan_is_what_is_taken() -> None:
    config = tiny_config()
    channels = open_channels(config, 100)
    assert memory_plan(config, 100) == {"replay ring": channels.ring.nbytes, "weights": 800}


def test_resumed_weights_get_their_old_version_again() -> None:
    channels = open_channels(tiny_config(), 100, weights_version=7)
    assert channels.weights.version == 6


def test_missing_directory_is_an_error_for_people() -> None:
    with pytest.raises(TspmzError, match="no shared memory for the replay ring in /missing"):
        open_channels(tiny_config(run__shm_dir="/missing"), 100)


def test_phase_only_moves_forward() -> None:
    control = Control()
    assert control.phase == Phase.RUN
    control.advance(Phase.FINISH)
    control.advance(Phase.STOP)
    assert control.phase == Phase.FINISH


def test_clock_counts_on_from_earlier_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    control = Control(elapsed_before=50.0)
    monkeypatch.setattr("time.monotonic", lambda: 130.0)
    control.start_clock()
    monkeypatch.setattr("time.monotonic", lambda: 137.0)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert control.elapsed() == 57.0
