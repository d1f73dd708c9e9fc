"""What `benchmarks.learning` has found, as tables and as pictures.

    python -m benchmarks.beside_pomo docs/beside-pomo.json [--plots FOLDER]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from benchmarks.rendering import markdown_lines
from benchmarks.trainings import Training, opened, spread

TSPMZ, POMO = "tspmz", "POMO"
WAYS = ("one start", "all starts", "all starts x 8")
SEARCHES = {
    "search, learned model": {"dynamics": "learned"},
    "search, true rules": {"dynamics": "true"},
    "search, true rules, insertion values": {"dynamics": "true", "leaf_values": "farthest_insertion"},
    "search from all starts, 2 simulations, true rules, insertion values": {
        "starts": None, "simulations": 2, "dynamics": "true", "leaf_values": "farthest_insertion"
    },
}  # fmt: skip
"""Searches, with which tspmz alone decodes, and their arguments of `tspmz.evaluate`; from one start if not said."""

_COLUMNS = ("minutes", "decoding", "tspmz, gap %", "POMO, gap %", "ratio", "seconds", "POMO, seconds")


class Row(NamedTuple):
    """A line of the table: gaps of the seeds as fractions.

    Attributes:
        minutes: budget.
        way: of decoding.
        tspmz: gap by seed.
        pomo: gap by seed; empty where it has no such decoding.
        seconds: of decoding by tspmz, mean.
        pomo_seconds: by POMO; nan where it has none.
    """

    minutes: float
    way: str
    tspmz: list[float]
    pomo: list[float]
    seconds: float
    pomo_seconds: float

    @property
    def ratio(self) -> float:
        """Mean gap of tspmz / mean gap of POMO; nan without POMO."""
        return float(np.mean(self.tspmz) / np.mean(self.pomo)) if self.pomo else float("nan")


def rows(trainings: Sequence[Training], instances: str) -> Iterator[Row]:
    """The end of every training, on one set of instances."""
    for minutes in sorted({training.minutes for training in trainings}):
        ends = {
            name: [one.points[-1] for one in trainings if one.name == name and one.minutes == minutes]
            for name in (TSPMZ, POMO)
        }
        for way in (*WAYS, *SEARCHES):
            gaps, seconds = {}, {}
            for name, points in ends.items():
                having = [point for point in points if way in point.gaps[instances]]
                gaps[name] = [point.gaps[instances][way] for point in having]
                timed = [point.seconds[instances][way] for point in having if way in point.seconds[instances]]
                seconds[name] = float(np.mean(timed)) if timed else float("nan")
            if gaps[TSPMZ]:
                yield Row(minutes, way, gaps[TSPMZ], gaps[POMO], seconds[TSPMZ], seconds[POMO])


def table(found: Sequence[Row]) -> str:
    """As it stands in the docs."""
    lines = []
    for row in found:
        ratio = f"{row.ratio:.2f}" if row.pomo else "-"
        times = [f"{seconds:.1f}" if np.isfinite(seconds) else "-" for seconds in (row.seconds, row.pomo_seconds)]
        lines.append([f"{row.minutes:g}", row.way, spread(row.tspmz), spread(row.pomo), ratio, *times])
    return markdown_lines(_COLUMNS, [name != "decoding" for name in _COLUMNS], lines)


def report(trainings: Sequence[Training]) -> Iterator[str]:
    """A title and a table for each number of cities and each set of instances."""
    for cities in sorted({one.cities for one in trainings}):
        of_size = [one for one in trainings if one.cities == cities]
        for instances in of_size[0].points[-1].gaps:
            counts = [
                f"{minutes:g} minutes: {len({one.seed for one in of_size if one.minutes == minutes})}"
                for minutes in sorted({one.minutes for one in of_size})
            ]
            cores = ", ".join(sorted({str(one.machine.cores) for one in of_size}))
            title = f"{cities} cities, {instances}, {cores} cores, mean and range of the seeds ({'; '.join(counts)})"
            yield f"{title}:\n\n{table(list(rows(of_size, instances)))}\n"


def draw(trainings: Sequence[Training], folder: Path) -> None:
    """Gap against minutes, a panel per way of decoding, a line per training; a picture per number of cities.

    Where all trainings were measured at their ends only, for the same minutes, there is no line to draw.
    """
    from tspmz.plots.style import SERIES, dress, legend, new_figure, plain_log_axis

    for cities in sorted({one.cities for one in trainings}):
        of_size = [one for one in trainings if one.cities == cities]
        if len({one.minutes for one in of_size}) == 1 and all(len(one.points) == 1 for one in of_size):
            continue
        instances = next(iter(of_size[0].points[-1].gaps))
        figure = new_figure(11.0, 3.6)
        for panel, way in zip(figure.subplots(1, len(WAYS)), WAYS, strict=True):
            dress(panel, "minutes", "gap in percent" if way == WAYS[0] else "", way)
            panel.set_yscale("log")
            plain_log_axis(panel.yaxis)
            labelled = set()
            for one in of_size:
                minutes = [point.minutes for point in one.points]
                gaps = [100.0 * point.gaps[instances][way] for point in one.points]
                label = None if one.name in labelled else one.name
                color = SERIES[one.name == POMO]
                panel.plot(minutes, gaps, color=color, label=label, linewidth=1.4, alpha=0.8, marker="o", markersize=3)
                labelled.add(one.name)
            legend(panel)
        figure.savefig(folder / f"beside-pomo-{cities}.png")


@click.command(help=__doc__)
@click.argument("kept", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--plots", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder for pictures.")
def main(kept: Path, plots: Path | None) -> None:
    """Print the tables; draw the pictures."""
    trainings = opened(kept).all
    for text in report(trainings):
        click.echo(text)
    if plots:
        draw(trainings, plots)


if __name__ == "__main__":
    main()
