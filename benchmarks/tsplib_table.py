"""How far is an agent from the published optima of TSPLIB?

    python -m benchmarks.tsplib_table RUN_OR_CHECKPOINT FOLDER [--max-cities 200] [--markdown]

Greedy tours from all starts on all symmetries, of every .tsp file in FOLDER whose optimum is known, by the rule of
each file: per instance, and the mean gap of those with fewer than 50 cities, 50 to 100, and more.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tspmz.evaluation import EvaluationResult

GROUPS = (("below 50", 0, 49), ("50 to 100", 50, 100), ("above 100", 101, 10**9))


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--max-cities", default=200, show_default=True)
@click.option("--decode", default="greedy", show_default=True, type=click.Choice(["greedy", "sample", "search"]))
@click.option("--simulations", default=None, type=int)
@click.option("--markdown", is_flag=True, help="Print the table as it stands in the docs.")
def main(
    source: Path, folder: Path, max_cities: int, decode: str, simulations: int | None, markdown: bool
) -> None:
    """Print a line per instance, and one per group of sizes."""
    import torch

    from tspmz.evaluation import evaluate
    from tspmz.tsp.instances import load_instance_sets
    from tspmz.tsp.optima import PUBLISHED_OPTIMA

    torch.set_num_threads(1)
    sets = [
        one
        for one in load_instance_sets([str(folder)])
        if one.coordinates.shape[1] <= max_cities and one.names[0] in PUBLISHED_OPTIMA
    ]
    if not sets:
        raise click.UsageError(f"{folder}: no file with a published optimum and at most {max_cities} cities")
    result = evaluate(
        source, sets, decode=decode, simulations=simulations, starts=None, augment=8, reference="published",
        device="cpu",
    )  # fmt: skip
    show(result, markdown)


def show(result: EvaluationResult, markdown: bool) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    head = ("instance", "cities", "length", "optimum", "gap %", "seconds")
    lines = []
    for one in sorted(result.instances, key=lambda one: (one.num_cities, one.name)):
        assert one.reference_length is not None
        assert one.gap is not None
        numbers = (f"{one.length:,.0f}", f"{one.reference_length:,.0f}", f"{100 * one.gap:.2f}", f"{one.seconds:.2f}")
        lines.append((one.name, str(one.num_cities), *numbers))
    for name, low, high in GROUPS:
        group = [one for one in result.instances if low <= one.num_cities <= high]
        if group:
            gap = 100 * sum(one.gap or 0.0 for one in group) / len(group)
            seconds = sum(one.seconds for one in group)
            lines.append((f"mean of the {len(group)} with {name}", "", "", "", f"{gap:.2f}", f"{seconds:.2f}"))
    if markdown:
        print(f"| {' | '.join(head)} |\n|---|{'--:|' * (len(head) - 1)}")
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
        print("\n" + "\n".join(result.notes))
        return
    table = Table()
    for name in head:
        table.add_column(name, justify="left" if name == "instance" else "right")
    for line in lines:
        table.add_row(*line)
    console = Console()
    console.print(table)
    for note in result.notes:
        console.print(note, style="dim", highlight=False)


if __name__ == "__main__":
    main()
