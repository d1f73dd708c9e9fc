"""Reference lengths: exact against brute force, LKH against exact, and the cache."""

from __future__ import annotations

import itertools
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from tspmz.tsp import reference
from tspmz.tsp.generators import clustered_instances, published_uniform, uniform_instances
from tspmz.tsp.tours import farthest_insertion, is_permutation, nearest_neighbor, tour_lengths


def _brute_force(points):
    n = len(points)
    every = np.array([(0, *rest) for rest in itertools.permutations(range(1, n))])
    return tour_lengths(points[None], every[None])[0].min()


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
def test_exact_equals_brute_force(n):
    coordinates = uniform_instances(np.random.default_rng(n), 20, n)
    tours, lengths = reference.solve_exact(coordinates)
    assert is_permutation(tours).all()
    np.testing.assert_allclose(lengths, [_brute_force(points) for points in coordinates], rtol=1e-12)


def test_exact_finds_the_circle():
    angles = 2 * np.pi * np.arange(12) / 12
    circle = np.stack([0.5 + 0.5 * np.cos(angles), 0.5 + 0.5 * np.sin(angles)], axis=-1)
    shuffled = circle[np.random.default_rng(0).permutation(12)].astype(np.float32)
    # A regular 12-gon of radius 1/2 has sides sin(pi/12).
    assert reference.solve_exact(shuffled[None])[1][0] == pytest.approx(12 * np.sin(np.pi / 12), rel=1e-6)


@pytest.mark.parametrize("n", [1, 13])
def test_exact_refuses_other_sizes(n):
    with pytest.raises(ValueError, match=r"want 2\.\.12"):
        reference.solve_exact(np.zeros((1, n, 2), np.float32))


def test_lkh_equals_exact_on_ten_cities():
    pytest.importorskip("elkai")
    rng = np.random.default_rng(0)
    coordinates = np.concatenate([uniform_instances(rng, 30, 10), clustered_instances(rng, 10, 10, 2)])
    tours, lengths = reference.solve_lkh(coordinates)
    assert is_permutation(tours).all()
    np.testing.assert_allclose(lengths, reference.solve_exact(coordinates)[1], rtol=1e-5)


def test_lkh_lengths_keep_the_unit_of_the_coordinates():
    pytest.importorskip("elkai")
    coordinates = uniform_instances(np.random.default_rng(3), 5, 12)
    _, lengths = reference.solve_lkh(coordinates)
    _, moved = reference.solve_lkh(coordinates.astype(np.float64) * 500.0 - 70.0)
    np.testing.assert_allclose(moved, 500.0 * lengths, rtol=1e-6)


def test_lkh_takes_three_cities_and_cities_at_one_point():
    pytest.importorskip("elkai")
    assert reference.solve_lkh(np.array([[[0, 0], [0.3, 0], [0.3, 0.4]]]))[1][0] == pytest.approx(1.2)
    assert reference.solve_lkh(np.full((1, 8, 2), 0.5))[1][0] == 0.0


def test_lkh_refuses_two_cities():
    pytest.importorskip("elkai")
    with pytest.raises(ValueError, match="want 3 or more"):
        reference.solve_lkh(np.zeros((1, 2, 2)))


def test_lkh_without_elkai_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "elkai", None)
    with pytest.raises(reference.ReferenceSolverError, match="pip install elkai"):
        reference.solve_lkh(np.zeros((1, 5, 2)))


def test_published_twenty_city_ladder():
    """Published mean optimum 3.83 (POMO, table 2); farthest insertion 2.36 % (Kool et al., table 1), nearest 17 %."""
    pytest.importorskip("elkai")
    coordinates = published_uniform(20, 300, 1234)
    best = reference.solve_lkh(coordinates, runs=1)[1].mean()
    far = tour_lengths(coordinates, farthest_insertion(coordinates)[:, None]).mean()
    near = tour_lengths(coordinates, nearest_neighbor(coordinates, np.zeros((300, 1), np.int64))).mean()
    assert best == pytest.approx(3.83, abs=0.03)
    assert far / best - 1 == pytest.approx(0.0236, abs=0.005)
    assert near / best - 1 == pytest.approx(0.17, abs=0.02)


