"""Sets of instances to evaluate on, named by a text: a generated set, a file of coordinates, or TSPLIB files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.rng import generator_for
from tspmz.tsp import tsplib
from tspmz.tsp.generators import PUBLISHED_COUNT, clustered_instances, published_uniform
from tspmz.tsp.tours import tour_lengths
from tspmz.types import Float32, Float64, Int64

MAX_GENERATED_CITIES = 1000
NUM_CLUSTERS = 3
"""Clusters of the instances of a `clustered:` set."""

_MAX_COORDINATE = 1e100
_FILLED = 0.2
"""Side of the smallest bounding box of a set that is taken as drawn in the unit square; smaller ones are scaled up."""
_SUPPORTED = "want uniform:N:COUNT:SEED, clustered:N:COUNT:SEED, FILE.npy, FILE.tsp or a folder of .tsp files"


class InstanceError(ValueError):
    """Instances that cannot be had; the message is one line for people."""


class InstanceSet(NamedTuple):
    """Instances of one size.

    Attributes:
        name: the text that they were asked for with.
        coordinates: `[I, N, 2]` float32 in the unit square: what the network sees.
        scales: `[I]` float64: a length in the unit square times its scale is in the unit of the file. All 1 unless
            the file leaves the unit square. Not used where there is a `problem`.
        problem: the TSPLIB instance (I = 1), whose rule decides the lengths; None for lengths in the plane.
    """

    name: str
    coordinates: Float32
    scales: Float64
    problem: tsplib.Problem | None = None

    @property
    def names(self) -> list[str]:
        """A name per instance: the file's, or the number in its set."""
        if self.problem is not None:
            return [self.problem.name]
        return [f"{self.name}[{i}]" for i in range(len(self.coordinates))]

    def part(self, instances: slice) -> InstanceSet:
        """Some of the instances."""
        return self._replace(coordinates=self.coordinates[instances], scales=self.scales[instances])

    def lengths(self, candidates: Int64) -> Float64:
        """Lengths `[I, G]` of tours `[I, G, N]`, in the unit and by the rule of the file.

        Raises:
            ValueError: a tour is no permutation, or shapes do not agree.
        """
        if self.problem is not None:
            return tsplib.tour_lengths(self.problem, candidates)
        return tour_lengths(self.coordinates, candidates) * self.scales[:, None]


def load_instance_sets(texts: Sequence[str]) -> list[InstanceSet]:
    """The sets that several texts name: each as for `load_instances`, or a folder: its `.tsp` files by name.

    Raises:
        InstanceError: no text, a folder without `.tsp` files, or as `load_instances`.
    """
    found: list[InstanceSet] = []
    for text in texts:
        if not text or not Path(text).is_dir():  # an empty path is the current folder
            found.append(load_instances(text))
            continue
        files = sorted(Path(text).glob("*.tsp"))
        if not files:
            raise InstanceError(f"{text}: the folder holds no .tsp file")
        found.extend(load_instances(str(file)) for file in files)
    if not found:
        raise InstanceError(f"no instances: {_SUPPORTED}")
    return found


def load_instances(text: str) -> InstanceSet:
    """The instances that a text names.

    - `uniform:N:COUNT:SEED`: the first COUNT of the published uniform test set (`generators.published_uniform`).
    - `clustered:N:COUNT:SEED`: COUNT instances of `NUM_CLUSTERS` clusters; instance i depends on SEED and i only.
    - `FILE.npy`: an array `[I, N, 2]` or `[N, 2]`. Where any value lies outside the unit square, every instance is
      shifted and divided by the longer side of its own bounding box, one factor for both axes.
    - `FILE.tsp`: one TSPLIB instance; the network sees its `tsplib.positions`, scaled in the same way.

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
    if Path(text).suffix == ".tsp":
        return _from_tsplib(text)
    if Path(text).suffix != ".npy":
        raise InstanceError(f"instances {text!r}: {_SUPPORTED}")
    return from_array(text, _read_npy(Path(text)))


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


def from_array(name: str, array: NDArray[Any]) -> InstanceSet:
    """The instances of an array `[I, N, 2]` or `[N, 2]`, as `load_instances` reads them from a file.

    Raises:
        InstanceError: another shape, or no usable numbers.
    """
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
    scaled, spans = unit_square(points)
    if not spans.all():
        raise InstanceError(f"{name}: instance {np.argmin(spans)}: all cities are at one point")
    # drawn in the unit square, as training instances are: they need not fill it
    fitting = points.min() >= 0.0 and points.max() <= 1.0 and spans.min() >= _FILLED
    if fitting:
        return InstanceSet(name, points.astype(np.float32), np.ones(len(points)))
    return InstanceSet(name, scaled, spans)


def _from_tsplib(text: str) -> InstanceSet:
    try:
        problem = tsplib.read_problem(Path(text))
    except tsplib.TsplibError as error:
        raise InstanceError(str(error)) from None
    points, _ = tsplib.positions(problem)
    coordinates, spans = unit_square(points[None])
    return InstanceSet(text, coordinates, spans, problem)


def unit_square(points: Float64) -> tuple[Float32, Float64]:
    """Instances `[I, N, 2]`, each shifted and divided by the longer side of its bounding box.

    Returns:
        `[I, N, 2]` float32 in the unit square, and the sides `[I]` float64 (0: all cities at one point, and left so).
    """
    shifted = points - points.min(axis=1, keepdims=True)
    sides = shifted.max(axis=(1, 2))
    return (shifted / np.where(sides > 0.0, sides, 1.0)[:, None, None]).astype(np.float32), sides
