"""Sealed segments: immutable HDF5 files of consecutive groups of one actor, written once and verified when read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from tspmz.replay.checks import rewards_add_up, valid_groups
from tspmz.replay.fields import FieldSpec, Records, fields_for, record_dtype, store_group
from tspmz.replay.files import FileSystem, atomic_write
from tspmz.types import Bool, Group

MAGIC = "tspmz-replay"
SCHEMA_VERSION = 1
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
SEGMENT_NAME = re.compile(r"segment-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,17})\.h5")

_CHUNK_BYTES = 2**20
_GZIP_LEVEL = 1
# deflate cannot pack more than 1032 to 1: a file that claims more was not written by it
_MAX_DEFLATE_RATIO = 1032
_TEXT_ATTRIBUTES = ("magic", "run_id", "config_hash", "policy_target", "content_sha256")
_NUMBER_ATTRIBUTES = ("num_cities", "group_size", "actor", "first_group_id", "last_group_id")


class SegmentError(ValueError):
    """A file is no whole segment of this run; the message says why."""


class ForeignFileError(SegmentError):
    """A file is not a segment at all."""


class NewerSchemaError(SegmentError):
    """A segment was written by a newer version of the program."""


class SegmentInfo(NamedTuple):
    """What the manifest lists of a segment.

    Attributes:
        name: file name, `segment-<actor>-<first group id>.h5`.
        size: bytes.
        sha256: hex digest of the file.
        actor: whose groups.
        first_group_id: first of them.
        last_group_id: last of them, inclusive.
    """

    name: str
    size: int
    sha256: str
    actor: int
    first_group_id: int
    last_group_id: int

    @property
    def num_groups(self) -> int:
        """Groups in the segment."""
        return self.last_group_id - self.first_group_id + 1


class SegmentHeader(NamedTuple):
    """The attributes of a segment.

    Attributes:
        magic: `tspmz-replay`.
        run_id: the run that wrote it.
        config_hash: hash of the run's fixed settings.
        policy_target: what the policy learned; decides the stored fields.
        content_sha256: hex digest of all other attributes and all fields.
        num_cities: cities N.
        group_size: episodes G.
        actor: whose groups.
        first_group_id: first of them.
        last_group_id: last of them, inclusive.
    """

    magic: str
    run_id: str
    config_hash: str
    policy_target: str
    content_sha256: str
    num_cities: int
    group_size: int
    actor: int
    first_group_id: int
    last_group_id: int

    @property
    def num_groups(self) -> int:
        """Groups in the segment."""
        return self.last_group_id - self.first_group_id + 1


class Segment(NamedTuple):
    """A verified segment.

    Attributes:
        header: its attributes.
        records: `[num_groups]` records of `fields.record_dtype`.
        valid: `[num_groups]` bool; False where the file is whole but the group was stored with numbers that are not
            finite, a tour that is no permutation, or rewards that do not add up to the tour's length.
    """

    header: SegmentHeader
    records: Records
    valid: Bool


def segment_name(actor: int, first_group_id: int) -> str:
    """File name of a segment."""
    return f"segment-{actor}-{first_group_id}.h5"


class SegmentWriter:
    """Seals groups into segments of one directory.

    Args:
        directory: where; created if need be.
        run_id: the run's identity, stored in each segment.
        config_hash: hash of the run's fixed settings, stored in each segment.
        num_cities: cities N.
        group_size: episodes G.
        policy_target: decides the stored fields.
        compress: shuffle and gzip level 1.
        files: the file operations.
    """

    def __init__(
        self,
        directory: Path,
        *,
        run_id: str,
        config_hash: str,
        num_cities: int,
        group_size: int,
        policy_target: str,
        compress: bool = False,
        files: FileSystem | None = None,
    ) -> None:
        self.directory = directory
        self._identity = (run_id, config_hash, policy_target)
        self._sizes = (num_cities, group_size)
        self._specs = fields_for(num_cities, group_size, policy_target)
        self._compress = compress
        self._files = files or FileSystem()

    def seal(self, groups: Sequence[Group]) -> SegmentInfo:
        """Write a segment: built in memory, then put in place by `atomic_write`. Sealing the same again is harmless.

        Args:
            groups: at least one, of one actor, with consecutive `group_id`.

        Raises:
            ValueError: no groups, another actor's, or a gap between them.
            OSError: the disk refused; nothing is left behind.
        """
        if not groups:
            raise ValueError("a segment needs at least one group")
        actor, first = groups[0].actor, groups[0].group_id
        records = np.zeros(len(groups), record_dtype(self._specs))
        for index, group in enumerate(groups):
            if (group.actor, group.group_id) != (actor, first + index):
                raise ValueError(
                    f"group {group.group_id} of actor {group.actor} cannot follow group {first + index - 1} of actor "
                    f"{actor} in a segment"
                )
            store_group(group, records[index], self._specs)
        run_id, config_hash, policy_target = self._identity
        header = SegmentHeader(
            MAGIC, run_id, config_hash, policy_target, "", *self._sizes, actor, first, first + len(groups) - 1
        )
        header = header._replace(content_sha256=_content_digest(header, records, self._specs))
        image = _build(header, records, self._specs, self._compress)
        name = segment_name(actor, first)
        self._files.make_directory(self.directory)
        atomic_write(self._files, self.directory / name, image)
        return SegmentInfo(name, len(image), hashlib.sha256(image).hexdigest(), actor, first, header.last_group_id)


def _content_digest(header: SegmentHeader, records: Records, specs: Sequence[FieldSpec]) -> str:
    """SHA-256 over the attributes and every field's bytes: it survives the loss of the manifest."""
    digest = hashlib.sha256(repr((SCHEMA_VERSION, header._replace(content_sha256=""))).encode())
    for spec in specs:
        digest.update(np.ascontiguousarray(records[spec.name]).data)
    return digest.hexdigest()


