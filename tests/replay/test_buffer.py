"""The replay buffer: ingest, sampling, priorities, state; numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from replay_helpers import make_group

from tspmz import checksum
from tspmz.replay import batches, slots, sumtree, targets
from tspmz.replay.buffer import ReplayBuffer
from tspmz.replay.fields import fields_for
from tspmz.replay.ring import Ring
from tspmz.replay.slots import END
from tspmz.types import Batch, Group
from tspmz.warmup import compile_kernels
from tspmz.weights import SharedWeights


def filled(
    num_groups: int = 4, slots: int = 4, target: str = "advantage", **settings: object
) -> tuple[Ring, ReplayBuffer]:
    ring = Ring(2, slots, fields_for(6, 3, target))
    writer = ring.writer(0)
    for number in range(num_groups):
        writer.write(make_group(0, number, weights_version=10 + number))
    keywords: dict[str, object] = {"batch_groups": 8, "policy_target": target, **settings}
    buffer = ReplayBuffer(ring, **keywords)  # type: ignore[arg-type]
    buffer.ingest()
    return ring, buffer


def give(buffer: ReplayBuffer, group_ids: list[int], priorities: list[float]) -> int:
    ids = np.array(group_ids)
    return buffer.update_priorities(ids % 4, np.zeros_like(ids), ids, np.array(priorities))


def test_ingest_notices_each_group_once() -> None:
    ring, buffer = filled(3)
    assert (buffer.size, buffer.counters.ingested) == (3, 3)
    assert buffer.ingest() == 0
    ring.writer(1).write(make_group(1, 0))
    assert buffer.ingest() == 1
    assert buffer.size == 4


def test_ingest_counts_groups_that_were_overwritten_before_it_looked() -> None:
    ring, buffer = filled(1)
    writer = ring.writer(0)
    for number in range(1, 8):
        writer.write(make_group(0, number))
    assert buffer.ingest() == 4
    assert buffer.counters.missed == 3
    assert buffer.size == 4


def _spoiled(kind: str) -> Group:
    group = make_group(0, 1)
    if kind == "rewards":
        group.rewards[1, 2] = np.nan
    elif kind == "coordinates":
        group.coordinates[0, 0] = np.inf
    elif kind == "root_values":
        group.root_values[0, 0] = -np.inf
    elif kind == "action_weights":
        group.action_weights[0, 0, 0] = -0.5
    else:
        group.tours[2, 0] = group.tours[2, 1]
    return group


@pytest.mark.parametrize("kind", ["rewards", "coordinates", "root_values", "action_weights", "tours"])
def test_ingest_refuses_and_counts_groups_that_cannot_be_learned_from(kind: str) -> None:
    ring, buffer = filled(1, target="gumbel")
    writer = ring.writer(0)
    writer.write(_spoiled(kind))
    writer.write(make_group(0, 2))
    assert buffer.ingest() == 1
    assert buffer.counters.rejected_invalid == 1
    rng = np.random.default_rng(0)
    assert {int(number) for _ in range(20) for number in buffer.sample(rng).group_ids} == {0, 2}


def test_ingest_counts_damaged_and_torn_slots() -> None:
    ring, buffer = filled(0)
    writer = ring.writer(0)
    for number in range(3):
        writer.write(make_group(0, number))
    ring._records["rewards"][0] += 1
    ring._heads[END, 1] = 0
    assert buffer.ingest() == 1
    counters = buffer.counters
    assert (counters.rejected_checksum, counters.rejected_torn) == (1, 1)


def test_window_holds_the_newest_groups_only() -> None:
    ring = Ring(1, 32, fields_for(6, 3, "advantage"))
    writer = ring.writer(0)
    buffer = ReplayBuffer(ring, batch_groups=8, window_per_actor=5)
    for group_id in range(12):
        writer.write(make_group(0, group_id))
        if group_id % 3 == 2:
            buffer.ingest()
            assert sorted(buffer.state()["group_id"]) == list(range(max(0, group_id - 4), group_id + 1))
    drawn = np.concatenate([buffer.sample(np.random.default_rng(i)).group_ids for i in range(50)])
    assert set(drawn) == {7, 8, 9, 10, 11}


def test_batch_holds_the_groups_that_it_names() -> None:
    _, buffer = filled(4)
    batch = buffer.sample(np.random.default_rng(0))
    for row in range(8):
        group = make_group(0, int(batch.group_ids[row]))
        assert np.array_equal(batch.coordinates[row], group.coordinates)
        assert np.array_equal(batch.tours[row], group.tours)
        assert np.array_equal(batch.rewards[row], group.rewards)
        assert batch.value_targets[row, :, 0] == pytest.approx(group.rewards.sum(axis=1), rel=1e-5)
        assert batch.weights_versions[row] == 10 + group.group_id
        assert batch.slots[row] == group.group_id
    assert (batch.actors == 0).all()


def test_worth_of_edges_changes_targets_but_neither_lengths_nor_advantages() -> None:
    plain, shaped = (
        filled(4, edge_reward=edge_reward)[1].sample(np.random.default_rng(0)) for edge_reward in (0.0, 1.0)
    )
    lengths = -plain.rewards.sum(axis=-1)
    np.testing.assert_allclose(shaped.rewards.sum(axis=-1), 6 - lengths, rtol=1e-5)
    np.testing.assert_allclose(shaped.value_targets[:, :, 0], 6 - lengths, rtol=1e-5)
    np.testing.assert_allclose(shaped.lengths, lengths, rtol=1e-6)
    assert np.array_equal(shaped.policy_weights, plain.policy_weights)


def test_walks_of_the_best_tour_take_the_place_of_the_worst_with_weight_1() -> None:
    plain = filled(4, advantage_baseline=1.0)[1].sample(np.random.default_rng(0))
    batch = filled(4, advantage_baseline=1.0, rerooted_episodes=1)[1].sample(np.random.default_rng(0))
    assert np.array_equal(batch.group_ids, plain.group_ids)
    assert np.array_equal(batch.lengths, plain.lengths)  # of what was played
    rows = np.arange(8)
    worst, best = plain.lengths.argmax(axis=1), plain.lengths.min(axis=1)
    np.testing.assert_allclose(-batch.rewards[rows, worst].sum(axis=-1), best, rtol=1e-5)
    np.testing.assert_allclose(-batch.value_targets[rows, worst, 0], best, rtol=1e-5)
    assert (batch.policy_weights[rows, worst] == 1).all()
    kept = np.arange(3) != worst[:, None]
    assert np.array_equal(batch.policy_weights[kept], plain.policy_weights[kept])
    assert np.array_equal(batch.tours[kept], plain.tours[kept])


def test_batch_has_the_documented_types_and_shapes() -> None:
    _, buffer = filled(4, target="visit_counts")
    batch = buffer.sample(np.random.default_rng(0))
    assert batch.policy_targets is not None
    shapes = {name: (value.dtype.name, value.shape) for name, value in batch._asdict().items() if value is not None}
    assert shapes == {
        "coordinates": ("float32", (8, 6, 2)),
        "tours": ("int64", (8, 3, 6)),
        "rewards": ("float32", (8, 3, 5)),
        "prior_log_probs": ("float32", (8, 3, 5)),
        "value_targets": ("float32", (8, 3, 6)),
        "policy_targets": ("float32", (8, 3, 5, 6)),
        "policy_weights": ("float32", (8, 3)),
        "lengths": ("float32", (8, 3)),
        "importance_weights": ("float32", (8,)),
        "probabilities": ("float64", (8,)),
        "slots": ("int64", (8,)),
        "actors": ("int64", (8,)),
        "group_ids": ("int64", (8,)),
        "weights_versions": ("int64", (8,)),
    }
    assert batch.policy_targets.sum(axis=-1) == pytest.approx(np.ones((8, 3, 5)), abs=1e-5)
    assert (batch.policy_weights == 1).all()
    assert filled(4)[1].sample(np.random.default_rng(0)).policy_targets is None


def test_batch_is_not_changed_by_the_next_one() -> None:
    _, buffer = filled(4)
    rng = np.random.default_rng(0)
    first = buffer.sample(rng)
    copies = {name: np.copy(value) for name, value in first._asdict().items() if value is not None}
    for _ in range(3):
        buffer.sample(rng)
    assert all(np.array_equal(getattr(first, name), value) for name, value in copies.items())


def test_probabilities_and_importance_weights_by_hand() -> None:
    _, buffer = filled(2, priority_exponent=0.5, importance_exponent=1.0, batch_groups=4)
    # stored priorities 3 and 1 (but for the 1e-6): probabilities 3/4 and 1/4, weights (1/(2p)) / max = 1/3 and 1
    give(buffer, [0, 1], [9.0, 1.0])
    batch = buffer.sample(np.random.default_rng(0))
    assert batch.group_ids.tolist() == [0, 0, 0, 1]
    assert batch.probabilities == pytest.approx(np.array([0.75, 0.75, 0.75, 0.25]), abs=1e-6)
    assert batch.importance_weights == pytest.approx(np.array([1 / 3, 1 / 3, 1 / 3, 1.0]), abs=1e-6)


def test_uniform_sampling_ignores_priorities() -> None:
    _, buffer = filled(4, sampling="uniform", importance_exponent=1.0)
    give(buffer, [0, 1], [1e6, 0.0])
    batch = buffer.sample(np.random.default_rng(0))
    assert batch.group_ids.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (batch.importance_weights == 1.0).all()


def test_new_groups_get_the_largest_priority_seen() -> None:
    ring, buffer = filled(3)
    assert buffer.state()["priority"].tolist() == [1.0, 1.0, 1.0]
    give(buffer, [0], [5.0])
    give(buffer, [0], [2.0])
    ring.writer(0).write(make_group(0, 3))
    buffer.ingest()
    assert buffer.state()["priority"].tolist() == [2.0, 1.0, 1.0, 5.0]


def test_stale_priorities_are_skipped_and_counted() -> None:
    ring, buffer = filled(4)
    batch = buffer.sample(np.random.default_rng(0))
    ring.writer(0).write(make_group(0, 4))
    buffer.ingest()
    stale = int((batch.group_ids == 0).sum())
    written = buffer.update_priorities(batch.slots, batch.actors, batch.group_ids, np.full(8, 3.0))
    assert stale > 0
    assert (written, buffer.counters.stale_priorities) == (8 - stale, stale)
    state = buffer.state()
    assert state["priority"][state["group_id"] == 4].tolist() == [1.0]


def test_priority_of_another_actor_is_stale() -> None:
    _, buffer = filled(4)
    assert buffer.update_priorities(np.array([0]), np.array([1]), np.array([0]), np.ones(1)) == 0
    assert buffer.counters.stale_priorities == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_priorities_that_are_not_finite_are_refused(bad: float) -> None:
    _, buffer = filled(4)
    with pytest.raises(ValueError, match="finite"):
        give(buffer, [0, 1], [7.0, bad])
    assert buffer.state()["priority"].tolist() == [1.0] * 4


def test_restored_shard_with_gaps_is_taken_in_without_counting_losses() -> None:
    ring = Ring(1, 8, fields_for(6, 3, "advantage"))
    ring.restore(0, [make_group(0, number) for number in (90, 91, 95)], 97)
    buffer = ReplayBuffer(ring, batch_groups=8)
    assert buffer.ingest() == 3
    assert sorted(buffer.state()["group_id"]) == [90, 91, 95]
    assert buffer.counters._replace(ingested=0) == type(buffer.counters)()


def test_groups_overwritten_before_they_are_copied_are_redrawn_and_counted() -> None:
    ring, buffer = filled(4)
    ring.writer(0).write(make_group(0, 4))  # overwrites group 0, and is not yet taken in
    batch = buffer.sample(np.random.default_rng(0))
    assert set(batch.group_ids) <= {1, 2, 3}
    assert buffer.counters.redrawn == 2
    assert buffer.size == 3
    buffer.ingest()
    assert buffer.size == 4


def test_sample_of_a_window_that_is_all_overwritten_says_so() -> None:
    ring, buffer = filled(4)
    for number in range(4, 8):
        ring.writer(0).write(make_group(0, number))
    with pytest.raises(ValueError, match="no slot is filled"):
        buffer.sample(np.random.default_rng(0))


def _batches(buffer: ReplayBuffer, count: int) -> list[Batch]:
    batches = []
    for step in range(count):
        batches.append(buffer.sample(np.random.default_rng([5, step])))
        batch = batches[-1]
        values = np.random.default_rng([6, step]).random(8)
        buffer.update_priorities(batch.slots, batch.actors, batch.group_ids, values)
    return batches


def test_restored_buffer_draws_the_same_batches_bit_by_bit() -> None:
    ring, buffer = filled(7)
    _batches(buffer, 3)
    state = {name: value.copy() for name, value in buffer.state().items()}
    groups = [ring.read(ring.slot_of(0, number), number) for number in range(3, 7)]

    other = Ring(2, 4, ring.field_specs)
    other.restore(0, [group for group in groups if group is not None], 7)
    restored = ReplayBuffer(other, batch_groups=8)
    restored.ingest()
    assert restored.load_state(state) == 4
    assert restored.counters == buffer.counters
    for expected, found in zip(_batches(buffer, 5), _batches(restored, 5), strict=True):
        for name, value in expected._asdict().items():
            assert value is None or np.array_equal(value, getattr(found, name)), name


def test_load_state_drops_what_is_not_in_the_window_and_starts_the_rest_at_the_largest() -> None:
    _, buffer = filled(3)
    state = {
        "actor": np.array([0, 0, 9]),
        "group_id": np.array([1, 77, 0]),
        "priority": np.array([0.25, 0.5, 0.5]),
        "max_priority": np.array([4.0]),
        "counters": np.arange(8),
    }
    assert buffer.load_state(state) == 1
    assert buffer.state()["priority"].tolist() == [4.0, 0.25, 4.0]


def test_unknown_settings_are_refused() -> None:
    ring = Ring(1, 2, fields_for(6, 3, "advantage"))
    with pytest.raises(ValueError, match="unknown sampling"):
        ReplayBuffer(ring, batch_groups=1, sampling="best")
    with pytest.raises(ValueError, match="does not store"):
        ReplayBuffer(ring, batch_groups=1, policy_target="gumbel")


def test_learner_compiles_nothing_after_the_warm_up() -> None:
    """Kernels of the replay have one signature, whatever the sizes: the first batch of a run waits for no compiler."""
    compile_kernels()
    kernels = (
        batches._teach, targets.fill_value_targets, targets.shape_rewards, slots.store_rows, slots.load_row,
        slots.load_rows, sumtree._set, sumtree._find, checksum.copy_rows,
    )  # fmt: skip
    before = [len(kernel.signatures) for kernel in kernels]
    ring = Ring(2, 4, fields_for(7, 5, "advantage"))
    for actor in range(2):
        ring.writer(actor).write(make_group(actor, 0, num_cities=7, group_size=5))
    buffer = ReplayBuffer(ring, batch_groups=3, rerooted_episodes=2, initial_priority="search", edge_reward=1.0)
    buffer.ingest()
    batch = buffer.sample(np.random.default_rng(0))
    buffer.update_priorities(batch.slots, batch.actors, batch.group_ids, np.ones(3))
    ring.writer(0).write(make_group(0, 1, num_cities=7, group_size=5))
    ring._heads[slots.BEGIN, :] += 1  # half-written, all but what comes now
    ring._heads[slots.BEGIN, 0] -= 1
    buffer.sample(np.random.default_rng(0))
    teacher, records = buffer._teacher, ring.empty_records(2)
    ring.read_many(np.zeros(2, np.int64), np.zeros(2, np.int64), records)
    teacher.teach(records, teacher.coins(2, np.random.default_rng(0)), teacher.blank(2, 7))
    SharedWeights(1000).publish(np.zeros(1000, np.float32))
    assert [len(kernel.signatures) for kernel in kernels] == before
