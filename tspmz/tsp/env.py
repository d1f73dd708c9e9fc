"""The environment: G episodes on each of I instances, advanced in lock-step by pure functions.

Axes: I instances, G episodes per instance, N cities. An episode starts in a given city and makes T = N - 1 moves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.tsp.compiled import kernel
from tspmz.tsp.tours import edge_length
from tspmz.types import Bool, Float32, Int64


class TSPState(NamedTuple):
    """Where all episodes stand. Treat the arrays as read-only: states share them.

    Attributes:
        coordinates: `[I, N, 2]` float32.
        first: `[I, G]` int64, the city each episode started in.
        current: `[I, G]` int64, the city each episode is in.
        visited: `[I, G, N]` bool, True for the cities of the tour so far, the first one included.
        step: moves made so far, 0..N-1.
    """

    coordinates: Float32
    first: Int64
    current: Int64
    visited: Bool
    step: int


class TimeStep(NamedTuple):
    """What one move of every episode gave.

    Attributes:
        rewards: `[I, G]` float32, minus the length of the added edge; the last one includes the closing edge.
        discount: 1.0, and 0.0 after the last step.
        done: True after the last step.
    """

    rewards: Float32
    discount: float
    done: bool


@kernel
def move_length(points, first, current, city, last):  # type: ignore[no-untyped-def]
    """Length that a move adds, float64, with the closing edge where it is the last; numba only, unchecked."""
    added = edge_length(points, current, city)
    if last:
        added += edge_length(points, city, first)
    return added


@kernel
def _advance(coordinates, first, current, visited, actions, last, rewards):  # type: ignore[no-untyped-def]
    """Mark `actions` in `visited` and fill `rewards`; flat index of the first illegal action, -1 if none."""
    num_instances, num_episodes, num_cities = visited.shape
    for i in range(num_instances):
        points = coordinates[i]
        for g in range(num_episodes):
            city = actions[i, g]
            if city < 0 or city >= num_cities or visited[i, g, city]:
                return i * num_episodes + g
            visited[i, g, city] = True
            rewards[i, g] = -move_length(points, first[i, g], current[i, g], city, last)
    return -1


def reset(coordinates: NDArray[Any], starts: NDArray[Any]) -> TSPState:
    """First state of G episodes on each instance.

    Args:
        coordinates: `[I, N, 2]` float32, N >= 2; kept, not copied.
        starts: `[I, G]` int64, the city each episode starts in.

    Raises:
        ValueError: a start that is no city, or shapes do not agree.
    """
    coordinates = np.ascontiguousarray(coordinates, np.float32)
    first = np.array(starts, np.int64, order="C")
    if coordinates.ndim != 3 or coordinates.shape[1] < 2 or coordinates.shape[2] != 2:
        raise ValueError(f"coordinates are {coordinates.shape}, want [I, N, 2] with N >= 2")
    num_instances, num_cities, _ = coordinates.shape
    if first.ndim != 2 or len(first) != num_instances:
        raise ValueError(f"starts are {first.shape}, want [I, G] with I = {num_instances}")
    outside = (first < 0) | (first >= num_cities)
    if outside.any():
        i, g = np.argwhere(outside)[0]
        raise ValueError(f"instance {i}, episode {g}: start {first[i, g]} is not one of the {num_cities} cities")
    visited = np.zeros((*first.shape, num_cities), np.bool_)
    np.put_along_axis(visited, first[:, :, None], True, axis=2)
    return TSPState(coordinates, first, first, visited, 0)


def legal_actions(state: TSPState) -> Bool:
    """`[I, G, N]` bool, True for the cities that may be visited next; all False once done."""
    return ~state.visited


def step(state: TSPState, actions: NDArray[Any]) -> tuple[TSPState, TimeStep]:
    """Move every episode to its next city.

    Args:
        state: not changed.
        actions: `[I, G]` int64, the next cities.

    Returns:
        The next state, and the rewards. The rewards of an episode sum to minus its tour length.

    Raises:
        ValueError: an illegal action (visited, or no city at all), a finished episode, or a wrong shape.
    """
    chosen = np.array(actions, np.int64, order="C")
    if chosen.shape != state.current.shape:
        raise ValueError(f"actions are {chosen.shape}, want {state.current.shape}: one per instance and episode")
    num_cities = state.visited.shape[2]
    done = state.step + 1 == num_cities - 1
    visited = state.visited.copy()
    rewards = np.empty(chosen.shape, np.float32)
    illegal = _advance(state.coordinates, state.first, state.current, visited, chosen, done, rewards)
    if illegal >= 0:
        raise ValueError(_why_illegal(state, chosen, *divmod(illegal, chosen.shape[1])))
    next_state = TSPState(state.coordinates, state.first, chosen, visited, state.step + 1)
    return next_state, TimeStep(rewards, 0.0 if done else 1.0, done)


def _why_illegal(state: TSPState, actions: Int64, i: int, g: int) -> str:
    num_cities = state.visited.shape[2]
    city = actions[i, g]
    if state.step == num_cities - 1:
        reason = "the episode is finished; reset first"
    elif 0 <= city < num_cities:
        reason = "already visited"
    else:
        reason = f"there are cities 0..{num_cities - 1} only"
    return f"instance {i}, episode {g}, step {state.step}: city {city} may not be visited: {reason}"
