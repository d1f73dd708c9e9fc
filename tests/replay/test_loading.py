"""Manifest and loading: crashes between two steps, damage, gaps, pruning."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from faulty_files import FaultyFiles
from replay_helpers import make_group, same_group

from tspmz.replay import files, reading
from tspmz.replay.files import FileSystem, NotEnoughMemoryError
from tspmz.replay.loading import LoadReport, load_segments
from tspmz.replay.manifest import MANIFEST_NAME, Manifest, parse_manifest
from tspmz.replay.segments import NewerSchemaError, SegmentError, SegmentInfo, SegmentWriter
from tspmz.replay.verify import scan_folder


def seal(
    directory: Path,
    actor: int,
    first: int,
    count: int = 3,
    run_id: str = "run",
    files: FileSystem | None = None,
    previous: int | None = None,
) -> SegmentInfo:
    writer = SegmentWriter(
        directory,
        run_id=run_id,
        config_hash="hash",
        num_cities=6,
        group_size=3,
        policy_target="advantage",
        files=files,
    )
    return writer.seal([make_group(actor, number) for number in range(first, first + count)], previous)


def folder(directory: Path) -> Manifest:
    """Segments 0-2, 3-5, 6-8 of actor 0 and 10-12 of actor 1 (its older ones were pruned)."""
    manifest = Manifest(directory, "run")
    for actor, first in ((0, 0), (1, 10), (0, 3), (0, 6)):
        manifest.add(seal(directory, actor, first))
    return manifest


def load(directory: Path, keep: int = 100) -> LoadReport:
    return load_segments(directory, "run", "hash", keep)


def ids(report: LoadReport) -> dict[int, list[int]]:
    for groups in report.groups.values():
        for group in groups:
            assert same_group(group, make_group(group.actor, group.group_id), ("visit_counts", "action_weights"))
    return {actor: [group.group_id for group in groups] for actor, groups in report.groups.items()}


def test_load_returns_what_was_sealed(tmp_path: Path) -> None:
    folder(tmp_path)
    report = load(tmp_path)
    assert ids(report) == {0: list(range(9)), 1: [10, 11, 12]}
    assert report.next_group_ids == {0: 9, 1: 13}
    assert report.stored_groups == 12
    assert (report.quarantined, report.notes) == ([], [])


def test_load_keeps_the_newest_groups_of_each_actor(tmp_path: Path) -> None:
    folder(tmp_path)
    assert ids(load(tmp_path, keep=4)) == {0: [5, 6, 7, 8], 1: [10, 11, 12]}
    assert load(tmp_path, keep=0).next_group_ids == {0: 9, 1: 13}


def test_load_of_no_folder_is_empty(tmp_path: Path) -> None:
    report = load(tmp_path / "none")
    assert (report.groups, report.notes, report.stored_groups) == ({}, [], 0)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = [1, 2, 3]


def _wrong_run(path: Path) -> None:
    seal(path.parent, 0, 3, run_id="other")


@pytest.mark.parametrize("damage", [_truncate, _flip, _foreign, _wrong_run, Path.unlink])
def test_load_stops_at_a_bad_segment_and_sets_it_and_later_ones_aside(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder(tmp_path)
    damage(tmp_path / "segment-0-3.h5")
    moved = ["segment-0-6.h5"] if damage is Path.unlink else ["segment-0-3.h5", "segment-0-6.h5"]
    report = load(tmp_path)
    assert ids(report) == {0: [0, 1, 2], 1: [10, 11, 12]}
    assert report.next_group_ids == {0: 3, 1: 13}
    assert report.quarantined == moved
    assert sorted(os.listdir(tmp_path / "quarantine")) == ["reasons.log", *moved]
    reasons = (tmp_path / "quarantine" / "reasons.log").read_text()
    assert "segment-0-6.h5: comes after segment-0-3.h5, which is bad" in reasons
    again = load(tmp_path)
    assert ids(again) == ids(report)
    assert again.notes == []


def test_truncation_is_reported_with_both_sizes(tmp_path: Path) -> None:
    folder(tmp_path)
    size = (tmp_path / "segment-0-6.h5").stat().st_size
    _truncate(tmp_path / "segment-0-6.h5")
    assert load(tmp_path).notes == [f"{tmp_path}/segment-0-6.h5: has {size - 100} bytes, the manifest says {size}"]


def test_quarantine_keeps_files_of_the_same_name(tmp_path: Path) -> None:
    for _ in range(2):
        Manifest(tmp_path, "run").add(seal(tmp_path, 0, 0))
        _flip(tmp_path / "segment-0-0.h5")
        load(tmp_path)
    assert sorted(os.listdir(tmp_path / "quarantine")) == ["reasons.log", "segment-0-0.h5", "segment-0-0.h5.1"]


def test_segment_that_is_not_yet_listed_is_adopted(tmp_path: Path) -> None:
    folder(tmp_path)
    seal(tmp_path, 0, 9)
    assert ids(load(tmp_path))[0] == list(range(12))
    assert len(Manifest.load(tmp_path).entries) == 5


def test_segment_that_does_not_follow_is_not_adopted(tmp_path: Path) -> None:
    folder(tmp_path)
    seal(tmp_path, 0, 12)
    report = load(tmp_path)
    assert ids(report)[0] == list(range(9))
    assert report.quarantined == ["segment-0-12.h5"]
    assert "starts at group 12, 9 is the next" in report.notes[0]


def test_gap_between_listed_segments_is_kept_and_noted(tmp_path: Path) -> None:
    manifest = folder(tmp_path)
    manifest.add(seal(tmp_path, 0, 12))
    report = load(tmp_path)
    assert ids(report)[0] == [*range(9), 12, 13, 14]
    assert report.next_group_ids[0] == 15
    assert report.quarantined == []
    assert report.notes == [f"{tmp_path}/segment-0-12.h5: groups 9 to 11 of actor 0 were never stored"]


@pytest.mark.parametrize("listed", [True, False])
def test_f34_gap_that_the_segment_says_is_meant_survives_the_loss_of_the_manifest(tmp_path: Path, listed: bool) -> None:
    """A slow disk: groups 9 to 11 were overwritten before they could be sealed, later ones are sealed and count."""
    manifest = folder(tmp_path)
    info = seal(tmp_path, 0, 12, previous=8)
    if listed:
        manifest.add(info)
    manifest.add(seal(tmp_path, 0, 15))
    (tmp_path / MANIFEST_NAME).unlink()
    report = load(tmp_path)
    assert ids(report)[0] == [*range(9), *range(12, 18)]
    assert report.quarantined == []
    assert report.notes[1:] == [f"{tmp_path}/segment-0-12.h5: groups 9 to 11 of actor 0 were never stored"]
    assert load(tmp_path).notes == report.notes[1:]


def test_f34_segment_that_is_missing_is_no_gap_that_was_meant(tmp_path: Path) -> None:
    """Without a manifest, what comes behind a lost segment is set aside, also where a gap that was meant is near."""
    folder(tmp_path)
    seal(tmp_path, 0, 12, previous=8)
    (tmp_path / MANIFEST_NAME).unlink()
    (tmp_path / "segment-0-6.h5").unlink()
    report = load(tmp_path)
    assert ids(report)[0] == list(range(6))
    assert report.quarantined == ["segment-0-12.h5"]


def test_f34_orphan_in_a_gap_that_was_meant_is_adopted(tmp_path: Path) -> None:
    """A recorder killed between a segment and the manifest; its successor found later groups overwritten."""
    manifest = folder(tmp_path)
    seal(tmp_path, 0, 9, count=2)
    manifest.add(seal(tmp_path, 0, 14, previous=8))
    (tmp_path / MANIFEST_NAME).unlink()
    assert ids(load(tmp_path))[0] == [*range(11), 14, 15, 16]


def test_segment_that_is_not_listed_and_overlaps_is_set_aside_alone(tmp_path: Path) -> None:
    """As a recorder of an earlier version left it: killed before it listed 9 to 12, its successor sealed from 11 on."""
    manifest = folder(tmp_path)
    seal(tmp_path, 0, 9, count=4)
    manifest.add(seal(tmp_path, 0, 11, previous=8))
    manifest.add(seal(tmp_path, 0, 14))
    (scanned,) = [file for file in scan_folder(tmp_path) if file.problem]
    assert (scanned.name, scanned.listed) == ("segment-0-9.h5", False)
    assert scanned.problem.startswith("holds groups of segment-0-11.h5, too, which the manifest lists")
    report = load(tmp_path)
    assert ids(report)[0] == [*range(9), *range(11, 17)]
    assert report.quarantined == ["segment-0-9.h5"]
    assert load(tmp_path).quarantined == []


def test_damaged_segment_that_is_not_listed_does_not_cost_those_that_are(tmp_path: Path) -> None:
    manifest = folder(tmp_path)
    path = tmp_path / seal(tmp_path, 0, 9).name
    path.write_bytes(path.read_bytes()[:-1])
    manifest.add(seal(tmp_path, 0, 12, previous=8))
    report = load(tmp_path)
    assert ids(report)[0] == [*range(9), 12, 13, 14]
    assert report.quarantined == [path.name]


def test_listed_segment_that_overlaps_is_set_aside(tmp_path: Path) -> None:
    manifest = folder(tmp_path)
    manifest.add(seal(tmp_path, 0, 8))
    report = load(tmp_path)
    assert ids(report)[0] == list(range(9))
    assert report.quarantined == ["segment-0-8.h5"]


def test_missing_manifest_is_rebuilt(tmp_path: Path) -> None:
    manifest = folder(tmp_path)
    (tmp_path / MANIFEST_NAME).unlink()
    report = load(tmp_path)
    assert ids(report) == {0: list(range(9)), 1: [10, 11, 12]}
    assert report.notes == [f"{tmp_path}/{MANIFEST_NAME} is missing: rebuilt from the segments"]
    assert sorted(Manifest.load(tmp_path).entries) == sorted(manifest.entries)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1}', b"\xff\xfe"])
def test_damaged_manifest_is_set_aside_and_rebuilt(tmp_path: Path, content: bytes) -> None:
    folder(tmp_path)
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    report = load(tmp_path)
    assert ids(report) == {0: list(range(9)), 1: [10, 11, 12]}
    assert report.quarantined == [MANIFEST_NAME]


@pytest.mark.parametrize("what", ["manifest", "segment"])
def test_newer_schema_is_refused_and_nothing_is_touched(tmp_path: Path, what: str) -> None:
    """F15."""
    folder(tmp_path)
    if what == "manifest":
        tree = json.loads((tmp_path / MANIFEST_NAME).read_text())
        (tmp_path / MANIFEST_NAME).write_text(json.dumps({**tree, "schema_version": 99}))
    else:
        (tmp_path / MANIFEST_NAME).unlink()
        with h5py.File(tmp_path / "segment-0-3.h5", "r+") as file:
            file.attrs.modify("schema_version", 99)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(NewerSchemaError, match=r"schema version 99.* newer than"):
        load(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../segment-0-0.h5"},
        {"name": "segment-1-0.h5"},
        {"size": True},
        {"size": 0},
        {"sha256": "x" * 64},
        {"last_group_id": -1},
        {"more": 1},
    ],
)
def test_manifest_entries_that_no_writer_makes_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    Manifest(tmp_path, "run").add(seal(tmp_path, 0, 0))
    tree = json.loads((tmp_path / MANIFEST_NAME).read_text())
    tree["entries"][0].update(change)
    with pytest.raises(SegmentError, match="entry"):
        parse_manifest(json.dumps(tree).encode())


def test_files_with_other_names_are_left_alone(tmp_path: Path) -> None:
    folder(tmp_path)
    _foreign(tmp_path / "mine.h5")
    (tmp_path / "segment-00-3.h5").write_bytes(b"x")
    (tmp_path / ".tmp-segment-0-9.h5").write_bytes(b"half")
    report = load(tmp_path)
    assert report.quarantined == []
    assert report.notes == [f"{tmp_path}/.tmp-segment-0-9.h5: temporary file removed"]
    assert (tmp_path / "mine.h5").exists()
    assert (tmp_path / "segment-00-3.h5").exists()


def test_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    folder(tmp_path / "replay")
    path = tmp_path / "replay" / "segment-0-6.h5"
    path.rename(tmp_path / "elsewhere.h5")
    path.symlink_to(tmp_path / "elsewhere.h5")
    assert ids(load(tmp_path / "replay"))[0] == list(range(6))
    assert (tmp_path / "elsewhere.h5").exists()


def test_prune_removes_the_oldest_whole_segments(tmp_path: Path) -> None:
    manifest = folder(tmp_path)
    removed = manifest.prune(5)
    assert [info.name for info in removed] == ["segment-0-0.h5", "segment-1-10.h5"]
    assert ids(load(tmp_path)) == {0: [3, 4, 5, 6, 7, 8]}
    assert Manifest.load(tmp_path).prune(6) == []


def test_prune_keeps_what_is_needed(tmp_path: Path) -> None:
    manifest = folder(tmp_path)
    assert [info.name for info in manifest.to_prune(0, {0: 4, 1: 13})] == ["segment-0-0.h5", "segment-1-10.h5"]
    assert [info.name for info in manifest.prune(0, {0: 4, 1: 12})] == ["segment-0-0.h5"]
    assert ids(load(tmp_path)) == {0: [3, 4, 5, 6, 7, 8], 1: [10, 11, 12]}


def test_interrupted_pruning_is_finished_by_the_next_load(tmp_path: Path) -> None:
    manifest = folder(tmp_path)
    manifest.replace(manifest.entries[2:3] + manifest.entries[3:])
    (tmp_path / "segment-1-10.h5").unlink()
    report = load(tmp_path)
    assert ids(report) == {0: [3, 4, 5, 6, 7, 8]}
    assert report.notes == [f"{tmp_path}/segment-0-0.h5: left from an interrupted pruning, removed"]
    assert not (tmp_path / "segment-0-0.h5").exists()


@pytest.mark.parametrize("fail_at", range(14))
def test_what_was_listed_survives_a_failure_at_any_operation(tmp_path: Path, fail_at: int) -> None:
    folder(tmp_path)
    files = FaultyFiles(fail_at, "on", errno.EIO)
    listed = 9
    try:
        info = seal(tmp_path, 0, 9, count=2, files=files)
        Manifest(tmp_path, "run", Manifest.load(tmp_path).entries, files).add(info)
        listed = 11
    except OSError:
        pass
    stored = ids(load(tmp_path))[0]
    assert stored == list(range(len(stored)))
    assert listed <= len(stored) <= 11


def test_failed_manifest_write_can_be_tried_again(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, "run", files=FaultyFiles(2, error=errno.EIO))
    info = seal(tmp_path, 0, 0)
    with pytest.raises(OSError, match="Input/output"):
        manifest.add(info)
    assert manifest.entries == []
    retried = Manifest(tmp_path, "run")
    retried.add(info)
    retried.add(info)
    assert Manifest.load(tmp_path).entries == [info]


@pytest.mark.parametrize("place", ["reading.np", "files.open"])
def test_f29_whole_segment_without_room_in_memory_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It is no damaged one: with more memory everything is there."""

    def refuse(*_: object, **settings: object) -> None:
        raise MemoryError("Unable to allocate 9 GiB")

    folder(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with monkeypatch.context() as patched:
        if place == "reading.np":
            patched.setattr(reading, "np", SimpleNamespace(**{**vars(np), "zeros": refuse}))
        else:
            patched.setattr(files, "open", refuse, raising=False)
        with pytest.raises(NotEnoughMemoryError, match="not enough memory for"):
            load(tmp_path)
    assert sorted(os.listdir(tmp_path)) == before
    assert load(tmp_path).stored_groups == 12
