"""The page about several agents side by side, and its learning curves as a picture of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tspmz.comparison import Compared
from tspmz.plots.evaluation import Curve, draw_differences, draw_learning_curves
from tspmz.plots.style import percent
from tspmz.report.evaluation_page import cities_text, decoding_text, gap_keys, names_text, reference_text
from tspmz.report.page import (
    DASH,
    Picture,
    Table,
    gap_text,
    interval_text,
    length_text,
    picture,
    seconds_text,
    write_page,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = (("minutes", "minutes"), ("games", "games"), ("train steps", "train_steps"))
"""Label and field of `LearningCurve`, in the order of the panels."""

_COLUMNS = (
    "agent", "train steps", "mean length", "gap", "95 % interval", "solved", "difference", "95 % interval",
    "shorter / longer", "time per instance",
)  # fmt: skip


def write_comparison(directory: Path, rows: Sequence[Compared], instances: Sequence[str], command: str) -> Path:
    """Write `directory/index.html`.

    Args:
        directory: made if need be.
        rows: what `comparison.compare` found.
        instances: texts that name them.
        command: that makes the page, for the reader.

    Raises:
        UsageError: the page cannot be written.
    """
    first = rows[0].result.summary()
    best = min(rows[1:], key=lambda row: row.difference)
    caption = (
        f"Mean length less that of {rows[0].name} on the same instances, with 95 % intervals; left of the line is "
        f"better."
    )
    return write_page(
        directory,
        "comparison.html.j2",
        kind="comparison",
        title=f"{len(rows)} agents on {first['instances']:,} instances of {cities_text(first['cities'])}",
        lead=f"On {names_text(instances)}, decoded by {decoding_text(first)}; each agent is compared with "
        f"{rows[0].name}, instance by instance.",
        command=command,
        figures=[
            (f"gap of {row.name}", gap_text(row.result.summary()[gap_keys(first)[0]]), _against(row, rows[0].name))
            for row in rows
        ],
        best=_verdict(best, rows[0]),
        result=_table(rows),
        differences=picture(
            draw_differences([(row.name, row.difference, row.interval) for row in rows[1:]]), "differences", caption
        ),
        curves=_curve_pictures(rows),
        without_curve=[row.name for row in rows if row.curve is None],
    )


def _against(row: Compared, first: str) -> str:
    if row.name == first:
        return "what the others are compared with"
    return f"{percent(row.difference, sign=True)} beside {first}"


def _verdict(best: Compared, first: Compared) -> str:
    low, high = best.interval
    if low <= 0 <= high:
        return f"No agent is better than {first.name} by more than what other instances may change."
    if best.difference > 0:
        return f"{first.name} is the best on these instances."
    return f"{best.name} is better than {first.name}, by {percent(-best.difference)} ({interval_text(best.interval)})."


def _table(rows: Sequence[Compared]) -> Table:
    cells = []
    for row in rows:
        summary = row.result.summary()
        gap, interval = gap_keys(summary)
        solved = summary["solved_share"]
        other = row is not rows[0]
        cells.append(
            (
                row.name, f"{summary['train_steps']:,}", length_text(summary["tour_length_mean"]),
                gap_text(summary[gap]), interval_text(summary[interval]),
                DASH if solved is None else f"{100 * solved:.1f} %",
                percent(row.difference, sign=True) if other else DASH, interval_text(row.interval) if other else DASH,
                f"{row.shorter:,} / {row.longer:,}" if other else DASH,
                seconds_text(summary["seconds"] / summary["instances"]),
            )
        )  # fmt: skip
    caption = (
        f"Gap to {reference_text(rows[0].result.reference)}; differences are to {rows[0].name}, paired: below 0, the "
        f"agent's tours are shorter. Shorter / longer counts instances."
    )
    return Table(caption, _COLUMNS, cells)


def curves_figure(rows: Sequence[Compared], field: str) -> Figure | None:
    """Learning curves over one another; None where no agent has one.

    Args:
        rows: the agents.
        field: `gap_greedy` or `gap_multi`.
    """
    known = [(row.name, row.curve) for row in rows if row.curve is not None]
    if not known:
        return None
    return draw_learning_curves(
        [
            (label, [Curve(name, getattr(curve, axis), getattr(curve, field)) for name, curve in known])
            for label, axis in AXES
        ]
    )


def _curve_pictures(rows: Sequence[Compared]) -> list[Picture]:
    pictures = []
    measured = (("gap_greedy", "one greedy tour per instance"), ("gap_multi", "the best tour of several starts"))
    for field, what in measured:
        figure = curves_figure(rows, field)
        if figure is not None:
            caption = f"Gap while training, {what}, on each run's own held-out instances."
            pictures.append(picture(figure, f"curves-{field.replace('_', '-')}", caption))
    return pictures
