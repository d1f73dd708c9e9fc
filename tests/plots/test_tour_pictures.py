"""Pictures of tours: size, colors where something was drawn, no global state."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tspmz.plots.style import to_pixels
from tspmz.plots.tours import draw_tours

pytest.importorskip("matplotlib")

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], np.float32)
TOUR_BLUE = (0x1F, 0x5F, 0xA8)
START_RED = (0xC8, 0x28, 0x3C)


def _count(image, color):
    return int((image == np.array(color, np.uint8)).all(axis=2).sum())


def _draw(count, reference=False):
    tours = np.tile(np.arange(4), (count, 1))
    titles = [f"instance {i}" for i in range(count)]
    return to_pixels(
        draw_tours(np.tile(SQUARE, (count, 1, 1)), tours, titles, tours[:, [0, 2, 1, 3]] if reference else None)
    )


def test_picture_is_an_rgb_array_with_tour_and_start():
    image = _draw(1)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert _count(image, TOUR_BLUE) > 1000
    assert _count(image, START_RED) > 30
    assert tuple(image[0, 0]) == (254, 254, 254)


def test_five_panels_take_two_rows():
    one_row, two_rows = _draw(4), _draw(5)
    assert two_rows.shape[0] > 1.5 * one_row.shape[0]
    assert two_rows.shape[1] < one_row.shape[1]


def test_reference_tour_is_drawn_faintly():
    plain, both = _draw(2), _draw(2, reference=True)
    assert plain.shape == both.shape
    peach = (both[:, :, 0] > 230) & (both[:, :, 2] < 200) & (both[:, :, 1] > 180)
    assert peach.sum() > 2000


def test_pictures_repeat():
    np.testing.assert_array_equal(_draw(2, reference=True), _draw(2, reference=True))


def test_drawing_imports_no_pyplot():
    code = (
        "import sys, numpy as np; from tspmz.plots.tours import draw_tours; assert 'matplotlib' not in sys.modules;"
        "draw_tours(np.eye(3)[None, :, :2], np.arange(3)[None], ['t']); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_counts_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match="1 instances, 1 tours, 2 titles"):
        draw_tours(SQUARE[None], np.arange(4)[None], ["a", "b"])
    with pytest.raises(ValueError, match="0 instances"):
        draw_tours(np.zeros((0, 4, 2)), np.zeros((0, 4), int), [])
    with pytest.raises(ValueError, match="2 reference tours"):
        draw_tours(SQUARE[None], np.arange(4)[None], ["a"], np.tile(np.arange(4), (2, 1)))
