"""TSPLIB files: instances with the length rule of the file, and tours.

Source of the format and of every rule: Reinelt, TSPLIB 95 (1995), sections 1 and 2. Lengths are always those of the
file's own rule on its own numbers. What the network sees (`positions`) is a picture of it, never used for a length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.tsp.tours import is_permutation
from tspmz.types import Float64, Int64

_MIN_CITIES = 3
_MAX_NUMBER = 1e15
"""Larger numbers are refused: sums of them are no longer exact in float64."""

_EARTH_RADIUS = 6378.388
_PI = 3.141592
"""Both as TSPLIB 95 gives them; with better ones the published lengths do not come out."""


class TsplibError(ValueError):
    """A file that cannot be used; the message is one line: file, line number, what is wrong."""


class Problem(NamedTuple):
    """An instance of a TSPLIB file.

    Attributes:
        name: its NAME, or the file's name where it has none; without `.tsp`.
        rule: EDGE_WEIGHT_TYPE.
        num_cities: N.
        coordinates: `[N, 2]` float64 as they stand in the file (NODE_COORD_SECTION); None for EXPLICIT.
        weights: `[N, N]` float64 symmetric, for EXPLICIT; None for the others.
        display: `[N, 2]` float64 of DISPLAY_DATA_SECTION, where to draw the cities; None if there is none.
    """

    name: str
    rule: str
    num_cities: int
    coordinates: Float64 | None
    weights: Float64 | None
    display: Float64 | None


def _nint(values: Float64) -> Float64:
    return np.floor(values + 0.5)


def _euc_2d(p: Float64, q: Float64) -> Float64:
    return _nint(np.hypot(*(p - q).T).T)


def _ceil_2d(p: Float64, q: Float64) -> Float64:
    return np.ceil(np.hypot(*(p - q).T).T)


def _man_2d(p: Float64, q: Float64) -> Float64:
    return _nint(np.abs(p - q).sum(axis=-1))


def _max_2d(p: Float64, q: Float64) -> Float64:
    return _nint(np.abs(p - q)).max(axis=-1)


def _att(p: Float64, q: Float64) -> Float64:
    exact = np.sqrt(((p - q) ** 2).sum(axis=-1) / 10.0)
    rounded = _nint(exact)
    return np.where(rounded < exact, rounded + 1.0, rounded)


def _radians(coordinates: Float64) -> Float64:
    """Degrees and minutes, written DDD.MM, in radians."""
    degrees = np.trunc(coordinates)
    return _PI * (degrees + 5.0 * (coordinates - degrees) / 3.0) / 180.0


def _geo(p: Float64, q: Float64) -> Float64:
    (lat_p, lon_p), (lat_q, lon_q) = np.moveaxis(_radians(p), -1, 0), np.moveaxis(_radians(q), -1, 0)
    q1, q2, q3 = np.cos(lon_p - lon_q), np.cos(lat_p - lat_q), np.cos(lat_p + lat_q)
    cosine = np.clip(0.5 * ((1.0 + q1) * q2 - (1.0 - q1) * q3), -1.0, 1.0)
    return np.trunc(_EARTH_RADIUS * np.arccos(cosine) + 1.0)


RULES: dict[str, Callable[[Float64, Float64], Float64]] = {
    "EUC_2D": _euc_2d,
    "CEIL_2D": _ceil_2d,
    "MAN_2D": _man_2d,
    "MAX_2D": _max_2d,
    "ATT": _att,
    "GEO": _geo,
}
"""Rule to distances `[...]` between different cities at `[..., 2]` and `[..., 2]` (TSPLIB 95, section 2)."""


def tour_lengths(problem: Problem, tours: NDArray[np.integer]) -> Float64:
    """Lengths `[...]` float64 of closed tours `[..., N]` under the file's rule.

    Raises:
        ValueError: a tour that is no permutation of the cities.
    """
    if tours.shape[-1] != problem.num_cities or not is_permutation(tours).all():
        raise ValueError(f"{problem.name}: a tour does not visit every one of its {problem.num_cities} cities once")
    following = np.roll(tours, -1, axis=-1)
    if problem.weights is not None:
        return problem.weights[tours, following].sum(axis=-1)  # type: ignore[no-any-return]
    points = problem.coordinates
    assert points is not None
    return RULES[problem.rule](points[tours], points[following]).sum(axis=-1)  # type: ignore[no-any-return]


def weight_matrix(problem: Problem) -> Float64:
    """All distances `[N, N]` float64 under the file's rule, 0 on the diagonal."""
    if problem.weights is not None:
        matrix = problem.weights.copy()
    else:
        points = problem.coordinates
        assert points is not None
        matrix = np.stack([RULES[problem.rule](point, points) for point in points])
    np.fill_diagonal(matrix, 0.0)
    return matrix


