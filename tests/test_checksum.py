"""Copies with a checksum: beside a plain loop over the words, and for every change of a word."""

from __future__ import annotations

import numpy as np
import pytest

from tspmz.checksum import LANES, copy_rows

MASK = 2**64 - 1


def mix(state: int, word: int) -> int:
    product = ((state ^ word) * 0x9E3779B97F4A7C15) & MASK
    return product ^ (product >> 32)


def plain_checksum(words: list[int], seed: int) -> int:
    """As the module's page describes it, word by word in Python's integers."""
    lanes = [mix(seed, k) for k in range(LANES)]
    for place, word in enumerate(words):
        mixed = lanes[place % LANES] ^ word
        mixed = ((mixed << 23) | (mixed >> 41)) & MASK
        lanes[place % LANES] = (9 * mixed) & MASK
    total = seed
    for lane in lanes:
        total = mix(total, lane)
    return total


def copied(source: np.ndarray, rows: list[int], seeds: list[int], private_source: bool) -> tuple[np.ndarray, list[int]]:
    out = np.zeros((len(rows) + 1, source.shape[1]), np.uint64)
    sums = np.zeros(len(rows), np.uint64)
    copy_rows(source, np.array(rows), np.array(seeds, np.uint64), out, sums, private_source)
    assert not out[len(rows)].any()
    return out[: len(rows)], sums.tolist()


@pytest.mark.parametrize("private_source", [False, True])
@pytest.mark.parametrize("width", [LANES, 3 * LANES, 4096, 4096 + LANES, 2 * 4096 + 5 * LANES])
def test_rows_are_copied_and_summed_as_by_a_plain_loop(width: int, private_source: bool) -> None:
    rng = np.random.default_rng(width)
    source = rng.integers(0, 2**64, (4, width), dtype=np.uint64)
    out, sums = copied(source, [2, 0, 2], [7, MASK, 8], private_source)
    assert np.array_equal(out, source[[2, 0, 2]])
    assert sums == [plain_checksum(source[row].tolist(), seed) for row, seed in ((2, 7), (0, MASK), (2, 8))]


def test_every_changed_word_changes_the_sum() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, (1, 4 * LANES), dtype=np.uint64)
    _, (before,) = copied(words, [0], [1], False)
    for place in range(words.shape[1]):
        changed = words.copy()
        changed[0, place] ^= np.uint64(1 << (place % 64))
        assert copied(changed, [0], [1], False)[1] != [before]
    assert copied(words, [0], [2], False)[1] != [before]
