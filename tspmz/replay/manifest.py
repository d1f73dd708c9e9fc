"""The manifest: which segments a replay folder holds, replaced atomically; a segment not listed is not yet stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tspmz.replay.files import FileSystem, atomic_write
from tspmz.replay.segments import SEGMENT_NAME, NewerSchemaError, SegmentError, SegmentInfo, segment_name

MANIFEST_NAME = "manifest.json"
MANIFEST_SCHEMA_VERSION = 1

_LARGEST_MANIFEST_BYTES = 2**28
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELD_TYPES = {"name": str, "size": int, "sha256": str, "actor": int, "first_group_id": int, "last_group_id": int}


class Manifest:
    """The segments of one folder in the order in which they were sealed.

    The list in memory changes only after the file was replaced, so a failed write can simply be tried again.

    Args:
        directory: the replay folder.
        run_id: the run's identity.
        entries: the segments.
        files: the file operations.

    Attributes:
        entries: the segments that are listed.
    """

    def __init__(
        self, directory: Path, run_id: str, entries: Iterable[SegmentInfo] = (), files: FileSystem | None = None
    ) -> None:
        self.directory = directory
        self.run_id = run_id
        self.entries = list(entries)
        self._files = files or FileSystem()

    @classmethod
    def load(cls, directory: Path, files: FileSystem | None = None) -> Manifest:
        """The manifest of a folder.

        Raises:
            FileNotFoundError: there is none.
            NewerSchemaError: written by a newer version.
            SegmentError: damaged.
        """
        files = files or FileSystem()
        run_id, entries = parse_manifest(files.read(directory / MANIFEST_NAME, _LARGEST_MANIFEST_BYTES))
        return cls(directory, run_id, entries, files)

    def next_group_ids(self) -> dict[int, int]:
        """By actor, one above its last group that is listed."""
        found: dict[int, int] = {}
        for entry in self.entries:
            found[entry.actor] = max(found.get(entry.actor, 0), entry.last_group_id + 1)
        return found

    def add(self, info: SegmentInfo) -> None:
        """List a sealed segment; listing it again replaces the entry.

        Raises:
            OSError: the disk refused; nothing has changed.
        """
        self.replace([*(entry for entry in self.entries if entry.name != info.name), info])

    def replace(self, entries: Iterable[SegmentInfo]) -> None:
        """List other segments.

        Raises:
            OSError: the disk refused; nothing has changed.
        """
        kept = list(entries)
        self._files.make_directory(self.directory)
        tree = {
            "schema_version": MANIFEST_SCHEMA_VERSION,
            "run_id": self.run_id,
            "entries": [entry._asdict() for entry in kept],
        }
        atomic_write(self._files, self.directory / MANIFEST_NAME, json.dumps(tree, indent=1).encode())
        self.entries = kept

    def to_prune(self, keep_groups: int, needed: Mapping[int, int] | None = None) -> list[SegmentInfo]:
        """The oldest segments that can go while `keep_groups` groups remain.

        Args:
            keep_groups: groups that stay.
            needed: by actor, the oldest group that has to stay whatever `keep_groups` says.
        """
        total = sum(entry.num_groups for entry in self.entries)
        chosen: list[SegmentInfo] = []
        for entry in self.entries:
            if needed is not None and entry.last_group_id >= needed.get(entry.actor, entry.last_group_id + 1):
                continue
            if total - entry.num_groups < keep_groups:
                break
            total -= entry.num_groups
            chosen.append(entry)
        return chosen

    def prune(self, keep_groups: int, needed: Mapping[int, int] | None = None) -> list[SegmentInfo]:
        """Remove the segments of `to_prune`: from the list, then from the disk.

        Returns:
            The segments removed.

        Raises:
            OSError: the disk refused; files no longer listed go at the next `load_segments`.
        """
        removed = self.to_prune(keep_groups, needed)
        if removed:
            self.replace([entry for entry in self.entries if entry not in removed])
            for entry in removed:
                self._files.unlink(self.directory / entry.name)
        return removed


def parse_manifest(content: bytes) -> tuple[str, list[SegmentInfo]]:
    """Run id and entries of a manifest's bytes.

    Raises:
        NewerSchemaError: written by a newer version.
        SegmentError: not a manifest, or entries that no writer makes (names that leave the folder, say).
    """
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SegmentError(f"{MANIFEST_NAME} is not JSON: {error}") from None
    if not isinstance(tree, dict) or type(tree.get("schema_version")) is not int:
        raise SegmentError(f"{MANIFEST_NAME} has no schema version")
    if tree["schema_version"] > MANIFEST_SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{MANIFEST_NAME} has schema version {tree['schema_version']}, newer than {MANIFEST_SCHEMA_VERSION}, the "
            f"one this program reads: update tspmz"
        )
    if tree["schema_version"] < 1:
        raise SegmentError(f"{MANIFEST_NAME} has schema version {tree['schema_version']}, which there never was")
    entries = tree.get("entries")
    if not isinstance(tree.get("run_id"), str) or not isinstance(entries, list):
        raise SegmentError(f"{MANIFEST_NAME} has no run id or no entries")
    infos = [_parse_entry(entry) for entry in entries]
    if len({info.name for info in infos}) != len(infos):
        raise SegmentError(f"{MANIFEST_NAME} lists a segment twice")
    return tree["run_id"], infos


def _parse_entry(entry: Any) -> SegmentInfo:
    if not isinstance(entry, dict) or {name: type(value) for name, value in entry.items()} != _FIELD_TYPES:
        raise SegmentError(f"{MANIFEST_NAME} has an entry with wrong fields: {entry!r:.200}")
    info = SegmentInfo(**entry)
    named_so = SEGMENT_NAME.fullmatch(info.name) and info.name == segment_name(info.actor, info.first_group_id)
    if not named_so or info.num_groups < 1 or info.size < 1 or not _SHA256.fullmatch(info.sha256):
        raise SegmentError(f"{MANIFEST_NAME} has an impossible entry: {entry!r:.200}")
    return info
