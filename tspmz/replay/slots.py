"""The protocol of a slot in compiled code: the order of stores that lets a reader tell what is half-written.

A slot has a payload and three words: the sequence number that its writer begins with, the one that it ends with, and
the checksum of the payload. Between the steps stands `_fence`, so that stores are seen in the order of the writer's
steps by whoever loads in that of the reader's.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tspmz.checksum import LANES, copy_row
from tspmz.replay.compiled import kernel

BEGIN, END, CHECKSUM = range(3)
"""Rows of the heads `[3, P]` int64 of P slots."""

STEPS = ("begin", "payload", "checksum", "end", "published")
"""What a writer does, in this order."""

_SLOT_BITS = np.uint64(24)


class ReadStatus(IntEnum):
    """What a validated read of a slot found."""

    OK = 0
    TORN = 1
    OVERWRITTEN = 2
    CHECKSUM = 3
    MISSING = 4


_OK, _TORN, _OVERWRITTEN, _DAMAGED, _MISSING = (int(status) for status in ReadStatus)


@intrinsic
def _fence(typing_context):  # type: ignore[no-untyped-def]
    """No store passes an earlier store, and no load an earlier load, from one side of it to the other."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        builder.fence("acq_rel")
        return context.get_dummy_value()

    return types.void(), generate


@kernel
def _seed(slot, sequence):  # type: ignore[no-untyped-def]
    """Where a checksum starts: a payload is valid in one slot and for one sequence only."""
    return (np.uint64(sequence) << _SLOT_BITS) ^ np.uint64(slot)


@kernel
def store_rows(  # type: ignore[no-untyped-def]
    heads, words, published, actor, slots_per_actor, staged, identity, sums, from_step, to_step
):
    """Write the actor's next groups one after the other, each with all steps before the next one begins.

    Args:
        heads: `[3, P]` int64.
        words: `[P, W]` uint64 payloads of the slots.
        published: `[A, 8]` int64, a cache line for each actor; first in it the sequence number that it published last.
        actor: whose shard; it is the only writer of it.
        slots_per_actor: slots of a shard.
        staged: `[M, W]` uint64, what is written.
        identity: `[2]` int64, which words of a payload hold its actor and its group's number. The sequence number of a
            slot is one more than the latter.
        sums: `[M]` uint64, checksums, kept from one step to a later call.
        from_step, to_step: which of `STEPS` are done.

    Returns:
        M, or the first of `staged` that is not the group that must follow; then nothing was written.
    """
    first = published[actor, 0]
    for i in range(staged.shape[0]):
        if np.int64(staged[i, identity[0]]) != actor or np.int64(staged[i, identity[1]]) != first + i:
            return i
    lanes = np.empty(LANES, np.uint64)
    for i in range(staged.shape[0]):
        slot = actor * slots_per_actor + (first + i) % slots_per_actor
        sequence = first + i + 1
        if from_step <= 0 < to_step:
            heads[BEGIN, slot] = sequence
        _fence()
        if from_step <= 1 < to_step:
            sums[i] = copy_row(staged[i], words[slot], _seed(slot, sequence), lanes, True)
        _fence()
        if from_step <= 2 < to_step:
            heads[CHECKSUM, slot] = np.int64(sums[i])
        _fence()
        if from_step <= 3 < to_step:
            heads[END, slot] = sequence
        _fence()
        if from_step <= 4 < to_step:
            published[actor, 0] = sequence
    return staged.shape[0]


@kernel
def load_row(heads, words, slot, number, out, lanes):  # type: ignore[no-untyped-def]
    """Copy a slot and say whether the copy is the whole payload of the group that is wanted.

    Args:
        heads, words: as for `store_rows`.
        slot: one that is there.
        number: the group that it must hold.
        out: `[W]` uint64, filled, also with what is refused.
        lanes: `[LANES]` uint64, overwritten.

    Returns:
        One of `ReadStatus`.
    """
    wanted = number + 1
    _fence()  # what told the caller of this group was loaded before
    begin, end, checksum = heads[BEGIN, slot], heads[END, slot], heads[CHECKSUM, slot]
    _fence()
    total = np.int64(copy_row(words[slot], out, _seed(slot, wanted), lanes, False))
    _fence()
    begin_after, end_after = heads[BEGIN, slot], heads[END, slot]
    if begin_after != end_after or begin != begin_after or end != end_after:
        return _TORN
    if end > wanted:
        return _OVERWRITTEN
    if end < wanted:
        return _MISSING
    return _OK if total == checksum else _DAMAGED


@kernel
def load_rows(heads, words, slots, numbers, out, status):  # type: ignore[no-untyped-def]
    """`load_row` of several.

    Args:
        heads, words: as for `store_rows`.
        slots: `[M]` int64.
        numbers: `[M]` int64, the groups that the slots must hold.
        out: at least `[M, W]` uint64, filled.
        status: `[M]` int64 of `ReadStatus`, filled.

    Returns:
        How many are refused; -1 where one of `slots` is not there, and then nothing is copied.
    """
    for slot in slots:
        if not 0 <= slot < words.shape[0]:
            return -1
    lanes = np.empty(LANES, np.uint64)
    refused = 0
    for i in range(slots.shape[0]):
        status[i] = load_row(heads, words, slots[i], numbers[i], out[i], lanes)
        refused += status[i] != _OK
    return refused
