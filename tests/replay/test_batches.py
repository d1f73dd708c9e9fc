"""What a batch teaches, beside plain numpy over one group at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_helpers import make_group

from tspmz.replay.batches import Lessons, Teacher
from tspmz.replay.fields import empty_records, fields_for
from tspmz.replay.packing import GroupPacker
from tspmz.replay.ring import Ring
from tspmz.replay.slots import BEGIN, ReadStatus
from tspmz.tsp.tours import tour_lengths
from tspmz.types import Group

ROOM, EPISODES = 8, 6


def records_of(groups: list[Group], target: str = "advantage") -> np.ndarray:
    """Stored groups, in records with room for `ROOM` cities."""
    specs = fields_for(ROOM, EPISODES, target)
    records = empty_records(specs, len(groups))
    packer = GroupPacker(records, specs)
    for index, group in enumerate(groups):
        packer.store(group, index)
    return records


def teacher(records: np.ndarray, **settings: object) -> Teacher:
    plain: dict[str, object] = {
        "by_advantage": True, "temperature": 0.02, "cap": 20.0, "baseline": 0.0, "rerooted_episodes": 0,
        "td_steps": 0, "discount": 1.0, "edge_reward": 0.0,
    }  # fmt: skip
    return Teacher(records.dtype, **{**plain, **settings})  # type: ignore[arg-type]


def taught(teacher: Teacher, records: np.ndarray, num_cities: int) -> Lessons:
    lessons = teacher.blank(len(records), num_cities)
    teacher.teach(records, teacher.coins(len(records), np.random.default_rng(0)), lessons)
    return lessons


def plain_targets(rewards: np.ndarray, values: np.ndarray, td_steps: int, discount: float) -> np.ndarray:
    """Of one episode, term by term."""
    moves = len(rewards)
    targets = np.zeros(moves + 1)
    for t in range(moves):
        end = t + td_steps if td_steps > 0 and t + td_steps < moves else moves
        targets[t] = sum(discount ** (k - t) * rewards[k] for k in range(t, end))
        if end < moves:
            targets[t] += discount ** (end - t) * values[end]
    return targets


@given(
    num_cities=st.integers(3, ROOM), td_steps=st.integers(0, 9), discount=st.floats(0.5, 1.0),
    edge_reward=st.sampled_from([0.0, 1.0]), baseline=st.sampled_from([0.0, 0.5, 1.0]), cap=st.floats(1.0, 3.0),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_lessons_are_those_of_each_group_by_itself(
    num_cities: int, td_steps: int, discount: float, edge_reward: float, baseline: float, cap: float, seed: int
) -> None:
    groups = [make_group(0, seed + i, num_cities=num_cities, group_size=EPISODES) for i in range(3)]
    records = records_of(groups)
    how = {"td_steps": td_steps, "discount": discount, "edge_reward": edge_reward, "baseline": baseline, "cap": cap}
    found = taught(teacher(records, **how), records, num_cities)
    for i, group in enumerate(groups):
        np.testing.assert_array_equal(found.coordinates[i], group.coordinates)
        np.testing.assert_array_equal(found.tours[i], group.tours)
        np.testing.assert_array_equal(found.prior_log_probs[i], group.prior_log_probs)
        lengths = -group.rewards.astype(np.float64).sum(axis=1)
        np.testing.assert_allclose(found.lengths[i], lengths, rtol=1e-6)
        rewards = group.rewards + edge_reward * (1 + (np.arange(num_cities - 1) == num_cities - 2))
        np.testing.assert_allclose(found.rewards[i], rewards, rtol=1e-6)
        for g in range(EPISODES):
            expected = plain_targets(rewards[g], group.root_values[g], td_steps, discount)
            np.testing.assert_allclose(found.value_targets[i, g], expected, rtol=1e-4, atol=1e-5)
        relative = (lengths.mean() - lengths) / lengths.mean()
        weights = np.minimum(np.exp(relative / max(relative.std(), 0.02)), cap)
        np.testing.assert_allclose(found.policy_weights[i], weights - baseline * weights.mean(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("num_cities", [7, ROOM])  # with fewer, two tours may be the same cycle
def test_walks_have_the_best_length_and_a_weight_of_1(num_cities: int) -> None:
    groups = [make_group(0, number, num_cities=num_cities, group_size=EPISODES) for number in range(5)]
    records = records_of(groups)
    plain = taught(teacher(records), records, num_cities)
    found = taught(teacher(records, rerooted_episodes=2), records, num_cities)
    np.testing.assert_array_equal(found.lengths, plain.lengths)
    new = tour_lengths(found.coordinates, found.tours)
    np.testing.assert_allclose(-found.rewards.sum(axis=-1), new, rtol=1e-5)
    for i in range(len(groups)):
        worst = np.argsort(plain.lengths[i])[-2:]
        np.testing.assert_allclose(new[i, worst], plain.lengths[i].min(), rtol=1e-5)
        np.testing.assert_allclose(found.value_targets[i, worst, 0], -plain.lengths[i].min(), rtol=1e-5)
        assert (found.policy_weights[i, worst] == 1.0).all()
        others = np.argsort(plain.lengths[i])[:-2]
        np.testing.assert_array_equal(found.tours[i, others], plain.tours[i, others])
        np.testing.assert_array_equal(found.policy_weights[i, others], plain.policy_weights[i, others])


@pytest.mark.parametrize("count", [-1, EPISODES])
def test_some_episodes_stay_as_they_were_played(count: int) -> None:
    records = records_of([make_group(0, 0, num_cities=ROOM, group_size=EPISODES)])
    with pytest.raises(ValueError, match="must be 0 to 5"):
        teacher(records, rerooted_episodes=count)


def test_weights_are_1_where_the_search_is_learned_from() -> None:
    records = records_of([make_group(0, 0, num_cities=ROOM, group_size=EPISODES)], "gumbel")
    found = taught(teacher(records, by_advantage=False), records, ROOM)
    assert (found.policy_weights == 1.0).all()


@pytest.mark.parametrize("room", [1, 2, 4])
@pytest.mark.parametrize("num_cities", [5, ROOM])
def test_groups_out_of_the_ring_teach_what_their_records_do(room: int, num_cities: int) -> None:
    groups = [make_group(0, number, num_cities=num_cities, group_size=EPISODES) for number in range(5)]
    stored = records_of(groups)
    ring = Ring(1, 8, fields_for(ROOM, EPISODES, "advantage"))
    ring.writer(0).write_stored(stored)
    ring._heads[BEGIN, 3] += 1  # half-written
    teaches = teacher(stored, rerooted_episodes=2, baseline=0.5)
    expected = taught(teaches, stored, num_cities)

    lessons = teaches.blank(4, num_cities)
    for array in lessons:
        array[...] = -7
    kept = ring.empty_records(room)
    drawn, rows = np.array([4, 3, 0]), np.array([1, 2, 3])
    coins = np.zeros((4, 2))
    coins[rows] = teaches.coins(5, np.random.default_rng(0))[drawn]
    status = teaches.load_and_teach(ring, drawn, drawn, rows, kept, coins, lessons)

    assert status.tolist() == [ReadStatus.OK, ReadStatus.TORN, ReadStatus.OK]
    assert ring.rejected[ReadStatus.TORN] == ring.rejected.sum() == 1
    for name, array in lessons._asdict().items():
        wanted = getattr(expected, name)
        np.testing.assert_array_equal(array[1], wanted[4])
        np.testing.assert_array_equal(array[3], wanted[0])
        assert (array[[0, 2]] == -7).all(), name
    identity = (lessons.actors[1], lessons.group_ids[1], lessons.weights_versions[1])
    assert identity == (0, 4, groups[4].weights_version)
    if room == 4:
        for name in stored.dtype.names or ():
            np.testing.assert_array_equal(kept[name][[1, 3]], stored[name][[4, 0]])
