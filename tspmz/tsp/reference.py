"""Reference tours: the exact dynamic program for few cities, LKH for more, and a cache on disk."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tspmz.tsp import tsplib
from tspmz.tsp.compiled import kernel
from tspmz.tsp.tours import tour_lengths
from tspmz.types import Float64, Int64

ReferenceSource = Literal["lkh", "exact"]

MAX_EXACT_CITIES = 12
"""More would take 2**N * N**2 steps and 2**N * N numbers."""

LKH_RUNS = 4
"""Runs of LKH per instance; on uniform instances of 50 cities more runs change the mean length by less than 1e-5."""

SOLVED_TOLERANCE = 1e-6
"""An instance counts as solved up to this gap: what float32 coordinates cost."""

_LKH_SPAN = 1_000_000
_LKH_MAX_WEIGHT = 10_000_000
"""LKH computes with 32-bit numbers, and multiplies weights by 100."""

_log = logging.getLogger(__name__)


class ReferenceSolverError(RuntimeError):
    """A reference solver is not there or failed; the message says what to install or do."""


class Reference(NamedTuple):
    """What tours are compared with.

    Attributes:
        lengths: `[I]` float64, in the unit of the instances.
        tours: `[I, N]` int64; None where only lengths are known.
    """

    lengths: Float64
    tours: Int64 | None


@kernel
def _held_karp(distances, tour):  # type: ignore[no-untyped-def]
    """Fill `tour` `[N]` with a shortest tour from the last city, given `distances` `[N, N]`.

    shortest[s, j]: length of the shortest path that leaves city N-1, visits the set s of the others, and ends in j.
    """
    num_cities = distances.shape[0]
    last = num_cities - 1
    num_sets = 1 << last
    shortest = np.full((num_sets, last), np.inf)
    before = np.full((num_sets, last), -1, np.int64)
    for j in range(last):
        shortest[1 << j, j] = distances[last, j]
    for s in range(1, num_sets):
        for j in range(last):
            if not s & (1 << j) or shortest[s, j] == np.inf:
                continue
            for k in range(last):
                if s & (1 << k):
                    continue
                length = shortest[s, j] + distances[j, k]
                if length < shortest[s | (1 << k), k]:
                    shortest[s | (1 << k), k] = length
                    before[s | (1 << k), k] = j
    s = num_sets - 1
    end, best = -1, np.inf
    for j in range(last):
        length = shortest[s, j] + distances[j, last]
        if length < best:
            end, best = j, length
    tour[0] = last
    for t in range(num_cities - 1, 0, -1):
        tour[t] = end
        s, end = s & ~(1 << end), before[s, end]


def solve_exact(coordinates: NDArray[Any]) -> tuple[Int64, Float64]:
    """Shortest tours by dynamic programming over subsets (Held and Karp 1962).

    Args:
        coordinates: `[I, N, 2]`, 2 <= N <= `MAX_EXACT_CITIES`, finite.

    Returns:
        Tours `[I, N]` int64, and their lengths `[I]` float64.

    Raises:
        ValueError: too few or too many cities, or a coordinate that is not finite.
    """
    num_instances, num_cities = _checked_shape(coordinates)
    if not 2 <= num_cities <= MAX_EXACT_CITIES:
        raise ValueError(f"exact reference: {num_cities} cities, want 2..{MAX_EXACT_CITIES}; use lkh for more")
    points = coordinates.astype(np.float64)
    tours = np.empty((num_instances, num_cities), np.int64)
    for i in range(num_instances):
        difference = points[i][:, None] - points[i][None]
        _held_karp(np.sqrt((difference**2).sum(axis=-1)), tours[i])
    return tours, tour_lengths(coordinates, tours[:, None])[:, 0]


def solve_lkh(
    coordinates: NDArray[Any], runs: int = LKH_RUNS, on_instance: Callable[[], None] = lambda: None
) -> tuple[Int64, Float64]:
    """Near-optimal tours by the Lin-Kernighan-Helsgaun heuristic (elkai).

    LKH works on integers: each instance is shifted and scaled so that its longer side has 1,000,000 units. The
    lengths returned are our own, in the unit of the coordinates. Equal inputs give equal tours.

    Args:
        coordinates: `[I, N, 2]`, N >= 3, finite.
        runs: LKH's RUNS, >= 1: the best tour of so many is kept.
        on_instance: called after each instance; many large ones take minutes.

    Returns:
        Tours `[I, N]` int64, and their lengths `[I]` float64.

    Raises:
        ReferenceSolverError: elkai is not installed, or gave no tour.
        ValueError: too few cities, or a coordinate that is not finite.
    """
    elkai = _elkai()
    num_instances, num_cities = _checked_shape(coordinates)
    if num_cities < 3:
        raise ValueError(f"lkh reference: {num_cities} cities, want 3 or more")
    tours = np.empty((num_instances, num_cities), np.int64)
    for i, points in enumerate(_integer_grid(coordinates)):
        cities = {city: (int(x), int(y)) for city, (x, y) in enumerate(points)}
        tours[i] = elkai.Coordinates2D(cities).solve_tsp(runs)[:num_cities]
        on_instance()
    try:
        return tours, tour_lengths(coordinates, tours[:, None])[:, 0]
    except ValueError as error:
        raise ReferenceSolverError(f"lkh gave no tour: {error}") from None


def _elkai() -> Any:
    try:
        import elkai
    except ImportError:
        raise ReferenceSolverError(
            "the lkh reference needs elkai: pip install elkai, or choose another reference"
        ) from None
    return elkai


def solve_problem(problem: tsplib.Problem, source: ReferenceSource, runs: int = LKH_RUNS) -> tuple[Int64, float]:
    """A tour `[N]` of a TSPLIB instance under the file's own rule, and its length.

    LKH gets the file's distance matrix; weights that are not whole numbers are scaled up and rounded for it.

    Raises:
        ReferenceSolverError: elkai is not installed, or gave no tour.
        ValueError: too many cities for "exact".
    """
    weights = tsplib.weight_matrix(problem)
    if source == "exact":
        if problem.num_cities > MAX_EXACT_CITIES:
            raise ValueError(f"exact reference: {problem.num_cities} cities, want 2..{MAX_EXACT_CITIES}; use lkh")
        tour = np.empty(problem.num_cities, np.int64)
        _held_karp(weights, tour)
    else:
        if not (weights == np.rint(weights)).all() or weights.max() > _LKH_MAX_WEIGHT:
            weights = weights * (_LKH_SPAN / weights.max())
        matrix = np.rint(weights).astype(np.int64).tolist()
        tour = np.array(_elkai().DistanceMatrix(matrix).solve_tsp(runs)[: problem.num_cities], np.int64)
    try:
        return tour, float(tsplib.tour_lengths(problem, tour))
    except ValueError as error:
        raise ReferenceSolverError(f"lkh gave no tour: {error}") from None


def default_cache_dir() -> Path | None:
    """`$XDG_CACHE_HOME/tspmz`, or `~/.cache/tspmz` where the variable is unset or relative; None without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / "tspmz"
    except RuntimeError:  # the user has none
        return None


