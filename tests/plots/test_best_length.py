"""Picture of how the best tour came about: what stands in its curves."""

from __future__ import annotations

import numpy as np
import pytest

from tspmz.plots.best_length import draw_best_length
from tspmz.plots.style import to_png

SECONDS = np.array([0.1, 0.5, 2.0])
LENGTHS = np.array([12.0, 11.0, 10.5])


def test_curves_hold_the_history_against_time_and_simulations() -> None:
    figure = draw_best_length(SECONDS, np.array([0, 100, 900]), LENGTHS, reference_length=10.0, polished_length=10.2)
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("seconds", "simulations")
    for panel, x in ((left, SECONDS), (right, [0, 100, 900])):
        best, reference = panel.lines
        np.testing.assert_array_equal(best.get_xdata(), x)
        np.testing.assert_array_equal(best.get_ydata(), LENGTHS)
        assert list(reference.get_ydata()) == [10.0, 10.0]
        ((_, polished),) = panel.collections[0].get_offsets()
        assert polished == pytest.approx(10.2)
    assert right.get_xlim() == (0, 900)
    assert to_png(figure).startswith(b"\x89PNG")


def test_without_a_search_there_is_one_panel() -> None:
    (panel,) = draw_best_length(SECONDS, np.zeros(3), LENGTHS).axes
    assert len(panel.lines) == 1
