"""tspmz-compare: several agents on the same instances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tspmz.cli.command import CONTEXT_SETTINGS, command_line, run_command, version_option
from tspmz.cli.measuring import (
    PICTURES,
    check_folders,
    instances_option,
    measuring,
    measuring_options,
    measuring_progress,
)
from tspmz.errors import UsageError
from tspmz.pretrained import find_agent

if TYPE_CHECKING:
    from tspmz.comparison import Compared

_TABLE_WIDTH = 136


@click.command(name="tspmz-compare", context_settings=CONTEXT_SETTINGS)
@version_option
@click.argument("sources", metavar="AGENT AGENT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@instances_option(required=True)
@measuring_options
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="OUT", help="Write the result as JSON.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE",
    help="Draw the learning curves over one another (.png or .svg).",
)  # fmt: skip
@click.option(
    "--report", "report_dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write a page about the result, DIR/index.html, with pictures.",
)  # fmt: skip
def compare(
    sources: tuple[Path, ...], instances: tuple[str, ...], json_path: Path | None, plot: Path | None,
    report_dir: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Measure two or more AGENTs on the same instances, and compare each with the first, instance by instance.

    An AGENT is a run folder, a checkpoint, or a pretrained model such as tsp20. Run folders also give learning curves.
    """
    if len(sources) < 2:
        raise UsageError("a comparison needs two agents or more")
    for source in sources:
        find_agent(source)
    how = measuring(**options)
    check_folders({"--json": json_path, "--plot": plot}, report_dir)
    if plot is not None and not any(source.is_dir() for source in sources):
        raise UsageError("--plot: none of the agents is a run folder, and only these have learning curves")
    if plot is not None and plot.suffix not in PICTURES:
        raise UsageError(f"--plot {plot}: must end in .png or .svg")
    from tspmz.comparison import compare as measure
    from tspmz.tsp.instances import InstanceError
    from tspmz.tsp.reference import ReferenceSolverError

    try:
        with measuring_progress(len(sources)) as show:
            rows = measure(sources, instances, **how, on_progress=show)
    except (InstanceError, ReferenceSolverError) as error:
        raise UsageError(str(error)) from None
    _print(rows)
    from tspmz.cli.result_output import write_file, write_plain_json

    if json_path is not None:
        write_plain_json(json_path, {"agents": [row.summary() for row in rows]})
    if plot is not None:
        write_file(plot, _curves(rows, plot.suffix), "--plot")
    if report_dir is not None:
        from tspmz.report.comparison_page import write_comparison

        page = write_comparison(report_dir, rows, instances, command_line(click.get_current_context()))
        click.echo(f"report: {page}", err=True)


def _print(rows: Sequence[Compared]) -> None:
    from rich.console import Console
    from rich.table import Table

    from tspmz.plots.style import percent
    from tspmz.report.evaluation_page import gap_keys
    from tspmz.report.page import gap_text, interval_text, length_text

    table = Table(caption=f"Differences are to {rows[0].name}, paired: below 0, the tours are shorter.")
    table.add_column("agent")
    for name in ("train steps", "mean length", "gap", "95 % interval", "difference", "95 % interval",
                 "shorter", "longer", "seconds"):  # fmt: skip
        table.add_column(name, justify="right")
    for row in rows:
        summary = row.result.summary()
        gap, interval = gap_keys(summary)
        counts = (str(row.shorter), str(row.longer))
        difference = (percent(row.difference, sign=True), interval_text(row.interval), *counts)
        table.add_row(
            row.name, f"{summary['train_steps']:,}", length_text(summary["tour_length_mean"]), gap_text(summary[gap]),
            interval_text(summary[interval]), *(("", "", "", "") if row is rows[0] else difference),
            f"{summary['seconds']:.2f}",
        )  # fmt: skip
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)  # narrower, rich would cut the figures
    console.print(table)
    for note in rows[0].result.notes:
        console.print(note, style="dim", highlight=False, markup=False)


def _curves(rows: Sequence[Compared], suffix: str) -> bytes:
    from tspmz.plots.style import picture_file
    from tspmz.report.comparison_page import curves_figure

    figure = curves_figure(rows, "gap_greedy")
    if figure is None:
        raise UsageError("--plot: none of the agents is a run folder with evaluations in its TensorBoard events")
    return picture_file(figure, suffix, "gap of one greedy tour against minutes, games and train steps")


def main() -> None:
    """Entry point of bin/tspmz-compare."""
    run_command(compare)
