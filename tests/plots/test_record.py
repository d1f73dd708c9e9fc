"""The picture of what a search found: its curves are the numbers, and what is not known is not drawn."""

from __future__ import annotations

import numpy as np
import pytest

from tspmz.plots.record import Curve, draw_record
from tspmz.plots.style import to_pixels

CURVE = Curve("uniform prior", np.array([1, 10, 100]), np.array([np.inf, 0.2, 0.1]), 0.15)


def test_known_numbers_are_drawn() -> None:
    figure = draw_record([CURVE, CURVE._replace(label="network", played=0.05)], gaps=True)
    (panel,) = figure.axes
    best, played, *_ = panel.get_lines()
    assert best.get_xydata().tolist() == [[10, 0.2], [100, 0.1]]
    assert set(played.get_ydata()) == {0.15}
    assert panel.get_xscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["uniform prior", "network", "tour played"]
    assert to_pixels(figure).std() > 1


def test_lengths_and_gaps_are_told_apart() -> None:
    names = [draw_record([CURVE], gaps=gaps).axes[0].get_ylabel() for gaps in (True, False)]
    assert names == ["gap", "length"]


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="no curve"):
        draw_record([], gaps=True)
