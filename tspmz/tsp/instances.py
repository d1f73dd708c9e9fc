"""Sets of instances to evaluate on, named by one line of text: a generated set or a file of coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.rng import generator_for
from tspmz.tsp.generators import PUBLISHED_COUNT, clustered_instances, published_uniform
from tspmz.types import Float32, Float64

MAX_GENERATED_CITIES = 1000
NUM_CLUSTERS = 3
"""Clusters of the instances of a `clustered:` set."""

_MAX_COORDINATE = 1e100
_SUPPORTED = "want uniform:N:COUNT:SEED, clustered:N:COUNT:SEED or FILE.npy"


class InstanceError(ValueError):
    """Instances that cannot be had; the message is one line for people."""


class InstanceSet(NamedTuple):
    """Instances of one size.

    Attributes:
        name: the text that they were asked for with.
        coordinates: `[I, N, 2]` float32 in the unit square.
        scales: `[I]` float64: a length in the unit square times its scale is in the unit of the file. All 1 unless
            the file leaves the unit square.
    """

    name: str
    coordinates: Float32
    scales: Float64


def load_instances(text: str) -> InstanceSet:
    """The instances that a text names.

    - `uniform:N:COUNT:SEED`: the first COUNT of the published uniform test set (`generators.published_uniform`).
    - `clustered:N:COUNT:SEED`: COUNT instances of `NUM_CLUSTERS` clusters; instance i depends on SEED and i only.
    - `FILE.npy`: an array `[I, N, 2]` or `[N, 2]`. Where any value lies outside the unit square, every instance is
      shifted and divided by the longer side of its own bounding box, one factor for both axes.

    Raises:
        InstanceError: a text that means nothing, numbers out of range, or a file that is missing or wrong.
    """
    kind, separator, rest = text.partition(":")
    if separator and kind in ("uniform", "clustered"):
        num_cities, count, seed = _generated_numbers(text, rest)
        if kind == "uniform":
            coordinates = published_uniform(num_cities, count, seed)
        else:
            coordinates = np.concatenate(
                [
                    clustered_instances(generator_for(seed, "evaluation", 0, i), 1, num_cities, NUM_CLUSTERS)
                    for i in range(count)
                ]
            )
        return InstanceSet(text, coordinates, np.ones(count))
    if Path(text).suffix != ".npy":
        raise InstanceError(f"instances {text!r}: {_SUPPORTED}")
    return _from_array(text, _read_npy(Path(text)))


def _generated_numbers(text: str, rest: str) -> tuple[int, int, int]:
    limits = (
        ("N", 3, MAX_GENERATED_CITIES),
        ("COUNT", 1, PUBLISHED_COUNT),
        ("SEED", 0, 2**32 - 1),
    )
    parts = rest.split(":")
    if len(parts) != len(limits):
        raise InstanceError(f"instances {text!r}: {len(parts)} numbers after the name; {_SUPPORTED}")
    numbers = []
    for part, (name, low, high) in zip(parts, limits, strict=True):
        if not (part.isascii() and part.isdecimal() and low <= int(part) <= high):
            raise InstanceError(f"instances {text!r}: {name} is {part!r}, want a whole number from {low} to {high}")
        numbers.append(int(part))
    return numbers[0], numbers[1], numbers[2]


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise InstanceError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged header raises what tokenize and ast raise, beyond ValueError
        reason = str(error).split("\n")[0]
        raise InstanceError(f"{path}: not an array file (numpy.save makes one): {reason}") from None


def _from_array(name: str, array: NDArray[Any]) -> InstanceSet:
    if array.dtype.kind not in "fiu":
        raise InstanceError(f"{name}: holds {array.dtype}, want numbers")
    with np.errstate(invalid="ignore", over="ignore"):  # what does not fit is refused below
        points = array.astype(np.float64)
    if points.ndim == 2:
        points = points[None]
    if points.ndim != 3 or points.shape[2] != 2 or points.shape[0] < 1 or points.shape[1] < 3:
        raise InstanceError(f"{name}: the array is {array.shape}, want [I, N, 2] or [N, 2] with N >= 3")
    usable = np.abs(points) <= _MAX_COORDINATE
    if not usable.all():
        i, city, axis = np.argwhere(~usable)[0]
        raise InstanceError(f"{name}: instance {i}, city {city}: {points[i, city, axis]} is no usable coordinate")
    low = points.min(axis=1, keepdims=True)
    spans = (points - low).max(axis=(1, 2))
    if not spans.all():
        raise InstanceError(f"{name}: instance {np.argmin(spans)}: all cities are at one point")
    scales = np.ones(len(points))
    if points.min() < 0.0 or points.max() > 1.0:
        scales = spans
        points = (points - low) / scales[:, None, None]
    return InstanceSet(name, points.astype(np.float32), scales)
