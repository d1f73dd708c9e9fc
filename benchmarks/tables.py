"""How good are tours of trained agents beside classical methods and solvers, and what does each cost?

    python -m benchmarks.tables 20=RUN 50=RUN 100=RUN [--markdown]

One table per size, on the test set of the literature (seed 1234; 1,000, 500 and 200 instances): mean gap to LKH with
its 95 % interval, and seconds on one core. RUN is a run directory or checkpoint; `20=none` leaves the agent out.
PyVRP (pip install pyvrp) gets one second per instance, and so only the first instances: its gap is on those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from tspmz.agent import Agent
    from tspmz.decode import Decoding
    from tspmz.types import Float32, Float64

COUNTS = {20: 1000, 50: 500, 100: 200}
SEED = 1234


class Row(NamedTuple):
    """A line of the table: gaps as fractions, seconds for all of the `count` instances."""

    method: str
    gap: float
    low: float
    high: float
    count: int
    seconds: float


def decodings(num_cities: int, simulations: int) -> Iterator[tuple[str, Decoding]]:
    """What tspmz is measured with: the policy alone, more looks at it, and search."""
    from tspmz.decode import Decoding

    yield "tspmz, greedy, one start", Decoding()
    yield f"tspmz, greedy, {num_cities} starts", Decoding(starts=None)
    yield f"tspmz, greedy, {num_cities} starts, 8 symmetries", Decoding(starts=None, augment=8)
    yield f"tspmz, {8 * num_cities} sampled", Decoding("sample", samples=8 * num_cities)
    for count in (simulations, 8 * simulations):
        yield f"tspmz, search, {count} simulations, one start", Decoding("search", count)
    yield f"tspmz, search, {simulations} simulations, {num_cities} starts", Decoding("search", simulations, None)
    true_rules = Decoding("search", 8 * simulations, dynamics="true")
    yield f"tspmz, search with the true rules, {8 * simulations} simulations, one start", true_rules


def measure(coordinates: Float32, agent: Agent | None, limited: int, limit: float) -> Iterator[Row]:
    """Every method on the same instances; LKH first, to which the others are compared."""
    from benchmarks import baselines
    from tspmz.evaluation import gap_interval

    num_cities = coordinates.shape[1]
    references: Float64 = baselines.lkh(coordinates[:1])  # loads it

    def row(method: str, solve: Callable[[Float32], Float64], count: int = len(coordinates)) -> Row:
        nonlocal references
        started = time.perf_counter()
        lengths = solve(coordinates[:count])
        seconds = time.perf_counter() - started
        if method == "LKH":
            references = lengths
        gap = float(lengths.mean() / references[:count].mean() - 1.0)
        return Row(method, gap, *gap_interval(lengths, references[:count]), count, seconds)

    yield row("LKH", baselines.lkh)
    if limited:
        yield row(f"PyVRP, {limit:g} s each", baselines.pyvrp(limit), min(limited, len(coordinates)))
    for name, solve in (
        ("random", baselines.random_tour),
        ("nearest neighbor", baselines.nearest_neighbor),
        ("farthest insertion", baselines.farthest_insertion),
    ):
        solve(coordinates[:1])  # compiles
        yield row(name, solve)
    if agent is not None:
        for name, decoding in decodings(num_cities, agent.config.search.num_simulations):
            agent.decode(coordinates[:1], decoding)
            yield row(name, lambda points, how=decoding: agent.decode(points, how).lengths)  # type: ignore[misc]


@click.command()
@click.argument("agents", nargs=-1, required=True, metavar="CITIES=RUN...")
@click.option("--limited", default=60, show_default=True, help="Instances for PyVRP; 0 leaves it out.")
@click.option("--limit", default=1.0, show_default=True, help="Its seconds per instance.")
@click.option("--markdown", is_flag=True, help="Print the tables as they stand in the docs.")
def main(agents: tuple[str, ...], limited: int, limit: float, markdown: bool) -> None:
    """Print one table per CITIES=RUN."""
    import torch

    from tspmz.agent import load_agent
    from tspmz.tsp.generators import published_uniform

    torch.set_num_threads(1)
    for text in agents:
        size, _, source = text.partition("=")
        if not size.isdecimal() or int(size) not in COUNTS or not source:
            raise click.UsageError(f"{text!r}: want CITIES=RUN with CITIES one of {', '.join(map(str, COUNTS))}")
        agent = None if source == "none" else load_agent(Path(source), "cpu")
        coordinates = published_uniform(int(size), COUNTS[int(size)], SEED)
        rows = sorted(measure(coordinates, agent, limited, limit), key=lambda row: -row.gap)
        show(f"TSP{size}, {len(coordinates):,} instances, seed {SEED}, one core", rows, markdown)


def show(title: str, rows: list[Row], markdown: bool) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    head = ("method", "gap %", "95 % interval", "instances", "seconds", "seconds per instance")
    lines = [
        (
            row.method, f"{100 * row.gap:.3f}", f"{100 * row.low:.3f} to {100 * row.high:.3f}", f"{row.count:,}",
            f"{row.seconds:.1f}", f"{row.seconds / row.count:.4f}",
        )
        for row in rows
    ]  # fmt: skip
    if markdown:
        print(f"{title}:\n\n| {' | '.join(head)} |\n|---|{'--:|' * (len(head) - 1)}")
        print("\n".join(f"| {' | '.join(line)} |" for line in lines), end="\n\n")
        return
    table = Table(title=title)
    for name in head:
        table.add_column(name, justify="left" if name == "method" else "right")
    for line in lines:
        table.add_row(*line)
    Console().print(table)


if __name__ == "__main__":
    main()
