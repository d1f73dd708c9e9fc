"""What stored groups teach: returns, value targets, advantages within a group, policy targets."""

from __future__ import annotations

import numpy as np
from numba import njit

from tspmz.types import Float32, Float64, Int64


def shaped_rewards(rewards: Float32, edge_reward: float) -> Float32:
    """Rewards in the scale that a run learns in: each edge is worth `edge_reward` less its length.

    Stored rewards are minus the lengths of the added edges in every run, so that they sum to minus the tour length.

    Args:
        rewards: `[..., T]` float32, as stored.
        edge_reward: of one edge; the last move adds two, its own and the closing one.

    Returns:
        `[..., T]` float32; they sum to `(T + 1) * edge_reward - length`.
    """
    if not edge_reward:
        return rewards
    shaped = rewards + np.float32(edge_reward)
    shaped[..., -1] += np.float32(edge_reward)
    return shaped


@njit(cache=True, nogil=True)
def _sum_backwards(rewards, discount, sums):  # type: ignore[no-untyped-def]
    """Discounted sums `[R, T]` from each column on, added up in float64."""
    for i in range(rewards.shape[0]):
        tail = 0.0
        for t in range(rewards.shape[1] - 1, -1, -1):
            tail = rewards[i, t] + discount * tail
            sums[i, t] = tail


def returns(rewards: Float32, discount: float) -> Float32:
    """Discounted sum of the rewards from each move on.

    Args:
        rewards: `[..., T]` float32.
        discount: factor per move.

    Returns:
        `[..., T]` float32, `returns[t] = rewards[t] + discount * returns[t + 1]`.
    """
    rows = np.ascontiguousarray(rewards).reshape(-1, rewards.shape[-1])
    sums = np.empty(rows.shape, np.float32)
    _sum_backwards(rows, float(discount), sums)
    return sums.reshape(rewards.shape)


def value_targets(rewards: Float32, root_values: Float32, td_steps: int, discount: float) -> Float32:
    """n-step value targets (MuZero, section 3 and appendix G).

    `target[t] = sum over i < n of discount**i * rewards[t + i]  +  discount**n * root_values[t + n]`; where
    `t + n` lies past the last move the sum is the Monte-Carlo return.

    Args:
        rewards: `[..., T]` float32.
        root_values: `[..., T]` float32, searched values of the states before the moves.
        td_steps: n; 0 = Monte-Carlo return everywhere.
        discount: factor per move.

    Returns:
        `[..., T + 1]` float32; the value after the last move is 0.
    """
    num_moves = rewards.shape[-1]
    targets = np.zeros((*rewards.shape[:-1], num_moves + 1), np.float32)
    targets[..., :num_moves] = returns(rewards, discount)
    if 0 < td_steps < num_moves:
        bootstrapped = num_moves - td_steps
        # return[t] - discount**n * return[t + n] is the sum of the first n rewards, but loses digits: sum them
        sums = np.zeros((*rewards.shape[:-1], bootstrapped), np.float64)
        for i in range(td_steps):
            sums += discount**i * rewards[..., i : i + bootstrapped]
        targets[..., :bootstrapped] = sums + discount**td_steps * root_values[..., td_steps:]
    return targets


def lengths_from_rewards(rewards: Float32) -> Float64:
    """Lengths `[..., G]` float64 of tours from their rewards `[..., G, T]` as stored: minus their sum."""
    return -rewards.sum(axis=-1, dtype=np.float64)  # type: ignore[no-any-return]


def advantages(lengths: Float64) -> Float32:
    """How much shorter each tour is than the mean of its group, relative to that mean.

    Args:
        lengths: `[..., G]` float64.

    Returns:
        `[..., G]` float32, `(mean length - length) / mean length`; 0 where all lengths are 0.
    """
    mean = lengths.mean(axis=-1, keepdims=True)
    return ((mean - lengths) / np.where(mean > 0.0, mean, 1.0)).astype(np.float32)


def advantage_weights(advantage: Float32, temperature: float, cap: float, baseline: float = 0.0) -> Float32:
    """`min(exp(advantage / scale), cap)` (AWR, algorithm 1 and section 5), less a share of the group's mean.

    `scale` is the temperature, or the standard deviation of the group's advantages where that is larger: in a group
    whose episodes differ widely the weights would otherwise be 0 or the cap, and a policy that such groups teach plays
    ever more of them.

    Args:
        advantage: `[..., G]` float32.
        temperature: > 0.
        cap: largest weight before the mean is taken off.
        baseline: share of the group's mean weight that is taken off; above 0, the worse episodes of a group get
            negative weights, and at 1 the weights of a group sum to 0.

    Returns:
        `[..., G]` float32.
    """
    values = advantage.astype(np.float64)
    scale = np.maximum(values.std(axis=-1, keepdims=True), temperature)
    exponents = np.minimum(values / scale, np.log(cap))
    weights = np.minimum(np.exp(exponents), cap)
    return (weights - baseline * weights.mean(axis=-1, keepdims=True)).astype(np.float32)


def policy_targets(weights: np.ndarray, tours: Int64) -> Float32:
    """Rows of visit counts or action weights, normalized to sum 1.

    Args:
        weights: `[..., T, N]`, >= 0: visit counts (MuZero, section 3) or Gumbel's improved policy (Gumbel MuZero,
            section 4).
        tours: `[..., N]` int64; a row without weight (a move that was not searched) becomes the move played.

    Returns:
        `[..., T, N]` float32.
    """
    rows: Float32 = weights.astype(np.float32)
    sums = rows.sum(axis=-1, keepdims=True)
    targets: Float32 = (rows / np.where(sums > 0.0, sums, 1.0)).astype(np.float32)
    unsearched = np.nonzero(sums[..., 0] <= 0.0)
    targets[(*unsearched, tours[..., 1:][unsearched])] = 1.0
    return targets


def importance_weights(probabilities: np.ndarray, size: int, importance_exponent: float) -> Float32:
    """Weights that undo the bias of prioritized sampling (PER, section 3.4).

    Args:
        probabilities: `[M]` float64 with which each group was drawn, > 0.
        size: groups that could be drawn.
        importance_exponent: beta.

    Returns:
        `[M]` float32, `(size * probability) ** -beta`, divided by the largest of the batch.
    """
    weights = (size * probabilities.astype(np.float64)) ** -importance_exponent
    return (weights / weights.max()).astype(np.float32)
