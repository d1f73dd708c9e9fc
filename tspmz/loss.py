"""The training loss: the learned dynamics unrolled from true states, compared with the targets at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tspmz.network.attention import legal_bias
from tspmz.network.build import Network
from tspmz.network.rows import rows_of

_MAX_RATIO = 2.0
_NEVER = -60.0
"""Log-probability below which a move adds nothing to an entropy in float32."""


class LossInputs(NamedTuple):
    """A batch on the device. Shapes as in `types.Batch`.

    Attributes:
        coordinates: `[M, N, 2]` float32.
        tours: `[M, G, N]` int64.
        rewards: `[M, G, T]` float32.
        prior_log_probs: `[M, G, T]` float32.
        value_targets: `[M, G, T + 1]` float32.
        policy_targets: `[M, G, T, N]` float32, or None where the moves played are the target.
        policy_weights: `[M, G]` float32; negative for moves to be avoided.
        importance_weights: `[M]` float32.
        positions: `[M, P]` int64, where true states are embedded.
        unrolled: `[M, U]` int64, which of the P positions are unrolled; None for all of them.
        position_weights: `[M, P]` float32, importance weights of the positions on top of those of the groups; None = 1.
    """

    coordinates: Tensor
    tours: Tensor
    rewards: Tensor
    prior_log_probs: Tensor
    value_targets: Tensor
    policy_targets: Tensor | None
    policy_weights: Tensor
    importance_weights: Tensor
    positions: Tensor
    unrolled: Tensor | None = None
    position_weights: Tensor | None = None


class Losses(NamedTuple):
    """What one batch gave; scalars unless said.

    Attributes:
        total: the weighted sum that is minimized.
        policy, value, reward: means over positions and unroll steps, importance weighted.
        entropy: of the policy at the unrolls' starts, or with an entropy bonus at all positions, in nats, over those
            with a choice.
        value_error: root mean square of (value - target) at the unrolls' starts, in lengths.
        reward_error: root mean square of (reward - target), in lengths; 0 without unroll.
        priorities: `[M]` mean absolute value error of each group, over positions and unroll steps.
        position_errors: `[M, T]` the same of each position; NaN where the batch had no value.
    """

    total: Tensor
    policy: Tensor
    value: Tensor
    reward: Tensor
    entropy: Tensor
    value_error: Tensor
    reward_error: Tensor
    priorities: Tensor
    position_errors: Tensor


class _ValueErrors:
    """Absolute errors of the value at the positions of M groups, whether looked at directly or by unrolling."""

    def __init__(self, num_groups: int, num_moves: int, device: torch.device) -> None:
        self.total = torch.zeros(num_groups, num_moves, device=device)
        self.count = torch.zeros(num_groups, num_moves, device=device)

    def add(self, positions: Tensor, off: Tensor, mask: Tensor) -> None:
        """Errors `off [M, G * P]` of the states at `positions [M, P]`; where the mask is 0 they do not count."""
        shape = (positions.shape[0], -1, positions.shape[1])
        errors = torch.where(mask > 0, off.abs(), torch.zeros_like(off)).view(shape)
        place = positions.clamp(max=self.total.shape[1] - 1)
        self.total.scatter_add_(1, place, errors.sum(dim=1))
        self.count.scatter_add_(1, place, mask.view(shape).sum(dim=1))


class _States(NamedTuple):
    """The states of one unroll step, flattened to E = G * P per instance."""

    current: Tensor  # [M, E] where the episodes stand
    actions: Tensor  # [M, E] the moves played from them
    legal: Tensor  # [M, E, N] bool
    loss_mask: Tensor  # [M, E] float32, 0 past the end of the episode
    value_targets: Tensor  # [M, E]
    rewards: Tensor  # [M, E] for the moves played from them
    prior_log_probs: Tensor  # [M, E] of the moves played from them
    policy_targets: Tensor | None  # [M, E, N]


def scale_gradient(values: Tensor, scale: float) -> Tensor:
    """`values` unchanged; their gradient times `scale` (MuZero, appendix G)."""
    return values * scale + values.detach() * (1 - scale)


def unroll_loss(
    network: Network,
    inputs: LossInputs,
    *,
    unroll_steps: int,
    value_loss_weight: float,
    reward_loss_weight: float,
    entropy_bonus: float,
    dynamics_gradient_scale: float,
) -> Losses:
    """Loss of a batch (MuZero, eq. 1 and appendix G).

    Every position is embedded from its true state (k = 0). U of the P positions also teach the value, and are then
    followed for `unroll_steps` moves in the learned model. The policy losses of each step k >= 1 weigh
    U / P / unroll_steps, since P positions teach the policy at k = 0; those of the value, which the same U teach
    there, and of the reward 1 / unroll_steps. A state past the end of its episode counts for nothing.
    """
    num_groups, group_size, _ = inputs.tours.shape
    order = torch.argsort(inputs.tours, dim=-1)  # [M, G, N] when each city is visited
    context = network.encode(inputs.coordinates)
    value_weight, policy_weight = _weights(inputs, inputs.positions.shape[1])

    states = _states_at(inputs, order, 0)
    first = inputs.tours[:, :, :1].expand(-1, -1, inputs.positions.shape[1]).reshape(num_groups, -1)
    past = _past_cities(inputs, network.stacked_observations)
    embeddings = network.representation(context, first, states.current, states.legal.float(), past)
    rows = None if inputs.unrolled is None else _rows(inputs.unrolled, group_size, inputs.positions.shape[1])
    policy, value, log_probs, values = _prediction_losses(network, context, embeddings, states, rows)
    policy_loss = _policy_mean(policy, states, policy_weight)
    value_mask, value_targets = _chosen(states.loss_mask, rows), _chosen(states.value_targets, rows)
    value_loss = _mean(value, _chosen(value_weight, rows), value_mask)
    legal = states.legal
    if not entropy_bonus:  # it is only looked at: its way back would cost a tenth of the step, and a few states do
        log_probs, legal = rows_of(log_probs.detach(), rows), rows_of(legal, rows)
    entropy = _entropy(log_probs, (legal.sum(-1) > 1).float())
    off = values.detach() - value_targets
    seen = _ValueErrors(num_groups, inputs.rewards.shape[2], off.device)
    seen.add(_unrolled_only(inputs).positions, off, value_mask)
    reward_loss = torch.zeros((), device=policy_loss.device)
    reward_error = torch.zeros((), device=policy_loss.device)
    if unroll_steps and inputs.unrolled is not None:
        embeddings = _at(embeddings.unflatten(1, (group_size, -1)), inputs.unrolled).flatten(1, 2)
        inputs = _unrolled_only(inputs)
        states = _states_at(inputs, order, 0)
        value_weight, policy_weight = _weights(inputs, inputs.positions.shape[1])
    # in the policy, a predicted state weighs what a true one does, or the few drown the many in their noise
    share = inputs.positions.shape[1] / (policy.shape[1] / group_size) / max(unroll_steps, 1)
    for k in range(1, unroll_steps + 1):
        before = states
        embeddings, reward_logits = network.dynamics(
            context, scale_gradient(embeddings, dynamics_gradient_scale), before.actions
        )
        states = _states_at(inputs, order, k)
        policy, value, _, values = _prediction_losses(network, context, embeddings, states)
        seen.add(inputs.positions + k, values.detach() - states.value_targets, states.loss_mask)
        reward = network.support.cross_entropy(reward_logits, before.rewards)
        policy_loss = policy_loss + share * _policy_mean(policy, states, policy_weight)
        value_loss = value_loss + _mean(value, value_weight, states.loss_mask) / unroll_steps
        reward_loss = reward_loss + _mean(reward, value_weight, before.loss_mask) / unroll_steps
        predicted = network.support.to_scalar(reward_logits.detach())
        squared = (predicted - before.rewards) ** 2
        reward_error = reward_error + _mean(squared, torch.ones_like(squared), before.loss_mask)
    total = policy_loss + value_loss_weight * value_loss + reward_loss_weight * reward_loss - entropy_bonus * entropy
    return Losses(
        total=total,
        policy=policy_loss.detach(),
        value=value_loss.detach(),
        reward=reward_loss.detach(),
        entropy=entropy.detach(),
        value_error=((off * value_mask).square().sum() / value_mask.sum()).sqrt(),
        reward_error=(reward_error / max(unroll_steps, 1)).sqrt(),
        priorities=seen.total.sum(dim=1) / seen.count.sum(dim=1),
        position_errors=seen.total / torch.where(seen.count > 0, seen.count, torch.nan),
    )


def combined(losses: Sequence[Losses], shares: Sequence[float]) -> Losses:
    """The losses of a batch from those of its parts, which hold `shares` of its groups, in order.

    Exact but for one thing: states past the end of an episode do not count, nor do those without a choice for the
    entropy, and they are as many in one part as in another only on average.
    """
    if len(losses) == 1:
        return losses[0]
    weights = torch.tensor(shares, device=losses[0].total.device)

    def mean(name: str) -> Tensor:
        return torch.stack([getattr(one, name) for one in losses]) @ weights

    def root_mean_square(name: str) -> Tensor:
        return (torch.stack([getattr(one, name) for one in losses]).square() @ weights).sqrt()

    return Losses(
        **{name: mean(name) for name in ("total", "policy", "value", "reward", "entropy")},
        **{name: root_mean_square(name) for name in ("value_error", "reward_error")},
        priorities=torch.cat([one.priorities for one in losses]),
        position_errors=torch.cat([one.position_errors for one in losses]),
    )


def _unrolled_only(inputs: LossInputs) -> LossInputs:
    """With the positions that are unrolled in place of all."""
    unrolled, weights = inputs.unrolled, inputs.position_weights
    if unrolled is None:
        return inputs
    return inputs._replace(
        positions=inputs.positions.gather(1, unrolled),
        position_weights=None if weights is None else weights.gather(1, unrolled),
    )


def _weights(inputs: LossInputs, count: int) -> tuple[Tensor, Tensor]:
    """Factors `[M, G * count]` of the value's (and reward's) and of the policy's loss."""
    weight = inputs.importance_weights.view(-1, 1, 1).expand(-1, inputs.policy_weights.shape[1], count)
    if inputs.position_weights is not None:
        weight = weight * inputs.position_weights.unsqueeze(1)
    return weight.flatten(1), (weight * inputs.policy_weights.unsqueeze(-1)).flatten(1)


