"""What a replay folder holds, in numbers; and its groups in one file for other programs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.checks import stored_lengths
from tspmz.replay.fields import Records
from tspmz.replay.files import FileSystem, atomic_write
from tspmz.replay.loading import QUARANTINE_NAME, REASONS_NAME
from tspmz.replay.verify import Scanned
from tspmz.types import Float64


class ActorSummary(NamedTuple):
    """The groups of one actor.

    Attributes:
        actor: its number.
        segments: files.
        groups: in them.
        first_group_id, last_group_id: the oldest and the newest.
        gap: groups between them that were never stored.
        bytes: of its files.
        tour_length_min, tour_length_mean: over all episodes.
        weights_version_min, weights_version_max: that the groups were played with.
    """

    actor: int
    segments: int
    groups: int
    first_group_id: int
    last_group_id: int
    gap: int
    bytes: int
    tour_length_min: float
    tour_length_mean: float
    weights_version_min: int
    weights_version_max: int


class Summary(NamedTuple):
    """A replay folder in numbers; what cannot be verified is left out and named in `problems`.

    Attributes:
        run_ids: whose segments.
        schema_versions, cities, group_sizes, policy_targets: those that occur.
        segments: whole files.
        unlisted: of these, not in the manifest.
        groups, episodes, env_steps: in them; an env step is one move of one episode.
        bytes: of them.
        tour_length_min, tour_length_mean: over all episodes; None without any.
        tour_length_best_mean: mean over the groups of their shortest tour.
        weights_version_min, weights_version_max: that the groups were played with; None without any.
        quarantined: files in `quarantine/`.
        actors: by actor.
        problems: name and reason of each file with one.
    """

    run_ids: list[str]
    schema_versions: list[int]
    cities: list[int]
    group_sizes: list[int]
    policy_targets: list[str]
    segments: int
    unlisted: int
    groups: int
    episodes: int
    env_steps: int
    bytes: int
    tour_length_min: float | None
    tour_length_mean: float | None
    tour_length_best_mean: float | None
    weights_version_min: int | None
    weights_version_max: int | None
    quarantined: int
    actors: list[ActorSummary]
    problems: list[tuple[str, str]]

    def tree(self) -> dict[str, Any]:
        """As plain values for JSON."""
        tree = self._asdict()
        tree["actors"] = [actor._asdict() for actor in self.actors]
        tree["problems"] = [{"name": name, "problem": problem} for name, problem in self.problems]
        return tree


class _File(NamedTuple):
    """What the summary keeps of a whole segment: `lengths [M, G]` of the groups that can be learned from, and of all
    groups the versions and the numbers of cities.
    """

    scanned: Scanned
    lengths: Float64
    versions: NDArray[np.int64]
    cities: NDArray[np.int64]


def summarize(directory: Path, scanned: Iterable[Scanned], files: FileSystem | None = None) -> Summary:
    """Sum up what `verify.scan_folder` found in `directory`."""
    whole: list[_File] = []
    problems = []
    for file in scanned:
        if file.problem:
            problems.append((file.name, file.problem))
        if file.segment is not None and file.info is not None:
            usable = file.segment.records[file.segment.valid]
            lengths = stored_lengths(usable)
            versions = np.array(file.segment.records["weights_version"])
            cities = np.array(file.segment.records["num_cities"])
            # the records themselves, or a view of them, would be the whole replay in memory
            emptied = file._replace(segment=file.segment._replace(records=usable[:0].copy()))
            whole.append(_File(emptied, lengths, versions, cities))
    headers = [file.scanned.segment.header for file in whole if file.scanned.segment is not None]
    moves = [header.group_size * (file.cities - 1) for header, file in zip(headers, whole, strict=True)]
    lengths = np.concatenate([file.lengths.ravel() for file in whole] or [np.empty(0)])
    best = np.concatenate([file.lengths.min(axis=1) for file in whole if file.lengths.size] or [np.empty(0)])
    versions = np.concatenate([file.versions for file in whole] or [np.empty(0, np.int64)])
    actors = sorted({header.actor for header in headers})
    quarantine = (files or FileSystem()).names(directory / QUARANTINE_NAME)
    return Summary(
        run_ids=sorted({header.run_id for header in headers}),
        schema_versions=sorted({file.scanned.segment.schema_version for file in whole if file.scanned.segment}),
        cities=sorted({int(size) for file in whole for size in file.cities}),
        group_sizes=sorted({header.group_size for header in headers}),
        policy_targets=sorted({header.policy_target for header in headers}),
        segments=len(whole),
        unlisted=sum(not file.scanned.listed for file in whole),
        groups=sum(header.num_groups for header in headers),
        episodes=sum(header.num_groups * header.group_size for header in headers),
        env_steps=sum(int(of_groups.sum()) for of_groups in moves),
        bytes=sum(file.scanned.info.size for file in whole if file.scanned.info),
        tour_length_min=float(lengths.min()) if lengths.size else None,
        tour_length_mean=float(lengths.mean()) if lengths.size else None,
        tour_length_best_mean=float(best.mean()) if best.size else None,
        weights_version_min=int(versions.min()) if versions.size else None,
        weights_version_max=int(versions.max()) if versions.size else None,
        quarantined=sum(name != REASONS_NAME for name in quarantine),
        actors=[_summarize_actor(actor, whole) for actor in actors],
        problems=problems,
    )


def _summarize_actor(actor: int, whole: list[_File]) -> ActorSummary:
    own = [file for file in whole if file.scanned.info is not None and file.scanned.info.actor == actor]
    infos = [file.scanned.info for file in own if file.scanned.info is not None]
    lengths = np.concatenate([file.lengths.ravel() for file in own])
    versions = np.concatenate([file.versions for file in own])
    return ActorSummary(
        actor=actor,
        segments=len(own),
        groups=sum(info.num_groups for info in infos),
        first_group_id=min(info.first_group_id for info in infos),
        last_group_id=max(info.last_group_id for info in infos),
        gap=sum(file.scanned.gap for file in own),
        bytes=sum(info.size for info in infos),
        tour_length_min=float(lengths.min()) if lengths.size else float("nan"),
        tour_length_mean=float(lengths.mean()) if lengths.size else float("nan"),
        weights_version_min=int(versions.min()),
        weights_version_max=int(versions.max()),
    )


class Export(NamedTuple):
    """What `export_npz` wrote.

    Attributes:
        groups: that many.
        left_out: groups that cannot be learned from.
        bytes: size of the file.
        problems: name and reason of each file that was left out.
    """

    groups: int
    left_out: int
    bytes: int
    problems: list[tuple[str, str]]


def export_npz(
    path: Path, scanned: Iterable[Scanned], newest: int | None = None, files: FileSystem | None = None
) -> Export:
    """Write the groups that `verify.scan_folder` found whole into one `.npz` file: each field as one array.

    Actor by actor, by increasing `group_id`; first axis M = groups. Beside the fields of the segments there is
    `tour_lengths [M, G]` float64. Where sizes are mixed, a group fills the first `num_cities` places of
    an axis. Nothing in the file needs unpickling.

    Args:
        path: the file; its name must not be taken.
        scanned: the segments.
        newest: only that many newest groups of each actor; None = all.
        files: the file operations.

    Raises:
        FileExistsError: there is such a file.
        ValueError: the segments are of different sizes, or there are no groups.
        OSError: the disk refused; nothing is left behind.
    """
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists already")
    parts: dict[int, list[Records]] = {}
    problems, left_out = [], 0
    for file in scanned:
        if file.problem:
            problems.append((file.name, file.problem))
        elif file.segment is not None:
            records = file.segment.records[file.segment.valid]
            left_out += len(file.segment.records) - len(records)
            parts.setdefault(file.segment.header.actor, []).append(records)
    chosen = []
    for own in parts.values():
        if len({records.dtype for records in own}) > 1:
            raise ValueError("the segments store groups of different sizes")
        records = np.concatenate(own)
        chosen.append(records[max(0, len(records) - newest) :] if newest is not None else records)
    if len({records.dtype for records in chosen}) > 1:
        raise ValueError("the segments store groups of different sizes")
    if not sum(len(records) for records in chosen):
        raise ValueError("no whole groups to export")
    groups = np.concatenate(chosen)
    arrays = {name: np.ascontiguousarray(groups[name]) for name in groups.dtype.names or ()}
    arrays["tour_lengths"] = stored_lengths(groups)
    atomic_write(files or FileSystem(), path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
    return Export(len(groups), left_out, path.stat().st_size, problems)
