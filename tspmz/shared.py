"""Memory and wake-up signals that spawned processes share, with no name to leak and no lock to hang on."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import tempfile
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import numpy as np

from tspmz.errors import TspmzError


class SharedMemoryError(TspmzError):
    """Shared memory could not be reserved; the message says how much was needed, where, and what to do."""


def available_memory() -> int | None:
    """Bytes of memory that the machine (and its control group) can still give; None where Linux does not say."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    except OSError:
        return None
    try:
        ceiling = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if ceiling != "max":
            limits.append(int(ceiling) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no control group limit to read
    return min(limits) if limits else None


class SharedBlock:
    """A block of zeroed shared memory, reserved page by page before any child starts.

    The memory has no name: it is anonymous (`memfd_create`), or an unlinked file where a directory is given. It goes
    away with the last process that holds it, however that process ends. Pickles into a spawned child only.

    Args:
        size: bytes, > 0.
        purpose: what the block is for, in error messages.
        shm_dir: directory for the memory (a tmpfs, say); empty for anonymous memory.

    Raises:
        SharedMemoryError: not enough memory. Pages are allocated at once (`posix_fallocate`), so that a full file
            system is an error here and never a SIGBUS later.
    """

    def __init__(self, size: int, purpose: str, shm_dir: str = "") -> None:
        available = available_memory()
        if not shm_dir and available is not None and size > available:
            raise SharedMemoryError(
                f"{purpose} needs {_mib(size)} of shared memory, {_mib(available)} are available: lower "
                f"replay.capacity_groups"
            )
        try:
            fd = _unlinked_file(shm_dir) if shm_dir else os.memfd_create(f"tspmz-{purpose}", os.MFD_CLOEXEC)
        except OSError as error:
            raise SharedMemoryError(
                f"no shared memory for {purpose} in {shm_dir or 'memfd'}: {error.strerror}"
            ) from None
        try:
            os.fchmod(fd, 0o600)
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            have = _free_bytes(shm_dir)
            os.close(fd)
            raise SharedMemoryError(
                f"{purpose} needs {_mib(size)} of shared memory, {shm_dir or 'the machine'} has {_mib(have)}: "
                f"{error.strerror}; lower replay.capacity_groups, unset run.shm_dir, or give a container more "
                f"(docker run --shm-size)"
            ) from None
        self._attach(fd, size)

    def _attach(self, fd: int, size: int) -> None:
        self.size = size
        self._fd = fd
        self._map = mmap.mmap(fd, size)

    def __getstate__(self) -> dict[str, Any]:
        return {"fd": reduction.DupFd(self._fd), "size": self.size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._attach(state["fd"].detach(), state["size"])

    def array(self, offset: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
        """View of `shape` and `dtype` that starts at byte `offset`; it keeps the block alive."""
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._map, dtype=dtype, count=count, offset=offset).reshape(shape)


def _unlinked_file(directory: str) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except IsADirectoryError:  # a file system without O_TMPFILE
        fd, name = tempfile.mkstemp(dir=directory)
        os.unlink(name)
        return fd


def _free_bytes(shm_dir: str) -> int:
    if shm_dir:
        status = os.statvfs(shm_dir)
        return status.f_bavail * status.f_frsize
    return available_memory() or 0


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


class Signal:
    """A wake-up that one process gives and another waits for (an eventfd: nothing is held while waiting).

    A signal set before the wait is not lost. Pickles into a spawned child only.
    """

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __getstate__(self) -> dict[str, Any]:
        return {"fd": reduction.DupFd(self._fd)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._fd = state["fd"].detach()

    def set(self) -> None:
        """Wake the waiter, now or at its next wait."""
        with contextlib.suppress(BlockingIOError):  # the counter is full, so the waiter will wake anyway
            os.eventfd_write(self._fd, 1)

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds; True when woken. Clears the signal."""
        poll = select.poll()  # not select(): with many actors, numbers of descriptors pass its limit of 1024
        poll.register(self._fd, select.POLLIN)
        ready = poll.poll(1000.0 * timeout)
        if ready:
            try:
                os.eventfd_read(self._fd)
            except BlockingIOError:
                return False
        return bool(ready)
