"""The residual network: a tower of residual blocks over the planes of all pairs of cities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tspmz.network.layers import check_num_cities, mlp, scale_to_unit, tower
from tspmz.network.observation import Observation
from tspmz.network.rows import gather, rows_of
from tspmz.network.support import Support

LATENT_PLANES = 2
"""Planes of a latent: few, for a latent of N x N planes is kept for every node of every tree."""


class Context(NamedTuple):
    """What is known of an instance.

    Attributes:
        distances: `[M, N, N]` between the cities.
    """

    distances: Tensor


class PairLayer(nn.Module):
    """What stands for a convolution on planes `[B, N, N, F]`: entry, mean of its row, of its column, and of all.

    The neighbors that a 3 x 3 kernel sees depend on the order in which the cities happen to be listed. This is the
    linear layer that does not (Hartford et al. 2018, eq. 2), and it reaches the whole board in one step.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.entry = nn.Linear(inputs, outputs)
        self.row = nn.Linear(inputs, outputs, bias=False)
        self.column = nn.Linear(inputs, outputs, bias=False)
        self.whole = nn.Linear(inputs, outputs, bias=False)

    def forward(self, planes: Tensor) -> Tensor:
        """`[B, N, N, inputs]` to `[B, N, N, outputs]`."""
        rows = planes.mean(dim=2, keepdim=True)
        columns = planes.mean(dim=1, keepdim=True)
        whole = rows.mean(dim=1, keepdim=True)
        return self.entry(planes) + self.row(rows) + self.column(columns) + self.whole(whole)


