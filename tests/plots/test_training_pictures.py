"""Pictures of a network: what is drawn is what was given, and the tree's places keep families apart."""

from __future__ import annotations

import numpy as np

from tspmz.plots.style import to_pixels
from tspmz.plots.training import (
    SearchedMove,
    _layout,
    draw_entropy_by_move,
    draw_search_tree,
    draw_value_calibration,
)
from tspmz.search.tree import NODE


def curve(figure, label):
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == label]
    return line.get_xdata(), line.get_ydata()


def test_entropy_by_move_shows_median_and_ignorance():
    figure = draw_entropy_by_move(np.array([[0.9, 0.2, 0.0], [0.5, 0.1, 0.0], [0.1, 0.6, 0.0]]))
    np.testing.assert_allclose(curve(figure, "median")[1], [0.5, 0.2, 0.0])
    np.testing.assert_allclose(curve(figure, "knows nothing")[1], np.log([3, 2, 1]))
    assert to_pixels(figure).std() > 0


def test_value_calibration_shows_error_and_bias():
    returns = -np.array([[3.0, 2.0, 1.0]] * 4)
    figure = draw_value_calibration(returns + 0.25, returns)
    left, right = figure.axes
    points = left.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1] - points[:, 0], 0.25)
    assert "0.250 (root" in left.get_title(loc="left")
    assert "+0.250" in right.get_title(loc="left")
    np.testing.assert_allclose(right.lines[1].get_ydata(), 0.25)


def test_places_of_a_tree_by_hand():
    #      0
    #    1   3
    #   2 5  4
    places = _layout(np.array([-1, 0, 1, 0, 3, 1]))
    np.testing.assert_allclose(places, [[1.25, 0], [0.5, 1], [0, 2], [2, 1], [2, 2], [1, 2]])


def test_search_tree_names_cities_and_visits():
    nodes = np.zeros(4, NODE)
    nodes["parent"], nodes["action"], nodes["visits"] = (-1, 0, 0, 1), (-1, 3, 1, 2), (4, 2, 1, 1)
    coordinates = np.random.default_rng(0).random((5, 2))
    figure = draw_search_tree(SearchedMove(coordinates, np.array([4, 0]), nodes))
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert {"3", "1", "2"} <= set(texts)
    assert sum(text.startswith("visits 2") for text in texts) == 1
    assert "3 simulations, depth 2" in figure.axes[1].get_title(loc="left")
    assert to_pixels(figure).std() > 0
