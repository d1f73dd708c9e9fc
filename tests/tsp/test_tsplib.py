"""TSPLIB files: each length rule by hand, all matrix forms, positions, tours, and errors that name the line."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tspmz.tsp import tsplib
from tspmz.tsp.optima import PUBLISHED_OPTIMA
from tspmz.tsp.reference import solve_problem

# Corners of a 3 by 4 rectangle, and a point at (1, 1).
SQUARE = "1 0 0\n2 3 0\n3 3 4\n4 0 4\n5 1.0 1e0\n"
# Athens, Rome, Oslo, as degrees.minutes (north, east): 38.00 23.44, 41.54 12.30, 59.55 10.45.
GEO = "1 38.00 23.44\n2 41.54 12.30\n3 59.55 10.45\n"


def written(path: Path, rule: str, section: str, rows: str, dimension: int, more: str = "") -> Path:
    path.write_text(
        f"NAME: hand\nTYPE : TSP\nCOMMENT: by hand\nDIMENSION : {dimension}\nEDGE_WEIGHT_TYPE: {rule}\n{more}"
        f"{section}\n{rows}EOF\n"
    )
    return path


def problem(tmp_path: Path, rule: str, rows: str, dimension: int) -> tsplib.Problem:
    return tsplib.read_problem(written(tmp_path / "a.tsp", rule, "NODE_COORD_SECTION", rows, dimension))


@pytest.mark.parametrize(
    ("rule", "to_first"),
    [
        # from city 1 at (0, 0) to (3, 0), (3, 4), (0, 4), (1, 1); the last is sqrt 2 = 1.414
        ("EUC_2D", [0, 3, 5, 4, 1]),
        ("CEIL_2D", [0, 3, 5, 4, 2]),
        ("MAN_2D", [0, 3, 7, 4, 2]),
        ("MAX_2D", [0, 3, 4, 4, 1]),
        # sqrt(9 / 10) = 0.949 -> 1; sqrt(25 / 10) = 1.581 -> 2; sqrt(16 / 10) = 1.265, nint 1 < it -> 2;
        # sqrt(2 / 10) = 0.447, nint 0 < it -> 1
        ("ATT", [0, 1, 2, 2, 1]),
    ],
)
def test_rules_in_the_plane_round_as_the_format_says(tmp_path: Path, rule: str, to_first: list[int]) -> None:
    found = problem(tmp_path, rule, SQUARE, 5)
    assert (found.name, found.rule, found.num_cities) == ("hand", rule, 5)
    matrix = tsplib.weight_matrix(found)
    assert matrix[0].tolist() == to_first
    assert np.array_equal(matrix, matrix.T)


def test_half_is_rounded_up(tmp_path: Path) -> None:
    rows = "1 0 0\n2 2.5 0\n3 4 0\n"  # 2.5 -> 3, 1.5 -> 2 (to even would give 2 and 2)
    assert tsplib.weight_matrix(problem(tmp_path, "EUC_2D", rows, 3))[1].tolist() == [3, 0, 2]


def test_geographical_distances_are_cut_after_adding_one(tmp_path: Path) -> None:
    """By the haversine formula, another than TSPLIB's: radius 6378.388, minutes are 60ths of a degree, pi = 3.141592.

    Athens is at 38 + 0/60 = 38 and 23 + 44/60 = 23.7333 degrees, and so on.
    """
    degrees = np.array([[38.0, 23 + 44 / 60], [41 + 54 / 60, 12.5], [59 + 55 / 60, 10.75]])
    lat, lon = (degrees * 3.141592 / 180).T
    half = np.sin((lat[:, None] - lat) / 2) ** 2 + np.cos(lat[:, None]) * np.cos(lat) * np.sin(
        (lon[:, None] - lon) / 2
    ) ** 2
    exact = 2 * 6378.388 * np.arcsin(np.sqrt(half))
    expected = np.floor(exact + 1)
    np.fill_diagonal(expected, 0)
    assert abs(exact[0, 1] - 1052) < 5  # a map says so
    np.testing.assert_array_equal(tsplib.weight_matrix(problem(tmp_path, "GEO", GEO, 3)), expected)


def test_southern_and_western_minutes_count_outward(tmp_path: Path) -> None:
    # -10.30 is 10 degrees 30 minutes south: as far from the equator as 10.30 north.
    rows = "1 0 0\n2 10.30 0\n3 -10.30 0\n"
    matrix = tsplib.weight_matrix(problem(tmp_path, "GEO", rows, 3))
    assert matrix[0, 1] == matrix[0, 2] == np.floor(6378.388 * 3.141592 * 10.5 / 180 + 1)


def test_tour_lengths_follow_the_rule_and_close(tmp_path: Path) -> None:
    found = problem(tmp_path, "CEIL_2D", SQUARE, 5)
    # 1-2-3-4-5-1: 3 + 4 + 3 + ceil(sqrt(10)) + ceil(sqrt 2) = 3 + 4 + 3 + 4 + 2
    lengths = tsplib.tour_lengths(found, np.array([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]))
    assert lengths.tolist() == [16, 16]
    with pytest.raises(ValueError, match="does not visit every one of its 5 cities once"):
        tsplib.tour_lengths(found, np.array([0, 1, 2, 3, 3]))


MATRIX = np.array([[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0]])
FORMS = {
    "FULL_MATRIX": "0 1 2 3 1 0 4 5 2 4 0 6 3 5 6 0",
    "UPPER_ROW": "1 2 3 4 5 6",
    "LOWER_ROW": "1 2 4 3 5 6",
    "UPPER_DIAG_ROW": "0 1 2 3 0 4 5 0 6 0",
    "LOWER_DIAG_ROW": "0 1 0 2 4 0 3 5 6 0",
    "UPPER_COL": "1 2 4 3 5 6",
    "LOWER_COL": "1 2 3 4 5 6",
    "UPPER_DIAG_COL": "0 1 0 2 4 0 3 5 6 0",
    "LOWER_DIAG_COL": "0 1 2 3 0 4 5 0 6 0",
}


def explicit(tmp_path: Path, form: str, numbers: str, dimension: int = 4) -> tsplib.Problem:
    header = f"EDGE_WEIGHT_FORMAT: {form}\n"
    path = written(tmp_path / "a.tsp", "EXPLICIT", "EDGE_WEIGHT_SECTION", numbers + "\n", dimension, header)
    return tsplib.read_problem(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("per_line", [1, 3, 100])
def test_every_form_of_a_matrix_is_read_however_its_lines_are_broken(tmp_path: Path, form: str, per_line: int) -> None:
    words = FORMS[form].split()
    numbers = "\n".join(" ".join(words[i : i + per_line]) for i in range(0, len(words), per_line))
    found = explicit(tmp_path, form, numbers)
    assert np.array_equal(tsplib.weight_matrix(found), MATRIX)
    assert found.coordinates is None
    assert tsplib.tour_lengths(found, np.array([0, 2, 1, 3])) == 2 + 4 + 5 + 3


@given(st.integers(3, 9), st.integers(0, 10_000), st.sampled_from(sorted(FORMS)))
def test_any_matrix_comes_back(n: int, seed: int, form: str) -> None:
    import tempfile

    matrix = np.random.default_rng(seed).integers(1, 100, (n, n))
    matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
    # by the definition of each form: which pairs, in which order
    pairs = [(i, j) for i in range(n) for j in range(n)]
    if form.endswith("COL"):
        pairs = [(j, i) for i, j in pairs]
    if form != "FULL_MATRIX":
        upper, diagonal = form.startswith("UPPER"), "DIAG" in form
        pairs = [(i, j) for i, j in pairs if (i < j if upper else i > j) or (diagonal and i == j)]
    with tempfile.TemporaryDirectory() as folder:
        found = explicit(Path(folder), form, " ".join(str(matrix[pair]) for pair in pairs), n)
    assert np.array_equal(tsplib.weight_matrix(found), matrix)


def test_matrix_of_points_in_the_plane_is_embedded_where_they_are(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((8, 2)) * 100
    matrix = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    found = explicit(tmp_path, "FULL_MATRIX", " ".join(map(str, matrix.ravel())), 8)
    positions, note = tsplib.positions(found)
    distances = np.hypot(*(positions[:, None] - positions).transpose(2, 0, 1))
    np.testing.assert_allclose(distances, matrix, atol=1e-9)
    assert "multidimensional scaling" in note


def test_display_data_are_for_drawing_only(tmp_path: Path) -> None:
    rows = "0 1 2 3 1 0 4 5 2 4 0 6 3 5 6 0\nDISPLAY_DATA_SECTION\n1 5 5\n2 6 5\n3 6 6\n4 5 6"
    found = explicit(tmp_path, "FULL_MATRIX", rows)
    assert tsplib.drawing(found).tolist() == [[5, 5], [6, 5], [6, 6], [5, 6]]
    assert not np.allclose(tsplib.positions(found)[0], tsplib.drawing(found))


def test_map_of_geographical_coordinates_keeps_short_distances(tmp_path: Path) -> None:
    found = problem(tmp_path, "GEO", "1 60.00 10.00\n2 60.30 10.00\n3 60.00 11.00\n4 60.30 11.00\n", 4)
    positions, note = tsplib.positions(found)
    on_map = 6378.388 * np.hypot(*(positions[:, None] - positions).transpose(2, 0, 1))
    np.testing.assert_allclose(on_map, tsplib.weight_matrix(found), atol=1.5)  # a degree east is half one north here
    assert "map" in note


def test_cities_may_stand_in_any_order_and_the_end_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "plain.tsp"
    path.write_text("DIMENSION: 3\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n3 3 3\n1 1 1\n2 2 2\n")
    found = tsplib.read_problem(path)
    assert found.name == "plain"
    assert found.coordinates is not None
    assert found.coordinates.tolist() == [[1, 1], [2, 2], [3, 3]]


HEAD = "TYPE: TSP\nDIMENSION: 3\nEDGE_WEIGHT_TYPE: EUC_2D\n"
MATRIX_HEAD = "DIMENSION: 3\nEDGE_WEIGHT_TYPE: EXPLICIT\nEDGE_WEIGHT_FORMAT: FULL_MATRIX\nEDGE_WEIGHT_SECTION\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TYPE: ATSP\n", ":1: TYPE is 'ATSP': only symmetric"),
        (HEAD + "what is this\n", ":4: want KEY : value"),
        ("DIMENSION: 2\n", ":1: DIMENSION is '2'"),
        ("DIMENSION: 3\nEDGE_WEIGHT_TYPE: EUC_3D\n", ":2: EDGE_WEIGHT_TYPE 'EUC_3D' is not supported: want EUC_2D"),
        ("NODE_COORD_SECTION\n", ":1: no DIMENSION"),
        ("\n \n", "the file is empty"),
        (HEAD + "NODE_COORD_SECTION\n1 0 0\n2 1 x\n3 1 1\n", ":6: 'x' is not a number"),
        (HEAD + "NODE_COORD_SECTION\n1 0 0\n2 1\n3 1 1\n", ":6: NODE_COORD_SECTION: want a city's number and two"),
        (HEAD + "NODE_COORD_SECTION\n1 0 0\n4 1 1\n3 1 1\n", ":6: NODE_COORD_SECTION: 4 is no city"),
        (HEAD + "NODE_COORD_SECTION\n1 0 0\n1 1 1\n3 1 1\n", ":6: NODE_COORD_SECTION: city 1 comes twice"),
        (HEAD + "NODE_COORD_SECTION\n1 0 0\n3 1 1\nEOF\n", ":6: NODE_COORD_SECTION ends after 2 of 3 cities: city 2"),
        (HEAD + "NODE_COORD_SECTION\n1 0 0\n2 0 0\n3 0 0\n", ":7: NODE_COORD_SECTION: all cities are at one point"),
        (HEAD + "NODE_COORD_SECTION\n1 0 0\n2 1 nan\n3 0 0\n", ":6: nan is no usable number"),
        (HEAD + "NODE_COORD_SECTION\n1 0 0\n2 1 1e300\n3 0 0\n", ":6: 1e300 is no usable number"),
        (HEAD + "FIXED_EDGES_SECTION\n1 2\n-1\n", ":4: FIXED_EDGES_SECTION is not supported"),
        (HEAD + "EOF\n", ":4: the file ends without NODE_COORD_SECTION"),
        ("DIMENSION: 3\n", ":1: the file ends without EDGE_WEIGHT_TYPE"),
        (MATRIX_HEAD + "0 1 2 1 0 3\n2 3\n", r":6: EDGE_WEIGHT_SECTION ends after 8 of 9 numbers"),
        (MATRIX_HEAD + "0 1 2 1 0 3\n2 3 0 9\n", ":6: EDGE_WEIGHT_SECTION: more than the 9 numbers"),
        (MATRIX_HEAD + "0 1 2\n1 0 3\n2 -3 0\n", ":7: EDGE_WEIGHT_SECTION: a weight is below 0"),
        (MATRIX_HEAD + "0 1 2\n1 0 3\n2 4 0\n", ":7: EDGE_WEIGHT_SECTION: not symmetric, 2 to 3 differs from 3 to 2"),
        (MATRIX_HEAD + "0 0 0\n0 0 0\n0 0 0\n", ":7: EDGE_WEIGHT_SECTION: all weights are 0"),
        (MATRIX_HEAD.replace("FULL_MATRIX", "HALF"), ":3: EDGE_WEIGHT_FORMAT 'HALF' is unknown"),
        (MATRIX_HEAD.replace("EDGE_WEIGHT_FORMAT: FULL_MATRIX\n", ""), ":3: EDGE_WEIGHT_SECTION without a form"),
    ],
)
def test_wrong_files_are_one_line_that_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.tsp"
    path.write_text(text)
    with pytest.raises(tsplib.TsplibError, match=message) as caught:
        tsplib.read_problem(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file_and_binary_rubbish_are_refused(tmp_path: Path) -> None:
    with pytest.raises(tsplib.TsplibError, match="cannot be read: No such file"):
        tsplib.read_problem(tmp_path / "none.tsp")
    for seed in range(50):
        path = tmp_path / "rubbish.tsp"
        path.write_bytes(np.random.default_rng(seed).bytes(300))
        with pytest.raises(tsplib.TsplibError):
            tsplib.read_problem(path)


@given(st.data())
def test_damaged_file_is_read_or_refused_but_never_another_error(data: st.DataObject) -> None:
    import tempfile

    whole = bytearray((HEAD + "NODE_COORD_SECTION\n1 0 0\n2 1 1\n3 4 5\nEOF\n").encode())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tsp"
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
        with contextlib.suppress(tsplib.TsplibError):
            assert np.isfinite(tsplib.weight_matrix(tsplib.read_problem(path))).all()


@given(st.integers(3, 30), st.integers(0, 10_000))
def test_tour_comes_back(n: int, seed: int) -> None:
    import tempfile

    tour = np.random.default_rng(seed).permutation(n)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tour"
        path.write_text(tsplib.tour_text("a", tour, "length 5"))
        assert np.array_equal(tsplib.read_tour(path, n), tour)


def test_tour_is_written_with_cities_from_one() -> None:
    text = tsplib.tour_text("hand", np.array([2, 0, 1]), "length 12, greedy")
    assert text == (
        "NAME : hand\nCOMMENT : length 12, greedy\nTYPE : TOUR\nDIMENSION : 3\nTOUR_SECTION\n3\n1\n2\n-1\nEOF\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TYPE: TOUR\nTOUR_SECTION\n1\n2\n2\n-1\n", ":5: city 2 comes twice"),
        ("TYPE: TOUR\nTOUR_SECTION\n1\n2\n1\n-1\n", ":6: the tour ends here without city 3"),
        ("TYPE: TOUR\nTOUR_SECTION\n1 2\n-1\n", ":4: the tour ends here without city 3"),
        ("TYPE: TOUR\nTOUR_SECTION\n1 2 4\n", ":3: '4' is no city: they are 1 to 3"),
        ("TYPE: TSP\n", ":1: TYPE is 'TSP', want TOUR"),
        ("DIMENSION: 4\n", ":1: DIMENSION is '4', the instance has 3"),
        ("TYPE: TOUR\n", "no TOUR_SECTION"),
    ],
)
def test_wrong_tours_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.tour"
    path.write_text(text)
    with pytest.raises(tsplib.TsplibError, match=message):
        tsplib.read_tour(path, 3)


def test_lkh_and_exact_agree_under_every_rule(tmp_path: Path) -> None:
    pytest.importorskip("elkai")
    rng = np.random.default_rng(5)
    rows = "".join(f"{i + 1} {x:.2f} {y:.2f}\n" for i, (x, y) in enumerate(rng.uniform(0, 59, (9, 2))))
    for rule in tsplib.RULES:
        found = problem(tmp_path, rule, rows, 9)
        lkh, exact = solve_problem(found, "lkh"), solve_problem(found, "exact")
        assert lkh[1] == exact[1] == tsplib.tour_lengths(found, lkh[0])


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("TSPMZ_TSPLIB"), reason="TSPMZ_TSPLIB names no folder of TSPLIB files")
@pytest.mark.timeout(600)
def test_lkh_reaches_every_published_optimum() -> None:
    pytest.importorskip("elkai")
    files = sorted(Path(os.environ["TSPMZ_TSPLIB"]).glob("*.tsp"))
    assert files
    found = {}
    for file in files:
        read = tsplib.read_problem(file)
        found[read.name] = solve_problem(read, "lkh", runs=10)[1]
    assert found == {name: PUBLISHED_OPTIMA[name] for name in found}
