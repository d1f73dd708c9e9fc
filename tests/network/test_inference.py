"""The network as the search sees it: the right latent for every tree node, the same numbers as direct calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_helpers import KINDS, PathNetwork, random_states, tiny_network

from tspmz.network.attention import legal_bias
from tspmz.network.inference import SearchModel

INSTANCES, EPISODES, N = 2, 3, 6


@pytest.mark.parametrize("kind", KINDS)
def test_initial_is_representation_then_prediction(kind: str) -> None:
    network = tiny_network(kind, N)
    states = random_states(INSTANCES, EPISODES, N)
    model = SearchModel(network, 4)
    model.encode(states.coordinates.numpy())
    root = model.initial(states.first.numpy(), states.current.numpy(), states.legal.numpy())
    with torch.no_grad():
        context = network.encode(states.coordinates)
        embeddings = network.representation(context, states.first, states.current, states.legal.float())
        policy, value = network.prediction(context, embeddings, states.current, legal_bias(states.legal))
    assert np.array_equal(root.policy_logits, policy.reshape(-1, N).numpy())
    assert np.array_equal(root.values, network.support.to_scalar(value).reshape(-1).numpy())
    assert np.array_equal(root.legal_actions, states.legal.reshape(-1, N).numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_initial_without_values_says_the_same_of_the_policy(kind: str) -> None:
    states = random_states(INSTANCES, EPISODES, N)
    roots = []
    for with_values in (True, False):
        model = SearchModel(tiny_network(kind, N), 1, with_values=with_values)
        model.encode(states.coordinates.numpy())
        roots.append(model.initial(states.first.numpy(), states.current.numpy(), states.legal.numpy()))
    assert np.array_equal(roots[0].policy_logits, roots[1].policy_logits)
    assert roots[0].values.any()
    assert roots[1].values.tolist() == [0.0] * (INSTANCES * EPISODES)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_is_dynamics_then_prediction(kind: str) -> None:
    network = tiny_network(kind, N)
    states = random_states(INSTANCES, EPISODES, N)
    model = SearchModel(network, 4)
    model.encode(states.coordinates.numpy())
    model.initial(states.first.numpy(), states.current.numpy(), states.legal.numpy())
    actions = states.legal.int().argmax(dim=-1)
    legal = states.legal.clone().scatter_(2, actions.unsqueeze(-1), False)
    zeros = np.zeros(INSTANCES * EPISODES, np.int64)
    found = model.recurrent(zeros, actions.reshape(-1).numpy(), 1, legal.reshape(-1, N).numpy())
    with torch.no_grad():
        context = network.encode(states.coordinates)
        embeddings = network.representation(context, states.first, states.current, states.legal.float())
        after, reward = network.dynamics(context, embeddings, actions)
        policy, value = network.prediction(context, after, actions, legal_bias(legal))
    np.testing.assert_allclose(found.policy_logits, policy.reshape(-1, N).numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.values, network.support.to_scalar(value).reshape(-1).numpy(), atol=1e-5)
    np.testing.assert_allclose(found.rewards, network.support.to_scalar(reward).reshape(-1).numpy(), atol=1e-5)


def test_recurrent_goes_on_from_each_rows_own_parent() -> None:
    model = SearchModel(PathNetwork(), 4)  # type: ignore[arg-type]
    model.encode(np.zeros((INSTANCES, N, 2), np.float32))
    current = np.array([[0, 1, 2], [3, 4, 5]])
    legal = np.ones((6, N), np.bool_)
    root = model.initial(current, current, legal.reshape(INSTANCES, EPISODES, N))
    assert root.values.tolist() == [1, 2, 3, 4, 5, 6]
    zeros = np.zeros(6, np.int64)
    first = model.recurrent(zeros, np.array([5, 4, 3, 2, 1, 0]), 1, legal)
    assert first.values.tolist() == [106, 205, 304, 403, 502, 601]
    assert first.rewards.tolist() == [1, 2, 3, 4, 5, 6]
    second = model.recurrent(np.array([1, 0, 1, 0, 1, 0]), np.full(6, 2), 2, legal)
    assert second.values.tolist() == [10603, 203, 30403, 403, 50203, 603]
    third = model.recurrent(np.array([2, 1, 0, 2, 2, 1]), zeros, 3, legal)
    assert third.values.tolist() == [1060301, 20501, 301, 40301, 5020301, 60101]
    assert third.rewards.tolist() == [10603, 205, 3, 403, 50203, 601]
    assert third.policy_logits[1].tolist() == [20501.0 + city for city in range(N)]


def test_new_roots_and_another_batch_size_start_afresh() -> None:
    model = SearchModel(PathNetwork(), 2)  # type: ignore[arg-type]
    for instances, episodes in ((1, 2), (3, 2), (1, 2)):
        model.encode(np.zeros((instances, N, 2), np.float32))
        current = np.arange(instances * episodes).reshape(instances, episodes)
        legal = np.ones((instances, episodes, N), np.bool_)
        model.initial(current, current, legal)
        batch = instances * episodes
        found = model.recurrent(np.zeros(batch, np.int64), np.zeros(batch, np.int64), 1, legal.reshape(batch, N))
        assert found.values.tolist() == [100 * (b + 1) + 1 for b in range(batch)]


def test_illegal_cities_have_no_logit() -> None:
    states = random_states(1, 2, N)
    model = SearchModel(tiny_network("attention", N), 2)
    model.encode(states.coordinates.numpy())
    root = model.initial(states.first.numpy(), states.current.numpy(), states.legal.numpy())
    assert root.policy_logits[~root.legal_actions].max() <= -1e8
