"""References of sets: solvers by the rule of the file, lists of optima, files, and errors for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tspmz.errors import UsageError
from tspmz.tsp import tsplib
from tspmz.tsp.instances import InstanceSet, load_instance_sets, load_instances
from tspmz.tsp.reference import solve_exact
from tspmz.tsp.references import find_references

COUNT, N = 3, 5


@pytest.fixture(autouse=True)
def no_cache_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def sets(tmp_path: Path) -> list[InstanceSet]:
    """Three uniform instances, and a file of four corners, 30 by 40, with the name of a published one."""
    (tmp_path / "gr17.tsp").write_text(
        "DIMENSION: 4\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n1 0 0\n2 30 40\n3 30 0\n4 0 40\n"
    )
    return load_instance_sets([f"uniform:{N}:{COUNT}:1", str(tmp_path / "gr17.tsp")])


def test_solver_uses_the_rule_of_each_set_and_is_asked_once(
    sets: list[InstanceSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    plane, file = find_references(sets, "exact")
    assert plane is not None
    assert file is not None
    assert np.array_equal(plane.lengths, solve_exact(sets[0].coordinates)[1])
    assert file.lengths.tolist() == [140.0]
    assert file.tours is not None
    assert sets[1].problem is not None
    assert tsplib.tour_lengths(sets[1].problem, file.tours).tolist() == [140.0]
    monkeypatch.setattr("tspmz.tsp.reference._held_karp", None)
    again = find_references(sets, "exact")
    assert all(np.array_equal(a.tours, b.tours) for a, b in zip([plane, file], again, strict=True))


def test_lengths_of_a_scaled_file_are_in_its_unit(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", 300.0 * load_instances(f"uniform:{N}:{COUNT}:1").coordinates)
    small, large = (find_references(load_instance_sets([s]), "exact")[0] for s in (f"uniform:{N}:{COUNT}:1",
                                                                                   str(tmp_path / "a.npy")))
    np.testing.assert_allclose(large.lengths, 300.0 * small.lengths, rtol=1e-5)


def test_none_is_nothing(sets: list[InstanceSet]) -> None:
    assert find_references(sets, "none") == [None, None]


def test_published_optima_go_by_name(sets: list[InstanceSet]) -> None:
    (found,) = find_references(sets[1:], "published")
    assert found.lengths.tolist() == [2085.0]
    assert found.tours is None
    with pytest.raises(UsageError, match=r"no length for uniform:5:3:1\[0\] and 2 others"):
        find_references(sets, "published")


def test_array_holds_the_lengths_of_all_sets_in_order(sets: list[InstanceSet], tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.array([1.0, 2.0, 3.0, 4.0]))
    found = find_references(sets, str(tmp_path / "r.npy"))
    assert [one.lengths.tolist() for one in found] == [[1.0, 2.0, 3.0], [4.0]]


def test_text_holds_lengths_by_name(sets: list[InstanceSet], tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(
        "gr17 : 140\nother: 5\n\nuniform:5:3:1[0] : 1\nuniform:5:3:1[1] : 2\nuniform:5:3:1[2]:3.5\n"
    )
    found = find_references(sets, str(tmp_path / "r.txt"))
    assert [one.lengths.tolist() for one in found] == [[1.0, 2.0, 3.5], [140.0]]
    (tmp_path / "r.txt").write_text("gr17 : 140\nother\n")
    with pytest.raises(UsageError, match=r"r.txt:2: want 'name : length'"):
        find_references(sets, str(tmp_path / "r.txt"))


def test_folder_holds_tours_that_are_scored(sets: list[InstanceSet], tmp_path: Path) -> None:
    # the corners in the order 1, 2, 3, 4 cross twice: 50 + 40 + 50 + 40
    (tmp_path / "gr17.tour").write_text(tsplib.tour_text("gr17", np.arange(4), "crossing"))
    (found,) = find_references(sets[1:], str(tmp_path))
    assert found is not None
    assert found.lengths.tolist() == [180.0]
    assert np.array_equal(found.tours, [np.arange(4)])
    (tmp_path / "gr17.opt.tour").write_text(tsplib.tour_text("gr17", np.array([0, 2, 1, 3]), "best"))
    assert find_references(sets[1:], str(tmp_path))[0].lengths.tolist() == [140.0]
    with pytest.raises(UsageError, match=r"holds neither uniform:5:3:1\[0\].opt.tour nor"):
        find_references(sets, str(tmp_path))
    (tmp_path / "gr17.opt.tour").write_text("TOUR_SECTION\n1\n9\n")
    with pytest.raises(UsageError, match=r"gr17.opt.tour:3: '9' is no city"):
        find_references(sets[1:], str(tmp_path))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (np.ones(3), r"has shape \(3,\), want \(4,\)"),
        (np.zeros(4), "must be finite and above 0"),
        (np.full(4, np.nan), "must be finite and above 0"),
        (np.full(4, "x"), "want numbers"),
        (np.full(4, None, object), "cannot be read"),
    ],
)
def test_unfit_arrays_are_refused(
    lengths: np.ndarray, message: str, sets: list[InstanceSet], tmp_path: Path
) -> None:
    np.save(tmp_path / "lengths.npy", lengths)
    with pytest.raises(UsageError, match=message):
        find_references(sets, str(tmp_path / "lengths.npy"))


def test_what_the_exact_solver_cannot_do_is_one_line(tmp_path: Path) -> None:
    rows = "".join(f"{i} {i} {i * i}\n" for i in range(1, 14))
    (tmp_path / "a.tsp").write_text(f"DIMENSION: 13\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n{rows}")
    for text in ("uniform:13:2:1", str(tmp_path / "a.tsp")):
        with pytest.raises(UsageError, match=r"exact reference: 13 cities, want 2\.\.12"):
            find_references(load_instance_sets([text]), "exact")


@pytest.mark.parametrize("source", ["best", "no.npy"])
def test_unknown_references_are_refused(source: str, sets: list[InstanceSet]) -> None:
    with pytest.raises(UsageError, match="must be lkh, exact, published, none"):
        find_references(sets, source)
