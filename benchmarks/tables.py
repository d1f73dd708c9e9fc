"""How good are tours of trained agents beside classical methods and solvers, and what does each cost?

    python -m benchmarks.tables 20=RUN 50=RUN 100=RUN [--markdown]
    python -m benchmarks.tables 20=tsp20 --store tsp20.json         # one size now
    python -m benchmarks.tables 100=none --store tsp100.json        # another later, here without an agent
    python -m benchmarks.tables --stored tsp20.json --stored tsp100.json --markdown

One table per size, on the test set of the literature (seed 1234; 1,000, 500 and 200 instances): mean length, gap to
LKH with its 95 % interval, share solved to LKH's length, and seconds on one core. RUN is a run directory, a checkpoint
or the name of a pretrained model; `none` leaves the agent out. PyVRP (the extra `bench`) gets one second per instance,
and so only the first instances: its row is about those.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from tspmz.agent import Agent
    from tspmz.decode import Decoding
    from tspmz.types import Float32, Float64

COUNTS = {20: 1000, 50: 500, 100: 200}
SEED = 1234
HEAD = ("method", "mean length", "gap %", "95 % interval", "solved %", "instances", "seconds", "seconds per instance")

LEAF_VALUES = {"network": "the network's", "nearest_neighbor": "nearest-neighbor", "farthest_insertion": "insertion"}
"""Of the searches with the true rules, and what the table calls them."""

Solve = Callable[["Float32"], "Float64"]


class Row(NamedTuple):
    """A line of a table: gaps and the solved share as fractions, seconds for all of the `count` instances."""

    method: str
    length: float
    gap: float
    low: float
    high: float
    solved: float
    count: int
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """As texts, in the order of `HEAD`."""
        gap, low, high = (round(100 * one, 3) + 0.0 for one in (self.gap, self.low, self.high))  # no -0.000
        return (
            self.method, f"{self.length:.4f}", f"{gap:.3f}", f"{low:.3f} to {high:.3f}",
            f"{100 * self.solved:.1f}", f"{self.count:,}", f"{self.seconds:.1f}", f"{self.seconds / self.count:.4f}",
        )  # fmt: skip


def decodings(num_cities: int, agent: Agent) -> Iterator[tuple[str, Decoding]]:
    """What tspmz is measured with: the policy alone, more looks at it, and search."""
    from tspmz.decode import Decoding

    simulations = agent.simulations(Decoding("search"))
    yield "tspmz, greedy, one start", Decoding()
    yield f"tspmz, greedy, {num_cities} starts", Decoding(starts=None)
    yield f"tspmz, greedy, {num_cities} starts, 8 symmetries", Decoding(starts=None, augment=8)
    yield f"tspmz, 8 sampled from each of {num_cities} starts", Decoding("sample", starts=None, samples=8)
    for count in (simulations, 8 * simulations):
        yield f"tspmz, search, {count} simulations, one start", Decoding("search", count)
    yield f"tspmz, search, {simulations} simulations, {num_cities} starts", Decoding("search", simulations, None)
    for leaf_values, values in LEAF_VALUES.items():
        how = Decoding("search", 8 * simulations, dynamics="true", leaf_values=leaf_values)
        yield f"tspmz, search with the true rules, {values} values, {8 * simulations} simulations, one start", how
    everywhere = Decoding("search", 2, None, dynamics="true", leaf_values="farthest_insertion")
    yield f"tspmz, search with the true rules, insertion values, 2 simulations, {num_cities} starts", everywhere


def methods(
    coordinates: Float32, agent: Agent | None, limited: int, limit: float
) -> Iterator[tuple[str, Solve, Solve, int]]:
    """Every method as its name, itself, what loads and compiles it, and for how many instances; LKH first."""
    from benchmarks import baselines

    every = len(coordinates)
    yield "LKH", baselines.lkh, baselines.lkh, every
    if limited:
        yield f"PyVRP, {limit:g} s each", baselines.pyvrp(limit), baselines.pyvrp(0.01), min(limited, every)
    for name, solve in (
        ("random", baselines.random_tour),
        ("nearest neighbor", baselines.nearest_neighbor),
        ("farthest insertion", baselines.farthest_insertion),
    ):
        yield name, solve, solve, every
    if agent is not None:
        for name, how in decodings(coordinates.shape[1], agent):
            few = how._replace(starts=1, augment=1, samples=1, simulations=how.simulations and 2)
            yield name, _decoder(agent, how), _decoder(agent, few), every


def _decoder(agent: Agent, decoding: Decoding) -> Solve:
    return lambda points: agent.decode(points, decoding).lengths


def measure(coordinates: Float32, agent: Agent | None, limited: int, limit: float) -> Iterator[Row]:
    """Every method on the same instances, compared with LKH.

    Args:
        coordinates: `[I, N, 2]`.
        agent: None leaves its rows out.
        limited: instances for PyVRP; 0 leaves it out.
        limit: its seconds per instance.
    """
    from tspmz.evaluation import gap_interval
    from tspmz.tsp.reference import SOLVED_TOLERANCE

    references: Float64 | None = None
    for method, solve, load, count in methods(coordinates, agent, limited, limit):
        load(coordinates[:1])
        started = time.perf_counter()
        lengths = solve(coordinates[:count])
        seconds = time.perf_counter() - started
        if references is None:
            references = lengths
        mean, known = float(lengths.mean()), references[:count]
        solved = float((lengths <= known * (1 + SOLVED_TOLERANCE)).mean())
        ends = gap_interval(lengths, known)
        yield Row(method, mean, mean / float(known.mean()) - 1.0, *ends, solved, count, seconds)


def measured_table(
    size: int, source: str, instances: int | None, limited: int, limit: float
) -> dict[str, Any]:
    """The table of a size as it is stored; tells on stderr how far it is."""
    from tspmz.agent import load_agent
    from tspmz.rundir import versions
    from tspmz.tsp.generators import published_uniform

    agent = None if source == "none" else load_agent(Path(source), "cpu")
    count = min(instances or COUNTS[size], COUNTS[size])
    rows = []
    for row in measure(published_uniform(size, count, SEED), agent, limited, limit):
        rows.append(row)
        click.echo(f"TSP{size}: {row.method}: gap {100 * row.gap:.3f} %, {row.seconds:.1f} s", err=True)
    title = f"TSP{size}, {count:,} instances, seed {SEED}, one core"
    if agent is not None:
        title += f", agent after {agent.train_steps:,} train steps"
    return {"title": title, "versions": versions(), "rows": [row._asdict() for row in rows]}


@click.command()
@click.argument("agents", nargs=-1, metavar="[CITIES=RUN]...")
@click.option("--instances", type=click.IntRange(min=2), help="The first so many only, for a first look.")
@click.option("--limited", default=60, show_default=True, help="Instances for PyVRP; 0 leaves it out.")
@click.option("--limit", default=1.0, show_default=True, help="Its seconds per instance.")
@click.option("--store", type=click.Path(path_type=Path, dir_okay=False), help="Write what was measured as JSON.")
@click.option(
    "--stored", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Print what --store wrote, before what is measured; may be repeated.",
)  # fmt: skip
@click.option("--markdown", is_flag=True, help="Print the tables as they stand in the docs.")
def main(
    agents: tuple[str, ...], instances: int | None, limited: int, limit: float, store: Path | None,
    stored: tuple[Path, ...], markdown: bool,
) -> None:  # fmt: skip
    """Print one table per CITIES=RUN, with CITIES 20, 50 or 100."""
    import torch

    torch.set_num_threads(1)
    if not agents and not stored:
        raise click.UsageError("nothing to do: want CITIES=RUN, or --stored FILE")
    sources = [_source(text) for text in agents]
    for path in stored:
        for table in json.loads(path.read_text(encoding="utf-8"))["tables"]:
            show(table, markdown)
    tables = []
    for size, source in sources:
        tables.append(measured_table(size, source, instances, limited, limit))
        show(tables[-1], markdown)
        if store is not None:  # after each size: the next may take an hour
            store.write_text(json.dumps({"tables": tables}, indent=1) + "\n", encoding="utf-8")


def _source(text: str) -> tuple[int, str]:
    size, _, source = text.partition("=")
    if not size.isdecimal() or int(size) not in COUNTS or not source:
        raise click.UsageError(f"{text!r}: want CITIES=RUN with CITIES one of {', '.join(map(str, COUNTS))}")
    return int(size), source


def show(table: dict[str, Any], markdown: bool) -> None:
    """Print a table, the longest tours first."""
    from benchmarks.rendering import print_table

    lines = [row.cells() for row in sorted((Row(**row) for row in table["rows"]), key=lambda row: -row.gap)]
    if markdown:
        print(f"{table['title']}:\n")
    print_table(HEAD, lines, markdown, table["title"])
    if markdown:
        print()


if __name__ == "__main__":
    main()
