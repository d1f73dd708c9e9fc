"""The fully connected network: plain layers over the whole state, for one number of cities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tspmz.network.layers import check_num_cities, mlp, scale_to_unit
from tspmz.network.observation import Observation
from tspmz.network.rows import rows_of
from tspmz.network.support import Support


class Context(NamedTuple):
    """What is known of an instance.

    Attributes:
        flat: `[M, 2 N]` coordinates, or `[M, 0]` where the observation leaves them out.
    """

    flat: Tensor


class FullyConnectedNetwork(nn.Module):
    """Representation, dynamics and prediction as plain networks (MuZero, appendix F, made small).

    It knows nothing of geometry or of the cities' order being arbitrary: a baseline for few cities.

    Axes: M instances, E states per instance, N cities, D width, C atoms.

    Args:
        num_cities: N; instances of another size are refused.
        observation: what the representation is told, of N cities.
        embedding_dim: D.
        representation_layers, dynamics_layers, reward_layers, value_layers, policy_layers: hidden widths of each.
        tanh_clipping: policy logits lie in [-tanh_clipping, tanh_clipping].
        support_size: atoms on each side of zero.
        support_step: distance between two atoms.
    """

    def __init__(
        self,
        *,
        num_cities: int,
        observation: Observation,
        embedding_dim: int,
        representation_layers: Sequence[int],
        dynamics_layers: Sequence[int],
        reward_layers: Sequence[int],
        value_layers: Sequence[int],
        policy_layers: Sequence[int],
        tanh_clipping: float,
        support_size: int,
        support_step: float,
    ) -> None:
        super().__init__()
        self.num_cities = num_cities
        self.embedding_dim = embedding_dim
        self.tanh_clipping = tanh_clipping
        self.stacked_observations = observation.stacked_observations
        self.support = Support(support_size, support_step)
        self._observation = observation
        atoms = self.support.num_atoms
        inputs = (observation.num_planes + 2 * observation.full) * num_cities
        self.state_layers = mlp(inputs, representation_layers, embedding_dim)
        self.dynamics_layers = mlp(embedding_dim + num_cities, dynamics_layers, embedding_dim)
        self.reward_layers = mlp(embedding_dim + num_cities, reward_layers, atoms)
        self.policy_layers = mlp(embedding_dim, policy_layers, num_cities)
        self.value_layers = mlp(embedding_dim, value_layers, atoms)

    def encode(self, coordinates: Tensor) -> Context:
        """Flatten instances `[M, N, 2]`.

        Raises:
            UsageError: another number of cities.
        """
        check_num_cities(coordinates, self.num_cities)
        flat = coordinates.flatten(1)
        return Context(flat if self._observation.full else flat[:, :0])

    def representation(
        self, context: Context, first: Tensor, current: Tensor, legal_actions: Tensor, history: Tensor | None = None
    ) -> Tensor:
        """Embeddings `[M, E, D]` in [0, 1] of true states; arguments as for `Observation.state`."""
        flat = context.flat.unsqueeze(1).expand(-1, first.shape[1], -1)
        planes = self._observation.state(first, current, legal_actions, history)
        return scale_to_unit(self.state_layers(torch.cat((flat, planes.flatten(2)), dim=-1)))

    def dynamics(self, context: Context, embeddings: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[M, E, D]` in [0, 1] after `actions [M, E]` and reward logits `[M, E, C]`."""
        moves = torch.cat((embeddings, self._observation.action(actions)), dim=-1)
        return scale_to_unit(self.dynamics_layers(moves)), self.reward_layers(moves)

    def prediction(
        self,
        context: Context,
        embeddings: Tensor,
        current: Tensor,
        legal_bias: Tensor,
        value_rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Policy logits `[M, E, N]` and value logits `[M, E, C]`, or `[M, V, C]`.

        Args:
            current: `[M, E]` int64; not used, the embedding holds it.
            legal_bias: `[M, E, N]` float32, added to scores: 0 for legal cities, a large negative number for others.
            value_rows: `[M, V]` int64, of which of the E states the value is wanted; None = of all.
        """
        policy_logits = self.tanh_clipping * torch.tanh(self.policy_layers(embeddings)) + legal_bias
        return policy_logits, self.value_layers(rows_of(embeddings, value_rows))
