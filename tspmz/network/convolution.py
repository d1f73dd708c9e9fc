"""The residual network over the row of cities: convolutions, heads with reduced channels, two-stage downsampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspmz.network.layers import ResidualBlock, check_num_cities, mlp, scale_to_unit, tower
from tspmz.network.observation import Observation
from tspmz.network.rows import rows_of
from tspmz.network.support import Support

_HALVINGS = 4


class Context(NamedTuple):
    """What is known of an instance.

    Attributes:
        coordinates: `[M, N, 2]`, or `[M, N, 0]` where the observation leaves them out.
    """

    coordinates: Tensor


class ConvolutionLayer(nn.Module):
    """A convolution with three taps over boards `[B, L, F]`; with stride 2 their length is halved, rounded up.

    As one linear layer over each place and its two neighbors: on the CPU, for boards as short as these, twice as fast
    as torch's convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.taps = nn.Linear(3 * inputs, outputs)

    def forward(self, planes: Tensor) -> Tensor:
        """`[B, L, inputs]` to `[B, L or (L + 1) // 2, outputs]`; zeros beyond the ends."""
        padded = F.pad(planes, (0, 0, 1, 1))
        places = torch.cat((padded[:, :-2], planes, padded[:, 2:]), dim=-1)
        return self.taps(places[:, :: self.stride])  # type: ignore[no-any-return]


class PoolingLayer(nn.Module):
    """Means of three neighbors, every second one: `[B, L, F]` to `[B, (L + 1) // 2, F]`."""

    def forward(self, planes: Tensor) -> Tensor:
        """The means; at the ends, of two."""
        pooled = F.avg_pool1d(planes.transpose(1, 2), 3, stride=2, padding=1, count_include_pad=False)
        return pooled.transpose(1, 2)


def downsampling(inputs: int, channels: int) -> nn.Sequential:
    """Two stages of strided convolution and pooling, a sixteenth of the length (MuZero, appendix F, Atari)."""
    half = max(channels // 2, 1)
    return nn.Sequential(
        ConvolutionLayer(inputs, half, stride=2),
        *(ResidualBlock(ConvolutionLayer, half) for _ in range(2)),
        ConvolutionLayer(half, channels, stride=2),
        *(ResidualBlock(ConvolutionLayer, channels) for _ in range(3)),
        PoolingLayer(),
        *(ResidualBlock(ConvolutionLayer, channels) for _ in range(3)),
        PoolingLayer(),
    )


class Head(nn.Module):
    """Fewer channels, then all places of the board together through hidden layers."""

    def __init__(self, length: int, channels: int, reduced: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, reduced)
        self.layers = mlp(reduced * length, hidden, outputs)

    def forward(self, planes: Tensor) -> Tensor:
        """`[B, L, channels]` to `[B, outputs]`."""
        return self.layers(self.reduce(planes).flatten(1))  # type: ignore[no-any-return]


class ConvolutionalNetwork(nn.Module):
    """Representation, dynamics and prediction as convolutional residual towers (MuZero, appendix F).

    The board is the row of cities, in the order in which they happen to be listed: what the network learns of one
    graph says nothing of another. Latents are the planes of a tower, flattened.

    Axes: M instances, E states per instance, N cities, L places of a latent (N, or N / 16 after downsampling), F
    channels, D = F * L, C atoms.

    Args:
        num_cities: N; instances of another size are refused.
        observation: what the representation is told, of N cities.
        blocks: residual blocks of each tower.
        channels: F.
        reduced_channels: channels of the heads of reward, value and policy.
        head_layers: hidden widths of the heads of reward, value and policy.
        downsample: latents have N / 16 places.
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
        reduced_channels: tuple[int, int, int],
        head_layers: tuple[Sequence[int], Sequence[int], Sequence[int]],
        downsample: bool,
        tanh_clipping: float,
        support_size: int,
        support_step: float,
    ) -> None:
        super().__init__()
        self.num_cities = num_cities
        self._length = -(-num_cities // 2**_HALVINGS) if downsample else num_cities
        self._channels = channels
        self.embedding_dim = channels * self._length
        self.tanh_clipping = tanh_clipping
        self.stacked_observations = observation.stacked_observations
        self.support = Support(support_size, support_step)
        self._observation = observation
        # at full length an action has a place on the board; else each city is a plane, or all are one number
        self._action_at_place = observation.one_hot_actions and not downsample
        action_planes = num_cities if observation.one_hot_actions and downsample else 1
        inputs = observation.num_planes + 2 * observation.full
        start = downsampling(inputs, channels) if downsample else ConvolutionLayer(inputs, channels)
        self.state_tower = tower(ConvolutionLayer, start, channels, blocks)
        start = ConvolutionLayer(channels + action_planes, channels)
        self.dynamics_tower = tower(ConvolutionLayer, start, channels, blocks)
        self.prediction_tower = tower(ConvolutionLayer, ConvolutionLayer(channels, channels), channels, blocks)
        outputs = (self.support.num_atoms, self.support.num_atoms, num_cities)
        self.reward_head, self.value_head, self.policy_head = (
            Head(self._length, channels, *sizes) for sizes in zip(reduced_channels, head_layers, outputs, strict=True)
        )

    def encode(self, coordinates: Tensor) -> Context:
        """Take in instances `[M, N, 2]`.

        Raises:
            UsageError: another number of cities.
        """
        check_num_cities(coordinates, self.num_cities)
        return Context(coordinates if self._observation.full else coordinates[..., :0])

    def representation(
        self, context: Context, first: Tensor, current: Tensor, legal_actions: Tensor, history: Tensor | None = None
    ) -> Tensor:
        """Embeddings `[M, E, D]` in [0, 1] of true states; arguments as for `Observation.state`."""
        planes = self._observation.state(first, current, legal_actions, history)
        points = context.coordinates.unsqueeze(1).expand(-1, first.shape[1], -1, -1)
        board = torch.cat((points, planes), dim=-1).flatten(0, 1)
        return self._latent(self.state_tower(board), first.shape)

    def dynamics(self, context: Context, embeddings: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[M, E, D]` in [0, 1] after `actions [M, E]` and reward logits `[M, E, C]`."""
        taken = self._observation.action(actions).flatten(0, 1)
        if self._action_at_place:
            taken = taken.unsqueeze(-1)
        else:
            taken = taken if self._observation.one_hot_actions else taken[:, :1]
            taken = taken.unsqueeze(1).expand(-1, self._length, -1)
        planes = self.dynamics_tower(torch.cat((self._board(embeddings), taken), dim=-1))
        return self._latent(planes, actions.shape), self.reward_head(planes).unflatten(0, actions.shape)

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
        planes = self.prediction_tower(self._board(embeddings))
        scores, value_logits = self.policy_head(planes), self.value_head(planes)
        policy_logits = self.tanh_clipping * torch.tanh(scores).view(legal_bias.shape) + legal_bias
        return policy_logits, rows_of(value_logits.unflatten(0, current.shape), value_rows)

    def _board(self, embeddings: Tensor) -> Tensor:
        return embeddings.reshape(-1, self._length, self._channels)

    def _latent(self, planes: Tensor, shape: torch.Size) -> Tensor:
        return scale_to_unit(planes.flatten(1)).unflatten(0, shape)