def solve_reference(
    coordinates: NDArray[Any],
    source: ReferenceSource,
    cache_dir: Path | None,
    on_instance: Callable[[], None] = lambda: None,
) -> Reference:
    """Reference tours and lengths in the plane, computed once per set of instances.

    The cache file is named by a SHA-256 over coordinates and source. One that is damaged is ignored and written anew;
    one that cannot be written is a warning in the log.

    Args:
        coordinates: `[I, N, 2]`.
        source: "lkh", or "exact" (N <= `MAX_EXACT_CITIES`).
        cache_dir: directory of the cache, made if need be; `default_cache_dir()` is the usual one; None for no cache.
        on_instance: as for `solve_lkh`.

    Returns:
        Lengths in the unit of the coordinates.

    Raises:
        ReferenceSolverError: the solver is not installed.
        ValueError: unknown source, or instances that it cannot solve.
    """
    _check_source(source)
    _checked_shape(coordinates)

    def solve() -> Reference:
        if source == "lkh":
            found, lengths = solve_lkh(coordinates, on_instance=on_instance)
        else:
            found, lengths = solve_exact(coordinates)
        return Reference(lengths, found)

    return _cached(coordinates, "plane", source, cache_dir, solve)


def solve_problem_reference(problem: tsplib.Problem, source: ReferenceSource, cache_dir: Path | None) -> Reference:
    """As `solve_reference` for one TSPLIB instance (I = 1), by the rule of its file."""
    _check_source(source)

    def solve() -> Reference:
        tour, length = solve_problem(problem, source)
        return Reference(np.array([length]), tour[None])

    data = problem.weights if problem.weights is not None else problem.coordinates
    assert data is not None
    return _cached(data[None], problem.rule, source, cache_dir, solve)


