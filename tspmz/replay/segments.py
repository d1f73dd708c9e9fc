"""Sealed segments: immutable HDF5 files of consecutive groups of one actor, written once (`reading.py` reads them)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from tspmz.replay.fields import FieldSpec, Records, fields_for, record_dtype
from tspmz.replay.files import FileSystem, atomic_write
from tspmz.replay.packing import GroupPacker
from tspmz.types import Group

MAGIC = "tspmz-replay"
SCHEMA_VERSION = 2
SEGMENT_NAME = re.compile(r"segment-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,17})\.h5")

CHUNK_BYTES = 2**20
_GZIP_LEVEL = 1
_FIRST_VERSION = {"previous_group_id": 2}
"""Schema version from which on an attribute exists; 1 unless named here."""


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
        previous_group_id: the actor's last group that was sealed before this segment, -1 if there was none; groups
            between the two were never stored.
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
    previous_group_id: int

    @property
    def num_groups(self) -> int:
        """Groups in the segment."""
        return self.last_group_id - self.first_group_id + 1


def attribute_names(version: int) -> tuple[str, ...]:
    """The fields of `SegmentHeader` that a file of a schema version stores, in order."""
    return tuple(name for name in SegmentHeader._fields if _FIRST_VERSION.get(name, 1) <= version)


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

    def seal(self, groups: Sequence[Group], previous_group_id: int | None = None) -> SegmentInfo:
        """Write a segment: built in memory, then put in place by `atomic_write`. Sealing the same again is harmless.

        Args:
            groups: at least one, of one actor, with consecutive `group_id`.
            previous_group_id: the actor's last group that is sealed already, -1 where there is none. Groups between
                it and the first of `groups` are lost on purpose; a loader knows it from the file alone. None = the
                number before the first.

        Raises:
            ValueError: no groups, another actor's, or a gap between them; a previous group that is not before them.
            OSError: the disk refused; nothing is left behind.
        """
        if not groups:
            raise ValueError("a segment needs at least one group")
        actor, first = groups[0].actor, groups[0].group_id
        records = np.zeros(len(groups), record_dtype(self._specs))
        packer = GroupPacker(records, self._specs)
        for index, group in enumerate(groups):
            if (group.actor, group.group_id) != (actor, first + index):
                raise ValueError(
                    f"group {group.group_id} of actor {group.actor} cannot follow group {first + index - 1} of actor "
                    f"{actor} in a segment"
                )
            packer.store(group, index)
        previous = first - 1 if previous_group_id is None else previous_group_id
        if not -1 <= previous < first:
            raise ValueError(f"group {previous} cannot be the one before group {first}")
        run_id, config_hash, policy_target = self._identity
        header = SegmentHeader(
            MAGIC, run_id, config_hash, policy_target, "", *self._sizes, actor, first, first + len(groups) - 1, previous
        )
        header = header._replace(content_sha256=content_digest(header, records, self._specs))
        image = _build(header, records, self._specs, self._compress)
        name = segment_name(actor, first)
        self._files.make_directory(self.directory)
        atomic_write(self._files, self.directory / name, image)
        return SegmentInfo(name, len(image), hashlib.sha256(image).hexdigest(), actor, first, header.last_group_id)


def content_digest(
    header: SegmentHeader, records: Records, specs: Sequence[FieldSpec], version: int = SCHEMA_VERSION
) -> str:
    """SHA-256 over the attributes of a schema version and every field's bytes: it survives the loss of the manifest."""
    attributes = header._replace(content_sha256="")._asdict()
    listed = ", ".join(f"{name}={attributes[name]!r}" for name in attribute_names(version))
    digest = hashlib.sha256(f"({version}, SegmentHeader({listed}))".encode())
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
            rows = max(1, min(len(records), CHUNK_BYTES // row_bytes))
            file.create_dataset(
                spec.name,
                data=np.ascontiguousarray(records[spec.name]),
                chunks=(rows, *spec.shape),
                fletcher32=True,
                **(packing if compress else {}),
            )
        file.flush()
        return bytes(file.id.get_file_image())
