"""Looking through a replay folder without changing it: what each segment holds, what is wrong, whether it is a prefix.

What `load_segments` would use, move or refuse is judged by the same functions. `group_problem` goes further: it makes
the instance of a group again from its seed. Together they are the oracle of the fault tests and of `tspmz-replay
verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tspmz.replay.checks import is_permutation, rewards_add_up
from tspmz.replay.fields import FieldSpec
from tspmz.replay.files import FileSystem
from tspmz.replay.loading import Candidate, Demands, find_candidates, follows, overlapped, verify_segment
from tspmz.replay.manifest import MANIFEST_NAME, Manifest
from tspmz.replay.packing import load_group
from tspmz.replay.reading import Segment
from tspmz.replay.segments import SEGMENT_NAME, SegmentError, SegmentInfo
from tspmz.types import Float32, Group, Int64


class Origin(NamedTuple):
    """What a run's stored groups must come from.

    Attributes:
        run_id: the run; empty = the one that the manifest names.
        config_hash: hash of its fixed settings; None = any.
        fields: what its segments store, from `fields.fields_for`; None = anything.
        seed: the run's seed; None = any.
        instance: coordinates `[N, 2]` and starts `[G]` that an actor's number and a group's number make; None leaves
            them unchecked.
    """

    run_id: str = ""
    config_hash: str | None = None
    fields: Sequence[FieldSpec] | None = None
    seed: int | None = None
    instance: Callable[[int, int], tuple[Float32, Int64]] | None = None


ANY = Origin()
"""No demands but those that every segment must meet."""


class Scanned(NamedTuple):
    """One file of a replay folder.

    Attributes:
        name: file name.
        listed: the manifest lists it.
        info: of its bytes; None where they could not be verified.
        segment: its content; None where there is a problem with the file as a whole.
        gap: groups before it that were never stored, on purpose.
        problem: what is wrong, empty where nothing is.
    """

    name: str
    listed: bool
    info: SegmentInfo | None
    segment: Segment | None
    gap: int
    problem: str


def scan_folder(directory: Path, origin: Origin = ANY, files: FileSystem | None = None) -> Iterator[Scanned]:
    """Verify every segment of a folder, actor by actor, and the manifest; changes nothing.

    A run may go on meanwhile: what it prunes during the scan is left out, and a whole segment that it has not listed
    yet is no problem.

    Args:
        directory: the replay folder.
        origin: what the groups must come from.
        files: the file operations.

    Raises:
        OSError: the folder cannot be read.
    """
    files = files or FileSystem()
    listed, run_id, problem = _manifest(directory, origin.run_id, files)
    if problem:
        yield Scanned(MANIFEST_NAME, False, None, None, 0, problem)
    candidates, leftovers = find_candidates(directory, listed, files)
    for name in leftovers:
        yield Scanned(name, False, None, None, 0, "older than what the manifest lists: an interrupted pruning left it")
    for actor in sorted(candidates):
        yield from _scan_actor(directory, candidates[actor], origin._replace(run_id=run_id), files)


def _manifest(directory: Path, run_id: str, files: FileSystem) -> tuple[list[SegmentInfo], str, str]:
    """Listed segments, the run's identity, and what is wrong with the manifest."""
    try:
        manifest = Manifest.load(directory, files)
    except FileNotFoundError:
        stored = any(SEGMENT_NAME.fullmatch(name) for name in files.names(directory))
        return [], run_id, "missing, though there are segments" if stored else ""
    except (SegmentError, OSError) as error:
        return [], run_id, str(error)
    if run_id and manifest.run_id != run_id:
        return [], run_id, f"of run {manifest.run_id!r}, not {run_id!r}"
    return manifest.entries, manifest.run_id, ""


