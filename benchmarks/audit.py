"""Slow, independent checks built into a run: every group that the learner draws, every copy of the weights.

`audited_train.py` calls `install` in each process of a run; `read` sums up what they noted.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tspmz.rng import generator_for
from tspmz.types import Float32, Int64

_TOLERANCE = 1e-6


def group_fault(
    coordinates: Float32, tours: Int64, rewards: Float32, *, seed: int, actor: int, group_id: int
) -> str:
    """What is wrong with a group of a run on uniform instances; empty where it is what this actor must have played.

    Args:
        coordinates: `[N, 2]`.
        tours: `[G, N]`.
        rewards: `[G, T]`.
        seed: the run's seed.
        actor: whose group.
        group_id: its number.
    """
    group_size, num_cities = tours.shape
    rng = generator_for(seed, "instance", actor, group_id)
    if not np.array_equal(coordinates, rng.random((num_cities, 2), dtype=np.float32)):
        return "its cities are not those of its identity"
    if not np.array_equal(tours[:, 0], rng.permutation(num_cities)[:group_size]):
        return "its starts are not those of its identity"
    if not np.array_equal(np.sort(tours, axis=1), np.tile(np.arange(num_cities), (group_size, 1))):
        return "a tour is no permutation"
    points = coordinates.astype(np.float64)[tours]  # [G, N, 2]
    edges = np.linalg.norm(np.diff(points, axis=1, append=points[:, :1]), axis=2)  # the last one closes the tour
    expected = -edges[:, :-1]
    expected[:, -1] -= edges[:, -1]
    if not np.allclose(rewards, expected, rtol=0.0, atol=_TOLERANCE):
        return "its rewards are not minus the edges of its tours"
    return ""


class Audit(NamedTuple):
    """What the processes of all parts of a run noted.

    Attributes:
        groups_drawn: groups checked in batches.
        groups_bad: of these, with a fault.
        pulls: copies of the weights taken over.
        pulls_bad: of these, other than what was published under their version.
        faults: lines about both, for people.
        played: by part and actor, one above the last group written into the ring.
    """

    groups_drawn: int
    groups_bad: int
    pulls: int
    pulls_bad: int
    faults: list[str]
    played: dict[tuple[int, int], int]


class _Notes:
    """Lines of one process in a file of its own: one write each, so that a kill loses at most the line it cuts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = -1

    def write(self, line: str) -> None:
        if self._file < 0:
            name = f"{os.getppid()}-{os.getpid()}.notes"
            self._file = os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._file, f"{line}\n".encode())


def install(directory: Path, seed: int) -> None:
    """Have this process check what it draws, publishes, pulls and plays; notes go to `directory`."""
    from tspmz.replay.buffer import ReplayBuffer
    from tspmz.replay.ring import RingWriter
    from tspmz.weights import SharedWeights

    notes = _Notes(directory)
    sample, publish, pull = ReplayBuffer.sample, SharedWeights.publish, SharedWeights.pull
    write = RingWriter.write_stored

    def audited_sample(buffer: Any, rng: Any) -> Any:
        batch = sample(buffer, rng)
        for m, (actor, group_id) in enumerate(zip(batch.actors.tolist(), batch.group_ids.tolist(), strict=True)):
            fault = group_fault(
                batch.coordinates[m], batch.tours[m], batch.rewards[m], seed=seed, actor=actor, group_id=group_id
            )
            if fault:
                notes.write(f"bad group {group_id} of actor {actor}: {fault}")
        notes.write(f"drawn {len(batch.slots)}")
        return batch

    def audited_publish(weights: Any, flat: Float32) -> int:
        notes.write(f"published {weights.version + 1} {_digest(flat)}")  # before: no reader can be faster
        return publish(weights, flat)

    def audited_pull(weights: Any, out: Float32, newer_than: int) -> int | None:
        version = pull(weights, out, newer_than)
        if version is not None:
            notes.write(f"pulled {version} {_digest(out)}")
        return version

    def audited_write(writer: Any, records: Any) -> None:
        write(writer, records)
        notes.write(f"played {records['actor'][-1]} {records['group_id'][-1]}")

    ReplayBuffer.sample = audited_sample  # type: ignore[method-assign]
    SharedWeights.publish = audited_publish  # type: ignore[method-assign]
    SharedWeights.pull = audited_pull  # type: ignore[method-assign]
    RingWriter.write_stored = audited_write  # type: ignore[method-assign]


def read(directory: Path) -> Audit:
    """Sum up the notes in `directory`."""
    drawn = bad = pulls = pulls_bad = 0
    published: dict[tuple[str, str], str] = {}
    pulled: list[tuple[str, str, str]] = []
    faults: list[str] = []
    played: dict[tuple[int, int], int] = {}
    for path in sorted(directory.glob("*.notes")):
        part = path.name.partition("-")[0]  # process id of the parent: versions may be given again by the next one
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            kind, *words = line.split(" ")
            if kind == "drawn":
                drawn += int(words[0])
            elif kind == "bad":
                bad += 1
                faults.append(line)
            elif kind == "published":
                published[part, words[0]] = words[1]
            elif kind == "pulled":
                pulled.append((part, words[0], words[1]))
            elif kind == "played":
                key = int(part), int(words[0])
                played[key] = max(played.get(key, 0), int(words[1]) + 1)
    for part, version, digest in pulled:
        pulls += 1
        if published.get((part, version)) != digest:
            pulls_bad += 1
            faults.append(f"weights version {version} of part {part} were not what was published")
    return Audit(drawn, bad, pulls, pulls_bad, faults, played)


def _digest(flat: Float32) -> str:
    return hashlib.sha256(np.ascontiguousarray(flat).data).hexdigest()
