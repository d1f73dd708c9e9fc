"""Batches that do not fit are done in parts: none is lost, none is done twice, and other errors stay errors."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tspmz import fitting
from tspmz.fitting import Parts, batch_bytes, is_out_of_memory


class Memory:
    """Has room for so many at a time; notes what was asked of it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked: list[list[slice]] = []

    def work(self, parts: list[slice]) -> list[int]:
        self.asked.append(parts)
        for part in parts:
            if part.stop - part.start > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmuch")
        return [number for part in parts for number in range(part.start, part.stop)]


@given(size=st.integers(1, 200), count=st.integers(1, 300))
def test_slices_cover_all_once_in_order_and_differ_by_one_at_most(size: int, count: int) -> None:
    parts = Parts("a.setting")
    parts.count = count
    slices = parts.slices(size)
    assert [i for part in slices for i in range(part.start, part.stop)] == list(range(size))
    lengths = {part.stop - part.start for part in slices}
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1
    assert len(slices) == min(size, count)


@settings(max_examples=15)  # each try collects garbage, in a process that holds much
@given(size=st.integers(1, 64), room=st.integers(1, 64))
def test_what_does_not_fit_is_halved_until_it_does_and_then_stays_so(size: int, room: int) -> None:
    memory, parts, tidied = Memory(room), Parts("a.setting"), []
    assert parts.run(size, memory.work, lambda: tidied.append(0)) == list(range(size))
    tries = len(memory.asked)
    assert [len(asked) for asked in memory.asked] == [min(2**i, size) for i in range(tries)]
    assert len(tidied) == tries - 1
    assert parts.run(size, memory.work) == list(range(size))
    assert len(memory.asked) == tries + 1


def test_each_time_the_log_names_setting_and_parts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tspmz"):
        Parts("learner.batch_groups").run(6, Memory(2).work)
    assert [record.message for record in caplog.records] == [
        f"learner.batch_groups = 6: not enough memory, goes on in {count} parts (CUDA out of memory. Tried to allocate)"
        for count in (2, 4)
    ]


def test_no_room_for_one_and_other_errors_are_raised() -> None:
    memory, parts = Memory(0), Parts("a.setting")
    with pytest.raises(torch.OutOfMemoryError):
        parts.run(3, memory.work)
    assert [len(asked) for asked in memory.asked] == [1, 2, 3]

    def broken(_: list[slice]) -> None:
        raise RuntimeError("shapes do not match")

    parts = Parts("a.setting")
    with pytest.raises(RuntimeError, match="shapes"):
        parts.run(3, broken)
    assert parts.count == 1


def test_what_torch_says_on_the_cpu_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("something else"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(OSError(12, "Cannot allocate memory"))


def test_a_batch_takes_a_quarter_of_what_is_free_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    free, held, used = 6 * 2**30, 3 * 2**30, 2**30
    monkeypatch.setattr(fitting.torch.cuda, "mem_get_info", lambda _: (free, 2 * free))
    monkeypatch.setattr(fitting.torch.cuda, "memory_reserved", lambda _: held)
    monkeypatch.setattr(fitting.torch.cuda, "memory_allocated", lambda _: used)
    assert batch_bytes("cuda", on_cpu=2**20) == 2 * 2**30
    assert batch_bytes("cuda", on_cpu=3 * 2**30) == 3 * 2**30
    assert batch_bytes("cpu", on_cpu=2**20) == 2**20


@pytest.mark.gpu
def test_gpu_has_room_for_a_batch() -> None:
    assert 2**20 < batch_bytes("cuda", on_cpu=2**20) <= torch.cuda.mem_get_info()[1] // 4