def positions(problem: Problem) -> tuple[Float64, str]:
    """Where the network sees the cities, up to a shift and one common factor, and how that came about.

    EXPLICIT: by classical multidimensional scaling of the weights (Torgerson 1952): the plane whose distances fit
    them best. GEO: longitude and latitude as they stand on a map that is true to scale at the mean latitude. Others:
    the file's coordinates.

    Returns:
        `[N, 2]` float64, and a note for people, empty for the file's own coordinates.
    """
    if problem.weights is not None:
        return _multidimensional_scaling(problem.weights), "positions by multidimensional scaling of the weights"
    points = problem.coordinates
    assert points is not None
    if problem.rule == "GEO":
        latitude, longitude = _radians(points).T
        return np.stack((longitude * np.cos(latitude.mean()), latitude), axis=-1), "positions from a map projection"
    return points, ""


def drawing(problem: Problem) -> Float64:
    """Where people see the cities, `[N, 2]` float64: the display data of the file, else as `positions`."""
    return problem.display if problem.display is not None else positions(problem)[0]


def _multidimensional_scaling(weights: Float64) -> Float64:
    squares = weights**2
    centered = squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean()
    eigenvalues, eigenvectors = np.linalg.eigh(-0.5 * centered)
    return eigenvectors[:, -2:] * np.sqrt(np.maximum(eigenvalues[-2:], 0.0))  # type: ignore[no-any-return]


