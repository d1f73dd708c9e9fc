"""How the best tour of one instance came about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tspmz.plots.style import MUTED, START, TOUR, dress, legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_best_length(
    seconds: NDArray[Any],
    simulations: NDArray[Any],
    lengths: NDArray[Any],
    reference_length: float | None = None,
    polished_length: float | None = None,
) -> Figure:
    """Best length so far, against seconds and, where there was a search, against simulations.

    Args:
        seconds: `[P]`, rising.
        simulations: `[P]`, of all trees together, not falling.
        lengths: `[P]`, not rising.
        reference_length: drawn as a line; None for none.
        polished_length: after a local search, drawn as a mark at the end; None for none.
    """
    searched = bool(simulations[-1] > 0)
    figure = new_figure(9.6 if searched else 5.6, 3.6)
    panels = figure.subplots(1, 1 + searched, squeeze=False)[0]
    axes = [(seconds, "seconds")] + [(simulations, "simulations")] * searched
    for panel, (x, label) in zip(panels, axes, strict=True):
        panel.step(np.asarray(x, np.float64), lengths, where="post", color=TOUR, linewidth=1.8, label="best tour")
        if reference_length is not None:
            panel.axhline(reference_length, color=MUTED, linewidth=1.2, linestyle="--", label="reference")
        if polished_length is not None:
            panel.scatter([x[-1]], [polished_length], color=START, s=30, zorder=3, label="after 2-opt and Or-opt")
        dress(panel, label, "length")
    if searched:
        panels[1].set_xscale("symlog", linthresh=float(simulations[simulations > 0][0]))
        panels[1].set_xlim(0, float(simulations[-1]))
    legend(panels[0], loc="upper right")
    return figure
