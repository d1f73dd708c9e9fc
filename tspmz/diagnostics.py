"""Looking into a network: its policy and value along given tours, and one search of one move."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from tspmz.network.attention import legal_bias
from tspmz.network.build import Network
from tspmz.network.inference import SearchModel
from tspmz.plots.training import SearchedMove
from tspmz.replay.targets import returns, shaped_rewards
from tspmz.search import BatchedSearch
from tspmz.tsp import env
from tspmz.tsp.tours import past_cities
from tspmz.types import Float32, Float64, Int64

_INSTANCES_AT_ONCE = 32


class AlongTours(NamedTuple):
    """What the network says before each move of given tours.

    Attributes:
        entropies: `[I, T]` float64, nats, of the policy over the legal cities.
        values: `[I, T]` float64.
        returns: `[I, T]` float32, what the value is to be: the rewards of move t and all later ones.
    """

    entropies: Float64
    values: Float64
    returns: Float32


def along_tours(
    network: Network,
    coordinates: Float32,
    tours: Int64,
    *,
    edge_reward: float = 0.0,
    discount: float = 1.0,
    device: torch.device | str = "cpu",
) -> AlongTours:
    """Policy entropy, value and true return before each move.

    Args:
        network: in evaluation mode, on `device`.
        coordinates: `[I, N, 2]` float32 in the unit square.
        tours: `[I, N]` int64.
        edge_reward: as the network was trained, see `replay.targets.shaped_rewards`.
        discount: as the network was trained.
        device: where the network runs.
    """
    entropies, values = [], []
    with torch.inference_mode():
        for first in range(0, len(tours), _INSTANCES_AT_ONCE):
            part = slice(first, first + _INSTANCES_AT_ONCE)
            entropy, value = _entropies_and_values(network, coordinates[part], tours[part], device)
            entropies.append(entropy)
            values.append(value)
    state, rewards = env.reset(coordinates, tours[:, :1]), []
    for t in range(1, tours.shape[1]):
        state, time_step = env.step(state, tours[:, t : t + 1])
        rewards.append(time_step.rewards[:, 0])
    to_go = returns(shaped_rewards(np.stack(rewards, axis=1), edge_reward), discount)
    return AlongTours(np.concatenate(entropies), np.concatenate(values), to_go)


def _entropies_and_values(
    network: Network, coordinates: Float32, tours: Int64, device: torch.device | str
) -> tuple[Float64, Float64]:
    num_moves = tours.shape[1] - 1
    position = torch.from_numpy(tours.argsort(axis=1)).to(device)
    current = torch.from_numpy(np.ascontiguousarray(tours[:, :-1])).to(device)
    first = current[:, :1].expand(-1, num_moves)
    legal = position[:, None] > torch.arange(num_moves, device=device)[:, None]  # [I, T, N]
    context = network.encode(torch.from_numpy(np.ascontiguousarray(coordinates)).to(device))
    past = [past_cities(tours[:, None], t, network.stacked_observations) for t in range(num_moves)]
    history = torch.from_numpy(np.concatenate(past, axis=1)).to(device)
    embeddings = network.representation(context, first, current, legal.float(), history)
    policy_logits, value_logits = network.prediction(context, embeddings, current, legal_bias(legal))
    log_probs = policy_logits.masked_fill(~legal, -torch.inf).double().log_softmax(dim=-1)
    entropy = -(log_probs.exp() * log_probs).nan_to_num(0.0).sum(dim=-1)  # 0 * -inf is NaN
    return entropy.cpu().numpy(), network.support.to_scalar(value_logits).double().cpu().numpy()


def search_move(
    network: Network,
    search: BatchedSearch,
    coordinates: Float32,
    path: Int64,
    device: torch.device | str = "cpu",
) -> SearchedMove:
    """Search the next move, without noise.

    Args:
        network: in evaluation mode, on `device`.
        search: of batch size 1 and N actions.
        coordinates: `[N, 2]` float32 in the unit square.
        path: cities visited so far, at least one and less than N, the current one last.
        device: where the network runs.
    """
    model = SearchModel(network, search.num_simulations + 1, device)
    legal = ~np.isin(np.arange(len(coordinates)), path)
    model.encode(coordinates[None])
    past = past_cities(path[None, None], len(path) - 1, model.stacked_observations)
    root = model.initial(path[:1, None], path[-1:, None], legal[None, None], past)
    rng = np.random.default_rng(0)  # never drawn from: no noise, temperature 0
    search.run(root, model.recurrent, rng, temperature=0.0, noise=False)
    return SearchedMove(coordinates, path, search.grown_tree(0))
