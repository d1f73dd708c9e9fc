"""Sealed segments: round trip, damage of every kind, files of others."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from replay_helpers import make_group, same_group

from tspmz.replay.fields import fields_for
from tspmz.replay.packing import load_group
from tspmz.replay.reading import read_segment
from tspmz.replay.ring import Ring
from tspmz.replay.segments import ForeignFileError, NewerSchemaError, SegmentError, SegmentWriter
from tspmz.replay.slots import CHECKSUM
from tspmz.types import Group

DATA = Path(__file__).parents[1] / "data"


def writer_of(directory: Path, target: str = "gumbel", compress: bool = False) -> SegmentWriter:
    return SegmentWriter(
        directory,
        run_id="run",
        config_hash="c0ffee",
        num_cities=6,
        group_size=3,
        policy_target=target,
        compress=compress,
    )


def sealed(directory: Path, groups: list[Group] | None = None, **settings: bool) -> Path:
    writer = writer_of(directory, **settings)  # type: ignore[arg-type]
    return directory / writer.seal(groups or [make_group(2, number) for number in range(5, 8)]).name


def altered(path: Path, change: Callable[[h5py.File], object]) -> bytes:
    """The file's bytes after `change` was applied with plain h5py."""
    with h5py.File(path, "r+") as file:
        change(file)
    return path.read_bytes()


@pytest.mark.parametrize("target", ["visit_counts", "gumbel", "advantage"])
@pytest.mark.parametrize("compress", [False, True])
def test_ring_to_segment_to_ring_is_identical(tmp_path: Path, target: str, compress: bool) -> None:
    first, second = (Ring(3, 4, fields_for(6, 3, target)) for _ in range(2))
    writer = first.writer(2)
    for number in range(4):
        writer.write(make_group(2, number))
    groups = [first.read(first.slot_of(2, number), number) for number in range(4)]
    info = writer_of(tmp_path, target, compress).seal([group for group in groups if group is not None])
    segment = read_segment((tmp_path / info.name).read_bytes(), run_id="run", config_hash="c0ffee")
    second.restore(2, [load_group(record) for record in segment.records], 4)
    assert segment.valid.all()
    assert np.array_equal(first._words, second._words)
    assert np.array_equal(first._heads[CHECKSUM], second._heads[CHECKSUM])


