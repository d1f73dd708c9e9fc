"""Network weights that the learner publishes and actors pull: two banks in shared memory and a version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tspmz.checksum import LANES, copy_rows
from tspmz.errors import RunError
from tspmz.shared import SharedBlock
from tspmz.types import Float32

_WRITING, _VERSION = 0, 1
_CHECKSUMS = 2  # words 2 and 3: one per bank
_HEADER_BYTES = 64
_ALIGNMENT = 64
_BLOCK = 2 * LANES  # float32 numbers
_FIRST = np.zeros(1, np.int64)
_MAX_TRIES = 100_000  # seconds of trying; a writer at full speed spoils some hundred in a row


class SharedWeights:
    """One writer publishes flat weights, any number of readers pull them; nobody ever waits for a lock.

    Version v lies in bank v % 2. The writer announces v in the word `writing`, fills the bank, then sets the word
    `version` to v. A reader copies the bank of `version` and keeps the copy if `writing` is still below v + 2, that
    is if nobody began to write into this bank again, and if the checksum of the copy is the published one (the words
    order the accesses on x86; the checksum also covers processors that reorder them). A writer killed at any point
    leaves the last published bank whole.

    Pickles into a spawned child only.

    Args:
        num_elements: float32 numbers in the weights, > 0.
        start_version: versions start after this one (a resumed run goes on counting).
        shm_dir: as for `SharedBlock`.

    Raises:
        SharedMemoryError: not enough shared memory.
    """

    def __init__(self, num_elements: int, start_version: int = 0, shm_dir: str = "") -> None:
        self.num_elements = num_elements
        self._start_version = start_version
        self._block = SharedBlock(_HEADER_BYTES + 2 * _bank_bytes(num_elements), "sharing the weights", shm_dir)
        self._attach()
        self._words[_WRITING] = self._words[_VERSION] = start_version

    def _attach(self) -> None:
        words_per_bank = _bank_bytes(self.num_elements) // 8
        self._words = self._block.array(0, (_HEADER_BYTES // 8,), np.int64)
        self._banks = self._block.array(_HEADER_BYTES, (2, 2 * words_per_bank), np.float32)[:, : self.num_elements]

    def __getstate__(self) -> dict[str, object]:
        return {
            "num_elements": self.num_elements,
            "_start_version": self._start_version,
            "_block": self._block,
        }

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._attach()

    @property
    def version(self) -> int:
        """The version last published; `start_version` before the first."""
        return int(self._words[_VERSION])

    def publish(self, flat: Float32) -> int:
        """Publish the next version; one writer only.

        Args:
            flat: `[num_elements]` float32, contiguous.

        Returns:
            The new version.

        Raises:
            ValueError: wrong shape or dtype.
        """
        self._check(flat)
        version = self.version + 1
        bank = version % 2
        self._words[_WRITING] = version
        self._words[_CHECKSUMS + bank] = _copy(flat, self._banks[bank], version, private_source=True)
        self._words[_VERSION] = version
        return version

    def pull(self, out: Float32, newer_than: int) -> int | None:
        """Copy the published weights into `out`, if they are newer than the version `newer_than`.

        Args:
            out: `[num_elements]` float32, contiguous; holds a mix of versions after an error and nothing new where
                None is returned.
            newer_than: version that the caller already has; -1 for none.

        Returns:
            The version copied, or None where nothing newer is published.

        Raises:
            ValueError: wrong shape or dtype.
            RunError: no whole version could be read; the shared memory is damaged.
        """
        self._check(out)
        for _ in range(_MAX_TRIES):
            version = self.version
            if version <= max(newer_than, self._start_version):
                return None
            bank = version % 2
            checksum = int(self._words[_CHECKSUMS + bank])
            copied = _copy(self._banks[bank], out, version, private_source=False)
            if int(self._words[_WRITING]) < version + 2 and checksum == copied:
                return version
        raise RunError(f"no whole version of the weights in {_MAX_TRIES} tries (last version {self.version})")

    def _check(self, flat: Float32) -> None:
        if flat.shape != (self.num_elements,) or flat.dtype != np.float32 or not flat.flags.c_contiguous:
            raise ValueError(
                f"weights must be a contiguous float32 array of {self.num_elements} numbers, not "
                f"{flat.dtype} of shape {flat.shape}"
            )


def _bank_bytes(num_elements: int) -> int:
    return -(-num_elements * 4 // _ALIGNMENT) * _ALIGNMENT


def _copy(source: Float32, out: Float32, version: int, private_source: bool) -> int:
    """Copy all weights; their checksum, seeded with the version, as int64. `private_source` as for `copy_rows`."""
    whole = len(source) // _BLOCK * _BLOCK
    sums = np.array([version], np.uint64)
    if whole:
        copy_rows(_row(source[:whole]), _FIRST, sums.copy(), _row(out[:whole]), sums, private_source)
    out[whole:] = source[whole:]
    rest = np.zeros((2, _BLOCK), np.float32)
    rest[0, : len(source) - whole] = (source if private_source else out)[whole:]
    copy_rows(_row(rest[0]), _FIRST, sums.copy(), _row(rest[1]), sums, True)
    return int(sums.view(np.int64)[0])


def _row(flat: Float32) -> NDArray[np.uint64]:
    return flat.view(np.uint64)[None]