def test_reference_lengths_are_computed_once(tmp_path, monkeypatch):
    coordinates = uniform_instances(np.random.default_rng(0), 4, 6)
    first = reference.solve_reference(coordinates, "exact", tmp_path / "made").lengths
    np.testing.assert_array_equal(first, reference.solve_exact(coordinates)[1])
    monkeypatch.setattr(reference, "solve_exact", None)
    again = reference.solve_reference(coordinates, "exact", tmp_path / "made")
    np.testing.assert_array_equal(again.lengths, first)
    np.testing.assert_array_equal(tour_lengths(coordinates, again.tours[:, None])[:, 0], first)
    assert len(list((tmp_path / "made").iterdir())) == 1


def test_cache_tells_coordinates_and_sources_apart(tmp_path):
    pytest.importorskip("elkai")
    coordinates = uniform_instances(np.random.default_rng(0), 4, 6)
    for some in (coordinates, coordinates[:2], coordinates[::-1], coordinates.reshape(3, 8, 2)):
        found = reference.solve_reference(some, "exact", tmp_path).lengths
        np.testing.assert_array_equal(found, reference.solve_exact(some)[1])
    reference.solve_reference(coordinates, "lkh", tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * 100, lambda data: data[:-30]],
    ids=["empty", "half", "foreign", "no end"],
)
def test_damaged_cache_is_ignored_and_rewritten(tmp_path, caplog, damage):
    coordinates = uniform_instances(np.random.default_rng(0), 4, 6)
    lengths = reference.solve_reference(coordinates, "exact", tmp_path).lengths
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(reference.solve_reference(coordinates, "exact", tmp_path).lengths, lengths)
    assert "is damaged" in caplog.text
    assert path.read_bytes() == whole


def test_cache_of_other_instances_under_this_name_is_ignored(tmp_path):
    coordinates = uniform_instances(np.random.default_rng(0), 8, 6)
    reference.solve_reference(coordinates[:4], "exact", tmp_path)
    (first,) = tmp_path.iterdir()
    expected = reference.solve_reference(coordinates[4:], "exact", tmp_path).lengths
    (second,) = set(tmp_path.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    np.testing.assert_array_equal(reference.solve_reference(coordinates[4:], "exact", tmp_path).lengths, expected)


def test_no_cache_directory_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference.solve_reference(uniform_instances(np.random.default_rng(0), 1, 5), "exact", None)
    assert not list(tmp_path.iterdir())


def test_cache_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    coordinates = uniform_instances(np.random.default_rng(0), 2, 5)
    with caplog.at_level(logging.WARNING):
        lengths = reference.solve_reference(coordinates, "exact", tmp_path / "file" / "cache").lengths
    np.testing.assert_array_equal(lengths, reference.solve_exact(coordinates)[1])
    assert "not cached" in caplog.text


def test_failed_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reference.os, "fsync", full)
    reference.solve_reference(uniform_instances(np.random.default_rng(0), 1, 5), "exact", tmp_path)
    assert not list(tmp_path.iterdir())


def test_default_cache_dir_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert reference.default_cache_dir() == Path("/somewhere/tspmz")
    monkeypatch.setenv("HOME", "/home/someone")
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert reference.default_cache_dir() == Path("/home/someone/.cache/tspmz")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(reference.Path, "home", homeless)
    assert reference.default_cache_dir() is None


def test_unknown_source_and_bad_coordinates_are_refused(tmp_path):
    coordinates = np.zeros((1, 5, 2), np.float32)
    with pytest.raises(ValueError, match="'concorde'"):
        reference.solve_reference(coordinates, "concorde", tmp_path)
    with pytest.raises(ValueError, match=r"want \[I, N, 2\]"):
        reference.solve_reference(coordinates[0], "exact", tmp_path)
    coordinates[0, 1, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        reference.solve_reference(coordinates, "exact", tmp_path)
