"""Settings of the networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tspmz.config.setting import parse_sizes, setting


def _layers(default: str, part: str) -> Any:
    return setting(default, f"hidden widths of {part}", parse=parse_sizes, fixed=True)


@dataclass(frozen=True)
class NetworkConfig:
    """Representation, dynamics and prediction."""

    kind: str = setting(
        "attention", "the network; resnet and fullyconnected work for the number of cities they are made for only",
        choices=("attention", "resnet", "fullyconnected"), source="MuZero, appendix F (the latter two)", fixed=True,
    )
    observation: str = setting(
        "full", "what a state shows: all of it, coordinates included, or only which cities were visited and the "
        "current one, from which no more than one fixed graph can be learned", choices=("full", "visits"), fixed=True,
    )  # fmt: skip
    stacked_observations: int = setting(
        0, "past states that are shown as well, each with the action taken there; not for attention", low=0, high=1000,
        source="MuZero, appendix E", fixed=True,
    )
    action_input: str = setting(
        "one_hot", "how the dynamics are told the action: 1 at its city, or one number everywhere; not for attention",
        choices=("one_hot", "plane"), source="MuZero, appendix E", fixed=True,
    )
    embedding_dim: int = setting(
        64, "width D of city embeddings and latents (attention), of latents (fullyconnected)", low=8, high=1024,
        fixed=True,
    )
    num_layers: int = setting(3, "attention layers of the instance encoder", low=1, high=24, fixed=True)
    num_heads: int = setting(4, "attention heads; must divide embedding_dim", low=1, high=64, fixed=True)
    feedforward_dim: int = setting(
        256, "hidden width of the encoder's feed-forward layers", low=8, high=8192, fixed=True
    )
    encoder_norm: str = setting(
        "instance", "how the instance encoder is normalized: after attention and feed-forward, each feature over the "
        "cities of an instance, or before them, the features of each city (layer)", choices=("instance", "layer"),
        source="Kwon et al. 2020 (instance)", fixed=True,
    )  # fmt: skip
    resnet_blocks: int = setting(2, "residual blocks of each tower (resnet)", low=1, high=64, fixed=True)
    resnet_channels: int = setting(16, "channels of the residual blocks (resnet)", low=1, high=1024, fixed=True)
    resnet_board: str = setting(
        "pairs", "what the towers run over: all pairs of cities, whose order does not matter, or the row of cities, by "
        "convolution (resnet)", choices=("pairs", "cities"), fixed=True,
    )  # fmt: skip
    resnet_reduced_channels_reward: int = setting(
        16, "channels of the reward head (resnet over cities)", low=1, high=1024, fixed=True
    )
    resnet_reduced_channels_value: int = setting(
        16, "channels of the value head (resnet over cities)", low=1, high=1024, fixed=True
    )
    resnet_reduced_channels_policy: int = setting(
        16, "channels of the policy head (resnet over cities)", low=1, high=1024, fixed=True
    )
    resnet_reward_layers: str = _layers("16", "the reward head (resnet)")
    resnet_value_layers: str = _layers("16", "the value head (resnet)")
    resnet_policy_layers: str = _layers("", "the policy head (resnet)")
    downsample: bool = setting(
        False, "latents have a sixteenth of the places, after two stages of strided convolution and pooling (resnet "
        "over cities)", source="MuZero, appendix F", fixed=True,
    )  # fmt: skip
    fc_representation_layers: str = _layers("64", "the representation (fullyconnected)")
    fc_dynamics_layers: str = _layers("64", "the dynamics (fullyconnected)")
    fc_reward_layers: str = _layers("64", "the reward head (fullyconnected)")
    fc_value_layers: str = _layers("64", "the value head (fullyconnected)")
    fc_policy_layers: str = _layers("64", "the policy head (fullyconnected)")
    tanh_clipping: float = setting(
        10.0, "policy logits are clipping * tanh(score)", low=0.1, high=1000.0,
        source="Bello et al. 2016, appendix; Kool et al. 2019, eq. 7", fixed=True,
    )
    support_size: int = setting(
        32, "the categorical value and reward have 2 * support_size + 1 atoms", low=1, high=1000,
        source="MuZero, appendix F", fixed=True,
    )
    support_step: float = setting(
        0.2, "distance between two atoms after the transform h", low=0.001, high=10.0,
        source="MuZero, appendix F (there 1)", fixed=True,
    )
