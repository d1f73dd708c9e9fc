"""Shared weights: what is pulled is one whole version, across processes and after a killed writer."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection

import numpy as np
import pytest

from tspmz import weights
from tspmz.errors import RunError
from tspmz.shared import SharedBlock
from tspmz.weights import SharedWeights

SPAWN = multiprocessing.get_context("spawn")


def constant(size: int, value: float) -> np.ndarray:
    return np.full(size, value, dtype=np.float32)


def test_pull_returns_none_before_the_first_version() -> None:
    shared = SharedWeights(5)
    out = constant(5, -1.0)
    assert shared.pull(out, newer_than=-1) is None
    assert shared.version == 0
    assert (out == -1.0).all()


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 1001])
def test_pull_returns_what_was_published_last(size: int) -> None:
    shared = SharedWeights(size)
    out = np.empty(size, np.float32)
    for version in range(1, 6):
        flat = np.arange(size, dtype=np.float32) + version
        assert shared.publish(flat) == version
        assert shared.pull(out, newer_than=version - 1) == version
        np.testing.assert_array_equal(out, flat)
        assert shared.pull(out, newer_than=version) is None


def test_versions_go_on_after_start_version() -> None:
    shared = SharedWeights(3, start_version=41)
    out = np.empty(3, np.float32)
    assert shared.version == 41
    assert shared.pull(out, newer_than=-1) is None
    assert shared.publish(constant(3, 1.0)) == 42
    assert shared.pull(out, newer_than=-1) == 42


def test_weights_with_nan_and_negative_numbers_survive() -> None:
    flat = np.array([np.nan, -0.0, -np.inf, 1e-45, -3.5], np.float32)
    shared = SharedWeights(5)
    shared.publish(flat)
    out = np.empty(5, np.float32)
    assert shared.pull(out, newer_than=0) == 1
    assert out.tobytes() == flat.tobytes()


def test_last_version_stays_whole_when_the_writer_dies_while_writing() -> None:
    shared = SharedWeights(100)
    shared.publish(constant(100, 1.0))
    shared.publish(constant(100, 2.0))
    shared._words[weights._WRITING] = 3  # the writer of version 3 gets as far as half of bank 1
    shared._banks[1, :50] = 3.0
    out = np.empty(100, np.float32)
    assert shared.pull(out, newer_than=0) == 2
    assert (out == 2.0).all()
    assert shared.publish(constant(100, 3.0)) == 3  # its successor
    assert shared.pull(out, newer_than=2) == 3
    assert (out == 3.0).all()


def test_bank_being_rewritten_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_MAX_TRIES", 3)
    shared = SharedWeights(10)
    shared.publish(constant(10, 1.0))
    shared._words[weights._WRITING] = 3  # version 3 goes into the bank of version 1
    with pytest.raises(RunError, match="no whole version"):
        shared.pull(np.empty(10, np.float32), newer_than=0)


@pytest.mark.parametrize("element", range(5))
def test_changed_element_is_refused(element: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_MAX_TRIES", 3)
    shared = SharedWeights(5)
    shared.publish(constant(5, 1.0))
    shared._banks[1, element] = 1.5
    with pytest.raises(RunError, match="no whole version"):
        shared.pull(np.empty(5, np.float32), newer_than=0)


@pytest.mark.parametrize(
    "flat",
    [np.zeros(4, np.float32), np.zeros(5, np.float64), np.zeros((1, 5), np.float32), np.zeros(10, np.float32)[::2]],
)
def test_wrong_arrays_are_refused(flat: np.ndarray) -> None:
    shared = SharedWeights(5)
    with pytest.raises(ValueError, match="contiguous float32 array of 5 numbers"):
        shared.publish(flat)
    with pytest.raises(ValueError, match="contiguous float32 array of 5 numbers"):
        shared.pull(flat, newer_than=-1)


def read_until_done(shared: SharedWeights, progress: SharedBlock, reader: int, answer: Connection) -> None:
    """Pull until the version in progress[0], count the pulls in progress[1 + reader]; send what was wrong, or ""."""
    words = progress.array(0, (3,), np.int64)
    out = np.empty(shared.num_elements, np.float32)
    last = 0
    deadline = time.monotonic() + 90
    while (words[0] == 0 or last < words[0]) and time.monotonic() < deadline:
        version = shared.pull(out, newer_than=last)
        if version is None:
            continue
        if version <= last or not (out == version).all():
            answer.send(f"version {version} after {last} holds {np.unique(out)}")
            return
        last = version
        words[1 + reader] += 1
    answer.send("" if last == words[0] else f"ended at version {last}")


def test_readers_in_other_processes_never_see_a_mix() -> None:
    wanted_pulls = 200
    shared, progress = SharedWeights(20_000), SharedBlock(4096, "a test")
    words = progress.array(0, (3,), np.int64)
    pipes = [SPAWN.Pipe() for _ in range(2)]
    readers = [
        SPAWN.Process(target=read_until_done, args=(shared, progress, number, theirs), daemon=True)
        for number, (_, theirs) in enumerate(pipes)
    ]
    for reader in readers:
        reader.start()
    flat = np.empty(shared.num_elements, np.float32)
    deadline = time.monotonic() + 60
    while words[1:].min() < wanted_pulls and time.monotonic() < deadline and all(r.is_alive() for r in readers):
        flat.fill(shared.version + 1)
        shared.publish(flat)
    words[0] = shared.version
    for ours, _ in pipes:
        assert ours.poll(60)
        assert ours.recv() == ""
    for reader in readers:
        reader.join(30)
        assert reader.exitcode == 0
    assert words[1:].min() >= wanted_pulls