def _at(values: Tensor, index: Tensor) -> Tensor:
    """`values [M, G, X, ...]` at `index [M, P]` of axis X, for each episode: `[M, G, P, ...]`."""
    shape = (*index.shape[:1], values.shape[1], index.shape[1], *values.shape[3:])
    wide = index.view(index.shape[0], 1, index.shape[1], *([1] * (values.dim() - 3))).expand(shape)
    return values.gather(2, wide)


def _rows(index: Tensor, group_size: int, count: int) -> Tensor:
    """Where `index [M, U]` of each episode's `count` positions stands in the flattened axis: `[M, G * U]`."""
    episodes = torch.arange(group_size, device=index.device).view(1, -1, 1)
    return (index.unsqueeze(1) + count * episodes).flatten(1)


def _chosen(values: Tensor, rows: Tensor | None) -> Tensor:
    """`values [M, E]` at `rows [M, V]`, or all of them."""
    return values if rows is None else values.gather(1, rows)


def _past_cities(inputs: LossInputs, count: int) -> Tensor:
    """The `count` cities before those at the positions, for every episode: `[M, G * P, count]`; -1 before the start."""
    steps = inputs.positions.unsqueeze(-1) - torch.arange(1, count + 1, device=inputs.positions.device)
    index = steps.clamp(min=0).flatten(1)
    cities = _at(inputs.tours, index).unflatten(2, steps.shape[1:])
    return torch.where(steps.unsqueeze(1) >= 0, cities, -1).flatten(1, 2)


