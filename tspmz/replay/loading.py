"""Reading a replay folder back: per actor the longest good run of groups; what is bad is set aside, with its reason."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tspmz.replay.fields import FieldSpec
from tspmz.replay.files import FileSystem, IrregularFileError, remove_temporaries, write_all
from tspmz.replay.manifest import MANIFEST_NAME, Manifest
from tspmz.replay.packing import load_group
from tspmz.replay.reading import Segment, read_segment
from tspmz.replay.segments import SEGMENT_NAME, NewerSchemaError, SegmentError, SegmentInfo
from tspmz.types import Group

LARGEST_UNLISTED_BYTES = 2**32
"""A segment that the manifest does not list is read whole only up to this size."""
QUARANTINE_NAME = "quarantine"
REASONS_NAME = "reasons.log"


class LoadReport(NamedTuple):
    """What a replay folder held.

    Attributes:
        groups: by actor, the newest groups by increasing `group_id`.
        next_group_ids: by actor, one above the last group that is stored.
        manifest: the folder's manifest, as it is now.
        quarantined: names of the files set aside.
        notes: one line for people about everything that was not as it should be.
        stored_groups: groups in all good segments.
    """

    groups: dict[int, list[Group]]
    next_group_ids: dict[int, int]
    manifest: Manifest
    quarantined: list[str]
    notes: list[str]
    stored_groups: int


class Candidate(NamedTuple):
    """A segment file to verify; `info` is what the manifest lists of it."""

    name: str
    actor: int
    first_group_id: int
    info: SegmentInfo | None


def load_segments(
    directory: Path,
    run_id: str,
    config_hash: str,
    keep: int,
    files: FileSystem | None = None,
    fields: Sequence[FieldSpec] | None = None,
) -> LoadReport:
    """Verify a replay folder, repair it, and return the newest groups of each actor.

    Segments are read by increasing group number, from the oldest that the manifest lists (older files are left from
    an interrupted pruning, and removed). Reading an actor stops at the first segment that is missing or damaged; that
    one and all later ones of the actor go to `quarantine/`, so that the actor can play those numbers again. A gap
    between two listed segments is no damage: those groups were overwritten in the ring before they could be sealed.
    Segments on disk that the manifest does not list (a crash between the two) are adopted if they are whole and
    follow: without a gap, or behind one that they say is meant (`SegmentHeader.previous_group_id`); else they are set
    aside, alone where listed ones come after them. Without a readable
    manifest it is rebuilt from the files by the same rule. Files with other names are left alone.

    Args:
        directory: the replay folder; may be missing.
        run_id: the run it must be of.
        config_hash: the hash of fixed settings it must have.
        keep: newest groups returned per actor; all segments are verified whatever it says.
        files: the file operations.
        fields: what its segments must store, from `fields.fields_for`; None = anything.

    Raises:
        NewerSchemaError: something was written by a newer version; nothing was touched.
        OSError: the disk refused.
    """
    files = files or FileSystem()
    listed, notes, bad_manifest = _listed_segments(directory, run_id, files)
    candidates, leftovers = find_candidates(directory, listed, files)
    loader = _Loader(directory, Demands(run_id, config_hash, fields), keep, files)
    for actor in sorted(candidates):
        loader.read_actor(actor, candidates[actor])
    notes += loader.notes
    quarantined = []
    for name, reason in ([(MANIFEST_NAME, bad_manifest)] if bad_manifest else []) + loader.bad:
        if _quarantine(directory, name, reason, files):
            quarantined.append(name)
        notes.append(f"{directory / name}: {reason}")
    order = {info.name: index for index, info in enumerate(listed)}
    good = sorted(loader.good, key=lambda info: (order.get(info.name, len(order)), info.first_group_id, info.actor))
    manifest = Manifest(directory, run_id, listed, files)
    if good != listed or bad_manifest:
        manifest.replace(good)
    for name in leftovers:
        files.unlink(directory / name)
        notes.append(f"{directory / name}: left from an interrupted pruning, removed")
    notes += [f"{directory / name}: temporary file removed" for name in remove_temporaries(files, directory)]
    stored = sum(info.num_groups for info in good)
    return LoadReport(loader.groups, loader.next_group_ids, manifest, quarantined, notes, stored)


def _listed_segments(directory: Path, run_id: str, files: FileSystem) -> tuple[list[SegmentInfo], list[str], str]:
    """Entries of the manifest, notes, and why the manifest is bad (empty if it is good or missing)."""
    try:
        manifest = Manifest.load(directory, files)
    except FileNotFoundError:
        if any(SEGMENT_NAME.fullmatch(name) for name in files.names(directory)):
            return [], [f"{directory / MANIFEST_NAME} is missing: rebuilt from the segments"], ""
        return [], [], ""
    except NewerSchemaError:
        raise
    except (SegmentError, IrregularFileError) as error:
        return [], [], f"{error}: rebuilt from the segments"
    if manifest.run_id != run_id:
        return [], [], f"of run {manifest.run_id!r}, not {run_id!r}"
    return manifest.entries, [], ""


def find_candidates(
    directory: Path, listed: list[SegmentInfo], files: FileSystem
) -> tuple[dict[int, list[Candidate]], list[str]]:
    """Segments to verify by actor, in order, and the names that are older than the oldest listed one."""
    infos = {info.name: info for info in listed}
    oldest: dict[int, int] = {}
    for info in listed:
        oldest[info.actor] = min(info.first_group_id, oldest.get(info.actor, info.first_group_id))
    candidates: dict[int, list[Candidate]] = {}
    leftovers = []
    for name in sorted({*infos, *files.names(directory)}):
        match = SEGMENT_NAME.fullmatch(name)
        if match is None:
            continue
        actor, first = int(match[1]), int(match[2])
        if first < oldest.get(actor, 0):
            leftovers.append(name)
        else:
            candidates.setdefault(actor, []).append(Candidate(name, actor, first, infos.get(name)))
    for actor in candidates:
        candidates[actor].sort(key=lambda candidate: candidate.first_group_id)
    return candidates, leftovers


class Demands(NamedTuple):
    """What a segment must be; None = anything.

    Attributes:
        run_id: the run that wrote it.
        config_hash: hash of that run's fixed settings.
        fields: what it stores.
    """

    run_id: str | None = None
    config_hash: str | None = None
    fields: Sequence[FieldSpec] | None = None


class _Loader:
    """Verifies the segments of one actor after the other and keeps what came of it."""

    def __init__(self, directory: Path, demands: Demands, keep: int, files: FileSystem) -> None:
        self._directory = directory
        self._demands = demands
        self._keep = keep
        self._files = files
        self.groups: dict[int, list[Group]] = {}
        self.next_group_ids: dict[int, int] = {}
        self.good: list[SegmentInfo] = []
        self.bad: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def read_actor(self, actor: int, candidates: list[Candidate]) -> None:
        newest: deque[Group] = deque(maxlen=self._keep)
        expected = candidates[0].first_group_id
        for index, candidate in enumerate(candidates):
            try:
                info, segment = _verify_next(self._directory, candidate, expected, self._demands, self._files)
                other = overlapped(candidates, index, info)
                if other:
                    raise SegmentError(f"holds groups of {other}, too, which the manifest lists")
            except NewerSchemaError as error:
                raise NewerSchemaError(f"{self._directory / candidate.name}: {error}") from None
            except (SegmentError, FileNotFoundError, IrregularFileError) as error:
                self.bad.append((candidate.name, str(error)))
                if candidate.info is None and any(other.info is not None for other in candidates[index + 1 :]):
                    continue  # what is listed behind it was sealed without it
                later = f"comes after {candidate.name}, which is bad"
                self.bad += [(other.name, later) for other in candidates[index + 1 :]]
                break
            if info.first_group_id > expected:
                self.notes.append(
                    f"{self._directory / candidate.name}: groups {expected} to {info.first_group_id - 1} of actor "
                    f"{actor} were never stored"
                )
            expected = info.last_group_id + 1
            self.good.append(info)
            self.next_group_ids[actor] = expected
            if not segment.valid.all():
                count = int((~segment.valid).sum())
                self.notes.append(f"{self._directory / candidate.name}: {count} groups cannot be learned from, skipped")
            wanted = segment.records[segment.valid]
            newest.extend(load_group(record) for record in wanted[max(0, len(wanted) - self._keep) :])
        if newest:
            self.groups[actor] = list(newest)


def follows(candidate: Candidate, segment: Segment, expected: int) -> bool:
    """Whether a whole segment may come after group `expected - 1`.

    It starts at `expected`; or the manifest lists it after a gap; or it says itself that no group that is missing
    was ever stored, which a folder without its manifest has to go by.
    """
    first = segment.header.first_group_id
    listed = candidate.info is not None
    return first == expected or (first > expected and (listed or segment.header.previous_group_id < expected))


def _verify_next(
    directory: Path, candidate: Candidate, expected: int, demands: Demands, files: FileSystem
) -> tuple[SegmentInfo, Segment]:
    """`verify_segment` of one that must also come after group `expected - 1`; one before it is not even read."""
    if candidate.first_group_id >= expected:
        info, segment = verify_segment(directory, candidate, demands, files)
        if follows(candidate, segment, expected):
            return info, segment
    raise SegmentError(f"starts at group {candidate.first_group_id}, {expected} is the next")


def overlapped(candidates: Sequence[Candidate], index: int, info: SegmentInfo) -> str:
    """Name of the next listed segment, where one that is not listed holds groups of it, too; else empty.

    A writer that was killed before it could list a segment leaves one, if the ring had already overwritten the first of
    its groups when the next writer came.
    """
    following = next((other for other in candidates[index + 1 :] if other.info is not None), None)
    clash = candidates[index].info is None and following and following.first_group_id <= info.last_group_id
    return following.name if following and clash else ""


def verify_segment(
    directory: Path, candidate: Candidate, demands: Demands, files: FileSystem
) -> tuple[SegmentInfo, Segment]:
    """The segment behind a candidate, all of it checked.

    Raises:
        SegmentError: not whole, or not this run's.
        FileNotFoundError: listed but not there.
        IrregularFileError: no regular file.
        OSError: cannot be read.
    """
    image = files.read(directory / candidate.name, candidate.info.size if candidate.info else LARGEST_UNLISTED_BYTES)
    digest = hashlib.sha256(image).hexdigest()
    if candidate.info is not None:
        if len(image) != candidate.info.size:
            raise SegmentError(f"has {len(image)} bytes, the manifest says {candidate.info.size}")
        if digest != candidate.info.sha256:
            raise SegmentError("its SHA-256 is not that of the manifest")
    segment = read_segment(image, **demands._asdict())
    header = segment.header
    info = SegmentInfo(
        candidate.name, len(image), digest, header.actor, header.first_group_id, header.last_group_id
    )
    if (info.actor, info.first_group_id) != (candidate.actor, candidate.first_group_id):
        raise SegmentError(f"holds groups from {info.first_group_id} of actor {info.actor}: it was renamed")
    if candidate.info is not None and info != candidate.info:
        raise SegmentError("its groups are not those that the manifest lists")
    return info, segment


def adopt_segments(
    manifest: Manifest, config_hash: str, fields: Sequence[FieldSpec], files: FileSystem | None = None
) -> list[str]:
    """List what a writer sealed and was killed before it could list it, for the next writer of a run that goes on.

    Whole segments behind the last listed one of their actor are listed, damaged ones set aside.

    Returns:
        A line for people about each.

    Raises:
        OSError: the disk refused.
    """
    files = files or FileSystem()
    directory, demands = manifest.directory, Demands(manifest.run_id, config_hash, fields)
    notes = []
    for candidates in find_candidates(directory, manifest.entries, files)[0].values():
        ends = [candidate.info.last_group_id for candidate in candidates if candidate.info is not None]
        expected = max(ends, default=candidates[0].first_group_id - 1) + 1
        for candidate in candidates:
            if candidate.info is not None or candidate.first_group_id < expected:
                continue
            try:
                info, _ = _verify_next(directory, candidate, expected, demands, files)
            except (SegmentError, FileNotFoundError, IrregularFileError) as error:
                _quarantine(directory, candidate.name, str(error), files)
                notes.append(f"{directory / candidate.name}: {error}")
                continue
            manifest.add(info)
            expected = info.last_group_id + 1
            notes.append(f"{directory / candidate.name}: sealed, but not listed when its writer ended; listed now")
    return notes


def _quarantine(directory: Path, name: str, reason: str, files: FileSystem) -> bool:
    """Move a file to `quarantine/` under a free name and note why; False where there is no such file."""
    if name not in files.names(directory):
        return False
    folder = directory / QUARANTINE_NAME
    files.make_directory(folder)
    taken = files.names(folder)
    choices = [name, *(f"{name}.{number}" for number in range(1, len(taken) + 1))]
    target = next(choice for choice in choices if choice not in taken)
    files.replace(directory / name, folder / target)
    files.fsync_directory(folder)
    files.fsync_directory(directory)
    descriptor = files.append(folder / REASONS_NAME)
    try:
        write_all(files, descriptor, f"{target}: {reason}\n".encode())
        files.fsync(descriptor)
    finally:
        files.close(descriptor)
    return True