def _check_source(source: str) -> None:
    if source not in get_args(ReferenceSource):
        raise ValueError(f"unknown reference {source!r}: want lkh or exact")


def _cached(
    data: NDArray[Any], rule: str, source: ReferenceSource, cache_dir: Path | None, solve: Callable[[], Reference]
) -> Reference:
    """What `solve` finds for instances `data` `[I, N, ...]`, from the cache where it is there."""
    digest = _digest(data, f"{rule}, " + (f"lkh, {LKH_RUNS} runs" if source == "lkh" else "exact"))
    path = cache_dir / f"reference-{source}-{digest}.npz" if cache_dir else None
    cached = _read_cache(path, digest, data.shape[:2]) if path else None
    if cached is not None:
        return cached
    found = solve()
    if path:
        try:
            _write_cache(path, digest, found)
        except OSError as error:
            _log.warning("reference tours are not cached: %s", error)
    return found


def _checked_shape(coordinates: NDArray[Any]) -> tuple[int, int]:
    if coordinates.ndim != 3 or coordinates.shape[2] != 2:
        raise ValueError(f"coordinates are {coordinates.shape}, want [I, N, 2]")
    if not np.isfinite(coordinates).all():
        raise ValueError("a coordinate is not finite")
    return coordinates.shape[0], coordinates.shape[1]


def _integer_grid(coordinates: NDArray[Any]) -> Int64:
    points = coordinates.astype(np.float64)
    points -= points.min(axis=1, keepdims=True)
    span = points.max(axis=(1, 2), keepdims=True)
    return np.rint(points * (_LKH_SPAN / np.where(span > 0, span, 1.0))).astype(np.int64)


def _digest(coordinates: NDArray[Any], solver: str) -> str:
    head = f"{solver}; {coordinates.shape}; {coordinates.dtype.str};"
    return hashlib.sha256(head.encode() + np.ascontiguousarray(coordinates).tobytes()).hexdigest()


def _read_cache(path: Path, digest: str, shape: tuple[int, ...]) -> Reference | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            found, lengths, tours = str(stored["digest"]), stored["lengths"], stored["tours"]
    except FileNotFoundError:
        return None
    except Exception:  # a damaged archive raises nearly anything: zipfile, zlib and numpy document no closed list
        found, lengths, tours = "", np.empty(0), np.empty(0)
    whole = found == digest and lengths.shape == shape[:1] and lengths.dtype == np.float64
    if whole and tours.shape == shape and tours.dtype == np.int64 and np.isfinite(lengths).all():
        return Reference(lengths, tours)
    _log.warning("%s is damaged: computing the reference tours again", path)
    return None


def _write_cache(path: Path, digest: str, found: Reference) -> None:
    assert found.tours is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(fd, "wb") as file:
            np.savez_compressed(file, digest=np.array(digest), lengths=found.lengths, tours=found.tours)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
