"""Copies of rows of 64-bit words, and a checksum of each, at about the speed of the copies alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Words that are folded at a time: rows hold a multiple of it."""

_BLOCK = 4096  # words, 32 KiB: what was copied is still in the first cache when it is summed
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)
_LEFT, _RIGHT, _TIMES_NINE = 23, 41, 3
_INT = ir.IntType(64)
_VECTOR = ir.VectorType(_INT, LANES)


@njit(cache=True, inline="always")
def _mix(state: np.uint64, word: np.uint64) -> np.uint64:
    product = (state ^ word) * _PRIME
    return product ^ (product >> _SHIFT)


@intrinsic
def _copy_words(typing_context, target, source, start, count):  # type: ignore[no-untyped-def]
    """`target[start : start + count] = source[start : start + count]` as one memcpy.

    A loop of stores would first read what it overwrites, which memcpy knows how to avoid.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        pointers = [context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 1)]
        to, of = (builder.gep(pointer, [args[2]]) for pointer in pointers)
        size = builder.mul(args[3], ir.Constant(_INT, 8))
        cgutils.raw_memcpy(builder, to, of, size, 1)
        return context.get_dummy_value()

    return types.void(target, source, types.intp, types.intp), generate


@intrinsic
def _fold_words(typing_context, lanes, words, copy, start, count):  # type: ignore[no-untyped-def]
    """Fold `words[start : start + count]` into the lanes, 16 words at a time: xor, rotate, times nine.

    The word that was loaded is also what is stored in `copy`, unless that is None. Written as vector instructions
    because the compiler does not keep lanes of a loop in registers; as a loop this has a quarter of the speed.
    """

    def constant(number: int) -> ir.Constant:
        return ir.Constant(_VECTOR, [number] * LANES)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        pointer = _VECTOR.as_pointer()
        state, data = (context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 1))
        state = builder.bitcast(state, pointer)
        before = builder.load(state)
        before.align = 8
        entry, loop, done = builder.block, builder.append_basic_block("fold"), builder.append_basic_block("done")
        copied = None
        if not isinstance(copy, types.NoneType):
            copied = context.make_array(signature.args[2])(context, builder, args[2]).data
        end = builder.add(args[3], args[4])
        builder.branch(loop)
        builder.position_at_end(loop)
        index, folded = builder.phi(_INT), builder.phi(_VECTOR)
        word = builder.load(builder.bitcast(builder.gep(data, [index]), pointer))
        word.align = 8
        if copied is not None:
            builder.store(word, builder.bitcast(builder.gep(copied, [index]), pointer)).align = 8
        mixed = builder.xor(folded, word)
        mixed = builder.or_(builder.shl(mixed, constant(_LEFT)), builder.lshr(mixed, constant(_RIGHT)))
        mixed = builder.add(mixed, builder.shl(mixed, constant(_TIMES_NINE)))
        following = builder.add(index, ir.Constant(_INT, LANES))
        for phi, first, later in ((index, args[3], following), (folded, before, mixed)):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, end), loop, done)
        builder.position_at_end(done)
        builder.store(mixed, state).align = 8
        return context.get_dummy_value()

    return types.void(lanes, words, copy, types.intp, types.intp), generate


@njit(cache=True, nogil=True)
def copy_row(row, target, seed, lanes, private_source):  # type: ignore[no-untyped-def]
    """One row of `copy_rows`; returns its checksum. `lanes` `[LANES]` uint64 is overwritten."""
    for k in range(LANES):
        lanes[k] = _mix(seed, np.uint64(k))
    if private_source:
        for start in range(0, row.shape[0], _BLOCK):
            count = min(_BLOCK, row.shape[0] - start)
            _copy_words(target, row, start, count)
            _fold_words(lanes, row, None, start, count)
    else:
        _fold_words(lanes, row, target, 0, row.shape[0])
    total = seed
    for k in range(LANES):
        total = _mix(total, lanes[k])
    return total


@njit(cache=True, nogil=True)
def copy_rows(source, rows, seeds, out, sums, private_source):  # type: ignore[no-untyped-def]
    """Copy `source[rows]` to `out` and leave a checksum of each row in `sums`.

    Every step is a bijection of the state and of the word, so a change of one word always changes the sum; other
    changes are missed with a probability of about 2**-64.

    Args:
        source: `[P, W]` uint64, W a multiple of `LANES`.
        rows: `[M]` int64.
        seeds: `[M]` uint64, where each sum starts.
        out: at least `[M, W]` uint64.
        sums: `[M]` uint64, filled.
        private_source: nobody else writes to `source`, and `out` is not in the cache: rows are summed where they are
            and copied by memcpy. Else each word is read once, summed and stored.
    """
    lanes = np.empty(LANES, np.uint64)
    for i in range(rows.shape[0]):
        sums[i] = copy_row(source[rows[i]], out[i], seeds[i], lanes, private_source)
