"""Pictures of evaluations: distribution of gaps, gap against time spent, learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.plots.style import (
    INK,
    MUTED,
    PAPER,
    SERIES,
    START,
    TOUR,
    dress,
    legend,
    new_figure,
    percent,
    percent_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 40
_SMALLEST_GAP = 1e-5
"""Below this, logarithmic axes show a gap as if it were so large: a gap of 0 has no place there."""


class Curve(NamedTuple):
    """A line through points.

    Attributes:
        name: in the legend.
        x: `[P]`.
        y: `[P]`.
        labels: P short texts beside the points; none where empty.
        low: `[P]` lower end of an interval around y; None for none.
        high: `[P]` upper end.
    """

    name: str
    x: NDArray[Any]
    y: NDArray[Any]
    labels: Sequence[str] = ()
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None


def draw_gap_histogram(gaps: NDArray[Any]) -> Figure:
    """How many instances have which gap.

    Args:
        gaps: `[I]` fractions.
    """
    figure = new_figure(8.0, 3.2)
    panel = figure.subplots()
    low, high = min(0.0, float(gaps.min())), max(float(gaps.max()), 1e-6)
    panel.hist(gaps, bins=_BINS, range=(low, high), color=TOUR, edgecolor=PAPER, linewidth=0.6)
    marks = (("mean", gaps.mean(), START, "-"), ("median", np.median(gaps), INK, "--"))
    for name, value, color, style in marks:
        panel.axvline(value, color=color, linewidth=1.4, linestyle=style, label=f"{name} {percent(value)}")
    dress(panel, "gap of an instance", "instances")
    percent_axis(panel.xaxis)
    legend(panel)
    return figure


def draw_gap_against_budget(curves: Sequence[Curve], xlabel: str) -> Figure:
    """Gap against what was spent, both logarithmic; each point says what it is."""
    figure = new_figure(7.6, 4.2)
    panel = figure.subplots()
    for i, curve in enumerate(curves):
        color = SERIES[i % len(SERIES)]
        y = np.maximum(curve.y, _SMALLEST_GAP)
        if curve.low is not None and curve.high is not None:
            low, high = np.maximum(curve.low, _SMALLEST_GAP), np.maximum(curve.high, _SMALLEST_GAP)
            panel.fill_between(curve.x, low, high, color=color, alpha=0.14, linewidth=0)
        panel.plot(curve.x, y, "o-", color=color, linewidth=1.8, markersize=5, label=curve.name)
        place = (0, 9) if i % 2 == 0 else (0, -14)
        for x, gap, text in zip(curve.x, y, curve.labels, strict=False):
            panel.annotate(
                text, (x, gap), place, textcoords="offset points", ha="center", fontsize=7.5, color=MUTED
            )
    panel.set_xscale("log")
    panel.set_yscale("log")
    dress(panel, xlabel, "gap")
    _percent_log_axis(panel)
    panel.margins(0.08, 0.14)
    legend(panel, loc="best")
    return figure


def draw_differences(rows: Sequence[tuple[str, float, tuple[float, float]]]) -> Figure:
    """Differences with their intervals, a line each, beside a line at 0.

    Args:
        rows: name, difference and its interval, fractions.
    """
    figure = new_figure(9.6, 1.2 + 0.45 * len(rows))
    panel = figure.subplots()
    panel.axvline(0.0, color=MUTED, linewidth=1.2, linestyle="--")
    for i, (_, difference, (low, high)) in enumerate(rows):
        panel.plot((low, high), (i, i), color=SERIES[(i + 1) % len(SERIES)], linewidth=3, solid_capstyle="round")
        panel.plot(difference, i, "o", color=SERIES[(i + 1) % len(SERIES)], markersize=8)
        panel.annotate(
            percent(difference, sign=True), (difference, i), (0, 9), textcoords="offset points", ha="center",
            fontsize=8.5, color=INK,
        )  # fmt: skip
    dress(panel, "difference of mean lengths")
    panel.grid(False, axis="y")
    panel.set_yticks(range(len(rows)), [name for name, _, _ in rows], color=INK)
    panel.set_ylim(len(rows) - 0.4, -0.7)
    percent_axis(panel.xaxis)
    return figure


def draw_learning_curves(panels: Sequence[tuple[str, Sequence[Curve]]]) -> Figure:
    """Gap while training, logarithmic, a panel for each x-axis.

    Args:
        panels: label of the x-axis, and the curves over it; equal places have equal colors.
    """
    figure = new_figure(max(6.4, 3.5 * len(panels)), 3.8)
    for i, (panel, (xlabel, curves)) in enumerate(
        zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels, strict=True)
    ):
        for number, curve in enumerate(curves):
            shown = np.maximum(curve.y, _SMALLEST_GAP)
            panel.plot(curve.x, shown, ".-", color=SERIES[number % len(SERIES)], linewidth=1.7, label=curve.name)
        panel.set_yscale("log")
        dress(panel, xlabel, "gap" if i == 0 else "")
        _percent_log_axis(panel)
        _thousands_axis(panel)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=min(len(labels), 3), frameon=False, fontsize=9, labelcolor=INK
    )
    return figure


def _percent_log_axis(panel: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    percent_axis(panel.yaxis)
    panel.yaxis.set_minor_formatter(NullFormatter())


def _thousands_axis(panel: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def short(value: float, _: Any) -> str:
        return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e4 else f"{value:g}"

    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_formatter(FuncFormatter(short))
