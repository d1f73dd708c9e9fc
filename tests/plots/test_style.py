"""Figures on a page: colors that the page can set, identifiers that differ, text that stays text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tspmz.plots.style import TOUR, dress, new_figure, percent, to_png, to_svg


def figure():
    made = new_figure(4, 3)
    panel = made.subplots()
    panel.plot([0, 1], [0, 1], color=TOUR)
    dress(panel, "x axis", "y axis", "a title")
    return made


def test_svg_is_well_formed_and_described():
    root = ElementTree.fromstring(to_svg(figure(), "one", "lengths < gaps"))
    assert root.get("role") == "img"
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text == "lengths < gaps"
    assert title.get("id") == root.get("aria-labelledby")
    texts = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"x axis", "y axis", "a title"} <= texts


def test_svg_takes_its_colors_from_the_page():
    text = to_svg(figure(), "one", "")
    assert f"var(--plot-series-0, {TOUR})" in text
    assert "DejaVu" not in text
    assert "<style" not in text


def test_identifiers_of_two_pictures_differ_and_references_resolve():
    ids = []
    for name in ("one", "two"):
        root = ElementTree.fromstring(to_svg(figure(), name, ""))
        own = {node.get("id") for node in root.iter() if node.get("id")}
        used = {node.get("{http://www.w3.org/1999/xlink}href") for node in root.iter()} - {None}
        assert {name[1:] for name in used} <= own
        ids.append(own)
    assert not ids[0] & ids[1]


def test_equal_figures_give_equal_files():
    assert to_svg(figure(), "one", "") == to_svg(figure(), "one", "")
    assert to_png(figure()) == to_png(figure())


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "12.3 %"), (0.0237, "2.37 %"), (0.00046, "0.046 %"), (np.float64(-1e-9), "0 %")]
)
def test_percent_has_digits_by_size(value, text):
    assert percent(value) == text
    assert percent(value, sign=True) == ("0 %" if text == "0 %" else "+" + text)
