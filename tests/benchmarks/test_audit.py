"""The campaign's own checks notice what they are there for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import audit
from benchmarks.faults_report import Report
from benchmarks.live_run import LiveRun
from benchmarks.sealed import SealedOracle
from tspmz.replay.manifest import Manifest
from tspmz.replay.segments import SegmentWriter
from tspmz.rng import generator_for
from tspmz.tsp import env
from tspmz.types import Group

IDENTITY = {"seed": 3, "actor": 1}


def played(group_id: int, actor: int = 1) -> Group:
    """A group of four tours on six cities, as this actor must have played it."""
    rng = generator_for(3, "instance", actor, group_id)
    coordinates = rng.random((6, 2), dtype=np.float32)
    starts = rng.permutation(6)[:4]
    tours = np.stack([np.concatenate([[start], rng.permutation(np.delete(np.arange(6), start))]) for start in starts])
    state = env.reset(coordinates[None], tours[None, :, 0])
    rewards = []
    for t in range(1, 6):
        state, time_step = env.step(state, tours[None, :, t])
        rewards.append(time_step.rewards[0])
    moves = np.stack(rewards, axis=1)
    empty = np.zeros((4, 5, 0))
    return Group(
        coordinates, tours, moves, moves, moves, empty.astype(np.int32), empty.astype(np.float32), actor, group_id, 3, 1
    )


def test_group_that_was_played_has_no_fault() -> None:
    group = played(5)
    assert audit.group_fault(group.coordinates, group.tours, group.rewards, group_id=5, **IDENTITY) == ""


@pytest.mark.parametrize(
    ("part", "fault"),
    [("coordinates", "cities"), ("tours", "permutation"), ("rewards", "rewards"), ("group_id", "cities")],
)
def test_group_of_two_halves_has_a_fault(part: str, fault: str) -> None:
    one, other = played(5), played(6)
    coordinates = one.coordinates.copy()
    tours, rewards = one.tours.copy(), one.rewards.copy()
    if part == "coordinates":
        coordinates[3:] = other.coordinates[3:]
    elif part == "tours":
        tours[2, 3] = tours[2, 2]
    elif part == "rewards":
        rewards[1] = other.rewards[1]
    group_id = 6 if part == "group_id" else 5
    assert fault in audit.group_fault(coordinates, tours, rewards, group_id=group_id, **IDENTITY)


def test_notes_are_summed_up_by_part_and_cut_lines_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "10-11.notes").write_text("published 1 aa\npublished 2 bb\ndrawn 4\nbad group 3 of actor 0: torn\n")
    (tmp_path / "10-12.notes").write_text("pulled 1 aa\nplayed 0 7\npulled 2 ff\npulled 1")
    (tmp_path / "20-21.notes").write_text("published 1 cc\n")
    (tmp_path / "20-22.notes").write_text("pulled 1 cc\nplayed 0 5\n")
    found = audit.read(tmp_path)
    assert found[:4] == (4, 1, 3, 1)
    assert found.faults == ["bad group 3 of actor 0: torn", "weights version 2 of part 10 were not what was published"]
    assert found.played == {(10, 0): 8, (20, 0): 6}


class Stored:
    """A run with sealed segments of three groups each, and the oracle that has seen them."""

    def __init__(self, folder: Path, keep_groups: int = 10**9) -> None:
        self.replay = folder / "run" / "replay"
        writer = SegmentWriter(
            self.replay, run_id="r", config_hash="h", num_cities=6, group_size=4, policy_target="advantage"
        )
        self.infos = [writer.seal([played(first + i) for i in range(3)]) for first in (0, 3, 6)]
        self.manifest = Manifest(self.replay, "r")
        for info in self.infos:
            self.manifest.add(info)
        self.report = Report()
        self.oracle = SealedOracle(LiveRun(folder / "run", {}), 2, keep_groups, self.report)
        self.oracle.note()


def test_what_is_still_there_is_no_loss(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    stored.oracle.check()
    assert stored.report.groups_checked == 9
    assert stored.report.sealed_lost == 0
    assert stored.report.problems == []


@pytest.mark.parametrize("harm", ["unlisted", "removed", "changed"])
def test_what_was_sealed_and_is_gone_or_changed_is_a_loss(harm: str, tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    path = stored.replay / stored.infos[1].name
    if harm == "unlisted":
        stored.manifest.replace([stored.infos[0], stored.infos[2]])
    elif harm == "removed":
        path.unlink()
    else:
        image = bytearray(path.read_bytes())
        image[-1] ^= 1
        path.write_bytes(image)
    stored.oracle.check()
    assert stored.report.sealed_lost == 3
    assert "3 sealed groups lost" in stored.report.broken


def test_removing_the_oldest_is_a_loss_only_where_too_few_remain(tmp_path: Path) -> None:
    for folder, keep, lost in ((tmp_path / "allowed", 6, 0), (tmp_path / "too many", 7, 3)):
        stored = Stored(folder, keep)
        stored.manifest.replace(stored.infos[1:])
        stored.oracle.check()
        assert stored.report.sealed_lost == lost


def test_sealed_group_that_was_never_played_is_found(tmp_path: Path) -> None:
    stored = Stored(tmp_path)
    writer = SegmentWriter(
        stored.replay, run_id="r", config_hash="h", num_cities=6, group_size=4, policy_target="advantage"
    )
    group = played(9)
    other = played(10)
    mixed = group._replace(coordinates=other.coordinates, tours=other.tours, rewards=other.rewards)
    stored.manifest.add(writer.seal([mixed]))
    stored.oracle.check()
    assert stored.report.sealed_bad == 1
