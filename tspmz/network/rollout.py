"""A policy followed through whole episodes: true states only, so neither dynamics nor value are computed."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from tspmz.network.attention import AttentionNetwork, legal_bias
from tspmz.network.build import Network
from tspmz.network.rows import gather

_ILLEGAL = -1e9


class Rollout(Protocol):
    """G episodes on each of M instances, in lock-step, N cities each."""

    def scores(self) -> Tensor:
        """`[M, G, N]`: in the order of the policy logits, `_ILLEGAL` or less for visited cities."""

    def policy_logits(self, scores: Tensor) -> Tensor:
        """What the network's prediction gives, `[M, G, N]`, from the scores."""

    def move(self, cities: Tensor) -> None:
        """Go to `cities` `[M, G]` int64."""


def start_rollout(network: Network, coordinates: Tensor, starts: Tensor) -> Rollout:
    """Encode instances and stand in their first cities.

    Args:
        network: in evaluation mode.
        coordinates: `[M, N, 2]` float32.
        starts: `[M, G]` int64.
    """
    if isinstance(network, AttentionNetwork):
        return AttentionRollout(network, coordinates, starts)
    return NetworkRollout(network, coordinates, starts)


class NetworkRollout:
    """Any network: representation and prediction of each state."""

    def __init__(self, network: Network, coordinates: Tensor, starts: Tensor) -> None:
        self._network = network
        self._context: Any = network.encode(coordinates)
        self._first = self._current = starts
        self._legal = torch.ones(*starts.shape, coordinates.shape[1], dtype=torch.bool, device=coordinates.device)
        self._legal.scatter_(2, starts.unsqueeze(-1), False)
        self._history = starts.new_full((*starts.shape, network.stacked_observations), -1)

    def scores(self) -> Tensor:
        """See `Rollout`."""
        embeddings = self._network.representation(
            self._context, self._first, self._current, self._legal.float(), self._history
        )
        bias = legal_bias(self._legal)
        return self._network.prediction(self._context, embeddings, self._current, bias)[0]

    def policy_logits(self, scores: Tensor) -> Tensor:
        """See `Rollout`."""
        return scores

    def move(self, cities: Tensor) -> None:
        """See `Rollout`."""
        if self._network.stacked_observations:
            self._history = torch.cat((self._current.unsqueeze(-1), self._history[..., :-1]), dim=-1)
        self._current = cities
        self._legal.scatter_(2, cities.unsqueeze(-1), False)


class AttentionRollout:
    """The attention network, with all that does not change along a tour worked out beforehand.

    The same function as `representation` and the policy of `prediction`, up to rounding (a test compares them):

    - The embedding of a state is a sum over cities, so a move changes it by two rows of tables.
    - Scores are left before their tanh, which keeps their order.
    """

    def __init__(self, network: AttentionNetwork, coordinates: Tensor, starts: Tensor) -> None:
        m, n, _ = coordinates.shape
        self._network = network
        self._context = context = network.encode(coordinates)
        # arriving in a city it becomes the current one and is no longer unvisited
        self._arriving = context.as_current - context.as_unvisited
        everywhere = context.as_unvisited.sum(dim=1, keepdim=True)
        self._embeddings = everywhere + gather(context.as_first, starts) + gather(self._arriving, starts)
        self._current = starts
        self._bias = torch.zeros(m, starts.shape[1], n, device=coordinates.device)
        self._bias.scatter_(2, starts.unsqueeze(-1), _ILLEGAL)

    def scores(self) -> Tensor:
        """See `Rollout`."""
        context = self._context
        states = self._network.state_norm(self._embeddings)
        glimpses = self._network.glimpse(context, states, self._current, self._bias)
        scores = gather(context.edge_scores, self._current).add_(self._bias)
        return scores.baddbmm_(states, context.states_to_scores).baddbmm_(glimpses, context.glimpses_to_scores)

    def policy_logits(self, scores: Tensor) -> Tensor:
        """See `Rollout`."""
        return self._network.tanh_clipping * torch.tanh(scores) + self._bias

    def move(self, cities: Tensor) -> None:
        """See `Rollout`."""
        self._embeddings -= gather(self._context.as_current, self._current)
        self._embeddings += gather(self._arriving, cities)
        self._bias.scatter_(2, cities.unsqueeze(-1), _ILLEGAL)
        self._current = cities
