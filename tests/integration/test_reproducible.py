"""Serial mode: a run that is killed and resumed ends bit by bit like one that was not."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import Starter

from tspmz.checkpoint import load_latest
from tspmz.replay.loading import load_segments
from tspmz.types import Group

STEPS = 40
KILLED_AT = 27
SERIAL = ("--steps", str(STEPS), "--set", "run.mode=serial", "--set", "learner.checkpoint_every=10")


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """Every tensor and number of nested dictionaries and lists by its path."""
    if isinstance(tree, dict | list):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {name: leaf for key, value in pairs for name, leaf in leaves(value, f"{path}/{key}").items()}
    return {path: tree}


def stored_groups(directory: Path) -> list[Group]:
    state, _, _ = load_latest(directory / "checkpoints")
    config_hash = _config_hash(state)
    return load_segments(directory / "replay", state["run_id"], config_hash, 10**9).groups[0]


def _config_hash(state: dict[str, Any]) -> str:
    from tspmz.config_files import config_from_dict, config_hash

    return config_hash(config_from_dict(state["config"], "the checkpoint"))


@pytest.mark.timeout(180)
def test_killed_and_resumed_run_ends_bit_by_bit_like_an_undisturbed_one(start: Starter) -> None:
    whole = start("whole", *SERIAL)
    killed = start("killed", *SERIAL, sabotage=f"killed at step {KILLED_AT}")
    assert killed.end() == -signal.SIGKILL, killed.output
    assert killed.steps() == 20
    resumed = start("killed", resume=True)
    assert resumed.end() == 0, resumed.output
    assert whole.end() == 0, whole.output
    assert "resume: step 20" in resumed.log

    states = [load_latest(run.directory / "checkpoints")[0] for run in (whole, resumed)]
    for part in ("learner", "replay", "limiter", "weights_version", "next_group_ids"):
        expected, found = (leaves(state[part], part) for state in states)
        assert expected.keys() == found.keys()
        for path, value in expected.items():
            same = torch.equal(value, found[path]) if isinstance(value, torch.Tensor) else value == found[path]
            assert same, f"{path}: {value} is not {found[path]}"
    assert states[0]["learner"]["train_steps"] == STEPS

    expected_groups, found_groups = stored_groups(whole.directory), stored_groups(resumed.directory)
    assert len(expected_groups) == len(found_groups) > 0
    for one, other in zip(expected_groups, found_groups, strict=True):
        for name in Group._fields:
            assert np.array_equal(getattr(one, name), getattr(other, name)), f"group {one.group_id}: {name}"
