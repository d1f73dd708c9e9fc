"""How far is an agent from the published optima of TSPLIB?

    python -m benchmarks.tsplib_table RUN FOLDER [--max-cities 200] [--markdown]

Greedy tours from all starts on all symmetries, of every .tsp file in FOLDER whose optimum is known, by the rule of
each file: per instance, and the mean gap of those with fewer than 50 cities, 50 to 100, and more. RUN is a run
directory, a checkpoint, or the name of a pretrained model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tspmz.evaluation import EvaluationResult, InstanceResult

GROUPS = (("below 50", 0, 49), ("50 to 100", 50, 100), ("above 100", 101, 10**9))
HEAD = ("instance", "cities", "length", "optimum", "gap %", "solved", "seconds")


@click.command()
@click.argument("source", metavar="RUN")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--max-cities", default=200, show_default=True)
@click.option("--decode", default="greedy", show_default=True, type=click.Choice(["greedy", "sample", "search"]))
@click.option("--simulations", default=None, type=click.IntRange(min=1), help="Per move, with --decode search.")
@click.option("--samples", default=1, show_default=True, type=click.IntRange(min=1), help="With --decode sample.")
@click.option("--markdown", is_flag=True, help="Print the table as it stands in the docs.")
def main(
    source: str, folder: Path, max_cities: int, decode: str, simulations: int | None, samples: int, markdown: bool
) -> None:
    """Print a line per instance, and one per group of sizes."""
    import torch

    from tspmz.agent import load_agent
    from tspmz.evaluation import evaluate
    from tspmz.tsp.instances import load_instance_sets
    from tspmz.tsp.optima import PUBLISHED_OPTIMA

    torch.set_num_threads(1)
    agent = load_agent(source, "cpu")
    sets = [
        one
        for one in load_instance_sets([str(folder)])
        if one.coordinates.shape[1] <= max_cities and one.names[0] in PUBLISHED_OPTIMA
    ]
    if not sets:
        raise click.UsageError(f"{folder}: no file with a published optimum and at most {max_cities} cities")
    results: list[EvaluationResult] = []
    for one in sorted(sets, key=lambda one: (one.coordinates.shape[1], one.names[0])):
        results.append(
            evaluate(
                agent, [one], decode=decode, simulations=simulations, samples=samples, starts=None, augment=8,
                reference="published",
            )
        )  # fmt: skip
        found = results[-1].instances[0]
        click.echo(f"{found.name}: {found.length:,.0f}, {found.seconds:.1f} s", err=True)
    show(lines_of([one for result in results for one in result.instances]), _notes(results), markdown)


def lines_of(instances: Sequence[InstanceResult]) -> list[tuple[str, ...]]:
    """A line per instance, then one per group of sizes, as texts in the order of `HEAD`."""
    from tspmz.evaluation import SOLVED_TOLERANCE

    lines = []
    for one in instances:
        assert one.reference_length is not None
        assert one.gap is not None
        solved = "yes" if one.gap <= SOLVED_TOLERANCE else ""
        numbers = (f"{one.length:,.0f}", f"{one.reference_length:,.0f}", f"{100 * one.gap:.2f}", solved)
        lines.append((one.name, str(one.num_cities), *numbers, f"{one.seconds:.2f}"))
    for name, low, high in (*GROUPS, ("any number of cities", 0, 10**9)):
        group = [one for one in instances if low <= one.num_cities <= high]
        if group:
            gaps = [one.gap or 0.0 for one in group]
            solved = f"{sum(gap <= SOLVED_TOLERANCE for gap in gaps)} of {len(group)}"
            gap, seconds = f"{100 * sum(gaps) / len(gaps):.2f}", f"{sum(one.seconds for one in group):.2f}"
            lines.append((f"mean of the {len(group)} with {name}", "", "", "", gap, solved, seconds))
    return lines


def _notes(results: Sequence[EvaluationResult]) -> list[str]:
    """What the network saw of which instances, a line per way."""
    names: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            name, _, what = note.partition(": ")
            names.setdefault(what, []).append(name)
    return [f"{', '.join(found)}: {what}" for what, found in names.items()]


def show(lines: Sequence[tuple[str, ...]], notes: Sequence[str], markdown: bool) -> None:
    """Print the table."""
    from rich.console import Console

    from benchmarks.rendering import print_table

    print_table(HEAD, lines, markdown)
    if markdown:
        print("\n" + "\n".join(notes))
        return
    console = Console()
    for note in notes:
        console.print(note, style="dim", highlight=False)


if __name__ == "__main__":
    main()
