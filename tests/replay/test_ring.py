"""The ring: round trips, validation of every byte, killed writers, other processes."""

from __future__ import annotations

import multiprocessing
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_helpers import make_group, same_group

from tspmz.replay.fields import empty_records, fields_for, record_dtype
from tspmz.replay.packing import GroupPacker, load_group
from tspmz.replay.ring import Ring
from tspmz.replay.slots import BEGIN, CHECKSUM, END, ReadStatus

SPECS = fields_for(6, 3, "advantage")
UNSTORED = ("visit_counts", "action_weights")


def ring_of(num_actors: int = 1, slots: int = 4, target: str = "advantage") -> Ring:
    return Ring(num_actors, slots, fields_for(6, 3, target))


@pytest.mark.parametrize(("target", "stored"), [("visit_counts", "action_weights"), ("gumbel", "visit_counts")])
def test_read_returns_the_group_that_was_written(target: str, stored: str) -> None:
    ring = ring_of(2, 4, target)
    group = make_group(1, 0)
    slot = ring.writer(1).write(group)
    read = ring.read(slot, 0)
    assert slot == 4
    assert read is not None
    assert same_group(read, group, ignore=(stored,))


def test_targets_that_are_not_stored_come_back_empty() -> None:
    ring = ring_of()
    read = ring.read(ring.writer(0).write(make_group(0, 0)), 0)
    assert read is not None
    assert read.visit_counts.shape == (3, 5, 0)
    assert read.action_weights.shape == (3, 5, 0)


def test_plan_is_the_size_of_the_block() -> None:
    assert Ring.plan(3, 5, SPECS) == ring_of(3, 5).nbytes
    # 3 counters and 3 words of 15 slots on cache lines, then the records
    assert Ring.plan(3, 5, SPECS) == 3 * 64 + 3 * 128 + 15 * record_dtype(SPECS).itemsize


def test_record_fields_start_on_eight_bytes_and_do_not_overlap() -> None:
    record = record_dtype(fields_for(7, 3, "visit_counts"))
    fields = sorted((field[1], field[0].itemsize) for field in (record.fields or {}).values())
    assert all(offset % 8 == 0 for offset, _ in fields)
    assert all(a + size <= b for (a, size), (b, _) in pairwise(fields))
    assert record.itemsize % 128 == 0


def test_written_counts_and_old_groups_are_overwritten() -> None:
    ring = ring_of(2, 2)
    writer = ring.writer(0)
    for number in range(5):
        writer.write(make_group(0, number))
    assert ring.written(0) == ring.next_group_id(0) == 5
    assert ring.written(1) == 0
    assert ring.read(ring.slot_of(0, 4), 4) is not None
    assert ring.read(ring.slot_of(0, 2), 2) is None
    assert ring.rejected[ReadStatus.OVERWRITTEN] == 1


def test_slot_never_written_is_missing() -> None:
    ring = ring_of()
    assert ring.read(2, 2) is None
    assert ring.rejected[ReadStatus.MISSING] == 1


def test_refused_rows_are_poisoned() -> None:
    ring = ring_of()
    ring.writer(0).write(make_group(0, 0))
    out = ring.empty_records(2)
    status = ring.read_many(np.array([0, 1]), np.array([0, 1]), out)
    assert status.tolist() == [ReadStatus.OK, ReadStatus.MISSING]
    assert np.isnan(out["rewards"][1]).all()
    assert (out["tours"][1] == -1).all()
    assert np.array_equal(out["tours"][0], make_group(0, 0).tours)


def test_write_refuses_a_group_out_of_order_or_of_another_actor() -> None:
    ring = ring_of(2)
    with pytest.raises(ValueError, match="expects group 0"):
        ring.writer(0).write(make_group(0, 1))
    with pytest.raises(ValueError, match="shard of actor 0"):
        ring.writer(0).write(make_group(1, 0))


def test_write_refuses_other_shapes_and_large_visit_counts() -> None:
    with pytest.raises(ValueError, match="coordinates has shape"):
        ring_of().writer(0).write(make_group(0, 0, num_cities=7))
    group = make_group(0, 0)
    group.visit_counts[0, 0, 0] = 70_000
    with pytest.raises(ValueError, match="num_simulations"):
        ring_of(target="visit_counts").writer(0).write(group)


