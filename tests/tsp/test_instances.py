"""Sets of instances named by a text: what is loaded, and one line for people where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from tspmz.tsp.generators import published_uniform
from tspmz.tsp.instances import InstanceError, from_array, load_instance_sets, load_instances
from tspmz.tsp.tours import tour_length


def _save(path, array):
    np.save(path, array)
    return str(path)


def test_uniform_is_the_published_set():
    found = load_instances("uniform:20:7:1234")
    assert found.name == "uniform:20:7:1234"
    np.testing.assert_array_equal(found.coordinates, published_uniform(20, 7, 1234))
    np.testing.assert_array_equal(found.scales, np.ones(7))


def test_clustered_instances_depend_on_seed_and_number_only():
    few, many = load_instances("clustered:10:2:5").coordinates, load_instances("clustered:10:6:5").coordinates
    assert many.shape == (6, 10, 2)
    assert many.dtype == np.float32
    np.testing.assert_array_equal(few, many[:2])
    assert len(np.unique(many, axis=0)) == 6
    assert not np.array_equal(few, load_instances("clustered:10:2:6").coordinates)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_file_inside_the_unit_square_is_kept_as_it_is(tmp_path, dtype):
    array = np.random.default_rng(0).random((3, 5, 2)).astype(dtype)
    found = load_instances(_save(tmp_path / "a.npy", array))
    np.testing.assert_array_equal(found.coordinates, array.astype(np.float32))
    np.testing.assert_array_equal(found.scales, np.ones(3))


def test_file_with_one_instance_may_leave_out_the_first_axis(tmp_path):
    array = np.random.default_rng(0).random((5, 2))
    assert load_instances(_save(tmp_path / "a.npy", array)).coordinates.shape == (1, 5, 2)


def test_file_outside_the_unit_square_is_scaled_by_one_factor_per_instance(tmp_path):
    # Boxes of 300 x 400 at (100, 200), and of 30 x 10 at (-30, 0): factors 400 and 30.
    array = np.array([[[100, 200], [400, 200], [400, 600]], [[-30, 0], [0, 0], [0, 10]]])
    found = load_instances(_save(tmp_path / "a.npy", array))
    np.testing.assert_array_equal(found.scales, [400, 30])
    expected = [[[0, 0], [0.75, 0], [0.75, 1]], [[0, 0], [1, 0], [1, 1 / 3]]]
    np.testing.assert_allclose(found.coordinates, expected, rtol=1e-7)
    length = tour_length(found.coordinates[0], np.arange(3)) * found.scales[0]
    assert length == pytest.approx(300 + 400 + 500, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uniform:20:10001:1", "COUNT is '10001'"),
        ("uniform:20:0:1", "COUNT is '0'"),
        ("uniform:2:5:1", "N is '2'"),
        ("uniform:1001:5:1", "N is '1001'"),
        ("clustered:20:5:-1", "SEED is '-1'"),
        ("uniform:20:5:4294967296", "SEED is"),
        ("uniform:20:x:1", "COUNT is 'x'"),
        ("uniform:20:²:1", "COUNT is"),
        ("uniform:20:5", "2 numbers"),
        ("uniform:", "1 numbers"),
        ("uniform", "want uniform:N:COUNT:SEED"),
        ("gaussian:20:5:1", "want uniform:N:COUNT:SEED"),
        ("berlin52.txt", "FILE.npy, FILE.tsp or a folder"),
        ("", "want uniform:N:COUNT:SEED"),
        ("missing.npy", "missing.npy: cannot be read: No such file"),
        ("missing.tsp", "missing.tsp: cannot be read: No such file"),
    ],
)
def test_text_that_names_nothing_is_one_line_for_people(text, message):
    with pytest.raises(InstanceError, match=message) as caught:
        load_instances(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 5, 3)), r"the array is \(3, 5, 3\)"),
        (np.zeros((2, 2)), "N >= 3"),
        (np.zeros((0, 5, 2)), "the array is"),
        (np.zeros(4), "the array is"),
        (np.array([[[0, 0], [1, 0], [0, np.nan]]]), "instance 0, city 2: nan"),
        (np.array([[[0, 0], [1, 0], [0, np.inf]]]), "city 2: inf"),
        (np.array([[[0, 0], [1, 0], [-1e300, 1]]]), "city 2: -1e\\+300"),
        (np.stack([np.eye(5)[:, :2], np.full((5, 2), 0.5)]), "instance 1: all cities are at one point"),
        (np.array([["a", "b"]] * 3), "holds <U1"),
        (np.zeros((3, 2), complex), "holds complex128"),
    ],
)
def test_wrong_array_is_one_line_for_people(tmp_path, array, message):
    with pytest.raises(InstanceError, match=message) as caught:
        load_instances(_save(tmp_path / "a.npy", array))
    assert "\n" not in str(caught.value)


def test_pickles_are_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(InstanceError, match="not an array file"):
        load_instances(str(tmp_path / "a.npy"))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore")  # a damaged header may warn of odd escapes
def test_damaged_file_is_refused_or_read_but_never_another_error(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.random.default_rng(0).random((1, 3, 2)))
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(InstanceError):
            load_instances(str(path))
    rng = np.random.default_rng(1)
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert np.isfinite(load_instances(str(path)).coordinates).all()
        except InstanceError:
            continue


@pytest.mark.parametrize("scale", [1e-9, 1e-2, 1.0, 100.0])
def test_unit_of_the_coordinates_does_not_change_what_the_network_sees(scale):
    points = np.random.default_rng(0).random((3, 9, 2))
    points[:, 0], points[:, 1] = 0.0, 1.0  # so that each fills the unit square
    found = from_array("mine", 0.5 * (scale < 1.0) + scale * points)
    np.testing.assert_allclose(found.coordinates, points, atol=1e-6)
    np.testing.assert_allclose(found.scales, scale, rtol=1e-6)


def test_empty_text_is_not_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "a.tsp").write_text("NAME : a\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InstanceError, match="want uniform:N:COUNT:SEED"):
        load_instance_sets([""])
