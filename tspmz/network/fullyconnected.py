"""The fully connected network: plain layers over the whole state, for one number of cities."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspmz.network.fixed_size import check_num_cities, scale_to_unit
from tspmz.network.support import Support


class Context(NamedTuple):
    """What is known of an instance.

    Attributes:
        flat: `[M, 2 N]` coordinates.
    """

    flat: Tensor


class FullyConnectedNetwork(nn.Module):
    """Representation, dynamics and prediction as networks with one hidden layer each (MuZero, appendix F, made small).

    It knows nothing of geometry or of the cities' order being arbitrary: a baseline for few cities.

    Axes: M instances, E states per instance, N cities, D width, C atoms.

    Args:
        num_cities: N; instances of another size are refused.
        embedding_dim: D.
        fc_hidden: width of the hidden layers.
        tanh_clipping: policy logits lie in [-tanh_clipping, tanh_clipping].
        support_size: atoms on each side of zero.
        support_step: distance between two atoms.
    """

    def __init__(
        self,
        *,
        num_cities: int,
        embedding_dim: int,
        fc_hidden: int,
        tanh_clipping: float,
        support_size: int,
        support_step: float,
    ) -> None:
        super().__init__()
        self.num_cities = num_cities
        self.embedding_dim = embedding_dim
        self.tanh_clipping = tanh_clipping
        self.support = Support(support_size, support_step)
        atoms = self.support.num_atoms
        self.state_layers = _layers(5 * num_cities, fc_hidden, embedding_dim)
        self.dynamics_layers = _layers(embedding_dim + num_cities, fc_hidden, embedding_dim)
        self.reward_layers = _layers(embedding_dim + num_cities, fc_hidden, atoms)
        self.policy_layers = _layers(embedding_dim, fc_hidden, num_cities)
        self.value_layers = _layers(embedding_dim, fc_hidden, atoms)

    def encode(self, coordinates: Tensor) -> Context:
        """Flatten instances `[M, N, 2]`.

        Raises:
            UsageError: another number of cities.
        """
        check_num_cities(coordinates, self.num_cities)
        return Context(coordinates.flatten(1))

    def representation(self, context: Context, first: Tensor, current: Tensor, legal_actions: Tensor) -> Tensor:
        """Embeddings `[M, E, D]` in [0, 1] of true states: coordinates, one-hot `first` and `current`, unvisited.

        Args:
            first: `[M, E]` int64, where the episode started.
            current: `[M, E]` int64, where it stands.
            legal_actions: `[M, E, N]` float32, 1 for the cities not yet visited.
        """
        flat = context.flat.unsqueeze(1).expand(-1, first.shape[1], -1)
        states = torch.cat((flat, self._one_hot(first), self._one_hot(current), legal_actions), dim=-1)
        return scale_to_unit(self.state_layers(states))

    def dynamics(self, context: Context, embeddings: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[M, E, D]` in [0, 1] after `actions [M, E]` and reward logits `[M, E, C]`."""
        moves = torch.cat((embeddings, self._one_hot(actions)), dim=-1)
        return scale_to_unit(self.dynamics_layers(moves)), self.reward_layers(moves)

    def prediction(
        self, context: Context, embeddings: Tensor, current: Tensor, legal_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Policy logits `[M, E, N]` and value logits `[M, E, C]`.

        Args:
            current: `[M, E]` int64; not used, the embedding holds it.
            legal_bias: `[M, E, N]` float32, added to scores: 0 for legal cities, a large negative number for others.
        """
        policy_logits = self.tanh_clipping * torch.tanh(self.policy_layers(embeddings)) + legal_bias
        return policy_logits, self.value_layers(embeddings)

    def _one_hot(self, cities: Tensor) -> Tensor:
        return F.one_hot(cities, self.num_cities).float()


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
