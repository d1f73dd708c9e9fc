"""Reading a segment: every byte is accounted for, or the file is refused with the reason; nothing in it is followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np

from tspmz.replay.checks import stored_rewards_add_up, valid_groups
from tspmz.replay.fields import FieldSpec, Records, fields_for, record_dtype
from tspmz.replay.files import NotEnoughMemoryError
from tspmz.replay.segments import (
    CHUNK_BYTES,
    MAGIC,
    SCHEMA_VERSION,
    ForeignFileError,
    NewerSchemaError,
    SegmentError,
    SegmentHeader,
    attribute_names,
    content_digest,
)
from tspmz.shared import available_memory
from tspmz.types import Bool

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# deflate cannot pack more than 1032 to 1: a file that claims more was not written by it
_MAX_DEFLATE_RATIO = 1032
_SUSPICIOUS_RATIO = 4
_LONGEST_TEXT = 4096
_CHECKED = (h5py.h5z.FILTER_FLETCHER32,)
_PACKED = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32)
_TEXTS = frozenset({"magic", "run_id", "config_hash", "policy_target", "content_sha256"})


class Segment(NamedTuple):
    """A verified segment.

    Attributes:
        header: its attributes.
        records: `[num_groups]` records of `fields.record_dtype`.
        valid: `[num_groups]` bool; False where the file is whole but the group was stored with numbers that are not
            finite, a tour that is no permutation, or rewards that do not add up to the tour's length.
        schema_version: of the file.
    """

    header: SegmentHeader
    records: Records
    valid: Bool
    schema_version: int


def read_segment(
    image: bytes,
    *,
    run_id: str | None = None,
    config_hash: str | None = None,
    fields: Sequence[FieldSpec] | None = None,
) -> Segment:
    """Verify the bytes of a segment and take its records out.

    Shapes are checked against the header, and the header against the number of bytes, before memory is taken. Links
    and storage outside the file are refused, never followed.

    Args:
        image: the file's bytes.
        run_id: the run it must be of; None = any.
        config_hash: the hash it must have; None = any.
        fields: what it must store, from `fields.fields_for`; None = anything.

    Raises:
        ForeignFileError: not a segment.
        NewerSchemaError: written by a newer version.
        SegmentError: damaged, or of another run.
        NotEnoughMemoryError: there is no room to unpack it, and nothing wrong with it.
    """
    if not image.startswith(HDF5_SIGNATURE):
        raise ForeignFileError("not a tspmz replay file (no HDF5 signature)")
    try:
        identifier = h5py.h5f.open_file_image(image)
        if not identifier.valid:
            raise SegmentError("HDF5 cannot open it")
        with h5py.File(identifier) as file:
            header, version = _read_header(file)
            specs = _check_identity(header, run_id, config_hash, len(image))
            if fields is not None and record_dtype(fields) != record_dtype(specs):
                raise SegmentError(
                    f"holds groups of {header.group_size} episodes on {header.num_cities} cities for "
                    f"{header.policy_target}: not what this run stores"
                )
            _check_layout(file, header, specs, len(image))
            _check_memory(header, specs, len(image))
            records = _unpacked(file, header, specs)
    except (SegmentError, NotEnoughMemoryError):
        raise
    except Exception as error:  # h5py makes many types of damaged metadata
        raise SegmentError(f"HDF5 cannot read it: {error}") from None
    _check_content(header, records, specs, version)
    return Segment(header, records, _usable_groups(records), version)


def _unpacked(file: h5py.File, header: SegmentHeader, specs: Sequence[FieldSpec]) -> Records:
    """The groups of a file whose layout has been checked."""
    try:
        records = np.zeros(header.num_groups, record_dtype(specs))
        for spec in specs:
            records[spec.name] = file[spec.name][...]
    except MemoryError:
        raise NotEnoughMemoryError(f"not enough memory for {header.num_groups:,} groups") from None
    return records


def _read_header(file: h5py.File) -> tuple[SegmentHeader, int]:
    """The attributes, brought to today's schema, and the schema version that the file has."""
    attributes: dict[str, Any] = {}
    for name in file.attrs:
        kind = file.attrs.get_id(name)
        if kind.shape != () or kind.dtype.kind not in "Siu" or kind.dtype.itemsize > _LONGEST_TEXT:
            raise ForeignFileError(f"not a tspmz replay file (attribute {name} is no plain text or number)")
        attributes[name] = file.attrs[name]
    if _text(attributes.get("magic")) != MAGIC:
        raise ForeignFileError("not a tspmz replay file (no magic)")
    version = attributes.pop("schema_version", None)
    if not isinstance(version, np.integer):
        raise SegmentError("no schema version")
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"schema version {version} is newer than {SCHEMA_VERSION}, the one this program reads: update tspmz"
        )
    if version < 1:
        raise SegmentError(f"unknown schema version {version}")
    expected = set(attribute_names(int(version)))
    if set(attributes) != expected:
        raise SegmentError(f"wrong attributes: {', '.join(sorted(set(attributes) ^ expected))}")
    if any(isinstance(value, bytes) != (name in _TEXTS) for name, value in attributes.items()):
        raise SegmentError("an attribute is a number instead of a text, or the other way round")
    values = {name: _text(value) if name in _TEXTS else int(value) for name, value in attributes.items()}
    return SegmentHeader(**_migrated(values, int(version))), int(version)  # type: ignore[arg-type]


