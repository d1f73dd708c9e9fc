"""What the networks for one number of cities share: the size check and the scaling of latents."""

from __future__ import annotations

from torch import Tensor

from tspmz.errors import UsageError

_SMALLEST_RANGE = 1e-5


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
