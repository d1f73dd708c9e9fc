"""The environment: rewards, the closing edge, legality, purity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspmz.tsp import env
from tspmz.tsp.generators import uniform_instances
from tspmz.tsp.tours import random_tours, tour_lengths

# Cities on the corners of a 3-4-5 pair of triangles, in order: sides 0.3, 0.4, 0.3, 0.4, diagonals 0.5.
RECTANGLE = np.array([[[0.0, 0.0], [0.3, 0.0], [0.3, 0.4], [0.0, 0.4]]], np.float32)


def _play(coordinates, tours):
    """All states and time steps of the episodes that follow `tours` `[I, G, N]`."""
    states, time_steps = [env.reset(coordinates, tours[:, :, 0])], []
    for t in range(1, tours.shape[2]):
        state, time_step = env.step(states[-1], tours[:, :, t])
        states.append(state)
        time_steps.append(time_step)
    return states, time_steps


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5), st.integers(2, 30))
def test_rewards_sum_to_minus_tour_length(seed, num_instances, num_episodes, n):
    rng = np.random.default_rng(seed)
    coordinates = uniform_instances(rng, num_instances, n)
    tours = random_tours(rng, num_instances * num_episodes, n).reshape(num_instances, num_episodes, n)
    _, time_steps = _play(coordinates, tours)
    total = np.sum([ts.rewards.astype(np.float64) for ts in time_steps], axis=0)
    np.testing.assert_allclose(total, -tour_lengths(coordinates, tours), rtol=1e-6, atol=1e-6)


def test_rewards_equal_hand_computed_edges_and_the_last_one_closes():
    tours = np.array([[[0, 1, 2, 3], [0, 2, 1, 3]]])
    _, time_steps = _play(RECTANGLE, tours)
    rewards = np.stack([ts.rewards for ts in time_steps], axis=-1)
    assert rewards.dtype == np.float32
    expected = [[[-0.3, -0.4, -0.3 - 0.4], [-0.5, -0.4, -0.5 - 0.4]]]
    np.testing.assert_allclose(rewards, expected, rtol=1e-6)


def test_done_and_discount_change_at_the_last_step_only():
    _, time_steps = _play(RECTANGLE, np.array([[[3, 1, 0, 2]]]))
    assert [ts.done for ts in time_steps] == [False, False, True]
    assert [ts.discount for ts in time_steps] == [1.0, 1.0, 0.0]


def test_two_cities_take_one_step_there_and_back():
    coordinates = np.array([[[0.0, 0.0], [0.6, 0.8]]], np.float32)
    _, (time_step,) = _play(coordinates, np.array([[[1, 0]]]))
    assert time_step.done
    assert time_step.rewards[0, 0] == pytest.approx(-2.0, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(2, 12))
def test_legal_actions_are_the_cities_outside_the_tour(seed, n):
    rng = np.random.default_rng(seed)
    tours = random_tours(rng, 6, n).reshape(2, 3, n)
    states, _ = _play(uniform_instances(rng, 2, n), tours)
    for t, state in enumerate(states):
        assert state.step == t
        legal = env.legal_actions(state)
        for i in range(2):
            for g in range(3):
                assert set(np.flatnonzero(legal[i, g])) == set(range(n)) - set(tours[i, g, : t + 1])
        np.testing.assert_array_equal(state.current, tours[:, :, t])
        np.testing.assert_array_equal(state.first, tours[:, :, 0])


def test_step_leaves_the_state_before_it_and_the_actions_untouched():
    tours = np.array([[[0, 1, 2, 3], [2, 3, 0, 1]]])
    before = env.reset(RECTANGLE.copy(), tours[:, :, 0])
    kept = [np.copy(field) for field in before]
    actions = tours[:, :, 1].copy()
    after, _ = env.step(before, actions)
    for field, copy in zip(before, kept, strict=True):
        np.testing.assert_array_equal(field, copy)
    actions[:] = 0
    np.testing.assert_array_equal(after.current, tours[:, :, 1])


def test_step_from_one_state_twice_gives_equal_results():
    state = env.reset(RECTANGLE, np.array([[0, 1]]))
    first, second = env.step(state, np.array([[2, 3]])), env.step(state, np.array([[2, 3]]))
    np.testing.assert_array_equal(first[0].visited, second[0].visited)
    np.testing.assert_array_equal(first[1].rewards, second[1].rewards)


def test_batch_equals_runs_of_one():
    rng = np.random.default_rng(3)
    coordinates, tours = uniform_instances(rng, 3, 7), random_tours(rng, 12, 7).reshape(3, 4, 7)
    _, together = _play(coordinates, tours)
    for i in range(3):
        for g in range(4):
            _, alone = _play(coordinates[i : i + 1], tours[i : i + 1, g : g + 1])
            assert [ts.rewards[0, 0] for ts in alone] == [ts.rewards[i, g] for ts in together]


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[::-1][::-1], lambda x: x.astype(np.float64)])
def test_reset_takes_any_memory_layout(layout):
    tours = np.array([[[0, 1, 2, 3]]])
    _, time_steps = _play(layout(RECTANGLE), tours)
    assert math.fsum(ts.rewards[0, 0] for ts in time_steps) == pytest.approx(-1.4, rel=1e-6)


@pytest.mark.parametrize(
    ("city", "reason"), [(1, "already visited"), (0, "already visited"), (4, r"0\.\.3"), (-1, r"0\.\.3")]
)
def test_illegal_action_names_instance_episode_step_and_city(city, reason):
    coordinates = np.repeat(RECTANGLE, 2, axis=0)
    state, _ = env.step(env.reset(coordinates, np.zeros((2, 3), np.int64)), np.ones((2, 3), np.int64))
    actions = np.full((2, 3), 2)
    actions[1, 2] = city
    with pytest.raises(ValueError, match=f"instance 1, episode 2, step 1: city {city} may not be visited: .*{reason}"):
        env.step(state, actions)


def test_step_after_the_end_is_refused():
    states, _ = _play(RECTANGLE, np.array([[[0, 1, 2, 3]]]))
    with pytest.raises(ValueError, match="finished"):
        env.step(states[-1], np.array([[0]]))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="coordinates are"):
        env.reset(RECTANGLE[0], np.zeros((1, 1), np.int64))
    with pytest.raises(ValueError, match="starts are"):
        env.reset(RECTANGLE, np.zeros((2, 1), np.int64))
    with pytest.raises(ValueError, match="actions are"):
        env.step(env.reset(RECTANGLE, np.zeros((1, 2), np.int64)), np.array([[1]]))


@pytest.mark.parametrize("start", [-1, 4])
def test_start_outside_the_cities_is_refused(start):
    with pytest.raises(ValueError, match=f"instance 0, episode 1: start {start}"):
        env.reset(RECTANGLE, np.array([[0, start]]))
