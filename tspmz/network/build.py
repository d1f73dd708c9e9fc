"""What every network offers, and how one is made from the settings."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tspmz.network.attention import AttentionNetwork
from tspmz.network.fullyconnected import FullyConnectedNetwork
from tspmz.network.resnet import ResidualNetwork
from tspmz.network.support import Support


class Network(Protocol):
    """The three functions of MuZero over an instance that is encoded once.

    Axes: M instances, E states per instance, N cities, D width, C atoms.
    """

    embedding_dim: int
    support: Support

    def encode(self, coordinates: Tensor) -> Any:
        """Context of instances `[M, N, 2]`, handed to the other functions."""

    def representation(self, context: Any, first: Tensor, current: Tensor, legal_actions: Tensor) -> Tensor:
        """Embeddings `[M, E, D]` of true states.

        Args:
            context: from `encode`.
            first: `[M, E]` int64, where the episode started.
            current: `[M, E]` int64, where it stands.
            legal_actions: `[M, E, N]` float32, 1 for the cities not yet visited.
        """

    def dynamics(self, context: Any, embeddings: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[M, E, D]` after `actions [M, E]`, and reward logits `[M, E, C]`."""

    def prediction(
        self, context: Any, embeddings: Tensor, current: Tensor, legal_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Policy logits `[M, E, N]` and value logits `[M, E, C]`.

        Args:
            context: from `encode`.
            embeddings: `[M, E, D]`.
            current: `[M, E]` int64, where the episodes stand: in a search, the last action.
            legal_bias: `[M, E, N]` float32, added to scores: 0 for legal cities, a large negative number for others.
        """


AnyNetwork = AttentionNetwork | ResidualNetwork | FullyConnectedNetwork


def build_network(
    seed: int,
    *,
    kind: str,
    num_cities: int,
    embedding_dim: int,
    num_layers: int,
    num_heads: int,
    feedforward_dim: int,
    resnet_blocks: int,
    resnet_channels: int,
    fc_hidden: int,
    tanh_clipping: float,
    support_size: int,
    support_step: float,
) -> AnyNetwork:
    """A network with weights drawn from `seed`; torch's global random state is left as it was.

    Args:
        seed: decides the weights.
        kind: `attention`, `resnet` or `fullyconnected`; each uses the settings that concern it.
        num_cities: N, to which the latter two are bound.
        Others: see `config.NetworkConfig`.

    Raises:
        ValueError: no such kind.
    """
    scores = {"tanh_clipping": tanh_clipping, "support_size": support_size, "support_step": support_step}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "attention":
            return AttentionNetwork(
                embedding_dim=embedding_dim,
                num_layers=num_layers,
                num_heads=num_heads,
                feedforward_dim=feedforward_dim,
                **scores,  # type: ignore[arg-type]
            )
        if kind == "resnet":
            return ResidualNetwork(
                num_cities=num_cities,
                resnet_blocks=resnet_blocks,
                resnet_channels=resnet_channels,
                **scores,  # type: ignore[arg-type]
            )
        if kind == "fullyconnected":
            return FullyConnectedNetwork(
                num_cities=num_cities,
                embedding_dim=embedding_dim,
                fc_hidden=fc_hidden,
                **scores,  # type: ignore[arg-type]
            )
    raise ValueError(f"no network of kind {kind!r}: must be attention, resnet or fullyconnected")


def num_weights(network: torch.nn.Module) -> int:
    """Number of float32 values in the network's weights."""
    return sum(value.numel() for value in network.state_dict().values())


def flatten_weights(network: torch.nn.Module, out: NDArray[np.float32]) -> None:
    """Copy all weights, in the order of the state dict, into `out [num_weights]`."""
    flat = torch.from_numpy(out)
    offset = 0
    for value in network.state_dict().values():
        flat[offset : offset + value.numel()].copy_(value.detach().reshape(-1))
        offset += value.numel()


@torch.no_grad()
def load_flat_weights(network: torch.nn.Module, flat: NDArray[np.float32]) -> None:
    """Set all weights from `flat [num_weights]`, the inverse of `flatten_weights`."""
    source = torch.from_numpy(flat)
    offset = 0
    for value in network.state_dict().values():
        value.copy_(source[offset : offset + value.numel()].view_as(value))
        offset += value.numel()
