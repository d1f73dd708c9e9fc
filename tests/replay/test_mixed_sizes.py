"""Groups on different numbers of cities in one replay: stored, drawn and read back as if each size had its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_helpers import make_group, same_group

from tspmz.replay.buffer import ReplayBuffer
from tspmz.replay.checks import stored_lengths, valid_groups
from tspmz.replay.fields import empty_records, fields_for, poison
from tspmz.replay.packing import GroupPacker, load_group
from tspmz.replay.reading import read_segment
from tspmz.replay.ring import Ring
from tspmz.replay.segments import SegmentWriter
from tspmz.replay.sized_trees import SizedTrees
from tspmz.replay.slots import END
from tspmz.replay.summary import export_npz, summarize
from tspmz.replay.sumtree import SumTree
from tspmz.replay.verify import scan_folder
from tspmz.types import Group

SIZES = (4, 6, 7)
TARGETS = ("visit_counts", "gumbel", "advantage")


def mixed_group(number: int, actor: int = 0) -> Group:
    return make_group(actor, number, num_cities=SIZES[number // 2 % 3])


def mixed_buffer(groups: int = 12, target: str = "gumbel", **settings: object) -> tuple[Ring, ReplayBuffer]:
    ring = Ring(1, 16, fields_for(7, 3, target))
    writer = ring.writer(0)
    for number in range(groups):
        writer.write(mixed_group(number))
    keywords: dict[str, object] = {"batch_groups": 4, "policy_target": target, "sizes": SIZES, **settings}
    buffer = ReplayBuffer(ring, **keywords)  # type: ignore[arg-type]
    buffer.ingest()
    return ring, buffer


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("num_cities", SIZES)
def test_smaller_group_comes_back_as_it_was_and_leaves_poison_behind_it(target: str, num_cities: int) -> None:
    specs = fields_for(7, 3, target)
    records, expected = empty_records(specs, 2), empty_records(specs, 1)
    packer = GroupPacker(records, specs)
    packer.store(make_group(0, 8, num_cities=7), 1)  # what was there before must not shine through
    group = make_group(0, 9, num_cities=num_cities)
    packer.store(group, 1)
    left_out = {"visit_counts", "action_weights"} - {spec.name for spec in specs}
    assert same_group(load_group(records[1]), group, ignore=tuple(left_out))
    poison(expected, specs)
    assert (records["tours"][1, :, num_cities:] == -1).all()
    assert np.isnan(records["rewards"][1, :, num_cities - 1 :]).all()
    assert records["num_cities"][1] == num_cities
    assert records[0].tobytes() == expected[0].tobytes()


def test_group_whose_fields_are_of_different_sizes_is_refused() -> None:
    specs = fields_for(7, 3, "advantage")
    group = make_group(0, 0, num_cities=6)._replace(coordinates=np.zeros((5, 2), np.float32))
    with pytest.raises(ValueError, match=r"coordinates has shape \(5, 2\), the replay stores \(6, 2\)"):
        GroupPacker(empty_records(specs, 1), specs).store(group, 0)


@pytest.mark.parametrize("number", [-1, 0, 1, 8, 2**40])
def test_number_of_cities_that_cannot_be_makes_a_group_invalid(number: int) -> None:
    specs = fields_for(7, 3, "gumbel")
    records = empty_records(specs, 3)
    packer = GroupPacker(records, specs)
    for index in range(3):
        packer.store(mixed_group(2 * index), index)
    assert valid_groups(records).tolist() == [True, True, True]
    records["num_cities"][1] = number
    assert valid_groups(records).tolist() == [True, False, True]
    load_group(records[1])  # whoever looks at it is not stopped


def test_number_of_cities_that_is_wrong_makes_a_group_invalid() -> None:
    specs = fields_for(7, 3, "gumbel")
    records = empty_records(specs, 1)
    GroupPacker(records, specs).store(make_group(0, 0, num_cities=6), 0)
    for wrong in (5, 7):
        records["num_cities"] = wrong
        assert not valid_groups(records)[0]


@pytest.mark.parametrize("target", TARGETS)
def test_batch_is_what_a_ring_of_that_size_alone_gives(target: str) -> None:
    _, buffer = mixed_buffer(target=target)
    seen = set()
    for seed in range(30):
        batch = buffer.sample(np.random.default_rng(seed))
        num_cities = batch.coordinates.shape[1]
        seen.add(num_cities)
        ring = Ring(1, 16, fields_for(num_cities, 3, target))
        for number in batch.group_ids.tolist():
            ring._published[0] = number
            ring.writer(0).write(make_group(0, number, num_cities=num_cities))
        alone = ReplayBuffer(ring, batch_groups=4, policy_target=target)
        ids = batch.group_ids
        alone._group_ids[ids] = ids
        rng, lessons = np.random.default_rng(0), alone._teacher.blank(4, num_cities)
        assert (alone._learn_from(ids, np.arange(4), alone._teacher.coins(4, rng), lessons) == 0).all()
        expected = alone._batch(lessons, batch.slots, batch.probabilities, 12, num_cities, rng)
        for name, one, other in zip(batch._fields, batch, expected, strict=True):
            if one is None or other is None:
                assert one is other, name
            else:
                np.testing.assert_array_equal(one, other, err_msg=name)
    assert seen == set(SIZES)


def test_groups_are_drawn_as_often_as_their_priorities_say_whatever_their_size() -> None:
    _, buffer = mixed_buffer(priority_exponent=1.0)
    ids = np.arange(12)
    priorities = np.array([1.0, 2, 3, 4, 5, 6, 1, 1, 1, 10, 0.5, 0.5])
    buffer.update_priorities(ids, np.zeros(12, np.int64), ids, priorities)
    rng = np.random.default_rng(1)
    counts = np.zeros(12)
    for _ in range(5000):
        batch = buffer.sample(rng)
        np.testing.assert_allclose(batch.probabilities, priorities[batch.group_ids] / 35, rtol=1e-5)
        np.add.at(counts, batch.group_ids, 1)
    expected = 20_000 * priorities / 35
    # the draws of a batch share their size: of a count of at most 4 per batch the variance is at most 4 times its mean
    assert (np.abs(counts - expected) < 4 * np.sqrt(4 * expected)).all()


def test_group_of_a_size_that_the_run_does_not_play_is_refused() -> None:
    ring, buffer = mixed_buffer(groups=0)
    writer = ring.writer(0)
    writer.write(make_group(0, 0, num_cities=5))
    writer.write(make_group(0, 1, num_cities=6))
    assert buffer.ingest() == 1
    assert buffer.counters.rejected_invalid == 1


def test_slot_whose_next_group_has_another_size_is_drawn_with_that_one() -> None:
    ring, buffer = mixed_buffer(groups=16)
    writer = ring.writer(0)
    for number in range(16, 40):
        writer.write(mixed_group(number))
        buffer.ingest()
        batch = buffer.sample(np.random.default_rng(number))
        assert batch.coordinates.shape[1] == SIZES[int(batch.group_ids[0]) // 2 % 3]
    assert buffer.counters.redrawn == 0
    assert buffer.size == 16


def test_size_whose_groups_were_all_overwritten_gives_way_to_another() -> None:
    ring, buffer = mixed_buffer(groups=4)  # two groups of 4 cities, two of 6
    small = next(seed for seed in range(99) if buffer.sample(np.random.default_rng(seed)).coordinates.shape[1] == 4)
    ring._heads[END, :2] = 0
    batch = buffer.sample(np.random.default_rng(small))
    assert batch.coordinates.shape[1] == 6
    assert buffer.size == 2
    ring._heads[END, :4] = 0
    with pytest.raises(ValueError, match="none can be drawn"):
        buffer.sample(np.random.default_rng(0))


def test_priorities_from_the_search_are_those_of_a_ring_of_one_size() -> None:
    _, buffer = mixed_buffer(initial_priority="search")
    for number in range(12):
        group = mixed_group(number)
        returns = np.cumsum(group.rewards[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]
        assert buffer._priorities[number] == pytest.approx(np.abs(group.root_values - returns).mean(), rel=1e-5)


def test_state_of_a_mixed_window_survives_a_resume() -> None:
    ring, buffer = mixed_buffer()
    ids = np.arange(12)
    buffer.update_priorities(ids, np.zeros(12, np.int64), ids, 1.0 + ids)
    again = ReplayBuffer(ring, batch_groups=4, policy_target="gumbel", sizes=SIZES)
    again.ingest()
    assert again.load_state(buffer.state()) == 12
    for seed in range(10):
        first, second = (one.sample(np.random.default_rng(seed)) for one in (buffer, again))
        np.testing.assert_array_equal(first.group_ids, second.group_ids)


@pytest.mark.parametrize("compress", [False, True])
def test_segments_hold_mixed_sizes(tmp_path: Path, compress: bool) -> None:
    writer = SegmentWriter(
        tmp_path, run_id="run", config_hash="c", num_cities=7, group_size=3, policy_target="gumbel", compress=compress
    )
    groups = [mixed_group(number) for number in range(6)]
    info = writer.seal(groups)
    segment = read_segment((tmp_path / info.name).read_bytes())
    assert segment.valid.all()
    for record, group in zip(segment.records, groups, strict=True):
        assert same_group(load_group(record), group, ignore=("visit_counts",))
    lengths = np.array([-group.rewards.sum(axis=1) for group in groups])
    np.testing.assert_allclose(stored_lengths(segment.records), lengths, rtol=1e-5)

    found = summarize(tmp_path, scan_folder(tmp_path))
    assert found.cities == [4, 6, 7]
    assert found.env_steps == 2 * 3 * (3 + 5 + 6)
    assert found.tour_length_mean == pytest.approx(lengths.mean(), rel=1e-5)
    export_npz(tmp_path / "all.npz", scan_folder(tmp_path))
    with np.load(tmp_path / "all.npz", allow_pickle=False) as arrays:
        assert arrays["tours"].shape == (6, 3, 7)
        assert arrays["num_cities"].tolist() == [4, 4, 6, 6, 7, 7]
        np.testing.assert_allclose(arrays["tour_lengths"], lengths, rtol=1e-5)


def test_rewards_of_a_smaller_group_must_add_up_too(tmp_path: Path) -> None:
    writer = SegmentWriter(
        tmp_path, run_id="run", config_hash="c", num_cities=7, group_size=3, policy_target="advantage"
    )
    groups = [mixed_group(number) for number in range(6)]
    groups[2].rewards[0, 0] -= 0.01
    info = writer.seal(groups)
    assert read_segment((tmp_path / info.name).read_bytes()).valid.tolist() == [True, True, False, True, True, True]


@given(
    sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=12),
    changes=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(SIZES), st.floats(0.01, 100.0)), max_size=20),
)
def test_sized_trees_keep_each_slot_in_the_tree_of_its_size(
    sizes: list[int], changes: list[tuple[int, int, float]]
) -> None:
    trees = SizedTrees(12, SIZES)
    slots = np.arange(len(sizes))
    trees.place(slots, np.array(sizes))
    trees.set(slots, np.ones(len(sizes)))
    oracle = {slot: (size, 1.0) for slot, size in enumerate(sizes)}
    for slot, size, priority in changes:
        trees.place(np.array([slot]), np.array([size]))
        trees.set(np.array([slot]), np.array([priority]))
        oracle[slot] = (size, priority)
    total = sum(priority for _, priority in oracle.values())
    for size in SIZES:
        own = {slot for slot, (other, _) in oracle.items() if other == size}
        assert trees.holds(size) == bool(own)
        if own:
            drawn, probabilities = trees.sample(np.random.default_rng(0), size, 50)
            assert set(drawn.tolist()) <= own
            expected = [oracle[slot][1] / total for slot in drawn.tolist()]
            np.testing.assert_allclose(probabilities, expected, rtol=1e-9)


def test_one_size_is_one_sum_tree_number_for_number() -> None:
    tree, trees = SumTree(9), SizedTrees(9, (6,))
    slots, priorities = np.array([0, 3, 4, 8]), np.array([1.0, 2.0, 0.5, 7.0])
    tree.set(slots, priorities)
    trees.place(slots, np.full(4, 6))
    trees.set(slots, priorities)
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert trees.draw_size(second) == 6
    for one, other in zip(tree.sample(first, 20), trees.sample(second, 6, 20), strict=True):
        np.testing.assert_array_equal(one, other)

