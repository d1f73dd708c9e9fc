"""What `benchmarks.ablation` has found on several days, as one table and one picture.

    python -m benchmarks.ablation_ratios docs/ablation/day-*.json [--plot FILE]

A file of trainings is of one machine at one speed. Each gap is divided by the mean gap of the unchanged settings in the
same file, so that trainings of a fast day and of a slow one stand in one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from benchmarks.ablation import COLUMNS, VARIANTS, Outcome, cells, outcome
from benchmarks.beside_pomo import WAYS
from benchmarks.rendering import markdown_lines
from benchmarks.trainings import Training, mean_and_range, opened

UNCHANGED = next(iter(VARIANTS))
"""The variant that the others are divided by."""


class Ratios(NamedTuple):
    """All trainings of a variant, of whatever day, beside the unchanged settings of their days.

    Attributes:
        variant: its name.
        gaps: by way of decoding, of each training the gap / mean gap of the unchanged settings in its file.
        train_steps: of each training, divided in the same way.
    """

    variant: str
    gaps: dict[str, list[float]]
    train_steps: list[float]


class Day(NamedTuple):
    """The trainings of one file.

    Attributes:
        name: of the file.
        commit: that the first of them was made with.
        outcomes: of the variants that were trained, by name, the unchanged settings among them.
    """

    name: str
    commit: str
    outcomes: dict[str, Outcome]


def day(name: str, trainings: Sequence[Training], cities: int, minutes: float) -> Day:
    """Those of one size and budget.

    Raises:
        click.UsageError: none of them is of the unchanged settings.
    """
    chosen = [one for one in trainings if (one.cities, one.minutes) == (cities, minutes)]
    of_variant = {variant: [one for one in chosen if one.name == variant] for variant in VARIANTS}
    if not of_variant[UNCHANGED]:
        raise click.UsageError(
            f"{name} has no training {UNCHANGED!r} of {cities} cities for {minutes:g} minutes to divide by; "
            f"benchmarks.ablation --only {UNCHANGED!r} makes one."
        )
    outcomes = {variant: outcome(variant, found) for variant, found in of_variant.items() if found}
    return Day(name, of_variant[UNCHANGED][0].machine.commit, outcomes)


def ratios(days: Sequence[Day]) -> list[Ratios]:
    """In the order of the variants, those of which there are trainings."""
    found = {name: Ratios(name, {way: [] for way in WAYS}, []) for name in VARIANTS}
    for one in days:
        unchanged = one.outcomes[UNCHANGED]
        for name, changed in one.outcomes.items():
            for way in WAYS:
                found[name].gaps[way].extend(np.divide(changed.gaps[way], np.mean(unchanged.gaps[way])).tolist())
            found[name].train_steps.extend(np.divide(changed.train_steps, np.mean(unchanged.train_steps)).tolist())
    return [one for one in found.values() if one.train_steps]


def table_of_days(days: Sequence[Day]) -> str:
    """The unchanged settings, which all else is divided by, a line for each file."""
    lines = [[one.name, one.commit, *cells(one.outcomes[UNCHANGED])] for one in days]
    return markdown_lines(("file", "commit", *COLUMNS), [False, False, *[True] * len(COLUMNS)], lines)


def table(found: Sequence[Ratios]) -> str:
    """Mean and range of the trainings of each variant."""
    columns = ("variant", "trainings", *WAYS, "train steps")
    lines = []
    for one in found:
        gaps = [mean_and_range(one.gaps[way], 2) for way in WAYS]
        lines.append([one.variant, str(len(one.train_steps)), *gaps, f"{np.mean(one.train_steps):.2f}"])
    return markdown_lines(columns, [column != "variant" for column in columns], lines)


def draw(found: Sequence[Ratios], path: Path) -> None:
    """A line of dots for each variant, a dot being a training; a panel for each of the first two ways of decoding."""
    from tspmz.plots.style import MUTED, SERIES, dress, new_figure, plain_log_axis

    figure = new_figure(11.0, 0.27 * len(found) + 1.0)
    places = range(len(found))
    for panel, way in zip(figure.subplots(1, 2, sharey=True), WAYS[:2], strict=True):
        dress(panel, "gap / gap of the unchanged settings", "", way)
        panel.set_xscale("log")
        plain_log_axis(panel.xaxis)
        panel.axvline(1.0, color=MUTED, linewidth=1.0)
        for place, one in zip(places, found, strict=True):
            values = one.gaps[way]
            panel.scatter(values, [place] * len(values), s=18, color=SERIES[0], alpha=0.8, linewidths=0)
        panel.set_yticks(places, [one.variant for one in found])
    panel.invert_yaxis()
    figure.savefig(path)


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--cities", default=20, show_default=True)
@click.option("--minutes", default=5.0, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="File for the picture.")
def main(files: tuple[Path, ...], cities: int, minutes: float, plot: Path | None) -> None:
    """Print the tables; draw the picture."""
    days = [day(file.name, opened(file).all, cities, minutes) for file in files]
    found = ratios(days)
    click.echo(f"{cities} cities, {minutes:g} minutes, {UNCHANGED}:\n\n{table_of_days(days)}\n")
    click.echo(f"Gaps and train steps of all, divided by those:\n\n{table(found)}")
    if plot:
        draw(found, plot)


if __name__ == "__main__":
    main()