def stored(numbers: list[int], actor: int = 1) -> np.ndarray:
    """Records of groups."""
    records = empty_records(SPECS, len(numbers))
    packer = GroupPacker(records, SPECS)
    for index, number in enumerate(numbers):
        packer.store(make_group(actor, number), index)
    return records


def test_groups_in_the_stored_form_are_written_like_others_also_past_the_end_of_the_shard() -> None:
    ring = ring_of(2, 4)
    ring.writer(1).write(make_group(1, 0))
    ring.writer(1).write_stored(stored([1, 2]))
    ring.writer(1).write_stored(stored([3, 4, 5]))
    assert (ring.written(0), ring.written(1)) == (0, 6)
    for number in range(2, 6):
        read = ring.read(ring.slot_of(1, number), number)
        assert read is not None
        assert same_group(read, make_group(1, number), ignore=UNSTORED)


def test_stored_groups_out_of_order_or_with_other_fields_are_refused_before_anything_is_written() -> None:
    ring = ring_of(2, 4)
    with pytest.raises(ValueError, match="group 2 of actor 1: the shard of actor 1 expects group 1"):
        ring.writer(1).write_stored(stored([0, 2]))
    with pytest.raises(ValueError, match="group 0 of actor 1: the shard of actor 0 expects group 0"):
        ring.writer(0).write_stored(stored([0]))
    for specs in (fields_for(6, 3, "gumbel"), (*SPECS[1:], SPECS[0])):
        other = empty_records(specs, 1)
        other["actor"], other["group_id"] = 1, 0
        with pytest.raises(ValueError, match="these records hold"):
            ring.writer(1).write_stored(other)
    assert ring.written(1) == 0
    assert (ring._heads == 0).all()


@pytest.mark.parametrize("slot", [-1, 8])
def test_slots_that_are_not_there_and_short_targets_are_refused(slot: int) -> None:
    ring = ring_of(2, 4)
    with pytest.raises(ValueError, match="slots must be 0 to 7"):
        ring.read_many(np.array([0, slot]), np.zeros(2, np.int64), ring.empty_records(2))
    with pytest.raises(ValueError, match=r"1 records of .* bytes cannot take 2"):
        ring.read_many(np.zeros(2, np.int64), np.zeros(2, np.int64), ring.empty_records(1))
    with pytest.raises(ValueError, match="cannot take 1"):
        ring.read_many(np.zeros(1, np.int64), np.zeros(1, np.int64), empty_records(fields_for(6, 3, "gumbel"), 1))


def test_every_flipped_byte_of_a_slot_is_detected() -> None:
    ring = ring_of(slots=2)
    ring.writer(0).write(make_group(0, 0))
    regions = [ring._records.view(np.uint8).reshape(2, -1)[0]]
    regions += [ring._heads[word, :1].view(np.uint8) for word in (BEGIN, END, CHECKSUM)]
    out = ring.empty_records(1)
    for region in regions:
        for index in range(len(region)):
            for mask in (1, 128, 255):
                region[index] ^= mask
                assert ring.read_many(np.array([0]), np.array([0]), out)[0] != ReadStatus.OK
                region[index] ^= mask
    assert ring.read_many(np.array([0]), np.array([0]), out)[0] == ReadStatus.OK


def test_payload_copied_to_another_slot_is_refused() -> None:
    ring = ring_of(2, 2)
    ring.writer(0).write(make_group(0, 0))
    ring.writer(1).write(make_group(1, 0))
    ring._records[2] = ring._records[0]
    ring._heads[CHECKSUM, 2] = ring._heads[CHECKSUM, 0]
    assert ring.read(2, 0) is None
    assert ring.rejected[ReadStatus.CHECKSUM] == 1


@pytest.mark.parametrize("last_step", ["begin", "payload", "checksum", "end"])
@pytest.mark.parametrize("written_before", [0, 3])
def test_writer_killed_at_any_step_leaves_no_slot_that_is_accepted(last_step: str, written_before: int) -> None:
    ring = ring_of(slots=2)
    writer = ring.writer(0)
    for number in range(written_before):
        writer.write(make_group(0, number))
    killed = make_group(0, written_before, weights_version=1)
    for step in writer.write_steps(killed):
        if step == last_step:
            break
    assert ring.written(0) == written_before
    slot = ring.slot_of(0, written_before)
    assert ring.read(slot, written_before - 2) is None
    for number in range(max(0, written_before - 1), written_before):
        other = ring.read(ring.slot_of(0, number), number)
        assert other is not None
        assert same_group(other, make_group(0, number), ignore=UNSTORED)

    again = make_group(0, written_before, weights_version=2)
    ring.writer(0).write(again)
    read = ring.read(slot, written_before)
    assert read is not None
    assert same_group(read, again, ignore=UNSTORED)


