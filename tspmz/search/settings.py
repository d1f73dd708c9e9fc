"""What the kernels are told once per search object: plain numbers and two tables."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.search.compiled import inner
from tspmz.search.halving import considered_visits_table
from tspmz.types import Float32, Int32

NUMBERS = np.dtype(
    [
        ("gumbel", np.bool_),
        ("mask_interior", np.bool_),
        ("rescale_values", np.bool_),
        ("tree_range", np.bool_),
        ("max_backup", np.bool_),
        ("discount", np.float32),
        ("value_scale", np.float32),
        ("maxvisit_init", np.float32),
        ("dirichlet_fraction", np.float32),
    ],
    align=True,
)
"""The attributes of `Settings` that are numbers."""


class Settings(NamedTuple):
    """Attributes not explained here are those of `BatchedSearch`.

    Attributes:
        considered_visits: `[max_considered_actions + 1, max(S, 1)]` int32, see `halving`.
        exploration: `[S + 2]` float32, factor of `prior / (1 + child visits)` by the node's visits (PUCT).
    """

    gumbel: bool
    mask_interior: bool
    discount: np.float32
    value_scale: np.float32
    maxvisit_init: np.float32
    rescale_values: bool
    tree_range: bool
    max_backup: bool
    dirichlet_fraction: np.float32
    considered_visits: Int32
    exploration: Float32


class PackedSettings(NamedTuple):
    """`Settings` on the way into compiled code: handing over a number takes as long as handing over an array.

    Attributes:
        numbers: `[1]` of `NUMBERS`.
        considered_visits, exploration: as in `Settings`.
    """

    numbers: NDArray[np.void]
    considered_visits: Int32
    exploration: Float32


def pack(settings: Settings) -> PackedSettings:
    """What the kernels take."""
    numbers = np.zeros(1, NUMBERS)
    for name in NUMBERS.names or ():
        numbers[name] = getattr(settings, name)
    return PackedSettings(numbers, settings.considered_visits, settings.exploration)


@inner
def unpacked(packed: PackedSettings) -> Settings:
    """The settings, in compiled code."""
    return Settings(
        packed.numbers[0].gumbel,
        packed.numbers[0].mask_interior,
        packed.numbers[0].discount,
        packed.numbers[0].value_scale,
        packed.numbers[0].maxvisit_init,
        packed.numbers[0].rescale_values,
        packed.numbers[0].tree_range,
        packed.numbers[0].max_backup,
        packed.numbers[0].dirichlet_fraction,
        packed.considered_visits,
        packed.exploration,
    )


def exploration_table(num_simulations: int, pb_c_init: float, pb_c_base: float) -> Float32:
    """`sqrt(n) * (pb_c_init + log((n + pb_c_base + 1) / pb_c_base))` for n = 0 .. S + 1, `[S + 2]` float32.

    Source: MuZero, appendix B, eq. 2. `n` counts the node's own evaluation and the visits of its children.
    """
    counts = range(num_simulations + 2)
    return np.array(
        [math.sqrt(n) * (pb_c_init + math.log((n + pb_c_base + 1) / pb_c_base)) for n in counts], dtype=np.float32
    )


def make_settings(
    num_actions: int,
    num_simulations: int,
    *,
    algorithm: str,
    max_considered_actions: int,
    mask_interior: bool,
    discount: float,
    value_scale: float,
    maxvisit_init: float,
    rescale_values: bool,
    pb_c_init: float,
    pb_c_base: float,
    dirichlet_fraction: float,
    q_normalization: str,
    backup: str,
) -> Settings:
    """Settings for the kernels; arguments as in `BatchedSearch`."""
    selections = max(num_simulations, 1)  # a first leaf is selected even where no simulation follows
    return Settings(
        gumbel=algorithm == "gumbel",
        mask_interior=bool(mask_interior),
        discount=np.float32(discount),
        value_scale=np.float32(value_scale),
        maxvisit_init=np.float32(maxvisit_init),
        rescale_values=bool(rescale_values),
        tree_range=q_normalization == "tree",
        max_backup=backup == "max",
        dirichlet_fraction=np.float32(dirichlet_fraction),
        considered_visits=considered_visits_table(min(max_considered_actions, num_actions), selections),
        exploration=exploration_table(num_simulations, pb_c_init, pb_c_base),
    )
