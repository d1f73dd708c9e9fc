"""Serial mode in this process: the order of play and training depends on counters only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from process_helpers import TINY, tiny_config

from tspmz.checkpoint import load_latest
from tspmz.config import ConfigError
from tspmz.replay.verify import scan_folder
from tspmz.runner import train

SERIAL = {"run__mode": "serial", "run__train_steps": 6, "evaluation__interval_seconds": 0.0}


def trained(directory: Path, **values: Any) -> dict[str, Any]:
    assert train(tiny_config(**{**SERIAL, **values}), directory) == 0
    return load_latest(directory / "checkpoints")[0]


def test_serial_run_keeps_to_the_ratio_and_stores_all_it_played(tmp_path: Path) -> None:
    state = trained(tmp_path / "run", run__train_steps=12)
    assert state["learner"]["train_steps"] == 12
    assert state["limiter"]["sampled"] == 24
    played = state["next_group_ids"][0]
    assert played == state["limiter"]["inserted"]
    # training waits until play is the error buffer ahead, then they take turns
    ahead = played - TINY["replay.min_groups"] - 24 / 3.0
    assert 0 < ahead <= TINY["replay.error_buffer_groups"] + TINY["selfplay.groups_in_parallel"]
    assert state["groups_sealed"] == played
    assert not [file.problem for file in scan_folder(tmp_path / "run" / "replay") if file.problem]


def test_two_serial_runs_are_equal_and_another_seed_is_not(tmp_path: Path) -> None:
    weights = [
        trained(tmp_path / name, run__seed=seed)["learner"]["network"] for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    equal = [all((weights[0][name] == other[name]).all() for name in other) for other in weights[1:]]
    assert equal == [True, False]


def test_run_that_stores_nothing_trains_and_resumes(tmp_path: Path) -> None:
    state = trained(tmp_path / "run", replay__persist=False)
    assert state["groups_sealed"] == 0
    assert not list((tmp_path / "run" / "replay").iterdir())
    config = tiny_config(**{**SERIAL, "replay__persist": False, "run__train_steps": 9})
    assert train(config, tmp_path / "run", resume=True) == 0
    resumed = load_latest(tmp_path / "run" / "checkpoints")[0]
    assert resumed["learner"]["train_steps"] == 9
    assert resumed["next_group_ids"][0] > state["next_group_ids"][0]


def test_serial_run_refuses_several_actors() -> None:
    with pytest.raises(ConfigError, match=r"run\.mode = serial plays with one"):
        tiny_config(**SERIAL, selfplay__num_actors=2)


def test_run_over_mixed_sizes_trains_and_resumes(tmp_path: Path) -> None:
    mixed = {**SERIAL, "problem__mixed_sizes": "4,5", "replay__min_groups": 20, "replay__capacity_groups": 64}
    assert train(tiny_config(**mixed), tmp_path / "run") == 0
    config = tiny_config(**{**mixed, "run__train_steps": 12})
    assert train(config, tmp_path / "run", resume=True) == 0
    state = load_latest(tmp_path / "run" / "checkpoints")[0]
    assert state["learner"]["train_steps"] == 12
    assert state["learner"]["attempts"] == 12
    scanned = list(scan_folder(tmp_path / "run" / "replay"))
    assert not [file.problem for file in scanned if file.problem]
    assert {int(size) for file in scanned if file.segment for size in file.segment.records["num_cities"]} == {4, 5}
    assert all(file.segment.valid.all() for file in scanned if file.segment)
