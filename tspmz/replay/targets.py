"""What stored groups teach: returns, value targets, advantages within a group, policy targets.

Compiled loops take one group, or rows that are alike; `batches` runs them over a whole batch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.compiled import kernel, kernel_reordered
from tspmz.types import Float32, Float64, Int64


@kernel
def shape_rewards(rewards, edge_reward):  # type: ignore[no-untyped-def]
    """`shaped_rewards` of rows `[R, T]`, in place."""
    worth = np.float32(edge_reward)
    last = rewards.shape[1] - 1
    for r in range(rewards.shape[0]):
        for t in range(last + 1):
            rewards[r, t] += worth
        rewards[r, last] += worth


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
    shaped = np.array(rewards, order="C")
    shape_rewards(shaped.reshape(-1, rewards.shape[-1]), float(edge_reward))
    return shaped


@kernel
def sum_backwards(rewards, discount, sums):  # type: ignore[no-untyped-def]
    """`returns` of rows `[R, T]` into the first T columns of `sums`, added up in float64.

    Four rows at a time: the additions of one row wait for each other, those of different rows do not.
    """
    last = rewards.shape[0] - 1
    for r in range(0, last + 1, 4):
        rows = (r, min(r + 1, last), min(r + 2, last), min(r + 3, last))  # the last one may be done several times
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for t in range(rewards.shape[1] - 1, -1, -1):
            a, b = rewards[rows[0], t] + discount * a, rewards[rows[1], t] + discount * b
            c, d = rewards[rows[2], t] + discount * c, rewards[rows[3], t] + discount * d
            sums[rows[0], t], sums[rows[1], t], sums[rows[2], t], sums[rows[3], t] = a, b, c, d


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
    sum_backwards(rows, float(discount), sums)
    return sums.reshape(rewards.shape)


@kernel
def fill_value_targets(rewards, root_values, td_steps, discount, targets):  # type: ignore[no-untyped-def]
    """`value_targets` of rows `[R, T]` into `[R, T + 1]`."""
    num_moves = rewards.shape[1]
    sum_backwards(rewards, discount, targets)
    targets[:, num_moves] = 0.0
    if not 0 < td_steps < num_moves:
        return
    for r in range(rewards.shape[0]):
        for t in range(num_moves - td_steps):
            # return[t] - discount**n * return[t + n] is the sum of the first n rewards, but loses digits: sum them
            total, factor = 0.0, 1.0
            for i in range(td_steps):
                total += factor * rewards[r, t + i]
                factor *= discount
            targets[r, t] = total + factor * root_values[r, t + td_steps]


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
    rows, values = (np.ascontiguousarray(array).reshape(-1, num_moves) for array in (rewards, root_values))
    targets = np.empty((len(rows), num_moves + 1), np.float32)
    fill_value_targets(rows, values, int(td_steps), float(discount), targets)
    return targets.reshape(*rewards.shape[:-1], num_moves + 1)


@kernel_reordered
def fill_lengths(rewards, lengths):  # type: ignore[no-untyped-def]
    """Lengths `[G]` float64 of tours: minus the sum of their rewards `[G, T]` as stored."""
    for g in range(rewards.shape[0]):
        total = 0.0
        for t in range(rewards.shape[1]):
            total += rewards[g, t]
        lengths[g] = -total


@kernel
def fill_advantages(lengths, advantages):  # type: ignore[no-untyped-def]
    """How much shorter each tour of a group is than their mean, relative to that mean.

    Args:
        lengths: `[G]` float64.
        advantages: `[G]` float32, `(mean length - length) / mean length`; 0 where all lengths are 0.
    """
    mean = lengths.sum() / lengths.shape[0]
    for g in range(lengths.shape[0]):
        advantages[g] = (mean - lengths[g]) / (mean if mean > 0.0 else 1.0)


@kernel
def fill_policy_weights(advantages, temperature, cap, baseline, weights):  # type: ignore[no-untyped-def]
    """`min(exp(advantage / scale), cap)` (AWR, algorithm 1 and section 5), less a share of the group's mean.

    `scale` is the temperature, or the standard deviation of the group's advantages where that is larger: in a group
    whose episodes differ widely the weights would otherwise be 0 or the cap, and a policy that such groups teach plays
    ever more of them.

    Args:
        advantages: `[G]` float32.
        temperature: > 0.
        cap: largest weight before the mean is taken off.
        baseline: share of the group's mean weight that is taken off; above 0, the worse episodes of a group get
            negative weights, and at 1 the weights of a group sum to 0.
        weights: `[G]` float32, filled.
    """
    size = advantages.shape[0]
    mean, variance = 0.0, 0.0
    for g in range(size):
        mean += advantages[g] / size
    for g in range(size):
        variance += (advantages[g] - mean) ** 2 / size
    scale = max(math.sqrt(variance), temperature)
    exponential, largest = np.empty(size), math.log(cap)
    for g in range(size):
        exponential[g] = min(math.exp(min(advantages[g] / scale, largest)), cap)
    taken_off = baseline * exponential.sum() / size
    for g in range(size):
        weights[g] = exponential[g] - taken_off


def policy_targets(weights: NDArray[np.generic], tours: Int64) -> Float32:
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


def importance_weights(probabilities: Float64, size: int, importance_exponent: float) -> Float32:
    """Weights that undo the bias of prioritized sampling (PER, section 3.4).

    Args:
        probabilities: `[M]` float64 with which each group was drawn, > 0.
        size: groups that could be drawn.
        importance_exponent: beta.

    Returns:
        `[M]` float32, `(size * probability) ** -beta`, divided by the largest of the batch.
    """
    weights = (size * probabilities) ** -importance_exponent
    return (weights / weights.max()).astype(np.float32)
