"""Pictures of tours beside reference tours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tspmz.plots.style import INK, MUTED, PAPER, REFERENCE, START, TOUR, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANEL_INCHES = 3.2
_SINGLE_PANEL_INCHES = 5.0
_MAX_COLUMNS = 4


def draw_tours(
    coordinates: NDArray[Any],
    tours: NDArray[Any],
    titles: Sequence[str],
    reference_tours: NDArray[Any] | None = None,
) -> Figure:
    """Draw each tour in a panel of its own, at most four to a row.

    Args:
        coordinates: `[I, N, 2]`.
        tours: `[I, N]` integers; the start is marked with a square.
        titles: I texts, one above each panel.
        reference_tours: `[I, N]` integers, drawn broad and faint below; None for none.

    Raises:
        ValueError: nothing to draw, or counts that do not agree.
    """
    count = len(coordinates)
    if not count or len(tours) != count or len(titles) != count:
        raise ValueError(f"{count} instances, {len(tours)} tours, {len(titles)} titles: want equal counts")
    if reference_tours is not None and len(reference_tours) != count:
        raise ValueError(f"{len(reference_tours)} reference tours for {count} instances")
    rows = math.ceil(count / _MAX_COLUMNS)
    columns = math.ceil(count / rows)
    inches = _SINGLE_PANEL_INCHES if count == 1 else _PANEL_INCHES
    figure = new_figure(inches * columns, (inches + 0.25) * rows + 0.35)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for i, panel in enumerate(panels):
        panel.set_axis_off()
        if i < count:
            reference = None if reference_tours is None else reference_tours[i]
            _draw_panel(panel, coordinates[i], tours[i], titles[i], reference)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9, labelcolor=INK
    )
    return figure


def draw_path(coordinates: NDArray[Any], path: NDArray[Any], title: str, closed: bool) -> Figure:
    """Draw a tour as far as it goes.

    Args:
        coordinates: `[N, 2]`.
        path: integers, the cities visited so far; the start is marked with a square, the last one with a ring.
        title: above the panel.
        closed: with the edge from the last city to the first.
    """
    figure = new_figure(_SINGLE_PANEL_INCHES, _SINGLE_PANEL_INCHES + 0.35)
    panel = figure.subplots()
    panel.set_axis_off()
    _draw_panel(panel, coordinates, path, title, None, closed)
    if not closed:
        x, y = coordinates[path[-1]]
        panel.scatter(x, y, s=140, facecolors="none", edgecolors=TOUR, linewidths=1.6, zorder=5)
    return figure


def draw_tour_beside_reference(
    coordinates: NDArray[Any], tour: NDArray[Any], reference_tour: NDArray[Any] | None
) -> Figure:
    """A tour and, beside it, the reference tour; edges that only one of them has stand out.

    Args:
        coordinates: `[N, 2]`.
        tour: `[N]` integers.
        reference_tour: `[N]` integers; None: the tour stands alone.
    """
    known = reference_tour is not None
    figure = new_figure(2.6 * (2 if known else 1), 2.6)
    panels = figure.subplots(1, 2 if known else 1, squeeze=False)[0]
    theirs = _edges(reference_tour) if reference_tour is not None else _edges(tour)
    _draw_edges(panels[0], coordinates, tour, theirs, TOUR, START)
    if reference_tour is not None:
        _draw_edges(panels[1], coordinates, reference_tour, _edges(tour), MUTED, REFERENCE)
    return figure


def _edges(tour: NDArray[Any]) -> set[frozenset[int]]:
    return {frozenset(edge) for edge in zip(tour.tolist(), np.roll(tour, -1).tolist(), strict=True)}


def _draw_edges(
    panel: Any, points: NDArray[Any], tour: NDArray[Any], common: set[frozenset[int]], color: str, own_color: str
) -> None:
    for a, b in zip(tour.tolist(), np.roll(tour, -1).tolist(), strict=True):
        own = frozenset((a, b)) not in common
        x, y = points[[a, b]].T
        panel.plot(x, y, color=own_color if own else color, linewidth=2.2 if own else 1.3, zorder=2 if own else 1)
    panel.scatter(points[:, 0], points[:, 1], s=min(12.0, 90.0 / math.sqrt(len(points))), color=INK, zorder=3, lw=0)
    panel.set_axis_off()
    panel.set_aspect("equal", adjustable="datalim")
    panel.margins(0.05)


def _draw_panel(
    panel: Any, points: NDArray[Any], tour: NDArray[Any], title: str, reference_tour: NDArray[Any] | None,
    closed: bool = True,
) -> None:  # fmt: skip
    if reference_tour is not None:
        x, y = _closed(points, reference_tour)
        panel.plot(x, y, color=REFERENCE, alpha=0.35, linewidth=6, solid_joinstyle="round", label="reference tour")
    x, y = _closed(points, tour) if closed else points[tour].T
    panel.plot(x, y, color=TOUR, linewidth=1.6, solid_joinstyle="round", label="tour")
    dot = min(22.0, 90.0 / math.sqrt(len(points)))
    panel.scatter(points[:, 0], points[:, 1], s=dot, color=INK, zorder=3, linewidths=0)
    start = points[tour[0]]
    panel.scatter(
        start[0], start[1], s=60, marker="s", color=START, edgecolors=PAPER, linewidths=1, zorder=4, label="start"
    )
    panel.set_title(title, fontsize=10, color=INK)
    panel.set_aspect("equal", adjustable="datalim")
    panel.margins(0.05)


def _closed(points: NDArray[Any], tour: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    path = points[np.append(tour, tour[0])]
    return path[:, 0], path[:, 1]
