"""Priorities of positions: drawn as often as they should be, weighted back, kept where nothing new is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from replay_helpers import make_group

from tspmz.replay.buffer import ReplayBuffer
from tspmz.replay.fields import fields_for
from tspmz.replay.positions import PositionPriorities
from tspmz.replay.ring import Ring
from tspmz.replay.sumtree import SMALLEST_PRIORITY

N, G, T = 6, 3, 5


def test_positions_are_drawn_in_proportion_to_their_priorities() -> None:
    priorities = PositionPriorities(2, 3, 1000, priority_exponent=0.5, importance_exponent=1.0)
    priorities.set(np.array([1]), np.array([[1.0, 4.0, 0.0]]) - SMALLEST_PRIORITY * np.array([1, 1, 0]))
    positions, weights = priorities.sample(np.random.default_rng(0), np.array([1]))
    expected = np.array([1.0, 2.0, SMALLEST_PRIORITY**0.5]) / (3.0 + SMALLEST_PRIORITY**0.5)
    np.testing.assert_allclose(np.bincount(positions[0], minlength=3) / 1000, expected, atol=0.05)
    np.testing.assert_allclose(weights[0], 1 / (3 * expected[positions[0]]), rtol=1e-3)


def test_weights_undo_the_priorities_on_average() -> None:
    rng = np.random.default_rng(1)
    priorities = PositionPriorities(1, 4, 4000, priority_exponent=1.0, importance_exponent=1.0)
    priorities.set(np.array([0]), np.array([[1.0, 2.0, 3.0, 0.5]]))
    positions, weights = priorities.sample(rng, np.array([0]))
    values = np.array([5.0, -1.0, 2.0, 8.0])
    assert (values[positions] * weights).mean() == pytest.approx(values.mean(), abs=0.25)


def test_what_is_not_known_leaves_a_priority_as_it_was() -> None:
    priorities = PositionPriorities(3, 2, 1, 1.0, 1.0)
    priorities.set(np.array([2, 0]), np.array([[0.25, np.nan], [np.nan, 0.5]]))
    assert priorities.get(np.array([0, 1, 2])).tolist() == [[1.0, 0.5], [1.0, 1.0], [0.25, 1.0]]


def test_position_without_any_probability_is_never_drawn() -> None:
    priorities = PositionPriorities(1, 3, 500, priority_exponent=60.0, importance_exponent=0.0)
    priorities.set(np.array([0]), np.array([[0.0, 1.0, 0.0]]))
    positions, _ = priorities.sample(np.random.default_rng(0), np.array([0]))
    assert set(positions[0]) == {1}


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="positions = 0"):
        PositionPriorities(1, 3, 0, 1.0, 1.0)


def filled(**settings: Any) -> ReplayBuffer:
    ring = Ring(1, 8, fields_for(N, G, "visit_counts"))
    for number in range(4):
        ring.writer(0).write(make_group(0, number))
    keywords: dict[str, Any] = {
        "batch_groups": 16, "policy_target": "visit_counts", "priority_exponent": 1.0, "importance_exponent": 1.0,
        "position_sampling": "prioritized", "positions": 2, **settings,
    }  # fmt: skip
    buffer = ReplayBuffer(ring, **keywords)
    buffer.ingest()
    return buffer


def give(buffer: ReplayBuffer, errors: np.ndarray) -> None:
    """Set the priorities of all four groups and of their positions."""
    ids = np.arange(4)
    buffer.update_priorities(ids, np.zeros_like(ids), ids, errors.mean(axis=1), errors)


def test_batch_names_its_positions_and_weighs_group_and_position_together() -> None:
    buffer = filled()
    errors = np.random.default_rng(3).uniform(0.1, 2.0, (4, T))
    give(buffer, errors)
    batch = buffer.sample(np.random.default_rng(0))
    assert batch.positions is not None
    assert batch.position_weights is not None
    assert batch.positions.shape == batch.position_weights.shape == (16, 2)
    assert batch.positions.dtype == np.int64
    joint = batch.importance_weights[:, None] * batch.position_weights
    assert joint.max() == pytest.approx(1.0, rel=1e-5)
    # a group is drawn by its mean error and a position by its share in the group's: together by its own error
    own = errors[batch.group_ids[:, None], batch.positions]
    np.testing.assert_allclose(joint, own.min() / own, rtol=1e-3)


def test_uniform_positions_are_left_to_the_learner() -> None:
    batch = filled(position_sampling="uniform").sample(np.random.default_rng(0))
    assert batch.positions is None
    assert batch.position_weights is None


@pytest.mark.parametrize("edge_reward", [0.0, 1.0])
def test_new_groups_can_start_with_the_error_of_the_search(edge_reward: float) -> None:
    buffer = filled(initial_priority="search", edge_reward=edge_reward)
    for number in range(4):
        group = make_group(0, number)
        rewards = group.rewards.astype(np.float64) + edge_reward
        rewards[:, -1] += edge_reward
        targets = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]
        errors = np.abs(group.root_values - targets).mean(axis=0)
        state = buffer.state()
        assert state["priority"][number] == pytest.approx(errors.mean(), rel=1e-5)
        np.testing.assert_allclose(state["position_priority"][number], errors, rtol=1e-5)


def test_new_groups_start_with_the_largest_priority_so_far() -> None:
    buffer = filled()
    give(buffer, np.full((4, T), 3.0))
    buffer._ring.writer(0).write(make_group(0, 4))
    buffer.ingest()
    state = buffer.state()
    assert state["priority"][4] == 3.0
    assert (state["position_priority"][4] == 3.0).all()


def test_priorities_of_positions_survive_a_checkpoint() -> None:
    buffer, again = filled(), filled()
    give(buffer, np.random.default_rng(3).uniform(0.1, 2.0, (4, T)))
    again.load_state(buffer.state())
    one, other = (b.sample(np.random.default_rng(5)) for b in (buffer, again))
    assert np.array_equal(one.positions, other.positions)  # type: ignore[arg-type]
    without = {name: value for name, value in buffer.state().items() if name != "position_priority"}
    filled().load_state(without)  # a checkpoint of a run that drew positions uniformly
