"""What does the ring cost beside a plain copy of the same bytes?

Groups of 16 episodes on 100 cities, as large as each policy target makes them, in and out of a ring that is larger than
the caches, 16 groups at a time. Writing takes groups as self-play leaves them, in the stored form, sums each up, copies
and publishes it; reading copies random slots and validates the copies.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.crew import Crew, Handlers
from benchmarks.groups import random_group
from benchmarks.results import Cell, Figure, Result, Table, this_machine
from benchmarks.timing import here, interleaved, one_core, ratio, times_faster
from tspmz.checksum import copy_rows
from tspmz.replay.fields import FieldSpec, Records, empty_records, fields_for
from tspmz.replay.packing import GroupPacker
from tspmz.replay.ring import Ring, RingWriter
from tspmz.replay.slots import ReadStatus

_CITIES, _EPISODES = 100, 16
_TARGETS = ("advantage", "visit_counts", "gumbel")
_BATCH = 16
_RING_BYTES = 64 * 2**20
_WRITERS = (1, 2, 4, 8)
_HALF = 0.5


class Setup:
    """A full ring, the groups that go on being written, and rows of the same size to copy.

    Args:
        target: policy target.
        ring_bytes: about so large.
    """

    def __init__(self, target: str, ring_bytes: int) -> None:
        specs = fields_for(_CITIES, _EPISODES, target)
        self.item = Ring(1, 2, specs).empty_records(1).dtype.itemsize
        self.slots = max(2 * _BATCH, ring_bytes // self.item)
        self.ring = Ring(1, self.slots, specs)
        self._writer = self.ring.writer(0)
        self._group = random_group(0, 0, _CITIES, _EPISODES)
        self._played = played(specs, 0)
        self.rows = np.ones((self.slots, self.item // 8), np.uint64)
        self.records = self.ring.empty_records(_BATCH)
        self._packer = GroupPacker(self.records, specs)
        self.copies = np.ones((_BATCH, self.item // 8), np.uint64)
        self._sums, self._seeds = np.zeros(_BATCH, np.uint64), np.zeros(_BATCH, np.uint64)
        self._rng = np.random.default_rng(0)
        self._place = 0
        for _ in range(self.slots // _BATCH + 1):
            self.write()

    def write(self) -> None:
        """The next groups."""
        write_next(self._writer, self._played, self.ring.next_group_id(0))

    def pack(self) -> None:
        """One group of arrays of its own, as a resumed run has it, in the stored form."""
        self._packer.store(self._group, 0)

    def copy_in(self) -> None:
        """As many bytes as `write`, from where they are at hand to the next rows."""
        self._place = (self._place + _BATCH) % (self.slots - _BATCH)
        np.copyto(self.rows[self._place : self._place + _BATCH], self.copies)

    def _drawn(self) -> np.ndarray[Any, Any]:
        return self._rng.integers(0, self.slots, _BATCH)

    def read(self) -> None:
        """A batch of random groups, validated."""
        written = self.ring.written(0)
        slots = self._drawn()
        sequences = written - 1 - (written - 1 - slots) % self.slots
        status = self.ring.read_many(slots, sequences, self.records)
        if (status != ReadStatus.OK).any():
            raise RuntimeError(f"a group was refused: {status}")

    def copy_out(self) -> None:
        """As many bytes as `read`, from random rows."""
        for i, row in enumerate(self._drawn()):
            np.copyto(self.copies[i], self.rows[row])

    def copy_and_sum(self) -> None:
        """`copy_out` with a checksum of each copy: what validation costs beyond the words of the slots."""
        copy_rows(self.rows, self._drawn(), self._seeds, self.copies, self._sums, False)

    def pass_on(self) -> None:
        """Write groups and read them back: the way of groups from an actor to the learner."""
        self.write()
        last = self.ring.written(0) - _BATCH + np.arange(_BATCH)
        status = self.ring.read_many(last % self.slots, last, self.records)
        if (status != ReadStatus.OK).any():
            raise RuntimeError(f"a group was refused: {status}")

    def copy_twice(self) -> None:
        """As many bytes as `pass_on`."""
        self.copy_in()
        np.copyto(self.copies, self.rows[self._place : self._place + _BATCH])


def played(specs: tuple[FieldSpec, ...], actor: int) -> Records:
    """Groups in the stored form, as self-play leaves them."""
    records = empty_records(specs, _BATCH)
    packer = GroupPacker(records, specs)
    for number in range(_BATCH):
        packer.store(random_group(actor, number, _CITIES, _EPISODES), number)
    return records


def write_next(writer: RingWriter, records: Records, first: int) -> None:
    """Give the groups the next numbers and write them."""
    records["group_id"] = first + np.arange(_BATCH)
    writer.write_stored(records)


def measure(short: bool) -> Result:
    """Measure the ring by one process, then with several writers."""
    rows: list[list[Cell]] = []
    figures: list[Figure] = []
    with one_core():
        for target in _TARGETS:
            row, found = _of_one_process(Setup(target, 2**20 if short else _RING_BYTES), target, short)
            rows.append(row)
            figures += found
    columns = (
        "policy target", "KB a group", "write us", "write GB/s", "copy in GB/s", "read GB/s", "copy out GB/s",
        "copy out and sum GB/s", "us through the ring", "us copied twice", "us to pack a group",
    )  # fmt: skip
    return Result(
        name="ring",
        title="Ring",
        answers="How fast are groups of 16 episodes on 100 cities written to the ring and read from it, validated, "
        "beside memcpy of the same bytes?",
        tables=[
            Table(
                f"One process, ring of {_RING_BYTES // 2**20} MiB, {_BATCH} groups at a time, microseconds per group",
                columns, rows,
            ),
            _of_writers(short),
        ],
        figures=figures,
        notes=[
            "Groups to write are at hand in the caches, and so are the bytes that are copied in; slots are not.",
            "Self-play fills groups in the stored form, so that a write is one sum and one copy; it makes sixty to a "
            "hundred groups a second. A group of arrays of its own, as from a segment, is packed first (last column).",
        ],
        machine=this_machine(),
        short=short,
    )


def _of_one_process(setup: Setup, target: str, short: bool) -> tuple[list[Cell], list[Figure]]:
    calls: dict[str, Callable[[], None]] = {
        name: getattr(setup, name)
        for name in ("write", "pack", "copy_in", "read", "copy_out", "copy_and_sum", "pass_on", "copy_twice")
    }
    spent = interleaved({name: here(call) for name, call in calls.items()}, rounds=7, seconds=0.1, short=short)
    rates = [
        _BATCH * setup.item / 1e9 / spent[name].median
        for name in ("write", "copy_in", "read", "copy_out", "copy_and_sum")
    ]
    each = [1e6 * spent[name].median / _BATCH for name in ("write", "pass_on", "copy_twice")]
    row: list[Cell] = [target, setup.item / 1e3, each[0], *rates, *each[1:], 1e6 * spent["pack"].median]
    figures = []
    for name, limit, verb in (("write", "copy_in", "written"), ("read", "copy_out", "read and validated")):
        share = times_faster(spent[name], spent[limit])
        figures.append(Figure(f"speed of memcpy at which groups are {verb}, {target}", *share, at_least=_HALF))
    return row, figures


def _writing(index: int, ring: Ring, slots: int, item: int) -> Handlers:
    """What a writer can do: write the next groups of its shard, or copy as many bytes."""
    records = played(ring.field_specs, index)
    writer = ring.writer(index)
    source, rows = np.ones((_BATCH, item), np.uint8), np.ones((slots, item), np.uint8)

    def write() -> None:
        write_next(writer, records, ring.next_group_id(index))

    for _ in range(slots // _BATCH + 1):  # memory that was touched before, as `rows` is
        write()
    places = itertools.count()

    def copy() -> None:
        first = next(places) * _BATCH % (slots - _BATCH + 1)
        np.copyto(rows[first : first + _BATCH], source)

    return {"write": write, "copy": copy}


def _of_writers(short: bool) -> Table:
    """GB/s of several writers at once."""
    specs = fields_for(_CITIES, _EPISODES, "visit_counts")
    item = Ring(1, 2, specs).empty_records(1).dtype.itemsize
    most = 2 if short else max(_WRITERS)
    slots = _RING_BYTES // item  # of each shard, which is larger than the caches
    rounds, seconds = (1, 0.0) if short else (5, 0.2)
    rows: list[list[Cell]] = []
    with Crew(most, _writing, Ring(most, slots, specs), slots, item) as crew:
        for writers in [count for count in _WRITERS if count <= most]:
            rates = [[crew.rate(writers, name, seconds) for name in ("write", "copy")] for _ in range(rounds)]
            written, copied = np.median(rates, axis=0) * _BATCH * item / 1e9
            share = ratio([a / b for a, b in rates])
            rows.append([writers, float(written), float(copied), share.median])
    columns = ("writers", "written GB/s", "copied GB/s", "ratio")
    return Table("Writers at the same time, each with its shard, policy target visit_counts", columns, rows)
