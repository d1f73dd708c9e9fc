"""The ring in shared memory that actors write groups to: one shard per actor, no locks, validated reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.fields import FieldSpec, Records, empty_records, poison, record_dtype, words_of
from tspmz.replay.packing import GroupPacker, load_group
from tspmz.replay.slots import STEPS, ReadStatus, load_rows, store_rows
from tspmz.shared import SharedBlock
from tspmz.types import Group, Reanalysis

CACHE_LINE = 64


class Ring:
    """Slots in one shared block; group k of an actor goes to slot `actor * slots_per_actor + k % slots_per_actor`.

    The number k of a group within its actor is its `group_id`, and the sequence number of its slot. A slot has two
    sequence words and a checksum. The writer sets the first word, the payload, the checksum, the second word and
    then the actor's published counter (`slots.store_rows`); readers take a copy and accept it only if both words name
    the group they want and the checksum of the copy, which is seeded with slot and sequence, is the stored one. A
    writer killed at any step leaves a slot that no reader accepts, and the next writer of that actor overwrites it.
    Single writer per actor; any number of readers; nothing is ever locked. Pickles into a spawned child.

    Args:
        num_actors: shards, >= 1.
        slots_per_actor: slots of a shard, >= 2.
        field_specs: what a slot holds, from `fields.fields_for`.
        shm_dir: directory for the memory; empty for anonymous memory.
        purpose: what the memory is for, in an error.

    Attributes:
        nbytes: size of the shared block.
        rejected: `[len(ReadStatus)]` int64, reads by status that this process's copy of the ring has refused.

    Raises:
        ValueError: sizes out of range.
        SharedMemoryError: not enough shared memory.
    """

    def __init__(
        self,
        num_actors: int,
        slots_per_actor: int,
        field_specs: Sequence[FieldSpec],
        shm_dir: str = "",
        purpose: str = "the replay ring",
    ) -> None:
        if num_actors < 1 or slots_per_actor < 2:
            raise ValueError(f"a ring needs 1 actor and 2 slots each, not {num_actors} and {slots_per_actor}")
        self.num_actors = num_actors
        self.slots_per_actor = slots_per_actor
        self.field_specs = tuple(field_specs)
        self.nbytes = Ring.plan(num_actors, slots_per_actor, field_specs)
        self._block = SharedBlock(self.nbytes, purpose, shm_dir)
        self._attach()
        poison(self._records, self.field_specs)

    @staticmethod
    def plan(num_actors: int, slots_per_actor: int, field_specs: Sequence[FieldSpec]) -> int:
        """Bytes of shared memory that such a ring takes."""
        num_slots = num_actors * slots_per_actor
        heads = 3 * (-(-num_slots * 8 // CACHE_LINE) * CACHE_LINE)
        return num_actors * CACHE_LINE + heads + num_slots * record_dtype(field_specs).itemsize

    @property
    def num_slots(self) -> int:
        """Slots P of all shards."""
        return self.num_actors * self.slots_per_actor

    def _attach(self) -> None:
        num_slots = self.num_slots
        record = record_dtype(self.field_specs)
        head = -(-num_slots * 8 // CACHE_LINE) * CACHE_LINE
        start = self.num_actors * CACHE_LINE
        # one cache line an actor: a published counter has one writer, and no neighbour's store slows its readers
        self._counters = self._block.array(0, (self.num_actors, CACHE_LINE // 8), np.int64)
        self._published = self._counters[:, 0]
        self._heads = self._block.array(start, (3, head // 8), np.int64)
        self._records = self._block.array(start + 3 * head, (num_slots,), record)
        self._words = self._block.array(start + 3 * head, (num_slots, record.itemsize // 8), np.uint64)
        self.rejected = np.zeros(len(ReadStatus), np.int64)

    def __getstate__(self) -> dict[str, Any]:
        names = ("num_actors", "slots_per_actor", "field_specs", "nbytes", "_block")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._attach()

    @property
    def heads_and_words(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """`[3, >= P]` heads and `[P, W]` payloads of the slots, for compiled code that keeps to the protocol."""
        return self._heads, self._words

    def slot_of(self, actor: int, group_id: int) -> int:
        """Slot that group `group_id` of `actor` is written to."""
        return actor * self.slots_per_actor + group_id % self.slots_per_actor

    def written(self, actor: int) -> int:
        """Groups that `actor` has ever written: its published counter."""
        return int(self._published[actor])

    def all_written(self) -> NDArray[np.int64]:
        """`[num_actors]` published counters, copied."""
        return self._published.copy()

    def next_group_id(self, actor: int) -> int:
        """`group_id` of the next group of `actor`; the same word as `written`, so the two cannot disagree."""
        return self.written(actor)

    def writer(self, actor: int) -> RingWriter:
        """The writer of one shard; at most one process may hold it at a time.

        Raises:
            ValueError: no such actor.
        """
        if not 0 <= actor < self.num_actors:
            raise ValueError(f"actor {actor}: the ring has shards 0 to {self.num_actors - 1}")
        return RingWriter(self, actor)

    def restore(self, actor: int, groups: Iterable[Group], next_group_id: int) -> None:
        """Fill a shard from stored groups, before any child starts; each lands in the slot it had.

        Args:
            actor: the shard.
            groups: its groups, by increasing `group_id`; only those that fit into the shard stay.
            next_group_id: number of the next group, above those of `groups`.

        Raises:
            ValueError: groups of another actor, out of order, or not below `next_group_id`.
        """
        writer = self.writer(actor)
        for group in groups:
            if group.group_id < self.written(actor) or group.group_id >= next_group_id:
                raise ValueError(
                    f"cannot restore group {group.group_id} of actor {actor}: must be at least {self.written(actor)} "
                    f"and below {next_group_id}"
                )
            self._published[actor] = group.group_id
            writer.write(group)
        self._published[actor] = next_group_id

    def empty_records(self, count: int) -> Records:
        """`[count]` private records for `read_many` to fill."""
        return empty_records(self.field_specs, count)

    def read_many(
        self, slots: NDArray[np.int64], sequences: NDArray[np.int64], out: Records
    ) -> NDArray[np.int64]:
        """Copy slots into the first M of `out` and validate the copies.

        Args:
            slots: `[M]` int64.
            sequences: `[M]` int64, the `group_id` that each slot must hold.
            out: at least M records of `empty_records`; rows that are refused are poisoned.

        Raises:
            ValueError: a slot that is not there, or `out` too short or of other fields.

        Returns:
            `[M]` int64 of `ReadStatus`; refusals are also counted in `rejected`.
        """
        if len(out) < len(slots) or out.dtype != self._records.dtype:
            raise ValueError(f"{len(out)} records of {out.dtype.itemsize} bytes cannot take {len(slots)} of this ring")
        status = np.empty(len(slots), np.int64)
        where = np.ascontiguousarray(slots, np.int64)
        numbers = np.ascontiguousarray(sequences, np.int64)
        refused = load_rows(self._heads, self._words, where, numbers, words_of(out), status)
        if refused < 0:
            raise ValueError(f"slots must be 0 to {self.num_slots - 1}, not {where}")
        if refused:
            self.count_refused(status)
            for index in np.flatnonzero(status):
                poison(out[index : index + 1], self.field_specs)
        return status

    def count_refused(self, status: NDArray[np.int64]) -> None:
        """Add the refusals among `status [M]` to `rejected`."""
        counts = np.bincount(status, minlength=len(self.rejected))
        counts[ReadStatus.OK] = 0
        self.rejected += counts

    def peek(self, name: str, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """One whole-number field of some slots as it is at the moment, not validated: a hint, to be read properly."""
        return self._records[name][slots].astype(np.int64)  # type: ignore[no-any-return]

    def read(self, slot: int, sequence: int) -> Group | None:
        """A validated copy of the group `sequence` in `slot`; None (and a count in `rejected`) where it is not."""
        record = self.empty_records(1)
        if self.read_many(np.array([slot]), np.array([sequence]), record)[0] != ReadStatus.OK:
            return None
        return load_group(record[0])


class RingWriter:
    """Writes the groups of one actor; a writer made after a restart goes on where the last one stopped.

    Attributes:
        actor: whose shard it is.
        specs: fields of the ring.
    """

    def __init__(self, ring: Ring, actor: int) -> None:
        self._ring = ring
        self.actor = actor
        self.specs = ring.field_specs
        self._staged = ring.empty_records(1)
        self._packer = GroupPacker(self._staged, ring.field_specs)
        self._sums = np.empty(1, np.uint64)
        fields: Mapping[str, Any] = self._staged.dtype.fields or {}
        self._identity = np.array([fields[name][1] // 8 for name in ("actor", "group_id")])

    def write(self, group: Group | Reanalysis) -> int:
        """Write and publish one group.

        Returns:
            The slot it is in.

        Raises:
            ValueError: not this actor's next group, or shapes that the ring does not store.
        """
        self._packer.store(group, 0)
        self._store(self._staged, 0, len(STEPS))
        return self._ring.slot_of(self.actor, group.group_id)

    def write_stored(self, records: Records) -> None:
        """Write and publish groups that are in the stored form, one after the other.

        Args:
            records: `[M]` records of the ring's fields, the actor's next groups.

        Raises:
            ValueError: not this actor's next groups, or other fields than the ring's.
        """
        self._store(records, 0, len(STEPS))

    def write_steps(self, group: Group | Reanalysis) -> Iterator[str]:
        """The steps of `write` one by one, each named after it is done; readers must survive a stop at any."""
        self._packer.store(group, 0)
        for step, name in enumerate(STEPS):
            self._store(self._staged, step, step + 1)
            yield name

    def _store(self, records: Records, from_step: int, to_step: int) -> None:
        """The given steps of `slots.STEPS`."""
        ring = self._ring
        if records.dtype != self._staged.dtype:
            raise ValueError(f"these records hold {records.dtype.names}, the ring's {self._staged.dtype.names}")
        words = words_of(records)
        if len(self._sums) < len(words):
            self._sums = np.empty(len(words), np.uint64)
        wrong = store_rows(
            ring._heads, ring._words, ring._counters, self.actor, ring.slots_per_actor, words, self._identity,
            self._sums, from_step, to_step,
        )  # fmt: skip
        if wrong < len(words):
            group_id, actor = int(records["group_id"][wrong]), int(records["actor"][wrong])
            raise ValueError(
                f"group {group_id} of actor {actor}: the shard of actor {self.actor} expects group "
                f"{ring.next_group_id(self.actor) + wrong}"
            )
