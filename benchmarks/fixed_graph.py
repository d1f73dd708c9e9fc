"""How long until a run with the ancestor's preset plays the shortest tour of its graph, and does it keep to it?

    python -m benchmarks.fixed_graph [--cities 10] [--network fullyconnected] [--network resnet] [--seeds 3]
        [--minutes 4 | --steps 2000] [--set KEY=VALUE]... [--markdown]

One run after the other, a graph for each seed. The greedy tour of each of the run's evaluations is compared with the
exact optimum. "Kept" is the share of the evaluations from the first shortest tour on that are shortest, too. With
--steps, a run is one process (serial mode), which makes its result the same however busy the machine is; there is one
evaluation, at the end.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from benchmarks.live_run import TRAIN

if TYPE_CHECKING:
    from tspmz.curves import LearningCurve

HEAD = (
    "network", "seed", "nearest neighbor %", "minutes to the optimum", "train steps", "games", "kept %", "last gap %",
    "train steps in all",
)  # fmt: skip


class Outcome(NamedTuple):
    """What a run came to; gaps and shares are fractions, and what never happened is None.

    Attributes:
        minutes, train_steps, games: at the first evaluation whose tour was a shortest one.
        kept: share of shortest tours from then on.
        last: gap of the last evaluation.
        steps: train steps at the last evaluation.
    """

    minutes: float | None
    train_steps: int | None
    games: float | None
    kept: float | None
    last: float
    steps: int


def outcome(curve: LearningCurve) -> Outcome:
    """What a run's evaluations say."""
    from tspmz.tsp.reference import SOLVED_TOLERANCE

    shortest = curve.gap_greedy <= SOLVED_TOLERANCE
    last, steps = float(curve.gap_greedy[-1]), int(curve.train_steps[-1])
    if not shortest.any():
        return Outcome(None, None, None, None, last, steps)
    first = int(shortest.argmax())
    kept = float(shortest[first:].mean())
    at = float(curve.minutes[first]), int(curve.train_steps[first]), float(curve.games[first])
    return Outcome(*at, kept, last, steps)


def nearest_neighbor_gap(seed: int, cities: int) -> float:
    """Of the tour from city 0 on a run's graph: how hard it is."""
    import numpy as np

    from tspmz.tsp import generators, tours
    from tspmz.tsp.reference import solve_exact

    graph = generators.fixed_graph("uniform", seed, cities, 3)[None]
    found = tours.nearest_neighbor(graph, np.zeros((1, 1), np.int64))
    return float(tours.tour_lengths(graph, found)[0, 0] / solve_exact(graph)[1][0] - 1)


def train(
    directory: Path, network: str, seed: int, cities: int, bound: Sequence[str], changes: Sequence[str]
) -> Outcome:
    """Run the command up to a bound (words of its command line), and read its curve.

    Raises:
        ClickException: it failed, or did not evaluate.
    """
    from tspmz.curves import read_learning_curve

    words = [
        "--config", "presets/ancestor.toml", "--cities", str(cities), "--network", network, "--seed", str(seed),
        *bound, "--run-dir", str(directory), *(word for text in changes for word in ("--set", text)),
    ]  # fmt: skip
    done = subprocess.run([sys.executable, str(TRAIN), *words], capture_output=True, text=True, check=False)
    curve = read_learning_curve(directory) if done.returncode == 0 else None
    if curve is None:
        raise click.ClickException(f"the run in {directory} gave no curve:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return outcome(curve)


def cells(network: str, seed: int, neighbor: float, found: Outcome) -> tuple[str, ...]:
    """A line of the table, as texts."""
    reached = (
        ("not reached", "", "", "")
        if found.minutes is None
        else (f"{found.minutes:.2f}", f"{found.train_steps:,}", f"{found.games:,.0f}", f"{100 * (found.kept or 0):.0f}")
    )
    gap, last = (f"{max(0.0, 100 * one):.2f}" for one in (neighbor, found.last))  # no -0.00
    return network, str(seed), gap, *reached, last, f"{found.steps:,}"


@click.command()
@click.option("--cities", default=10, show_default=True, type=click.IntRange(min=4, max=12))
@click.option(
    "--network", "networks", multiple=True, default=("fullyconnected", "resnet"), show_default=True,
    type=click.Choice(["fullyconnected", "resnet", "attention"]),
)  # fmt: skip
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="Seeds 0, 1, and so on.")
@click.option("--minutes", default=4.0, show_default=True, help="Of each run.")
@click.option("--steps", type=click.IntRange(min=1), help="Of each run, in one process, in place of --minutes.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Settings other than the preset's.")
@click.option("--markdown", is_flag=True, help="Print the table as it stands in the docs.")
def main(
    cities: int, networks: tuple[str, ...], seeds: int, minutes: float, steps: int | None, changes: tuple[str, ...],
    markdown: bool,
) -> None:  # fmt: skip
    """Train on one graph after the other, and print a line for each."""
    from benchmarks.rendering import print_table

    # one process reanalyzes nothing; nothing would change either, where an episode is shorter than `replay.td_steps`
    serial = ["--set", "run.mode=serial", "--set", "replay.reanalyze_fraction=0"]
    bound = ["--minutes", str(minutes)] if steps is None else ["--steps", str(steps), *serial]
    lines = []
    for network in networks:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory(prefix="fixed-graph-") as folder:
                found = train(Path(folder) / "run", network, seed, cities, bound, changes)
            lines.append(cells(network, seed, nearest_neighbor_gap(seed, cities), found))
            click.echo(", ".join(f"{name} {text}" for name, text in zip(HEAD, lines[-1], strict=True)), err=True)
    print_table(HEAD, lines, markdown, f"{cities} cities, {' '.join(bound[:2])} each")


if __name__ == "__main__":
    main()
