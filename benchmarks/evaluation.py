"""How fast is evaluation on one core, and how much memory does it take?

    python -m benchmarks.evaluation [--cities 20] [--count 1000] [--starts 20] [--augment 8] [--decode greedy]
    python -m benchmarks.evaluation --cities 500 --count 2 --starts 100
    python -m benchmarks.evaluation --cities 500 --count 1 --starts 100 --decode search --simulations 4 --rounds 1

With the default settings and a freshly drawn network: its weights do not change the amount of work. Memory is the peak
of the whole process, and what decoding added to it.
"""

from __future__ import annotations

import resource
import time

import click


@click.command()
@click.option("--cities", default=20, show_default=True)
@click.option("--count", default=1000, show_default=True, help="Instances.")
@click.option("--starts", default=20, show_default=True)
@click.option("--augment", default=8, show_default=True)
@click.option("--decode", default="greedy", show_default=True, type=click.Choice(["greedy", "sample", "search"]))
@click.option("--simulations", default=8, show_default=True, help="Per move, with --decode search.")
@click.option("--dynamics", default="learned", show_default=True, type=click.Choice(["learned", "true"]))
@click.option("--rounds", default=3, show_default=True, help="The median round is reported.")
def main(
    cities: int, count: int, starts: int, augment: int, decode: str, simulations: int, dynamics: str, rounds: int
) -> None:
    """Measure evaluation on one core."""
    import numpy as np
    import torch
    from rich.console import Console
    from rich.table import Table

    from tspmz.agent import Agent
    from tspmz.config_files import load_config
    from tspmz.decode import Decoding
    from tspmz.network.build import build_network
    from tspmz.settings import network_settings
    from tspmz.tsp.generators import published_uniform

    torch.set_num_threads(1)
    config = load_config()
    agent = Agent(build_network(0, **network_settings(config)).eval(), config, 0, "cpu", "a freshly drawn network")
    coordinates = published_uniform(cities, count, 1234)
    searches = {"simulations": simulations, "dynamics": dynamics} if decode == "search" else {}
    decoding = Decoding(decode, starts=starts, augment=augment, **searches)
    agent.warm_up(coordinates, decoding)
    before = _peak_mib()
    seconds, cpu_seconds = [], []
    for _ in range(rounds):
        started, cpu_started = time.perf_counter(), time.process_time()
        lengths = agent.decode(coordinates, decoding).lengths
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - cpu_started)
    median = float(np.median(seconds))
    tours = count * starts * augment
    table = Table(title=f"{decode}, {count} x TSP{cities}, {starts} starts x {augment} symmetries, 1 core")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row("seconds (median round)", f"{median:.2f}")
    table.add_row("seconds of each round", ", ".join(f"{one:.2f}" for one in seconds))
    table.add_row("CPU seconds of each round", ", ".join(f"{one:.2f}" for one in cpu_seconds))
    table.add_row("tours/s", f"{tours / median:,.0f}")
    table.add_row("microseconds per move", f"{1e6 * median / (tours * (cities - 1)):.2f}")
    table.add_row("mean length", f"{lengths.mean():.5f}")
    table.add_row("peak memory (MiB)", f"{_peak_mib():,.0f}")
    table.add_row("of it by decoding (MiB)", f"{_peak_mib() - before:,.0f}")
    Console().print(table)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
