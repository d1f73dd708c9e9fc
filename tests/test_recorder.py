"""The recorder: seals everything once, survives a disk that refuses, keeps what follows a gap."""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty_files import FaultyFiles
from process_helpers import TinyRun

from tspmz.actor import Actor
from tspmz.config_files import config_hash
from tspmz.errors import RunError
from tspmz.recorder import Recorder, open_manifest
from tspmz.replay.loading import LoadReport, load_segments
from tspmz.replay.manifest import Manifest
from tspmz.replay.slots import CHECKSUM


def recorder_of(run: TinyRun, folder: Path, files: FaultyFiles | None = None, first: int = 0) -> Recorder:
    manifest = Manifest(folder, "a run", files=files)
    return Recorder(run.config, run.channels, folder, "a run", {0: first}, manifest, files)


def stored(run: TinyRun, folder: Path) -> LoadReport:
    return load_segments(folder, "a run", config_hash(run.config), 10**6)


def ids(report: LoadReport) -> list[int]:
    return [group.group_id for group in report.groups[0]]


def lost(run: TinyRun) -> float:
    return run.channels.stats.row("recorder").get("groups_lost")


def test_groups_are_sealed_when_there_are_many(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=4, replay__segment_groups=6)
    recorder = recorder_of(run, tmp_path / "replay")
    recorder.collect()
    recorder.seal_due()
    assert not (tmp_path / "replay").exists()
    run.play(2)
    recorder.collect()
    recorder.seal_due()
    assert ids(stored(run, tmp_path / "replay")) == list(range(6))


def test_groups_that_were_overwritten_make_a_gap_and_nothing_more(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=6, replay__keep_groups=1000)
    recorder = recorder_of(run, tmp_path / "replay")
    recorder.collect()
    run.play(78)  # the ring holds 64: groups 6 to 19 are overwritten while the recorder looks away
    recorder.collect()
    assert recorder.seal_all()
    report = stored(run, tmp_path / "replay")
    assert ids(report) == [*range(6), *range(20, 84)]
    assert report.quarantined == []
    assert lost(run) == 14
    assert report.next_group_ids == {0: 84}


def test_group_that_cannot_be_read_makes_a_gap(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=6)
    run.channels.ring._heads[CHECKSUM, run.channels.ring.slot_of(0, 3)] += 1
    recorder = recorder_of(run, tmp_path / "replay")
    assert recorder.seal_all()
    assert ids(stored(run, tmp_path / "replay")) == [0, 1, 2, 4, 5]
    assert lost(run) == 1


def test_full_disk_keeps_groups_waiting_and_is_loud_at_the_end(tmp_path: Path) -> None:
    run, disk = TinyRun(tmp_path, played=6, replay__keep_groups=1000), FaultyFiles()
    recorder = recorder_of(run, tmp_path / "replay", disk)
    disk.full = True
    assert not recorder.seal_all()
    with pytest.raises(RunError, match="6 groups could not be sealed"):
        recorder.finish()
    run.play(78)  # with a gap: what waits and what comes later do not follow
    recorder.collect()
    assert not recorder.seal_all()
    disk.full = False
    recorder.finish()
    assert ids(stored(run, tmp_path / "replay")) == [*range(6), *range(20, 84)]
    assert run.channels.stats.row("recorder").get("failures") == 3


def test_full_disk_takes_bounded_memory(tmp_path: Path) -> None:
    run, disk = TinyRun(tmp_path, played=0, replay__segment_groups=4, replay__keep_groups=1000), FaultyFiles()
    recorder = recorder_of(run, tmp_path / "replay", disk)
    disk.full = True
    for _ in range(80):
        run.play(4)
        recorder.collect()
        recorder.seal_due()
    disk.full = False
    recorder.finish()
    report = stored(run, tmp_path / "replay")
    assert len(ids(report)) < 160
    assert ids(report)[-1] == 319
    assert lost(run) == 320 - len(ids(report))


def test_failure_at_any_operation_loses_nothing(tmp_path: Path) -> None:
    run, counter = TinyRun(tmp_path, played=6), FaultyFiles()
    recorder_of(run, tmp_path / "count", counter).finish()
    for number in range(counter.operations):
        folder = tmp_path / str(number)
        recorder = recorder_of(run, folder, FaultyFiles(number))
        recorder.seal_all()
        recorder.finish()
        assert ids(stored(run, folder)) == list(range(6)), number


def test_of_each_actor_what_a_resume_needs_stays(tmp_path: Path) -> None:
    """However much the others have sealed since: else a resumed window would be theirs alone."""
    run = TinyRun(tmp_path, played=6, selfplay__num_actors=2, replay__keep_groups=1)
    slow = Actor(1, run.config, run.channels)
    slow.pull_weights()
    while run.channels.ring.written(1) < 4:
        slow.play_once()
    recorder = recorder_of(run, tmp_path / "replay")
    assert recorder.seal_all()
    for _ in range(5):
        run.play(4)
        assert recorder.seal_all()
    report = stored(run, tmp_path / "replay")
    assert ids(report) == list(range(18, 26))  # 8 is its share of the window's 16
    assert [group.group_id for group in report.groups[1]] == list(range(4))


def test_restarted_recorder_goes_on_behind_the_last_segment(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=4)
    first = recorder_of(run, tmp_path / "replay")
    first.finish()
    run.play(4)
    manifest = Manifest.load(tmp_path / "replay")
    second = Recorder(run.config, run.channels, tmp_path / "replay", "a run", {0: 4}, manifest)
    second.finish()
    assert ids(stored(run, tmp_path / "replay")) == list(range(8))
    assert len(manifest.entries) == 2


def test_restarted_recorder_lists_what_the_killed_one_had_sealed(tmp_path: Path) -> None:
    """Killed between a segment and the manifest; meanwhile the ring overwrites the first groups of that segment."""
    run, place = TinyRun(tmp_path, played=4, replay__keep_groups=1000), tmp_path / "replay"
    recorder_of(run, place).finish()
    run.play(8)
    manifest = Manifest.load(place)
    Recorder(run.config, run.channels, place, "a run", manifest.next_group_ids(), manifest).finish()
    manifest.replace(manifest.entries[:-1])
    run.play(60)  # the ring holds 64: groups 4 to 7 of the segment are overwritten, 8 to 11 are still there

    manifest = open_manifest(run.config, place, "a run")
    assert manifest.next_group_ids() == {0: 12}
    Recorder(run.config, run.channels, place, "a run", manifest.next_group_ids(), manifest).finish()
    report = stored(run, place)
    assert ids(report) == list(range(72))
    assert report.quarantined == []
    assert lost(run) == 0


def test_restarted_recorder_sets_aside_what_the_killed_one_left_damaged(tmp_path: Path) -> None:
    run, place = TinyRun(tmp_path, played=4), tmp_path / "replay"
    recorder_of(run, place).finish()
    manifest = Manifest.load(place)
    (damaged,) = (place / entry.name for entry in manifest.entries)
    manifest.replace([])
    damaged.write_bytes(damaged.read_bytes()[:-100])
    manifest = open_manifest(run.config, place, "a run")
    assert manifest.entries == []
    Recorder(run.config, run.channels, place, "a run", manifest.next_group_ids(), manifest).finish()
    assert ids(stored(run, place)) == list(range(4))
    assert (place / "quarantine" / damaged.name).exists()


def test_first_recorder_of_a_run_finds_nothing(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=0)
    assert open_manifest(run.config, tmp_path / "replay", "a run").entries == []
    assert not (tmp_path / "replay").exists()
