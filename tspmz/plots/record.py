"""The best tour that a search found, against the number of its simulations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tspmz.plots.style import INK, MUTED, SERIES, dress, new_figure, percent_axis
from tspmz.types import Float64, Int64

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Curve(NamedTuple):
    """One search.

    Attributes:
        label: what was searched with.
        simulations: `[R]`.
        best: `[R]`, mean over the instances of the best length found by then, or its gap; not finite where an instance
            has no tour yet.
        played: the same of the tours that the chosen moves made.
    """

    label: str
    simulations: Int64
    best: Float64
    played: float


def draw_record(curves: Sequence[Curve], *, gaps: bool) -> Figure:
    """Curves over a logarithmic number of simulations; a dashed line each for the tours that were played.

    Args:
        curves: at least one.
        gaps: `best` and `played` are gaps (fractions), not lengths.

    Raises:
        ValueError: no curve.
    """
    if not curves:
        raise ValueError("no curve: nothing to draw")
    figure = new_figure(6.4, 4.0 + 0.25 * len(curves))
    panel = figure.subplots()
    for i, curve in enumerate(curves):
        color = SERIES[i % len(SERIES)]
        known = np.isfinite(curve.best)
        panel.plot(curve.simulations[known], curve.best[known], color=color, linewidth=1.8, label=curve.label)
        panel.axhline(curve.played, color=color, linewidth=1.0, linestyle="--")
    panel.plot([], [], color=MUTED, linewidth=1.0, linestyle="--", label="tour played")
    panel.set_xscale("log")
    panel.set_xlim(1, max(curve.simulations[-1] for curve in curves))
    dress(panel, "simulations, all moves of a tour", "gap" if gaps else "length", "best tour found, mean of instances")
    if gaps:
        percent_axis(panel.yaxis)
    figure.legend(loc="outside lower left", frameon=False, fontsize=9, labelcolor=INK)
    return figure