def test_half_written_slot_reads_as_torn() -> None:
    ring = ring_of()
    next(ring.writer(0).write_steps(make_group(0, 0)))
    assert ring.read(0, 0) is None
    assert ring.rejected[ReadStatus.TORN] == 1


@settings(max_examples=50, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_mix_of_two_payloads_is_refused_wherever_it_is_cut(cut: int) -> None:
    ring = ring_of(slots=2)
    writer = ring.writer(0)
    for number in range(3):
        writer.write(make_group(0, number))
    old = empty_records(SPECS, 1)
    GroupPacker(old, SPECS).store(make_group(0, 0), 0)
    new = ring._records[:1].view(np.uint8).reshape(-1)
    before = new.copy()
    new[: cut % len(new)] = old.view(np.uint8)[: cut % len(new)]
    if not np.array_equal(before, new):
        assert ring.read(0, 2) is None
        assert ring.rejected[ReadStatus.CHECKSUM] == 1


@pytest.mark.parametrize(("num_groups", "next_group_id"), [(3, 3), (7, 7), (2, 5)])
def test_restore_puts_each_group_into_the_slot_it_had(num_groups: int, next_group_id: int) -> None:
    ring = ring_of(2, 4)
    groups = [make_group(1, number) for number in range(num_groups)]
    ring.restore(1, groups, next_group_id)
    assert ring.written(1) == next_group_id
    assert ring.written(0) == 0
    for group in groups[-4:]:
        read = ring.read(ring.slot_of(1, group.group_id), group.group_id)
        assert read is not None
        assert same_group(read, group, ignore=UNSTORED)
    ring.writer(1).write(make_group(1, next_group_id))
    assert ring.written(1) == next_group_id + 1


def test_restore_refuses_groups_out_of_order() -> None:
    with pytest.raises(ValueError, match="cannot restore group 0"):
        ring_of().restore(0, [make_group(0, 1), make_group(0, 0)], 2)
    with pytest.raises(ValueError, match="below 1"):
        ring_of().restore(0, [make_group(0, 1)], 1)


def test_load_group_is_the_inverse_of_packing() -> None:
    specs = fields_for(6, 3, "gumbel")
    records = empty_records(specs, 1)
    group = make_group(3, 9)
    GroupPacker(records, specs).store(group, 0)
    assert same_group(load_group(records[0]), group, ignore=("visit_counts",))
    assert records["num_cities"][0] == 6
    assert records["group_size"][0] == 3


def _write_many(ring: Ring, actor: int, count: int) -> None:
    """One after the other, or with more at a time than there are slots."""
    writer = ring.writer(actor)
    if actor == 0:
        for number in range(count):
            writer.write(make_group(actor, number % 50)._replace(group_id=number, weights_version=number))
        return
    records = stored(list(range(50)), actor)
    for first in range(0, count, 50):
        records["group_id"] = records["weights_version"] = first + np.arange(50)
        writer.write_stored(records)


def test_readers_never_accept_a_mix_while_two_processes_write() -> None:
    ring = ring_of(2, 2)
    count = 10_000
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(ring, actor, count)) for actor in range(2)]
    expected = {(actor, number): make_group(actor, number) for actor in range(2) for number in range(50)}
    for process in writers:
        process.start()
    accepted = 0
    try:
        while any(ring.written(actor) < count for actor in range(2)):
            assert all(process.exitcode in (None, 0) for process in writers)
            for actor in range(2):
                last = ring.written(actor) - 1
                group = ring.read(ring.slot_of(actor, last), last) if last >= 0 else None
                if group is not None:
                    accepted += 1
                    truth = expected[actor, last % 50]._replace(group_id=last, weights_version=last)
                    assert same_group(group, truth, ignore=UNSTORED)
    finally:
        for process in writers:
            process.join(30)
    assert accepted > 100
    assert [process.exitcode for process in writers] == [0, 0]
    for actor in range(2):
        assert ring.read(ring.slot_of(actor, count - 1), count - 1) is not None