def _migrated(values: dict[str, str | int], version: int) -> dict[str, str | int]:
    """Attributes of an older schema as today's.

    Version 1 did not say which group came before: its files claim to follow the one before their first. Only the
    manifest can tell that a gap before them is meant.
    """
    if version == 1:
        return {**values, "previous_group_id": int(values["first_group_id"]) - 1}
    return values


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _check_identity(
    header: SegmentHeader, run_id: str | None, config_hash: str | None, image_bytes: int
) -> tuple[FieldSpec, ...]:
    if run_id is not None and header.run_id != run_id:
        raise SegmentError(f"of run {header.run_id!r}, not {run_id!r}")
    if config_hash is not None and header.config_hash != config_hash:
        raise SegmentError(f"written with other fixed settings (hash {header.config_hash!r}, not {config_hash!r})")
    in_order = -1 <= header.previous_group_id < header.first_group_id <= header.last_group_id
    if header.actor < 0 or not in_order:
        raise SegmentError(
            f"impossible header: groups {header.first_group_id} to {header.last_group_id} of actor {header.actor}"
        )
    try:
        specs = fields_for(header.num_cities, header.group_size, header.policy_target)
    except ValueError as error:
        raise SegmentError(f"impossible header: {error}") from None
    row_bytes = sum(spec.dtype.itemsize * int(np.prod(spec.shape, dtype=np.int64)) for spec in specs)
    if header.num_groups * row_bytes > image_bytes * _MAX_DEFLATE_RATIO:
        raise SegmentError(f"{image_bytes} bytes cannot hold {header.num_groups} groups of {row_bytes} bytes")
    return specs


def _check_layout(file: h5py.File, header: SegmentHeader, specs: Sequence[FieldSpec], image_bytes: int) -> None:
    """Data sets must be exactly the expected ones, stored whole in this file, without unknown filters."""
    if set(file.keys()) != {spec.name for spec in specs}:
        raise SegmentError(f"wrong data sets: {', '.join(sorted({spec.name for spec in specs} ^ set(file.keys())))}")
    total = 0
    for spec in specs:
        if not isinstance(file.get(spec.name, getlink=True), h5py.HardLink):
            raise SegmentError(f"{spec.name} is a link; links are not followed")
        dataset = file[spec.name]
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype != spec.dtype:
            raise SegmentError(f"{spec.name} is no data set of type {spec.dtype}")
        if dataset.shape != (header.num_groups, *spec.shape):
            raise SegmentError(f"{spec.name} has shape {dataset.shape}, not {(header.num_groups, *spec.shape)}")
        if dataset.external or dataset.is_virtual or dataset.chunks is None or not dataset.fletcher32:
            raise SegmentError(f"{spec.name} is not stored in checked chunks of this file")
        pipeline = dataset.id.get_create_plist()
        filters = tuple(pipeline.get_filter(index)[0] for index in range(pipeline.get_nfilters()))
        if filters not in (_CHECKED, _PACKED):
            raise SegmentError(f"{spec.name} is packed with an unknown filter")
        stored = dataset.id.get_storage_size()
        total += stored
        if stored * (_MAX_DEFLATE_RATIO if filters == _PACKED else 1) < dataset.nbytes:
            raise SegmentError(f"{spec.name} is not complete")
        if total > image_bytes:
            raise SegmentError("the data sets overlap: together they are larger than the file")
        chunk_bytes = spec.dtype.itemsize * int(np.prod(dataset.chunks, dtype=np.int64))
        if chunk_bytes > max(2 * CHUNK_BYTES, image_bytes * _MAX_DEFLATE_RATIO):
            raise SegmentError(f"{spec.name} has chunks of {chunk_bytes} bytes")


def _check_memory(header: SegmentHeader, specs: Sequence[FieldSpec], image_bytes: int) -> None:
    """A small file that unpacks to more than there is memory is no segment that this machine has written."""
    needed = header.num_groups * record_dtype(specs).itemsize
    available = available_memory()
    if needed > _SUSPICIOUS_RATIO * image_bytes and available is not None and needed > available:
        raise SegmentError(f"unpacks from {image_bytes:,} to {needed:,} bytes, more than the machine has free")


def _check_content(header: SegmentHeader, records: Records, specs: Sequence[FieldSpec], version: int) -> None:
    if content_digest(header, records, specs, version) != header.content_sha256:
        raise SegmentError("the content does not match its digest")
    expected = np.arange(header.first_group_id, header.last_group_id + 1)
    if (records["group_id"] != expected).any() or (records["actor"] != header.actor).any():
        raise SegmentError("the groups are not those of the header")


def _usable_groups(records: Records) -> Bool:
    valid = valid_groups(records)
    valid[valid] = stored_rewards_add_up(records[valid])
    return valid
