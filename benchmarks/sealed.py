"""What a run had sealed must be there, unchanged and true, whatever was killed: the oracle of a kill campaign."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np

from benchmarks import audit
from benchmarks.faults_report import Report
from benchmarks.live_run import LiveRun
from tspmz.replay.reading import read_segment
from tspmz.replay.segments import SegmentInfo


class SealedOracle:
    """What a run's manifest has listed so far; notices what goes missing, changes, or was wrong from the start.

    Args:
        run: whose files.
        actors: how many it has.
        keep_groups: the run's setting; removing older segments is no loss.
        report: what is found goes there.
    """

    def __init__(self, run: LiveRun, actors: int, keep_groups: int, report: Report) -> None:
        self._run = run
        self._actors = actors
        self._keep = keep_groups
        self._set_aside = 0
        self._report = report
        self._listed: dict[str, SegmentInfo] = {}
        self._checked: set[str] = set()

    def note(self) -> None:
        """Remember what is listed now."""
        self._listed.update({info.name: info for info in self._run.manifest()})

    def check(self) -> None:
        """Compare with what is there now; call while nothing runs."""
        now = {info.name: info for info in self._run.manifest()}
        missing = [info for name, info in self._listed.items() if now.get(name) != info]
        removed = {info.name for info in missing if self._may_be_removed(info, now)}
        for info in missing:
            if info.name not in removed:
                self._lose(info, "is no longer listed")
        self._listed = now
        set_aside = len(list((self._run.directory / "replay" / "quarantine").glob("segment-*")))
        self._report.quarantined += set_aside - self._set_aside
        self._set_aside = set_aside
        for info in now.values():
            self._check_segment(info)
        self._check_gaps(now)

    def _may_be_removed(self, info: SegmentInfo, now: dict[str, SegmentInfo]) -> bool:
        """Pruning takes the oldest, and leaves at least so many groups."""
        oldest = min((other.first_group_id for other in now.values() if other.actor == info.actor), default=-1)
        return info.first_group_id < oldest and sum(other.num_groups for other in now.values()) >= self._keep

    def _lose(self, info: SegmentInfo, why: str) -> None:
        self._report.sealed_lost += info.num_groups
        self._report.problems.append(f"{self._run.directory / 'replay' / info.name}: {why}")

    def _check_segment(self, info: SegmentInfo) -> None:
        try:
            image = (self._run.directory / "replay" / info.name).read_bytes()
        except OSError as error:
            self._lose(info, str(error))
            return
        if hashlib.sha256(image).hexdigest() != info.sha256:
            self._lose(info, "has changed")
            return
        if info.name in self._checked:
            return
        self._checked.add(info.name)
        records = read_segment(image).records
        for record in records:
            fault = audit.group_fault(
                record["coordinates"], record["tours"].astype(np.int64), record["rewards"], seed=int(record["seed"]),
                actor=int(record["actor"]), group_id=int(record["group_id"]),
            )  # fmt: skip
            if fault:
                self._report.sealed_bad += 1
                self._report.problems.append(f"group {record['group_id']} in {info.name}: {fault}")
        self._report.groups_checked += len(records)

    def _check_gaps(self, now: dict[str, SegmentInfo]) -> None:
        """The stored groups of an actor have no gaps, unless the ring overwrote some (which the log counts)."""
        gaps = 0
        for actor in range(self._actors):
            mine = sorted((info for info in now.values() if info.actor == actor), key=lambda info: info.first_group_id)
            for before, after in itertools.pairwise(mine):
                gaps += after.first_group_id - before.last_group_id - 1
        allowed = overwritten(self._run.directory)
        if gaps > allowed:
            self._report.problems.append(f"{gaps} groups are missing between segments, {allowed} were overwritten")


def overwritten(directory: Path) -> int:
    """Groups that the recorder of a run reported as lost in the ring, over all parts."""
    path = directory / "train.log"
    log = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = [line for line in log.splitlines() if "were overwritten before they could be sealed" in line]
    return sum(int(line.partition("recorder: ")[2].split()[0]) for line in lines)