def _scan_actor(directory: Path, candidates: list[Candidate], origin: Origin, files: FileSystem) -> Iterator[Scanned]:
    demands = Demands(origin.run_id or None, origin.config_hash, origin.fields)
    expected = candidates[0].first_group_id
    for index, candidate in enumerate(candidates):
        listed = candidate.info is not None
        try:
            info, segment = verify_segment(directory, candidate, demands, files)
        except FileNotFoundError:
            if _is_listed(directory, candidate.name, files):
                yield Scanned(candidate.name, listed, None, None, 0, "missing, though the manifest lists it")
            expected = candidate.info.last_group_id + 1 if candidate.info else expected
            continue
        except (SegmentError, OSError) as error:
            yield Scanned(candidate.name, listed, None, None, 0, str(error))
            expected = candidate.info.last_group_id + 1 if candidate.info else expected
            continue
        other = overlapped(candidates, index, info)
        if other:
            problem = f"holds groups of {other}, too, which the manifest lists: a resume sets it aside"
            yield Scanned(candidate.name, listed, info, segment, 0, problem)
            continue
        problem, gap = "", 0
        if info.first_group_id < expected or not follows(candidate, segment, expected):
            problem = f"starts at group {info.first_group_id}, {expected} is the next"
        else:
            gap = info.first_group_id - expected
            problem = _content_problem(segment, origin)
        expected = max(expected, info.last_group_id + 1)
        yield Scanned(candidate.name, listed, info, segment, gap, problem)


def _is_listed(directory: Path, name: str, files: FileSystem) -> bool:
    """Whether the manifest as it is now lists a segment."""
    try:
        return any(entry.name == name for entry in Manifest.load(directory, files).entries)
    except (SegmentError, OSError):
        return True


def _content_problem(segment: Segment, origin: Origin) -> str:
    """The first group that cannot be what its identity says; empty where there is none."""
    for record, usable in zip(segment.records, segment.valid, strict=True):
        group = load_group(record)
        problem = group_problem(group, origin)
        if problem or not usable:
            return f"group {group.group_id}: {problem or 'holds numbers that cannot be learned from'}"
    return ""


def group_problem(group: Group, origin: Origin = ANY) -> str:
    """What shows that a group was not played as it says; empty where nothing does.

    Its tours must be permutations, its rewards must sum to minus the tours' lengths,
    and its instance and starts must be those that its seed, actor and number make.
    """
    if not is_permutation(group.tours).all():
        return "a tour is no permutation of the cities"
    if not rewards_add_up(group.coordinates[None], group.tours[None], group.rewards[None])[0]:
        return "the rewards do not add up to the length of a tour"
    if origin.seed is not None and group.seed != origin.seed:
        return f"of seed {group.seed}, the run has {origin.seed}"
    if origin.instance is None:
        return ""
    coordinates, starts = origin.instance(group.actor, group.group_id)
    if not np.array_equal(coordinates, group.coordinates):
        return "the cities are not those that its seed makes"
    if not np.array_equal(starts, group.tours[:, 0]):
        return "the starts are not those that its seed makes"
    return ""


def prefix_problems(
    loaded: Mapping[int, Iterable[Group]], sealed: Mapping[int, int], origin: Origin = ANY
) -> list[str]:
    """The prefix oracle: what is wrong with groups that were loaded after a crash.

    Args:
        loaded: by actor, the groups that were loaded.
        sealed: by actor, one above the last group whose sealing was acknowledged before the crash.
        origin: what the groups must come from.

    Returns:
        A line for each gap, each acknowledged group that is missing behind the last loaded one, and each group that
        `group_problem` objects to; none where the groups of each actor are a gap-free run that reaches at least as
        far as what was sealed.
    """
    problems = []
    for actor in sorted({*loaded, *sealed}):
        groups = list(loaded.get(actor, ()))
        ids = [group.group_id for group in groups]
        if ids != list(range(ids[0], ids[0] + len(ids))) if ids else False:
            problems.append(f"actor {actor}: groups {ids} have gaps or are out of order")
        reached = ids[-1] + 1 if ids else 0
        if reached < sealed.get(actor, 0):
            problems.append(f"actor {actor}: loaded up to group {reached}, sealed up to {sealed[actor]}")
        for group in groups:
            problem = group_problem(group, origin)
            if problem or group.actor != actor:
                problems.append(f"group {group.group_id} of actor {actor}: {problem or f'of actor {group.actor}'}")
    return problems
