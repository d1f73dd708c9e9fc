"""Reference lengths of sets of instances: from a solver, from TSPLIB's list of optima, or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from tspmz.errors import UsageError
from tspmz.tsp import tsplib
from tspmz.tsp.instances import InstanceSet
from tspmz.tsp.optima import PUBLISHED_OPTIMA
from tspmz.tsp.reference import (
    Reference,
    ReferenceSource,
    default_cache_dir,
    solve_problem_reference,
    solve_reference,
)
from tspmz.types import Float64

_WANTED = (
    "must be lkh, exact, published, none, a .npy file [I], a text file with lines 'name : length', or a folder of "
    ".tour files"
)
_TOUR_SUFFIXES = (".opt.tour", ".tour")


def find_references(sets: Sequence[InstanceSet], source: str) -> list[Reference | None]:
    """The reference of each set, in its unit and by its rule.

    Args:
        sets: the instances.
        source: `lkh` or `exact` (kept in `default_cache_dir()`); `published` for TSPLIB's optima by instance name;
            `none`; a folder with a TSPLIB tour file for every instance (`NAME.opt.tour` or `NAME.tour`), which is
            scored; a `.npy` file `[I]` with a length for every instance of all sets in order; or any other file:
            text lines `name : length`, which must name every instance.

    Returns:
        One per set; None for `none`.

    Raises:
        UsageError: an unknown source, instances that the solver cannot solve, one without a published optimum, or a
            file that does not fit.
        ReferenceSolverError: the solver is missing or failed.
    """
    if source == "none":
        return [None] * len(sets)
    if source in get_args(ReferenceSource):
        return [_solved(one, source) for one in sets]  # type: ignore[arg-type]
    if Path(source).is_dir():
        return [_from_tours(one, Path(source)) for one in sets]
    names = [name for one in sets for name in one.names]
    if source == "published":
        lengths = _by_name(names, {name: float(length) for name, length in PUBLISHED_OPTIMA.items()}, source)
    elif not Path(source).is_file():
        raise UsageError(f"--reference {source}: {_WANTED}, and there is no such file")
    elif Path(source).suffix == ".npy":
        lengths = _from_array(Path(source), len(names))
    else:
        lengths = _by_name(names, _from_text(Path(source)), source)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise UsageError(f"--reference {source}: lengths must be finite and above 0")
    ends = np.cumsum([len(one.coordinates) for one in sets])
    return [Reference(part, None) for part in np.split(lengths, ends[:-1])]


def _solved(one: InstanceSet, source: ReferenceSource) -> Reference:
    try:
        if one.problem is not None:
            return solve_problem_reference(one.problem, source, default_cache_dir())
        found = solve_reference(one.coordinates, source, default_cache_dir())
    except ValueError as error:
        raise UsageError(f"{one.name}: {error}") from None
    return found._replace(lengths=found.lengths * one.scales)


def _from_tours(one: InstanceSet, folder: Path) -> Reference:
    found = []
    for name in one.names:
        paths = [folder / f"{name}{suffix}" for suffix in _TOUR_SUFFIXES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise UsageError(f"--reference {folder}: holds neither {paths[0].name} nor {paths[1].name}")
        try:
            found.append(tsplib.read_tour(path, one.coordinates.shape[1]))
        except tsplib.TsplibError as error:
            raise UsageError(f"--reference {error}") from None
    tours = np.stack(found)
    return Reference(one.lengths(tours[:, None])[:, 0], tours)


def _by_name(names: Sequence[str], known: dict[str, float], source: str) -> Float64:
    missing = [name for name in names if name not in known]
    if missing:
        others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise UsageError(f"--reference {source}: no length for {missing[0]}{others}")
    return np.array([known[name] for name in names])


def _from_text(path: Path) -> dict[str, float]:
    known: dict[str, float] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--reference {path}: cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, separator, length = line.rpartition(":")
        try:
            known[name.strip().removesuffix(".tsp")] = float(length)
        except ValueError:
            separator = ""
        if not separator:
            raise UsageError(f"--reference {path}:{number}: want 'name : length', found {line[:40]!r}")
    return known


def _from_array(path: Path, count: int) -> Float64:
    try:
        lengths = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"--reference {path}: cannot be read: {error}") from None
    if not isinstance(lengths, np.ndarray) or lengths.shape != (count,):
        raise UsageError(f"--reference {path}: has shape {getattr(lengths, 'shape', '?')}, want ({count},)")
    if lengths.dtype.kind not in "fiu":
        raise UsageError(f"--reference {path}: holds {lengths.dtype}, want numbers")
    return lengths.astype(np.float64)
