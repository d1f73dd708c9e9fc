"""What every kind of network keeps: shapes, masks, finite numbers, one row does not touch another, it can learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import KINDS, LOSS_SETTINGS, VARIANTS, States, loss_inputs, random_states, tiny_network
from process_helpers import tiny_config

from tspmz.errors import UsageError
from tspmz.loss import unroll_loss
from tspmz.network.attention import legal_bias
from tspmz.network.build import build_network, flatten_weights, load_flat_weights, num_weights
from tspmz.settings import network_settings

N, E, M = 6, 3, 2


@pytest.fixture(params=[*KINDS, *VARIANTS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def network(kind: str) -> Any:
    return tiny_network(kind, N)


def outputs(network: Any, states: States, actions: torch.Tensor) -> dict[str, torch.Tensor]:
    """Everything the three functions give: at the states, and after `actions [M, E]`."""
    with torch.no_grad():
        context = network.encode(states.coordinates)
        embeddings = network.representation(context, states.first, states.current, states.legal.float())
        policy, value = network.prediction(context, embeddings, states.current, legal_bias(states.legal))
        after, reward = network.dynamics(context, embeddings, actions)
        legal = states.legal.clone().scatter_(2, actions.unsqueeze(-1), False)
        next_policy, next_value = network.prediction(context, after, actions, legal_bias(legal))
    return {
        "embeddings": embeddings, "policy": policy, "value": value,
        "after": after, "reward": reward, "next_policy": next_policy, "next_value": next_value,
    }  # fmt: skip


def some_actions(states: States) -> torch.Tensor:
    return states.legal.int().argmax(dim=-1)


def test_outputs_have_the_shapes(network: Any) -> None:
    states = random_states(M, E, N)
    found = outputs(network, states, some_actions(states))
    atoms, width = network.support.num_atoms, network.embedding_dim
    shapes = {"embeddings": width, "after": width, "policy": N, "next_policy": N}
    for name, tensor in found.items():
        assert tensor.shape == (M, E, shapes.get(name, atoms)), name
        assert tensor.dtype == torch.float32


def test_illegal_cities_get_no_logit_and_legal_ones_a_clipped_one(network: Any) -> None:
    states = random_states(M, E, N)
    policy = outputs(network, states, some_actions(states))["policy"]
    assert policy[~states.legal].max() <= -1e8
    assert policy[states.legal].abs().max() <= network.tanh_clipping


@pytest.mark.parametrize("moves", [0, N - 2, N - 1])
def test_numbers_are_finite_from_the_start_to_the_end_of_an_episode(network: Any, moves: int) -> None:
    states = random_states(M, E, N, moves)
    assert states.legal.any() == (moves < N - 1)
    for name, tensor in outputs(network, states, some_actions(states)).items():
        assert tensor.isfinite().all(), name


def test_instances_and_episodes_do_not_touch_one_another(network: Any) -> None:
    states = random_states(M, E, N)
    actions = some_actions(states)
    whole = outputs(network, states, actions)
    for m in range(M):
        for e in range(E):
            row = (slice(m, m + 1), slice(e, e + 1))
            one = States(states.coordinates[m : m + 1], states.first[row], states.current[row], states.legal[row])
            for name, tensor in outputs(network, one, actions[row]).items():
                torch.testing.assert_close(tensor, whole[name][row], atol=1e-5, rtol=1e-4, msg=name)


def test_weights_depend_on_the_seed_only(kind: str, network: Any) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    again, other = tiny_network(kind, N), tiny_network(kind, N, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in one.parameters()]) for one in (network, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_flat_weights_make_an_equal_network(network: Any) -> None:
    flat = np.full(num_weights(network), np.nan, np.float32)
    flatten_weights(network, flat)
    assert np.isfinite(flat).all()
    states = random_states(M, E, N)
    expected = outputs(network, states, some_actions(states))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    load_flat_weights(network, flat)
    for name, tensor in outputs(network, states, some_actions(states)).items():
        assert torch.equal(tensor, expected[name]), name


def test_all_weights_are_float32_parameters(network: Any) -> None:
    assert num_weights(network) == sum(parameter.numel() for parameter in network.parameters())
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_training_on_one_batch_lowers_every_part_of_the_loss(kind: str, network: Any) -> None:
    if "visits" in kind:
        pytest.skip("cannot tell the random instances and starts of this batch apart")
    rng = np.random.default_rng(3)
    tours = np.stack([[rng.permutation(N) for _ in range(E)] for _ in range(M)])
    inputs = loss_inputs(
        tours,
        coordinates=torch.from_numpy(rng.random((M, N, 2), np.float32)),
        rewards=torch.from_numpy(-rng.random((M, E, N - 1), np.float32)),
        value_targets=torch.from_numpy(-3 * rng.random((M, E, N), np.float32)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    settings = {**LOSS_SETTINGS, "unroll_steps": 2}
    found = []
    for _ in range(40):
        losses = unroll_loss(network, inputs, **settings)
        found.append([losses.total.item(), losses.policy.item(), losses.value.item(), losses.reward.item()])
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert found[-1][0] < 0.7 * found[0][0]
    assert all(last < 0.98 * first for first, last in zip(found[0], found[-1], strict=True))
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("kind", ["resnet", "fullyconnected", *VARIANTS], indirect=True)
def test_latents_lie_between_0_and_1(kind: str) -> None:
    states = random_states(M, E, N)
    found = outputs(tiny_network(kind, N), states, some_actions(states))
    for name in ("embeddings", "after"):
        assert found[name].amin(dim=-1).flatten().tolist() == [0.0] * (M * E)
        assert found[name].amax(dim=-1).flatten().tolist() == pytest.approx([1.0] * (M * E))


@pytest.mark.parametrize("kind", ["resnet", "fullyconnected", *VARIANTS], indirect=True)
def test_instances_of_another_size_are_refused(kind: str) -> None:
    with pytest.raises(UsageError, match=r"made for 6 cities, the instances have 7.*network\.kind = attention"):
        tiny_network(kind, N).encode(torch.zeros(1, 7, 2))


def test_attention_runs_on_any_number_of_cities() -> None:
    network = tiny_network("attention", 20)
    for num_cities in (20, 50):
        states = random_states(1, 2, num_cities)
        found = outputs(network, states, some_actions(states))
        assert found["next_policy"].shape == (1, 2, num_cities)
        assert all(tensor.isfinite().all() for tensor in found.values())


def test_sizes_of_a_run_do_not_change_the_attention_weights() -> None:
    assert num_weights(tiny_network("attention", 5)) == num_weights(tiny_network("attention", 50))


@pytest.mark.parametrize("kind", ["attention", "resnet"], indirect=True)
def test_renaming_the_cities_renames_the_logits_and_changes_no_value(kind: str) -> None:
    network = tiny_network(kind, N)
    with torch.no_grad():
        for parameter in network.parameters():  # nothing that starts at 0 may hide a dependence on the order
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    states = random_states(M, E, N)
    actions = some_actions(states)
    new_names = torch.tensor([3, 0, 5, 1, 4, 2])  # city c is called new_names[c]
    old_names = torch.argsort(new_names)
    renamed = States(
        states.coordinates[:, old_names], new_names[states.first], new_names[states.current],
        states.legal[:, :, old_names],
    )  # fmt: skip
    expected = outputs(network, states, actions)
    found = outputs(network, renamed, new_names[actions])
    for name in ("policy", "next_policy"):
        torch.testing.assert_close(found[name], expected[name][:, :, old_names], atol=1e-5, rtol=1e-4)
    for name in ("value", "reward", "next_value"):
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-4)


def test_unknown_kind_is_refused() -> None:
    settings = network_settings(tiny_config())
    with pytest.raises(ValueError, match="no network of kind 'transformer'"):
        build_network(0, **{**settings, "kind": "transformer"})
