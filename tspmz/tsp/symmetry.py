"""The eight symmetries of the unit square: an instance and its image have the same tour lengths.

Symmetry `index` is read as three bits: swap the axes (4) first, then flip x (1) and y (2). Index 0 is the identity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tspmz.types import Float32

NUM_SYMMETRIES = 8

_FLIP_X, _FLIP_Y, _SWAP = 1, 2, 4


def apply(coordinates: Float32, index: int) -> Float32:
    """Image of `coordinates` `[..., N, 2]` float32 under one symmetry; a new array.

    Raises:
        ValueError: index outside 0..7.
    """
    if not 0 <= index < NUM_SYMMETRIES:
        raise ValueError(f"symmetry {index} does not exist: want 0..{NUM_SYMMETRIES - 1}")
    image = coordinates[..., ::-1].copy() if index & _SWAP else coordinates.copy()
    if index & _FLIP_X:
        image[..., 0] = 1.0 - image[..., 0]
    if index & _FLIP_Y:
        image[..., 1] = 1.0 - image[..., 1]
    return image


def apply_each(coordinates: Float32, indices: NDArray[np.int64]) -> Float32:
    """Image of each instance under its own symmetry.

    Args:
        coordinates: `[M, N, 2]` float32.
        indices: `[M]` int64 in 0..7.

    Returns:
        `[M, N, 2]` float32, a new array.

    Raises:
        ValueError: an index outside 0..7, or shapes do not agree.
    """
    if indices.shape != coordinates.shape[:1]:
        raise ValueError(f"indices are {indices.shape}, want one per instance: {coordinates.shape[:1]}")
    if indices.size and not (indices.min() >= 0 and indices.max() < NUM_SYMMETRIES):
        raise ValueError(f"symmetries must lie in 0..{NUM_SYMMETRIES - 1}, got {indices.min()}..{indices.max()}")
    swap = (indices & _SWAP).astype(bool)[:, None, None]
    flip = np.stack([indices & _FLIP_X, indices & _FLIP_Y], axis=-1).astype(bool)[:, None, :]
    image = np.where(swap, coordinates[..., ::-1], coordinates)
    return np.where(flip, 1.0 - image, image)


def all_symmetries(coordinates: Float32) -> Float32:
    """All images of `coordinates` `[I, N, 2]`, as `[8, I, N, 2]` float32; the first is the instance itself."""
    return np.stack([apply(coordinates, index) for index in range(NUM_SYMMETRIES)])