class _Lines:
    """The lines of a file with their numbers, and errors that name them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise TsplibError(f"{path}: cannot be read: {error.strerror}") from None
        self._numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        self._next = 0
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while self._next < len(self._numbered):
            self.number, line = self._numbered[self._next]
            self._next += 1
            yield line

    def error(self, reason: str) -> TsplibError:
        return TsplibError(f"{self.path}:{self.number}: {reason}")

    def data(self) -> Iterator[str]:
        """Lines up to the next keyword."""
        while self._next < len(self._numbered) and not self._numbered[self._next][1][0].isalpha():
            self.number, line = self._numbered[self._next]
            self._next += 1
            yield line


def read_problem(path: Path) -> Problem:
    """Read a symmetric TSP instance.

    EDGE_WEIGHT_TYPE: those of `RULES`, and EXPLICIT in all nine forms. Unknown keys are ignored, unknown sections are
    not: they would change the problem.

    Raises:
        TsplibError: file, line, and what is wrong.
    """
    lines = _Lines(path)
    header: dict[str, str] = {}
    found: dict[str, Float64] = {}
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "EOF":
            break
        if key in ("NODE_COORD_SECTION", "DISPLAY_DATA_SECTION"):
            found[key] = _coordinates(lines, _dimension(header, lines), key)
        elif key == "EDGE_WEIGHT_SECTION":
            form = header.get("EDGE_WEIGHT_FORMAT", "")
            found[key] = _weights(lines, _dimension(header, lines), form)
        elif key.endswith("_SECTION"):
            raise lines.error(f"{key} is not supported")
        elif not key.replace("_", "").isalnum() or ":" not in line:
            raise lines.error(f"want KEY : value or the name of a section, found {line[:40]!r}")
        else:
            header[key] = value
            _check_header(lines, key, value)
    rule = header.get("EDGE_WEIGHT_TYPE", "")
    num_cities = _dimension(header, lines)
    wanted = "EDGE_WEIGHT_SECTION" if rule == "EXPLICIT" else "NODE_COORD_SECTION"
    if not rule:
        raise lines.error("the file ends without EDGE_WEIGHT_TYPE")
    if wanted not in found:
        raise lines.error(f"the file ends without {wanted}, which EDGE_WEIGHT_TYPE {rule} needs")
    explicit = rule == "EXPLICIT"
    return Problem(
        name=(header.get("NAME") or path.name).removesuffix(".tsp"),
        rule=rule,
        num_cities=num_cities,
        coordinates=None if explicit else found["NODE_COORD_SECTION"],
        weights=found["EDGE_WEIGHT_SECTION"] if explicit else None,
        display=found.get("DISPLAY_DATA_SECTION", found.get("NODE_COORD_SECTION") if explicit else None),
    )


def _check_header(lines: _Lines, key: str, value: str) -> None:
    if key == "TYPE" and value.split()[:1] != ["TSP"]:
        raise lines.error(f"TYPE is {value!r}: only symmetric TSP instances are read")
    if key == "EDGE_WEIGHT_TYPE" and value != "EXPLICIT" and value not in RULES:
        raise lines.error(f"EDGE_WEIGHT_TYPE {value!r} is not supported: want {', '.join(RULES)} or EXPLICIT")
    if key == "EDGE_WEIGHT_FORMAT" and value != "FUNCTION" and value not in _FORMS:
        raise lines.error(f"EDGE_WEIGHT_FORMAT {value!r} is unknown: want {', '.join(_FORMS)}")
    if key == "NODE_COORD_TYPE" and value == "THREED_COORDS":
        raise lines.error("coordinates in space are not supported")
    if key == "DIMENSION" and not (value.isascii() and value.isdecimal() and int(value) >= _MIN_CITIES):
        raise lines.error(f"DIMENSION is {value!r}: want a whole number of at least {_MIN_CITIES}")


def _dimension(header: dict[str, str], lines: _Lines) -> int:
    if "DIMENSION" not in header:
        if not lines.number:
            raise TsplibError(f"{lines.path}: the file is empty")
        raise lines.error("no DIMENSION before this line")
    return int(header["DIMENSION"])


def _number(lines: _Lines, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise lines.error(f"{text[:40]!r} is not a number") from None
    if not abs(number) <= _MAX_NUMBER:
        raise lines.error(f"{text[:40]} is no usable number")
    return number


def _coordinates(lines: _Lines, num_cities: int, section: str) -> Float64:
    """The rows `city x y` of a section, in the order of the city numbers."""
    rows: dict[int, tuple[float, float]] = {}
    for line in lines.data():
        parts = line.split()
        if parts == ["-1"]:
            continue
        if len(parts) != 3:
            raise lines.error(f"{section}: want a city's number and two coordinates, found {len(parts)} words")
        city = _number(lines, parts[0])
        if not (city.is_integer() and 1 <= city <= num_cities):
            raise lines.error(f"{section}: {parts[0]} is no city: they are 1 to {num_cities}")
        if int(city) in rows:
            raise lines.error(f"{section}: city {int(city)} comes twice")
        rows[int(city)] = (_number(lines, parts[1]), _number(lines, parts[2]))
    if len(rows) != num_cities:
        missing = next(city for city in range(1, num_cities + 1) if city not in rows)
        raise lines.error(f"{section} ends after {len(rows)} of {num_cities} cities: city {missing} is missing")
    points = np.array([rows[city] for city in range(1, num_cities + 1)])
    if section == "NODE_COORD_SECTION" and not np.ptp(points, axis=0).any():
        raise lines.error(f"{section}: all cities are at one point")
    return points


def _triangle(upper: bool, offset: int) -> Callable[[int], tuple[Int64, Int64]]:
    indices = np.triu_indices if upper else np.tril_indices
    return lambda n: indices(n, offset)


def _everywhere(n: int) -> tuple[Int64, Int64]:
    rows, columns = np.indices((n, n)).reshape(2, -1)
    return rows, columns


_FORMS: dict[str, Callable[[int], tuple[Int64, Int64]]] = {
    "FULL_MATRIX": _everywhere,
    "UPPER_ROW": _triangle(True, 1),
    "LOWER_ROW": _triangle(False, -1),
    "UPPER_DIAG_ROW": _triangle(True, 0),
    "LOWER_DIAG_ROW": _triangle(False, 0),
    "UPPER_COL": _triangle(False, -1),
    "LOWER_COL": _triangle(True, 1),
    "UPPER_DIAG_COL": _triangle(False, 0),
    "LOWER_DIAG_COL": _triangle(True, 0),
}
"""Form to the rows and columns that its numbers belong to, for N cities. The upper triangle by columns is the lower
one by rows, mirrored, and the matrix is symmetric."""


def _weights(lines: _Lines, num_cities: int, form: str) -> Float64:
    if form not in _FORMS:
        raise lines.error(f"EDGE_WEIGHT_SECTION without a form: EDGE_WEIGHT_FORMAT must be {', '.join(_FORMS)}")
    diagonal = num_cities if "DIAG" in form else 0
    want = num_cities**2 if form == "FULL_MATRIX" else num_cities * (num_cities - 1) // 2 + diagonal
    numbers: list[float] = []
    for line in lines.data():
        numbers.extend(_number(lines, text) for text in line.split())
        if len(numbers) > want:
            raise lines.error(f"EDGE_WEIGHT_SECTION: more than the {want} numbers of {form} for {num_cities} cities")
        if min(numbers[-len(line.split()) :]) < 0.0:
            raise lines.error("EDGE_WEIGHT_SECTION: a weight is below 0")
    if len(numbers) < want:
        raise lines.error(f"EDGE_WEIGHT_SECTION ends after {len(numbers)} of {want} numbers ({form})")
    matrix = np.zeros((num_cities, num_cities))
    rows, columns = _FORMS[form](num_cities)
    matrix[rows, columns] = numbers
    if form != "FULL_MATRIX":
        matrix[columns, rows] = numbers
    elif not np.array_equal(matrix, matrix.T):
        i, j = np.argwhere(matrix != matrix.T)[0] + 1
        raise lines.error(f"EDGE_WEIGHT_SECTION: not symmetric, {i} to {j} differs from {j} to {i}")
    np.fill_diagonal(matrix, 0.0)
    if not matrix.any():
        raise lines.error("EDGE_WEIGHT_SECTION: all weights are 0")
    return matrix


def read_tour(path: Path, num_cities: int) -> Int64:
    """The tour `[N]` int64, cities from 0, of a TSPLIB tour file.

    Raises:
        TsplibError: file, line, and what is wrong.
    """
    lines = _Lines(path)
    for line in lines:
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "DIMENSION" and value != str(num_cities):
            raise lines.error(f"DIMENSION is {value!r}, the instance has {num_cities} cities")
        if key == "TYPE" and value != "TOUR":
            raise lines.error(f"TYPE is {value!r}, want TOUR")
        if key == "TOUR_SECTION":
            return _tour(lines, num_cities)
    raise TsplibError(f"{path}: no TOUR_SECTION")


def _tour(lines: _Lines, num_cities: int) -> Int64:
    tour: list[int] = []
    for line in lines.data():
        for text in line.split():
            if text == "-1":
                break
            if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= num_cities):
                raise lines.error(f"{text[:40]!r} is no city: they are 1 to {num_cities}")
            if int(text) - 1 in tour[-1:] or len(tour) == num_cities:
                raise lines.error(f"city {text} comes twice")
            tour.append(int(text) - 1)
    found = np.array(tour, np.int64)
    if len(tour) != num_cities or not is_permutation(found[None]).all():
        missing = min(set(range(num_cities)) - set(tour)) + 1
        raise lines.error(f"the tour ends here without city {missing}")
    return found


def tour_text(name: str, tour: NDArray[np.integer], comment: str) -> str:
    """A tour `[N]`, cities from 0, as the text of a TSPLIB tour file.

    Args:
        name: NAME of the tour.
        tour: a permutation.
        comment: one line: how long it is, and what made it.
    """
    head = (f"NAME : {name}", f"COMMENT : {comment}", "TYPE : TOUR", f"DIMENSION : {len(tour)}", "TOUR_SECTION")
    return "\n".join((*head, *(str(city + 1) for city in tour), "-1", "EOF", ""))


def format_length(length: float) -> str:
    """A length for people: whole numbers without a fraction."""
    return f"{length:,.0f}" if math.isfinite(length) and float(length).is_integer() else f"{length:,.6g}"
