"""Shared memory and signals: reserved at once, without a name, usable from spawned processes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tspmz import shared
from tspmz.shared import SharedBlock, SharedMemoryError, Signal

SPAWN = multiprocessing.get_context("spawn")

LIMITED = """
import resource, sys
from tspmz.shared import SharedBlock, SharedMemoryError
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
SharedBlock(2**19, "half", sys.argv[1])
try:
    SharedBlock(2**22, "the replay ring", sys.argv[1])
except SharedMemoryError as error:
    print(error)
"""


def test_block_starts_with_zeros_and_views_share_it() -> None:
    block = SharedBlock(4096, "a test")
    words = block.array(0, (8,), np.int64)
    assert (words == 0).all()
    words[1] = 7
    assert block.array(8, (1,), np.int64)[0] == 7
    assert block.array(0, (2, 4), np.int64)[0, 1] == 7


def test_view_past_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller than requested"):
        SharedBlock(64, "a test").array(0, (9,), np.int64)


@pytest.mark.parametrize("in_directory", [False, True])
def test_block_leaves_no_name(in_directory: bool, tmp_path: Path) -> None:
    block = SharedBlock(4096, "a test", str(tmp_path) if in_directory else "")
    block.array(0, (1,), np.int64)[0] = 1
    assert list(tmp_path.iterdir()) == []


def test_views_outlive_the_block() -> None:
    words = SharedBlock(4096, "a test").array(0, (1,), np.int64)
    words[0] = 5
    assert words[0] == 5


def test_too_small_directory_is_one_line_and_no_bus_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("the replay ring needs 4.0 MiB of shared memory")
    assert "lower replay.capacity_groups" in line


def test_more_than_the_machine_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "available_memory", lambda: 2**20)
    with pytest.raises(SharedMemoryError, match=r"ring needs 1\.5 MiB of shared memory, 1\.0 MiB are available"):
        SharedBlock(3 * 2**19, "ring")


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SharedMemoryError, match="nowhere"):
        SharedBlock(4096, "a test", str(tmp_path / "nowhere"))


def test_failed_block_leaves_no_open_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SharedMemoryError, match="No space left on device"):
        SharedBlock(4096, "a test")
    assert len(os.listdir("/proc/self/fd")) == before


def answer(block: SharedBlock, ask: Signal, tell: Signal) -> None:
    words = block.array(0, (2,), np.int64)
    assert ask.wait(60)
    words[1] = words[0] + 1
    tell.set()


def test_block_and_signals_work_in_a_spawned_process() -> None:
    block, ask, tell = SharedBlock(4096, "a test"), Signal(), Signal()
    child = SPAWN.Process(target=answer, args=(block, ask, tell))
    child.start()
    words = block.array(0, (2,), np.int64)
    words[0] = 41
    ask.set()
    assert tell.wait(60)
    assert words[1] == 42
    child.join(60)
    assert child.exitcode == 0


def test_signal_set_before_the_wait_is_not_lost_and_wakes_once() -> None:
    signal = Signal()
    assert not signal.wait(0.0)
    signal.set()
    signal.set()
    assert signal.wait(0.0)
    assert not signal.wait(0.0)


def test_signal_wakes_a_waiter(wait_until: Callable[..., None]) -> None:
    signal, woken = Signal(), []
    waiter = threading.Thread(target=lambda: woken.append(signal.wait(60)))
    waiter.start()
    signal.set()
    wait_until(lambda: woken == [True])
    waiter.join()


def test_signal_whose_counter_is_full_can_be_set() -> None:
    signal = Signal()
    os.eventfd_write(signal._fd, 2**64 - 2)
    signal.set()
    assert signal.wait(0.0)


def test_available_memory_is_a_sane_number() -> None:
    available = shared.available_memory()
    assert available is None or available > 2**20