def _states_at(inputs: LossInputs, order: Tensor, k: int) -> _States:
    """States `k` moves after the positions, for every episode of every group."""
    num_groups, _, num_cities = inputs.tours.shape
    last = num_cities - 2
    step = inputs.positions + k
    inside = step.clamp(max=last)
    legal = order.unsqueeze(2) > step.view(num_groups, 1, -1, 1)
    mask = (step <= last).float().unsqueeze(1).expand(-1, order.shape[1], -1)
    targets = None if inputs.policy_targets is None else _at(inputs.policy_targets, inside).flatten(1, 2)
    return _States(
        current=_at(inputs.tours, inside).flatten(1, 2),
        actions=_at(inputs.tours, inside + 1).flatten(1, 2),
        legal=legal.flatten(1, 2),
        loss_mask=mask.reshape(num_groups, -1),
        value_targets=_at(inputs.value_targets, inside).flatten(1, 2),
        rewards=_at(inputs.rewards, inside).flatten(1, 2),
        prior_log_probs=_at(inputs.prior_log_probs, inside).flatten(1, 2),
        policy_targets=targets,
    )


def _prediction_losses(
    network: Network, context: object, embeddings: Tensor, states: _States, rows: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Policy cross entropies `[M, E]`, value ones `[M, V]`, log-policy `[M, E, N]` and values `[M, V]`.

    V are the states at `rows`, or all E.
    """
    bias = legal_bias(states.legal)
    policy_logits, value_logits = network.prediction(context, embeddings, states.current, bias, rows)
    log_probs = torch.log_softmax(policy_logits, dim=-1)
    if states.policy_targets is None:
        policy = -log_probs.gather(-1, states.actions.unsqueeze(-1)).squeeze(-1)
    else:
        policy = -(states.policy_targets * log_probs).sum(dim=-1)
    value = network.support.cross_entropy(value_logits, _chosen(states.value_targets, rows))
    return policy, value, log_probs, network.support.to_scalar(value_logits.detach())


def _mean(values: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values [M, E]` times `weight` over the entries that `mask` keeps."""
    # where(), not a product alone: 0 * inf would turn an ignored entry into NaN.
    kept = torch.where(mask > 0, values * weight, torch.zeros_like(values))
    return kept.sum() / mask.sum().clamp(min=1)


def _policy_mean(cross_entropy: Tensor, states: _States, weight: Tensor) -> Tensor:
    """Mean policy loss: `weight * cross_entropy`, negative weights times the ratio to the policy that played.

    Where a weight is negative the move shall become less likely. Its pull is multiplied by the present probability
    over that at the time of play (at most `_MAX_RATIO`; no gradient through it), as importance sampling asks for: it
    is balanced against the positive ones while the policy is the one that played, and fades as the move gets rare,
    so that old moves cannot drive the logits without bound.
    """
    ratio = torch.exp((-cross_entropy.detach() - states.prior_log_probs).clamp(max=math.log(_MAX_RATIO)))
    return _mean(torch.where(weight < 0, ratio * cross_entropy, cross_entropy), weight, states.loss_mask)


def _entropy(log_probs: Tensor, has_choice: Tensor) -> Tensor:
    """Mean entropy of the policies `log_probs [M, E, N]` over the states that have a choice `[M, E]`."""
    log_probs = log_probs.clamp(min=_NEVER)  # on the CPU, exp takes ten times as long where it underflows
    return _mean(-(log_probs.exp() * log_probs).sum(dim=-1), torch.ones_like(has_choice), has_choice)
