"""What the networks for one number of cities are built from: hidden layers, residual towers, the scaling of latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from tspmz.errors import UsageError

_SMALLEST_RANGE = 1e-5

LayerFactory = Callable[[int, int], nn.Module]
"""`(inputs, outputs) -> layer` on boards whose last axis are the channels."""


class ResidualBlock(nn.Module):
    """Two layers beside a shortcut, normalized before each (He et al. 2016).

    Channels are normalized at each place of the board by itself: unlike the batch norm of the paper this needs no
    statistics that learner and actors would have to share, and no state depends on the batch that it is in.
    """

    def __init__(self, layer: LayerFactory, channels: int) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(channels)
        self.first = layer(channels, channels)
        self.second_norm = nn.LayerNorm(channels)
        self.second = layer(channels, channels)

    def forward(self, planes: Tensor) -> Tensor:
        """`[B, ..., F]` to `[B, ..., F]`."""
        inner = self.first(F.relu(self.first_norm(planes)))
        return planes + self.second(F.relu(self.second_norm(inner)))  # type: ignore[no-any-return]


def tower(layer: LayerFactory, start: nn.Module, channels: int, blocks: int) -> nn.Sequential:
    """`start`, which gives `channels`, then residual blocks; `[B, ..., channels]`, nothing below 0."""
    inner = [ResidualBlock(layer, channels) for _ in range(blocks)]
    return nn.Sequential(start, *inner, nn.LayerNorm(channels), nn.ReLU())


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers of the `hidden` widths with ReLU between them; without any, one linear layer."""
    widths = (inputs, *hidden, outputs)
    layers: list[nn.Module] = []
    for width, following in pairwise(widths):
        layers += [nn.ReLU(), nn.Linear(width, following)] if layers else [nn.Linear(width, following)]
    return nn.Sequential(*layers)


def check_num_cities(coordinates: Tensor, num_cities: int) -> None:
    """Refuse instances `[M, N, 2]` of another size.

    Raises:
        UsageError: names both sizes.
    """
    if coordinates.shape[1] != num_cities:
        raise UsageError(
            f"the network is made for {num_cities} cities, the instances have {coordinates.shape[1]}: take a run "
            f"trained on that many, or one with network.kind = attention, which fits every size"
        )


def scale_to_unit(embeddings: Tensor) -> Tensor:
    """Each latent `[..., D]` mapped linearly to [0, 1]: the range that actions have (MuZero, appendix G)."""
    low = embeddings.amin(dim=-1, keepdim=True)
    high = embeddings.amax(dim=-1, keepdim=True)
    return (embeddings - low) / (high - low).clamp(min=_SMALLEST_RANGE)
