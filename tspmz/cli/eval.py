"""tspmz-eval: measure a trained agent on sets of instances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tspmz.cli.command import CONTEXT_SETTINGS, command_line, run_command, version_option
from tspmz.cli.measuring import (
    PICTURES,
    agent_and_files,
    check_folders,
    instances_option,
    measuring,
    measuring_options,
    measuring_progress,
)
from tspmz.errors import UsageError
from tspmz.pretrained import find_agent


@click.command(name="tspmz-eval", context_settings=CONTEXT_SETTINGS)
@version_option
@click.argument("words", metavar="[AGENT] [FILE]...", nargs=-1)
@instances_option(required=False)
@measuring_options
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="OUT", help="Write the result as JSON.")
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), metavar="OUT", help="Write a line per instance as CSV."
)
@click.option(
    "--record-plot", type=click.Path(path_type=Path), metavar="FILE.png",
    help="Draw the best tour found against the number of simulations (--dynamics true).",
)  # fmt: skip
@click.option(
    "--report", "report_dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write a page about the result, DIR/index.html, with pictures; it also measures what more time buys.",
)  # fmt: skip
def evaluate(
    words: tuple[str, ...], instances: tuple[str, ...], json_path: Path | None, csv_path: Path | None,
    record_plot: Path | None, report_dir: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Measure AGENT (a run folder, a checkpoint, or a pretrained model) on sets of instances.

    Without AGENT it is the one of those that come along whose number of cities is nearest (tsp20, tsp50), or none with
    --prior uniform. A FILE is .tsp or .npy and counts as if --instances named it.
    """
    named, files = agent_and_files(words)
    if named is not None:
        find_agent(named)
    if not (instances or files):
        raise UsageError("no instances: name --instances SPEC, such as uniform:20:1000:1234, or FILE.tsp or FILE.npy")
    how = measuring(**options)
    if record_plot is not None and how["dynamics"] != "true":
        raise UsageError("--record-plot needs --decode search --dynamics true")
    if record_plot is not None and record_plot.suffix not in PICTURES:
        raise UsageError(f"--record-plot {record_plot}: must end in .png or .svg")
    check_folders({"--json": json_path, "--csv": csv_path, "--record-plot": record_plot}, report_dir)
    from tspmz.evaluation import evaluate as measure
    from tspmz.tsp.instances import InstanceError, load_instance_sets
    from tspmz.tsp.reference import ReferenceSolverError

    agent: Any = named
    sets: Any = [*instances, *files]
    try:
        if record_plot is not None or report_dir is not None:
            sets = load_instance_sets(sets)
        if record_plot is not None and (len(sets) != 1 or sets[0].problem is not None):
            raise UsageError(
                "--record-plot: there is a record only for one set of instances with lengths in the plane, not for "
                + ", ".join(one.name for one in sets)
            )
        if report_dir is not None:  # which needs both once more
            from tspmz.agent import get_agent

            most = max(one.coordinates.shape[1] for one in sets)
            agent = get_agent(named, how["device"], num_cities=most, network=how["prior"] == "network")
        with measuring_progress() as show:
            result = measure(agent, sets, **how, on_progress=show)
    except (InstanceError, ReferenceSolverError) as error:
        raise UsageError(str(error)) from None
    from tspmz.cli import result_output

    result_output.print_result(result)
    if json_path is not None:
        result_output.write_json(json_path, result)
    if csv_path is not None:
        result_output.write_csv(csv_path, result)
    if record_plot is not None:
        result_output.write_record_plot(record_plot, result)
    if report_dir is not None:
        from tspmz.report.evaluation_page import write_report

        page = write_report(report_dir, agent, sets, result, command_line(click.get_current_context()))
        click.echo(f"report: {page}", err=True)


def main() -> None:
    """Entry point of bin/tspmz-eval."""
    run_command(evaluate)