def test_seal_describes_the_file(tmp_path: Path) -> None:
    info = writer_of(tmp_path / "replay").seal([make_group(2, number) for number in range(5, 8)])
    content = (tmp_path / "replay" / info.name).read_bytes()
    assert info.name == "segment-2-5.h5"
    assert (info.actor, info.first_group_id, info.last_group_id, info.num_groups) == (2, 5, 7, 3)
    assert (info.size, info.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert [path.name for path in (tmp_path / "replay").iterdir()] == [info.name]


def test_sealed_groups_read_back_the_same(tmp_path: Path) -> None:
    segment = read_segment(sealed(tmp_path).read_bytes())
    for index, record in enumerate(segment.records):
        assert same_group(load_group(record), make_group(2, 5 + index), ignore=("visit_counts",))
    assert (segment.header.run_id, segment.header.config_hash) == ("run", "c0ffee")


def test_seal_refuses_gaps_mixed_actors_and_nothing(tmp_path: Path) -> None:
    writer = writer_of(tmp_path)
    for groups in ([make_group(0, 0), make_group(0, 2)], [make_group(0, 0), make_group(1, 1)]):
        with pytest.raises(ValueError, match="cannot follow group 0"):
            writer.seal(groups)
    with pytest.raises(ValueError, match="at least one"):
        writer.seal([])


def test_truncated_segment_is_refused_at_any_length(tmp_path: Path) -> None:
    content = sealed(tmp_path).read_bytes()
    for length in range(0, len(content), 512):
        with pytest.raises(SegmentError):
            read_segment(content[:length])


def test_flipped_byte_is_found_or_changes_nothing(tmp_path: Path) -> None:
    content = sealed(tmp_path, [make_group(2, 5)]).read_bytes()
    whole = read_segment(content)
    rng = np.random.default_rng(0)
    found = 0
    for position in rng.choice(len(content), 400, replace=False):
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        try:
            segment = read_segment(bytes(damaged))
        except SegmentError:
            found += 1
        else:
            assert segment.header == whole.header
            assert segment.records.tobytes() == whole.records.tobytes()
    assert found > 0


def test_foreign_files_are_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(ForeignFileError, match="no HDF5 signature"):
        read_segment(b"something else")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = np.arange(3)
    with pytest.raises(ForeignFileError, match="no magic"):
        read_segment((tmp_path / "foreign.h5").read_bytes())


def test_other_run_or_settings_are_refused(tmp_path: Path) -> None:
    content = sealed(tmp_path).read_bytes()
    with pytest.raises(SegmentError, match="of run 'run', not 'other'"):
        read_segment(content, run_id="other")
    with pytest.raises(SegmentError, match="other fixed settings"):
        read_segment(content, config_hash="other")


@pytest.mark.parametrize("version", [1, 2])
def test_f15_segment_of_every_schema_version_is_read(version: int) -> None:
    """A stored file per version; older ones are brought to today's attributes."""
    segment = read_segment((DATA / f"segment_schema_{version}.h5").read_bytes(), run_id="golden", config_hash="c0ffee")
    header = segment.header
    assert (header.actor, header.first_group_id, header.last_group_id) == (2, 5, 7)
    assert header.previous_group_id == (4 if version == 1 else 1)
    assert segment.valid.all()
    for index, record in enumerate(segment.records):
        assert same_group(load_group(record), make_group(2, 5 + index), ("visit_counts", "action_weights"))


def test_f15_attributes_of_another_version_are_refused() -> None:
    with h5py.File(io.BytesIO((DATA / "segment_schema_2.h5").read_bytes()), "r") as file:
        names = set(file.attrs)
    for version, wrong in ((1, "previous_group_id"), (2, "")):
        image = io.BytesIO((DATA / f"segment_schema_{version}.h5").read_bytes())
        with h5py.File(image, "r+") as file:
            file.attrs.modify("schema_version", 3 - version)
            assert set(file.attrs) ^ names == ({wrong} if wrong else set())
        with pytest.raises(SegmentError, match="wrong attributes: previous_group_id"):
            read_segment(image.getvalue())


@pytest.mark.parametrize("previous", [-2, 5, 9])
def test_previous_group_must_come_before(tmp_path: Path, previous: int) -> None:
    with pytest.raises(ValueError, match="cannot be the one before"):
        writer_of(tmp_path).seal([make_group(2, 5)], previous)


def test_newer_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    """F15."""
    content = altered(sealed(tmp_path), lambda file: file.attrs.modify("schema_version", 99))
    with pytest.raises(NewerSchemaError, match="schema version 99 is newer than 2"):
        read_segment(content)


def _external_link(file: h5py.File) -> None:
    del file["rewards"]
    file["rewards"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft_link(file: h5py.File) -> None:
    del file["rewards"]
    file["rewards"] = h5py.SoftLink("/root_values")


def _external_storage(file: h5py.File) -> None:
    del file["rewards"]
    file.create_dataset("rewards", (3, 3, 5), "<f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def _other_shape(file: h5py.File) -> None:
    del file["tours"]
    file.create_dataset("tours", (3, 3, 7), "<i2", chunks=True, fletcher32=True)


def _never_written(file: h5py.File) -> None:
    del file["tours"]
    file.create_dataset("tours", (3, 3, 6), "<i2", chunks=True, fletcher32=True)


def _text_field(file: h5py.File) -> None:
    del file["tours"]
    file.create_dataset("tours", (3, 3, 6), h5py.string_dtype())


def _huge_count(file: h5py.File) -> None:
    file.attrs.modify("last_group_id", np.int64(10**15))


def _huge_cities(file: h5py.File) -> None:
    file.attrs.modify("num_cities", np.int64(10**6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external_link, "links are not followed"),
        (_soft_link, "links are not followed"),
        (_external_storage, "not stored in checked chunks"),
        (_other_shape, "has shape"),
        (_never_written, "not complete"),
        (_text_field, "no data set of type"),
        (_huge_count, "cannot hold"),
        (_huge_cities, "impossible header"),
        (lambda file: file.attrs.modify("actor", np.int64(3)), "does not match its digest"),
        (lambda file: file.attrs.__delitem__("actor"), "wrong attributes: actor"),
        (lambda file: file.create_dataset("more", data=1), "wrong data sets: more"),
    ],
)
def test_changed_segment_is_refused(tmp_path: Path, change: Callable[[h5py.File], object], message: str) -> None:
    content = altered(sealed(tmp_path), change)
    with pytest.raises(SegmentError, match=message):
        read_segment(content)


def test_changed_number_is_refused(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["rewards"][1, 0, 0] -= 1e-3

    with pytest.raises(SegmentError, match="digest"):
        read_segment(altered(sealed(tmp_path), change))


def test_groups_that_cannot_be_learned_from_are_marked(tmp_path: Path) -> None:
    groups = [make_group(2, number) for number in range(4)]
    groups[0].rewards[0, 0] = np.nan
    groups[1].tours[0, 0] = groups[1].tours[0, 1]
    groups[3].rewards[2, 1] -= 1e-3
    segment = read_segment(sealed(tmp_path, groups).read_bytes())
    assert segment.valid.tolist() == [False, False, True, False]
