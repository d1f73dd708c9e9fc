"""What do search, network and exact rules each bring? One table from random tours to planning with a trained network.

    python -m benchmarks.ladder [RUN] [--instances uniform:20:256:1234] [--markdown] [--plot record.png]

Rows without RUN (a run directory, a checkpoint, or the name of a pretrained model): random tours, constructions, and
the search with the true rules and uniform priors. With it: the policy alone, the search in the learned model with the
exact interior mask and without, and the search with the true rules and the network's priors, at equal simulations per
move. One tour per instance, from city 0, on one core. "Gap" of a search with the true rules is that of the best tour
found, "played" that of the tour that its moves make; for all others the two are the same.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from tspmz.agent import Agent
    from tspmz.decode import Decoded, Decoding
    from tspmz.tsp.instances import InstanceSet
    from tspmz.types import Float64

UNGUIDED_SIMULATIONS = (100, 1000, 10_000)
GUIDED_SIMULATIONS = (8, 32, 100)


class Row(NamedTuple):
    """A line of the table: gaps as fractions, the interval of `gap`, seconds for all instances."""

    method: str
    simulations: int
    gap: float
    low: float
    high: float
    played: float
    seconds: float


class Ladder:
    """Measures methods on one set of instances.

    Args:
        instances: the set; LKH gives the lengths to compare with.

    Attributes:
        decoded: what the searches with the true rules found, by the name of their row.
    """

    def __init__(self, instances: InstanceSet) -> None:
        from tspmz.tsp import reference

        self.instances = instances
        self.references: Float64 = reference.solve_lkh(instances.coordinates)[1]
        self.decoded: dict[str, Decoded] = {}

    def lengths(self, method: str, solve: Callable[[], Float64]) -> Row:
        """The row of a construction."""
        started = time.perf_counter()
        lengths = solve()
        return self._row(method, 0, lengths, lengths, time.perf_counter() - started)

    def decode(self, method: str, agent: Agent, decoding: Decoding) -> Row:
        """The row of a decoding."""
        points = self.instances.coordinates
        agent.warm_up(points, decoding)
        started = time.perf_counter()
        decoded = agent.decode(points, decoding)
        seconds = time.perf_counter() - started
        simulations = agent.simulations(decoding)
        played = decoded.lengths
        if decoded.record is not None:
            self.decoded[f"{method}, {simulations:,} simulations"] = decoded
            played = decoded.record.played_lengths
        return self._row(method, simulations, decoded.lengths, played, seconds)

    def _row(self, method: str, simulations: int, lengths: Float64, played: Float64, seconds: float) -> Row:
        from tspmz.evaluation import gap_interval

        mean = self.references.mean()
        interval = gap_interval(lengths, self.references)
        return Row(
            method, simulations, float(lengths.mean() / mean - 1), *interval, float(played.mean() / mean - 1), seconds
        )


def constructions(ladder: Ladder) -> Iterator[Row]:
    """Random tours and the classical constructions."""
    from benchmarks import baselines

    points = ladder.instances.coordinates
    for method, solve in (
        ("random", baselines.random_tour),
        ("nearest neighbor", baselines.nearest_neighbor),
        ("farthest insertion", baselines.farthest_insertion),
    ):
        solve(points[:1])  # compiles
        yield ladder.lengths(method, lambda solve=solve: solve(points))  # type: ignore[misc]


def unguided(ladder: Ladder, counts: tuple[int, ...]) -> Iterator[Row]:
    """Search with the true rules and no network."""
    from tspmz.agent import untrained_agent
    from tspmz.decode import Decoding

    for leaf_values in ("zero", "nearest_neighbor"):
        how = Decoding("search", dynamics="true", prior="uniform", leaf_values=leaf_values)
        for count in counts:
            method = f"true rules, no network, {leaf_values} values"
            yield ladder.decode(method, untrained_agent(), how._replace(simulations=count))


def guided(ladder: Ladder, agent: Agent, counts: tuple[int, ...]) -> Iterator[Row]:
    """The trained policy, latent search with the exact interior mask and without, the true rules with the network."""
    from tspmz.decode import Decoding

    yield ladder.decode("policy, greedy", agent, Decoding())
    latent = Decoding("search")
    for mask in (True, False):
        search = dataclasses.replace(agent.config.search, mask_interior=mask)
        changed = agent._replace(config=dataclasses.replace(agent.config, search=search))
        method = f"latent search, interior mask {'on' if mask else 'off'}"
        for count in counts:
            yield ladder.decode(method, changed, latent._replace(simulations=count))
    true_rules = Decoding("search", dynamics="true")
    for leaf_values in ("network", "nearest_neighbor"):
        for backup in ("mean", "max"):
            how = true_rules._replace(leaf_values=leaf_values, backup=backup)
            for count in counts:
                method = f"true rules, network prior, {leaf_values} values, {backup} back-up"
                yield ladder.decode(method, agent, how._replace(simulations=count))


def cells(row: Row) -> list[str]:
    """A row as texts."""
    return [
        row.method,
        f"{row.simulations:,}" if row.simulations else "-",
        f"{100 * row.gap:.2f}",
        f"{100 * row.low:.2f} to {100 * row.high:.2f}",
        f"{100 * row.played:.2f}",
        f"{row.seconds:.2f}",
    ]


def draw(ladder: Ladder, path: Path) -> None:
    """The best tour found against the number of simulations, for every search with the true rules."""
    from tspmz.plots.record import Curve, draw_record
    from tspmz.plots.style import to_png

    mean = float(ladder.references.mean())
    largest: dict[str, tuple[int, Curve]] = {}
    for name, decoded in ladder.decoded.items():
        record = decoded.record
        assert record is not None
        method, count = name.rsplit(", ", 1)[0], int(record.simulations[-1])
        played = float(record.played_lengths.mean()) / mean - 1
        curve = Curve(name, record.simulations, record.best_lengths.mean(axis=1) / mean - 1, played)
        if count > largest.get(method, (0, curve))[0]:
            largest[method] = count, curve
    path.write_bytes(to_png(draw_record([curve for _, curve in largest.values()], gaps=True)))


@click.command()
@click.argument("run", required=False)
@click.option("--instances", "spec", default="uniform:20:256:1234", show_default=True)
@click.option("--unguided-simulations", multiple=True, type=int, default=UNGUIDED_SIMULATIONS, show_default=True)
@click.option("--simulations", multiple=True, type=int, default=GUIDED_SIMULATIONS, show_default=True)
@click.option("--no-unguided", is_flag=True, help="Leave the searches without a network out.")
@click.option("--markdown", is_flag=True, help="Print the table as it stands in the docs.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw what was found against simulations.")
def main(
    run: str | None, spec: str, unguided_simulations: tuple[int, ...], simulations: tuple[int, ...],
    no_unguided: bool, markdown: bool, plot: Path | None,
) -> None:  # fmt: skip
    """Print the ladder."""
    import torch
    from rich.console import Console
    from rich.table import Table

    from tspmz.agent import load_agent
    from tspmz.tsp.instances import load_instances

    torch.set_num_threads(1)
    ladder = Ladder(load_instances(spec))
    columns = ("method", "simulations per move", "gap %", "95 % interval", "played %", "seconds")
    parts = [constructions(ladder)]
    if not no_unguided:
        parts.append(unguided(ladder, unguided_simulations))
    if run is not None:
        parts.append(guided(ladder, load_agent(run, "cpu"), simulations))
    rows = []
    for row in itertools.chain(*parts):
        rows.append(row)
        click.echo(f"{row.method}, {row.simulations:,} simulations: {row.seconds:.1f} s", err=True)
    if markdown:
        click.echo("| " + " | ".join(columns) + " |\n|---|" + "--:|" * (len(columns) - 1))
        for row in rows:
            click.echo("| " + " | ".join(cells(row)) + " |")
    else:
        table = Table(*columns, title=spec)
        for row in rows:
            table.add_row(*cells(row))
        Console().print(table)
    if plot is not None:
        draw(ladder, plot)


if __name__ == "__main__":
    main()