def _build(header: SegmentHeader, records: Records, specs: Sequence[FieldSpec], compress: bool) -> bytes:
    """The bytes of an HDF5 file, built in memory."""
    packing: dict[str, Any] = {"compression": "gzip", "compression_opts": _GZIP_LEVEL, "shuffle": True}
    with h5py.File("segment", "w", driver="core", backing_store=False) as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        for name, value in header._asdict().items():
            file.attrs[name] = np.bytes_(value) if isinstance(value, str) else value
        for spec in specs:
            row_bytes = spec.dtype.itemsize * int(np.prod(spec.shape, dtype=np.int64))
            rows = max(1, min(len(records), _CHUNK_BYTES // row_bytes))
            file.create_dataset(
                spec.name,
                data=np.ascontiguousarray(records[spec.name]),
                chunks=(rows, *spec.shape),
                fletcher32=True,
                **(packing if compress else {}),
            )
        file.flush()
        return bytes(file.id.get_file_image())


def read_segment(image: bytes, *, run_id: str | None = None, config_hash: str | None = None) -> Segment:
    """Verify the bytes of a segment and take its records out.

    Shapes are checked against the header, and the header against the number of bytes, before memory is taken. Links
    and storage outside the file are refused, never followed.

    Args:
        image: the file's bytes.
        run_id: the run it must be of; None = any.
        config_hash: the hash it must have; None = any.

    Raises:
        ForeignFileError: not a segment.
        NewerSchemaError: written by a newer version.
        SegmentError: damaged, or of another run.
    """
    if not image.startswith(HDF5_SIGNATURE):
        raise ForeignFileError("not a tspmz replay file (no HDF5 signature)")
    try:
        with h5py.File(h5py.h5f.open_file_image(image)) as file:
            header = _read_header(file)
            specs = _check_identity(header, run_id, config_hash, len(image))
            _check_layout(file, header, specs, len(image))
            records = np.zeros(header.num_groups, record_dtype(specs))
            for spec in specs:
                records[spec.name] = file[spec.name][...]
    except SegmentError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:  # what h5py makes of damaged metadata
        raise SegmentError(f"HDF5 cannot read it: {error}") from None
    _check_content(header, records, specs)
    return Segment(header, records, _usable_groups(records))


def _read_header(file: h5py.File) -> SegmentHeader:
    attributes: dict[str, Any] = {}
    for name in file.attrs:
        kind = file.attrs.get_id(name)
        if kind.shape != () or kind.dtype.kind not in "Siu":
            raise ForeignFileError(f"not a tspmz replay file (attribute {name} is no plain text or number)")
        attributes[name] = file.attrs[name]
    if _text(attributes.get("magic")) != MAGIC:
        raise ForeignFileError("not a tspmz replay file (no magic)")
    version = attributes.get("schema_version")
    if not isinstance(version, np.integer):
        raise SegmentError("no schema version")
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"schema version {version} is newer than {SCHEMA_VERSION}, the one this program reads: update tspmz"
        )
    if version < SCHEMA_VERSION:
        raise SegmentError(f"unknown schema version {version}")
    expected = {*_TEXT_ATTRIBUTES, *_NUMBER_ATTRIBUTES, "schema_version"}
    if set(attributes) != expected:
        raise SegmentError(f"wrong attributes: {', '.join(sorted(set(attributes) ^ expected))}")
    texts = [_text(attributes[name]) for name in _TEXT_ATTRIBUTES]
    return SegmentHeader(*texts, *(int(attributes[name]) for name in _NUMBER_ATTRIBUTES))  # type: ignore[arg-type]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _check_identity(
    header: SegmentHeader, run_id: str | None, config_hash: str | None, image_bytes: int
) -> tuple[FieldSpec, ...]:
    if run_id is not None and header.run_id != run_id:
        raise SegmentError(f"of run {header.run_id!r}, not {run_id!r}")
    if config_hash is not None and header.config_hash != config_hash:
        raise SegmentError(f"written with other fixed settings (hash {header.config_hash!r}, not {config_hash!r})")
    if header.actor < 0 or header.first_group_id < 0 or header.num_groups < 1:
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
        if dataset.compression not in (None, "gzip") or dataset.scaleoffset is not None:
            raise SegmentError(f"{spec.name} is packed with an unknown filter")
        if dataset.compression is None and dataset.id.get_storage_size() < dataset.nbytes:
            raise SegmentError(f"{spec.name} is not complete")
        chunk_bytes = spec.dtype.itemsize * int(np.prod(dataset.chunks, dtype=np.int64))
        if chunk_bytes > max(2 * _CHUNK_BYTES, image_bytes * _MAX_DEFLATE_RATIO):
            raise SegmentError(f"{spec.name} has chunks of {chunk_bytes} bytes")


def _check_content(header: SegmentHeader, records: Records, specs: Sequence[FieldSpec]) -> None:
    if _content_digest(header, records, specs) != header.content_sha256:
        raise SegmentError("the content does not match its digest")
    expected = np.arange(header.first_group_id, header.last_group_id + 1)
    if (records["group_id"] != expected).any() or (records["actor"] != header.actor).any():
        raise SegmentError("the groups are not those of the header")


def _usable_groups(records: Records) -> Bool:
    valid = valid_groups(records)
    whole = records[valid]
    valid[valid] = rewards_add_up(whole["coordinates"], whole["tours"], whole["rewards"])
    return valid
