"""The loss: small cases by hand, what counts and what does not, how gradients flow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import LOSS_SETTINGS, loss_inputs, tiny_network

from tspmz.loss import Losses, LossInputs, scale_gradient, unroll_loss
from tspmz.network.rows import rows_of
from tspmz.network.support import Support

ATOMS = 5
LOG2, LOG3, LOG5 = math.log(2), math.log(3), math.log(5)


class PlainNetwork(torch.nn.Module):
    """Knows nothing: the same scores for all cities and the same value and reward everywhere. It keeps its calls.

    Attributes:
        calls: (function, argument) in order; what `dynamics` was asked for and what `prediction` stood on.
    """

    embedding_dim = 1
    stacked_observations = 0

    def __init__(self, value_logits: list[float] | None = None, reward_logits: list[float] | None = None) -> None:
        super().__init__()
        self.support = Support(2, 0.5)
        self.value_logits = torch.nn.Parameter(torch.tensor(value_logits or [0.0] * ATOMS))
        self.reward_logits = torch.nn.Parameter(torch.tensor(reward_logits or [0.0] * ATOMS))
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.calls: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def encode(self, coordinates: torch.Tensor) -> torch.Tensor:
        return coordinates

    def representation(
        self, context: Any, first: torch.Tensor, current: torch.Tensor, legal_actions: torch.Tensor, history: Any = None
    ) -> torch.Tensor:
        self.calls.append(("representation", first, current))
        return self.weight.expand(*current.shape, 1)

    def dynamics(
        self, context: Any, embeddings: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls.append(("dynamics", actions, embeddings))
        return embeddings, self.reward_logits.expand(*actions.shape, -1)

    def prediction(
        self, context: Any, embeddings: torch.Tensor, current: torch.Tensor, legal_bias: torch.Tensor, rows: Any = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls.append(("prediction", current, legal_bias == 0))
        return legal_bias, self.value_logits * rows_of(embeddings, rows)


def loss_of(network: Any, inputs: LossInputs, **settings: Any) -> Losses:
    return unroll_loss(network, inputs, **{**LOSS_SETTINGS, **settings})


def dense_cross_entropy(logits: list[float], scalar: float) -> float:
    """Against the two-hot target over the atoms -1, -0.5, 0, 0.5, 1, in plain Python."""
    scaled = math.copysign(math.sqrt(abs(scalar) + 1) - 1, scalar) + 0.001 * scalar
    position = min(max(scaled / 0.5 + 2, 0.0), 4.0)
    norm = math.log(sum(math.exp(logit) for logit in logits))
    return sum(max(0.0, 1 - abs(i - position)) * (norm - logit) for i, logit in enumerate(logits))


def test_entropy_is_of_the_states_that_teach_the_value_unless_it_has_a_bonus() -> None:
    tours = np.stack([np.random.default_rng(seed).permuted(np.tile(np.arange(6), (3, 1)), axis=1) for seed in (1, 2)])
    unrolled = torch.tensor([[0, 3], [2, 1]])
    network = tiny_network()
    some, every = loss_inputs(tours, unrolled=unrolled), loss_inputs(tours)
    few = loss_inputs(tours, positions=unrolled)
    entropies = [loss_of(network, inputs).entropy.item() for inputs in (some, few, every)]
    assert entropies[0] == pytest.approx(entropies[1], rel=1e-5)
    assert entropies[0] != pytest.approx(entropies[2], rel=1e-3)
    with_bonus = loss_of(network, some, entropy_bonus=0.1).entropy.item()
    assert with_bonus == pytest.approx(entropies[2], rel=1e-5)


TOURS = [[[0, 1, 2, 3], [2, 0, 3, 1]]]
"""One group of two episodes on four cities: 3, 2 and 1 cities to choose from."""


@pytest.mark.parametrize(
    ("unroll_steps", "policy", "value_steps", "reward_steps"),
    [
        # k = 0: choices among 3, 2, 1 cities. k = 1: among 2 and 1; the third state is past the end.
        (0, (LOG3 + LOG2) / 3, 1.0, 0.0),
        (1, (LOG3 + LOG2) / 3 + LOG2 / 2, 2.0, 1.0),
        (3, (LOG3 + LOG2) / 3 + LOG2 / 2 / 3, 1.0 + 2 / 3, 1.0),
    ],
)
def test_loss_of_a_network_that_knows_nothing_is_that_by_hand(
    unroll_steps: int, policy: float, value_steps: float, reward_steps: float
) -> None:
    losses = loss_of(PlainNetwork(), loss_inputs(TOURS), unroll_steps=unroll_steps)
    assert losses.policy.item() == pytest.approx(policy, rel=1e-6)
    assert losses.value.item() == pytest.approx(value_steps * LOG5, rel=1e-6)
    assert losses.reward.item() == pytest.approx(reward_steps * LOG5, rel=1e-6, abs=1e-9)
    assert losses.total.item() == pytest.approx(policy + (0.25 * value_steps + reward_steps) * LOG5, rel=1e-6)
    assert losses.entropy.item() == pytest.approx((LOG3 + LOG2) / 2, rel=1e-6)  # forced moves have no choice


def test_parts_are_weighed_as_asked_for() -> None:
    losses = loss_of(
        PlainNetwork(), loss_inputs(TOURS), unroll_steps=1, value_loss_weight=2.0, reward_loss_weight=3.0,
        entropy_bonus=0.5,
    )  # fmt: skip
    by_hand = losses.policy + 2.0 * losses.value + 3.0 * losses.reward - 0.5 * losses.entropy
    assert losses.total.item() == pytest.approx(by_hand.item(), rel=1e-6)


def test_value_and_reward_are_compared_with_their_own_steps_targets() -> None:
    value_logits, reward_logits = [0.3, -1.0, 0.7, 0.1, 2.0], [1.0, 0.5, -0.2, 0.0, 0.4]
    values = np.array([[[-1.5, -0.9, -0.2, 0.0], [-1.3, -1.1, -0.6, 0.0]]], np.float32)
    rewards = np.array([[[-0.6, -0.7, -0.2], [-0.2, -0.5, -0.6]]], np.float32)
    network = PlainNetwork(value_logits, reward_logits)
    inputs = loss_inputs(TOURS, value_targets=torch.from_numpy(values), rewards=torch.from_numpy(rewards))
    losses = loss_of(network, inputs, unroll_steps=2)
    value, reward = ([[dense_cross_entropy(logits, x) for x in row] for row in table[0]] for logits, table in (
        (value_logits, values), (reward_logits, rewards)))  # fmt: skip
    mean_value = [np.mean([row[k:3] for row in value]) for k in range(3)]
    mean_reward = [np.mean([row[k:] for row in reward]) for k in range(2)]
    assert losses.value.item() == pytest.approx(mean_value[0] + (mean_value[1] + mean_value[2]) / 2, rel=1e-5)
    assert losses.reward.item() == pytest.approx(sum(mean_reward) / 2, rel=1e-5)
    predicted = network.support.to_scalar(torch.tensor(value_logits)).item()
    errors = predicted - values[0, :, :3]
    assert losses.value_error.item() == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
    # the state before move t is looked at directly, and at the end of each unroll of 1 .. t moves, at most 2
    looked_at = np.array([1, 2, 3])
    assert losses.priorities.tolist() == pytest.approx([(np.abs(errors).mean(0) * looked_at).sum() / 6], rel=1e-5)
    np.testing.assert_allclose(losses.position_errors[0].numpy(), np.abs(errors).mean(0), rtol=1e-5)
    of_reward = network.support.to_scalar(torch.tensor(reward_logits)).item() - rewards[0]
    squared = (np.mean(of_reward**2) + np.mean(of_reward[:, 1:] ** 2)) / 2
    assert losses.reward_error.item() == pytest.approx(np.sqrt(squared), rel=1e-5)


def test_states_follow_the_tours() -> None:
    network = PlainNetwork()
    loss_of(network, loss_inputs(TOURS, positions=torch.tensor([[0, 1]])), unroll_steps=1)
    represented, predicted, moved, predicted_next = network.calls
    assert represented[1].tolist() == [[0, 0, 2, 2]]
    assert represented[2].tolist() == [[0, 1, 2, 0]]
    assert predicted[1].tolist() == [[0, 1, 2, 0]]
    assert predicted[2].int().tolist() == [[[0, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1], [0, 1, 0, 1]]]
    assert moved[1].tolist() == [[1, 2, 0, 3]]
    assert predicted_next[1].tolist() == [[1, 2, 0, 3]]
    assert predicted_next[2].int().tolist() == [[[0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0]]]


def test_only_the_chosen_positions_are_unrolled() -> None:
    network = PlainNetwork()
    losses = loss_of(network, loss_inputs(TOURS, unrolled=torch.tensor([[1]])), unroll_steps=1)
    assert [call[1].tolist() for call in network.calls if call[0] == "dynamics"] == [[[2, 3]]]
    assert losses.policy.item() == pytest.approx((LOG3 + LOG2) / 3)  # the state after it has one city left
    assert losses.value.item() == pytest.approx(2 * LOG5)  # the same position teaches the value before and after it


def test_unrolling_all_positions_is_the_same_as_naming_none() -> None:
    network = tiny_network(num_cities=4)
    given = {"rewards": torch.full((1, 2, 3), -0.4), "value_targets": torch.full((1, 2, 4), -1.0)}
    named = loss_of(network, loss_inputs(TOURS, unrolled=torch.tensor([[0, 1, 2]]), **given), unroll_steps=2)
    assert named.total.item() == loss_of(network, loss_inputs(TOURS, **given), unroll_steps=2).total.item()


@pytest.mark.parametrize("garbage", [math.nan, math.inf, 1e30])
def test_targets_past_the_end_of_the_episode_count_for_nothing(garbage: float) -> None:
    network = tiny_network(num_cities=4)
    results = []
    for tail in (0.0, garbage):
        targets = torch.tensor([[[-1.5, -0.9, -0.2, tail], [-1.3, -1.1, -0.6, tail]]])
        network.zero_grad()
        losses = loss_of(network, loss_inputs(TOURS, value_targets=targets), unroll_steps=3)
        losses.total.backward()
        gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        results.append((losses, gradients))
    assert results[1][1].isfinite().all()
    assert torch.equal(results[0][1], results[1][1])
    for name, one, other in zip(Losses._fields, results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True, msg=name)


def test_what_the_network_says_of_finished_states_counts_for_nothing() -> None:
    class NonsenseAtTheEnd(PlainNetwork):
        def prediction(self, *args: Any) -> tuple[torch.Tensor, torch.Tensor]:
            policy_logits, value_logits = super().prediction(*args)
            finished = (policy_logits == 0).all(dim=-1, keepdim=True)
            return policy_logits, value_logits.masked_fill(finished, math.nan)

    sound, nonsense = (
        loss_of(network, loss_inputs(TOURS), unroll_steps=3) for network in (PlainNetwork(), NonsenseAtTheEnd())
    )
    assert nonsense.total.item() == sound.total.item()
    assert torch.equal(nonsense.priorities, sound.priorities)


def test_errors_of_positions_that_were_not_looked_at_are_not_known() -> None:
    losses = loss_of(PlainNetwork(), loss_inputs(TOURS, positions=torch.tensor([[1]])), unroll_steps=0)
    assert losses.position_errors.isnan().tolist() == [[True, False, True]]
    losses = loss_of(PlainNetwork(), loss_inputs(TOURS, positions=torch.tensor([[1]])), unroll_steps=3)
    assert losses.position_errors.isnan().tolist() == [[True, False, False]]


def test_position_drawn_twice_with_half_the_weight_is_the_position_drawn_once() -> None:
    network = tiny_network(num_cities=4)
    given = {"rewards": torch.full((1, 2, 3), -0.4), "value_targets": torch.full((1, 2, 4), -1.0)}
    once = loss_of(network, loss_inputs(TOURS, positions=torch.tensor([[0, 2]]), **given), unroll_steps=1)
    weights = torch.tensor([[1.0, 1.0, 1.0, 1.0]]) * 0.5
    twice = loss_inputs(
        TOURS, positions=torch.tensor([[0, 2, 0, 2]]), position_weights=2 * weights,
        unrolled=torch.tensor([[0, 1, 2, 3]]), **given,
    )  # fmt: skip
    assert loss_of(network, twice, unroll_steps=1).policy.item() == pytest.approx(once.policy.item(), rel=1e-5)
    half = loss_of(network, twice._replace(position_weights=weights), unroll_steps=1)
    for name in ("policy", "value", "reward"):
        assert getattr(half, name).item() == pytest.approx(getattr(once, name).item() / 2, rel=1e-5)


def test_weight_of_a_position_goes_with_it_into_the_unroll() -> None:
    # only the second position has a weight, and only the first is unrolled: nothing of the unroll counts
    inputs = loss_inputs(
        TOURS, positions=torch.tensor([[0, 1]]), position_weights=torch.tensor([[0.0, 1.0]]),
        unrolled=torch.tensor([[0]]),
    )  # fmt: skip
    assert loss_of(PlainNetwork(), inputs, unroll_steps=1).reward.item() == 0.0
    assert loss_of(PlainNetwork(), inputs._replace(unrolled=torch.tensor([[1]])), unroll_steps=1).reward.item() > 0.0


def test_position_at_the_end_counts_for_nothing() -> None:
    network = tiny_network(num_cities=4)
    short = loss_of(network, loss_inputs(TOURS), unroll_steps=2)
    longer = loss_of(network, loss_inputs(TOURS, positions=torch.tensor([[0, 1, 2, 3]])), unroll_steps=2)
    for one, other in zip(short, longer, strict=True):
        torch.testing.assert_close(one, other)


def test_scaled_gradient_leaves_the_value_alone() -> None:
    values = torch.tensor([0.1, -3.7, 1e20], requires_grad=True)
    scaled = scale_gradient(values, 0.5)
    assert torch.equal(scaled, values)
    (3 * scaled).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1.5, 1.5, 1.5]


@pytest.mark.parametrize("unroll_steps", [1, 2])
def test_gradient_into_each_dynamics_step_is_scaled(unroll_steps: int) -> None:
    def gradient(scale: float) -> float:
        network = PlainNetwork([0.3, -1.0, 0.7, 0.1, 2.0])
        loss_of(network, loss_inputs(TOURS), unroll_steps=unroll_steps, dynamics_gradient_scale=scale).total.backward()
        assert network.weight.grad is not None
        return network.weight.grad.item()

    # every state has the same value loss, so each step adds g / K, times the scale once for each step to it
    own = gradient(0.0)
    factor = sum(0.5**k / unroll_steps for k in range(1, unroll_steps + 1))
    assert gradient(1.0) == pytest.approx(2 * own, rel=1e-5)
    assert gradient(0.5) == pytest.approx((1 + factor) * own, rel=1e-5)


def test_importance_weights_scale_everything_of_their_group() -> None:
    network = tiny_network(num_cities=4)
    tours = [TOURS[0], [[1, 0, 3, 2], [3, 2, 0, 1]]]
    given = {"value_targets": -torch.rand(2, 2, 4, generator=torch.Generator().manual_seed(1))}
    first, second, both, mixed = (
        loss_of(network, loss_inputs(tours, importance_weights=torch.tensor(weights), **given), unroll_steps=1)
        for weights in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.5])
    )
    for name in ("policy", "value", "reward"):
        parts = [getattr(losses, name).item() for losses in (first, second, both, mixed)]
        assert parts[2] == pytest.approx(parts[0] + parts[1], rel=1e-5)
        assert parts[3] == pytest.approx(2 * parts[0] + 0.5 * parts[1], rel=1e-5)


def test_policy_weights_scale_the_policy_loss_only() -> None:
    network = tiny_network(num_cities=4)
    first, second, mixed = (
        loss_of(network, loss_inputs(TOURS, policy_weights=torch.tensor([weights])), unroll_steps=1)
        for weights in ([1.0, 0.0], [0.0, 1.0], [3.0, 0.25])
    )
    assert mixed.policy.item() == pytest.approx(3 * first.policy.item() + 0.25 * second.policy.item(), rel=1e-5)
    assert mixed.value.item() == first.value.item()
    assert mixed.reward.item() == first.reward.item()


def test_one_hot_policy_targets_are_the_moves_played() -> None:
    network = tiny_network(num_cities=4)
    one_hot = torch.nn.functional.one_hot(torch.tensor(TOURS)[:, :, 1:], 4).float()
    weights = torch.tensor([[0.5, 2.0]])
    played = loss_of(network, loss_inputs(TOURS, policy_weights=weights), unroll_steps=1)
    given = loss_of(network, loss_inputs(TOURS, policy_weights=weights, policy_targets=one_hot), unroll_steps=1)
    assert given.total.item() == pytest.approx(played.total.item(), rel=1e-6)


def test_soft_policy_targets_give_their_cross_entropy() -> None:
    targets = torch.zeros(1, 2, 3, 4)
    targets[0, 0, 0] = torch.tensor([0.0, 0.5, 0.25, 0.25])
    targets[0, 0, 1] = torch.tensor([0.0, 0.0, 0.9, 0.1])
    targets[0, 0, 2] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    targets[0, 1] = targets[0, 0]  # masked by policy weight 0
    inputs = loss_inputs(TOURS, policy_targets=targets, policy_weights=torch.tensor([[1.0, 0.0]]))
    # the network is indifferent: any target over the legal cities costs log(choices)
    assert loss_of(PlainNetwork(), inputs).policy.item() == pytest.approx((LOG3 + LOG2) / 6, rel=1e-6)


def test_value_is_learned_at_the_unrolled_positions_only() -> None:
    targets = torch.tensor([[[-1.5, -0.9, -0.2, 0.0], [-1.3, -1.1, -0.6, 0.0]]])
    network = PlainNetwork([0.3, -1.0, 0.7, 0.1, 2.0])
    inputs = loss_inputs(TOURS, value_targets=targets, unrolled=torch.tensor([[1]]))
    losses = loss_of(network, inputs, unroll_steps=0)
    by_hand = (dense_cross_entropy([0.3, -1.0, 0.7, 0.1, 2.0], x) for x in (-0.9, -1.1))
    assert losses.value.item() == pytest.approx(sum(by_hand) / 2, rel=1e-5)
    value = network.support.to_scalar(network.value_logits.detach()).item()
    assert losses.priorities.tolist() == pytest.approx([(abs(value + 0.9) + abs(value + 1.1)) / 2], rel=1e-5)
    assert losses.policy.item() == pytest.approx((LOG3 + LOG2) / 3, rel=1e-6)  # the policy at all of them


def test_negative_policy_weight_makes_the_move_less_likely() -> None:
    network = tiny_network(num_cities=4)

    def log_prob() -> float:
        return -loss_of(network, loss_inputs(TOURS)).policy.item()

    before = log_prob()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    for _ in range(5):
        # played at probabilities so small that every move's ratio is at its bound: all count alike
        played = torch.full((1, 2, 3), -10.0)
        inputs = loss_inputs(TOURS, policy_weights=-torch.ones(1, 2), prior_log_probs=played)
        losses = loss_of(network, inputs, value_loss_weight=0.0, reward_loss_weight=0.0)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert log_prob() < before
