"""Settings of the networks."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import setting


@dataclass(frozen=True)
class NetworkConfig:
    """Representation, dynamics and prediction."""

    kind: str = setting(
        "attention", "the network; resnet and fullyconnected work for the number of cities they are made for only",
        choices=("attention", "resnet", "fullyconnected"), source="MuZero, appendix F (the latter two)", fixed=True,
    )
    embedding_dim: int = setting(64, "width D of city embeddings and latents", low=8, high=1024, fixed=True)
    num_layers: int = setting(3, "attention layers of the instance encoder", low=1, high=24, fixed=True)
    num_heads: int = setting(4, "attention heads; must divide embedding_dim", low=1, high=64, fixed=True)
    feedforward_dim: int = setting(
        256, "hidden width of the encoder's feed-forward layers", low=8, high=8192, fixed=True
    )
    resnet_blocks: int = setting(2, "residual blocks of each tower (resnet)", low=1, high=64, fixed=True)
    resnet_channels: int = setting(16, "channels of the residual blocks (resnet)", low=1, high=1024, fixed=True)
    fc_hidden: int = setting(64, "width of the hidden layers (fullyconnected)", low=1, high=8192, fixed=True)
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