class ResidualNetwork(nn.Module):
    """Representation, dynamics and prediction as residual towers (MuZero, appendix F), over pairs of cities.

    The board of the games in the paper becomes the N x N board of pairs (i, j): its planes are the distance from i to
    j and what is true of i and of j (started from, stands on, unvisited). Every function sees the distances; a latent
    is `LATENT_PLANES` planes, flattened. The order of the cities does not matter. The cost of a state grows with N^2:
    it is meant for up to some tens of cities.

    Axes: M instances, E states per instance, N cities, D = LATENT_PLANES * N * N, F channels, C atoms.

    Args:
        num_cities: N; instances of another size are refused.
        observation: what the representation is told, of N cities; a full one.
        blocks: residual blocks of each tower.
        channels: F.
        head_layers: hidden widths of the heads of reward, value and policy.
        tanh_clipping: policy logits lie in [-tanh_clipping, tanh_clipping].
        support_size: atoms on each side of zero.
        support_step: distance between two atoms.
    """

    def __init__(
        self,
        *,
        num_cities: int,
        observation: Observation,
        blocks: int,
        channels: int,
        head_layers: tuple[Sequence[int], Sequence[int], Sequence[int]],
        tanh_clipping: float,
        support_size: int,
        support_step: float,
    ) -> None:
        super().__init__()
        self.num_cities = num_cities
        self.embedding_dim = LATENT_PLANES * num_cities**2
        self.tanh_clipping = tanh_clipping
        self.stacked_observations = observation.stacked_observations
        self.support = Support(support_size, support_step)
        self._observation = observation
        atoms = self.support.num_atoms
        reward_layers, value_layers, policy_layers = head_layers

        def tower_from(planes: int) -> nn.Sequential:
            return tower(PairLayer, PairLayer(planes, channels), channels, blocks)

        self.state_tower = tower_from(1 + 2 * observation.num_planes)
        self.state_out = PairLayer(channels, LATENT_PLANES)
        self.dynamics_tower = tower_from(LATENT_PLANES + 3)
        self.dynamics_out = PairLayer(channels, LATENT_PLANES)
        self.reward_out = mlp(2 * channels, reward_layers, atoms)
        self.prediction_tower = tower_from(LATENT_PLANES + 1)
        self.policy_out = mlp(channels, policy_layers, 1)
        self.value_out = mlp(2 * channels, value_layers, atoms)

    def encode(self, coordinates: Tensor) -> Context:
        """Distances of instances `[M, N, 2]`.

        Raises:
            UsageError: another number of cities.
        """
        check_num_cities(coordinates, self.num_cities)
        return Context((coordinates.unsqueeze(2) - coordinates.unsqueeze(1)).square().sum(-1).sqrt())

    def representation(
        self, context: Context, first: Tensor, current: Tensor, legal_actions: Tensor, history: Tensor | None = None
    ) -> Tensor:
        """Embeddings `[M, E, D]` in [0, 1] of true states; arguments as for `Observation.state`."""
        facts = self._observation.state(first, current, legal_actions, history).flatten(0, 1)
        planes = torch.cat((self._distances(context, first.shape[1]), self._of_pairs(facts)), dim=-1)
        return self._latent(self.state_out(self.state_tower(planes)), first.shape)

    def dynamics(self, context: Context, embeddings: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[M, E, D]` in [0, 1] after `actions [M, E]` and reward logits `[M, E, C]`."""
        taken = self._observation.action(actions).flatten(0, 1).unsqueeze(-1)
        planes = self.dynamics_tower(torch.cat((self._board(context, embeddings), self._of_pairs(taken)), dim=-1))
        row = _row(planes, actions)
        reward_logits = self.reward_out(torch.cat((row.mean(dim=1), row.amax(dim=1)), dim=-1))
        return self._latent(self.dynamics_out(planes), actions.shape), reward_logits.unflatten(0, actions.shape)

    def prediction(
        self,
        context: Context,
        embeddings: Tensor,
        current: Tensor,
        legal_bias: Tensor,
        value_rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Policy logits `[M, E, N]`, read off the row of the current city; value logits `[M, E, C]`, or `[M, V, C]`.

        Args:
            current: `[M, E]` int64, where the episodes stand.
            legal_bias: `[M, E, N]` float32, added to scores: 0 for legal cities, a large negative number for others.
            value_rows: `[M, V]` int64, of which of the E states the value is wanted; None = of all.
        """
        planes = self.prediction_tower(self._board(context, embeddings))
        scores = self.policy_out(_row(planes, current)).view(legal_bias.shape)
        value_logits = self.value_out(torch.cat((planes.mean(dim=(1, 2)), planes.amax(dim=(1, 2))), dim=-1))
        policy_logits = self.tanh_clipping * torch.tanh(scores) + legal_bias
        return policy_logits, rows_of(value_logits.unflatten(0, current.shape), value_rows)

    def _distances(self, context: Context, episodes: int) -> Tensor:
        """`[M * E, N, N, 1]`."""
        return context.distances.unsqueeze(1).expand(-1, episodes, -1, -1).flatten(0, 1).unsqueeze(-1)

    def _board(self, context: Context, embeddings: Tensor) -> Tensor:
        """Latents and distances as planes `[M * E, N, N, LATENT_PLANES + 1]`."""
        latents = embeddings.reshape(-1, self.num_cities, self.num_cities, LATENT_PLANES)
        return torch.cat((self._distances(context, embeddings.shape[1]), latents), dim=-1)

    def _of_pairs(self, facts: Tensor) -> Tensor:
        """What is true of each city `[B, N, X]` as planes `[B, N, N, 2 X]`: of the row's and of the column's city."""
        of_row = facts.unsqueeze(2).expand(-1, -1, self.num_cities, -1)
        of_column = facts.unsqueeze(1).expand(-1, self.num_cities, -1, -1)
        return torch.cat((of_row, of_column), dim=-1)

    def _latent(self, planes: Tensor, shape: torch.Size) -> Tensor:
        return scale_to_unit(planes.flatten(1)).unflatten(0, shape)


def _row(planes: Tensor, cities: Tensor) -> Tensor:
    """Row `[M * E, N, F]` of planes `[M * E, N, N, F]` at `cities [M, E]`."""
    return gather(planes.flatten(2), cities.reshape(-1, 1)).view(-1, *planes.shape[2:])
