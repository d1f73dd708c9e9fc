"""What every network offers, and how one is made from the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tspmz.network.attention import AttentionNetwork
from tspmz.network.convolution import ConvolutionalNetwork
from tspmz.network.fullyconnected import FullyConnectedNetwork
from tspmz.network.observation import Observation
from tspmz.network.resnet import ResidualNetwork
from tspmz.network.support import Support


class Network(Protocol):
    """The three functions of MuZero over an instance that is encoded once.

    Axes: M instances, E states per instance, N cities, D width, C atoms.

    Attributes:
        embedding_dim: D.
        stacked_observations: past states k that `representation` wants to know of.
        support: of value and reward.
    """

    embedding_dim: int
    stacked_observations: int
    support: Support

    def encode(self, coordinates: Tensor) -> Any:
        """Context of instances `[M, N, 2]`, handed to the other functions."""

    def representation(
        self, context: Any, first: Tensor, current: Tensor, legal_actions: Tensor, history: Tensor | None = None
    ) -> Tensor:
        """Embeddings `[M, E, D]` of true states.

        Args:
            context: from `encode`.
            first: `[M, E]` int64, where the episode started.
            current: `[M, E]` int64, where it stands.
            legal_actions: `[M, E, N]` float32, 1 for the cities not yet visited.
            history: `[M, E, k]` int64, the k cities before `current`, the latest first, -1 before the start
                (`tsp.tours.past_cities`); may be left out where k is 0.
        """

    def dynamics(self, context: Any, embeddings: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[M, E, D]` after `actions [M, E]`, and reward logits `[M, E, C]`."""

    def prediction(
        self, context: Any, embeddings: Tensor, current: Tensor, legal_bias: Tensor, value_rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Policy logits `[M, E, N]` and value logits `[M, E, C]`, or `[M, V, C]`.

        Args:
            context: from `encode`.
            embeddings: `[M, E, D]`.
            current: `[M, E]` int64, where the episodes stand: in a search, the last action.
            legal_bias: `[M, E, N]` float32, added to scores: 0 for legal cities, a large negative number for others.
            value_rows: `[M, V]` int64, of which of the E states the value is wanted; None = of all.
        """


AnyNetwork = AttentionNetwork | ResidualNetwork | ConvolutionalNetwork | FullyConnectedNetwork


def build_network(
    seed: int,
    *,
    kind: str,
    num_cities: int,
    observation: str,
    stacked_observations: int,
    action_input: str,
    embedding_dim: int,
    num_layers: int,
    num_heads: int,
    feedforward_dim: int,
    encoder_norm: str,
    resnet_board: str,
    resnet_blocks: int,
    resnet_channels: int,
    resnet_reduced_channels_reward: int,
    resnet_reduced_channels_value: int,
    resnet_reduced_channels_policy: int,
    resnet_reward_layers: Sequence[int],
    resnet_value_layers: Sequence[int],
    resnet_policy_layers: Sequence[int],
    downsample: bool,
    fc_representation_layers: Sequence[int],
    fc_dynamics_layers: Sequence[int],
    fc_reward_layers: Sequence[int],
    fc_value_layers: Sequence[int],
    fc_policy_layers: Sequence[int],
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
    scores: dict[str, Any] = {
        "tanh_clipping": tanh_clipping, "support_size": support_size, "support_step": support_step
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "attention":
            return AttentionNetwork(
                embedding_dim=embedding_dim,
                num_layers=num_layers,
                num_heads=num_heads,
                feedforward_dim=feedforward_dim,
                encoder_norm=encoder_norm,
                **scores,
            )
        seen = Observation(num_cities, observation, stacked_observations, action_input)
        if kind == "resnet":
            sizes: dict[str, Any] = {
                "num_cities": num_cities,
                "observation": seen,
                "blocks": resnet_blocks,
                "channels": resnet_channels,
                "head_layers": (resnet_reward_layers, resnet_value_layers, resnet_policy_layers),
            }
            if resnet_board == "pairs":
                return ResidualNetwork(**sizes, **scores)
            reduced = (
                resnet_reduced_channels_reward, resnet_reduced_channels_value, resnet_reduced_channels_policy
            )  # fmt: skip
            return ConvolutionalNetwork(reduced_channels=reduced, downsample=downsample, **sizes, **scores)
        if kind == "fullyconnected":
            return FullyConnectedNetwork(
                num_cities=num_cities,
                observation=seen,
                embedding_dim=embedding_dim,
                representation_layers=fc_representation_layers,
                dynamics_layers=fc_dynamics_layers,
                reward_layers=fc_reward_layers,
                value_layers=fc_value_layers,
                policy_layers=fc_policy_layers,
                **scores,
            )
    raise ValueError(f"no network of kind {kind!r}: must be attention, resnet or fullyconnected")


def num_weights(network: torch.nn.Module) -> int:
    """Number of float32 values in the network's weights."""
    return sum(value.numel() for value in network.state_dict().values())


def flatten_weights(network: torch.nn.Module, out: NDArray[np.float32]) -> None:
    """Copy all weights, in the order of the state dict, into `out [num_weights]`."""
    values = [value.detach().reshape(-1) for value in network.state_dict().values()]
    torch.from_numpy(out).copy_(torch.cat(values))  # one transfer where they are on a GPU


@torch.no_grad()
def load_flat_weights(network: torch.nn.Module, flat: NDArray[np.float32]) -> None:
    """Set all weights from `flat [num_weights]`, the inverse of `flatten_weights`."""
    values = list(network.state_dict().values())
    source = torch.from_numpy(flat).to(values[0].device)  # one transfer where they are on a GPU
    for value, given in zip(values, source.split([value.numel() for value in values]), strict=True):
        value.copy_(given.view_as(value))
