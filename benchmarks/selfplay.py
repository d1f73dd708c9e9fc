"""How fast is self-play on one core, and where does its time go?

    python -m benchmarks.selfplay [--cities 20] [--simulations 8] [--seconds 10]

Plays with the default settings and a freshly drawn network: its weights do not change the amount of work.
"""

from __future__ import annotations

import time

import click


class _Clock:
    """Adds up the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, name: str, value: float) -> None:
        if name.endswith("_seconds"):
            self.seconds[name] = self.seconds.get(name, 0.0) + value


@click.command()
@click.option("--cities", default=20, show_default=True)
@click.option("--simulations", default=0, help="Simulations per move [default: the setting's].")
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--rounds", default=5, show_default=True, help="The median round is reported.")
def main(cities: int, simulations: int, seconds: float, rounds: int) -> None:
    """Measure self-play on one core."""
    import numpy as np
    import torch
    from rich.console import Console
    from rich.table import Table

    from tspmz.config_files import load_config
    from tspmz.network.build import build_network
    from tspmz.network.inference import SearchModel
    from tspmz.search import BatchedSearch
    from tspmz.selfplay import GroupSource, play_groups
    from tspmz.settings import network_settings, search_settings

    torch.set_num_threads(1)
    values = {"problem.num_cities": cities} | ({"search.num_simulations": simulations} if simulations else {})
    config = load_config(values=values)
    selfplay = config.selfplay
    count, size = selfplay.groups_in_parallel, selfplay.group_size
    search = BatchedSearch(count * size, cities, **search_settings(config))
    network = build_network(0, **network_settings(config)).eval()
    model = SearchModel(network, search.num_simulations + 1)
    source = GroupSource(0, 0, config.problem.distribution, cities, config.problem.num_clusters, size)

    def play(first: int, clock: _Clock | None) -> None:
        play_groups(model, search, source, first, count, 0, temperature=1.0, temperature_threshold=0, clock=clock)

    play(0, None)  # compiles, and fills the allocators
    rates, clock, total = [], _Clock(), 0.0
    for _ in range(rounds):
        started, batches = time.perf_counter(), 0
        while time.perf_counter() - started < seconds / rounds:
            play(batches * count, clock)
            batches += 1
        spent = time.perf_counter() - started
        total += spent
        rates.append(batches * count * size / spent)
    games = float(np.median(rates))
    work = f"{search.num_simulations} simulations, {count} x {size} episodes"
    table = Table(title=f"self-play, TSP{cities}, {work}, 1 core")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_row("complete games/s (median round)", f"{games:,.0f}")
    table.add_row("moves/s", f"{games * (cities - 1):,.0f}")
    table.add_row("simulations/s", f"{games * (cities - 2) * search.num_simulations:,.0f}")
    for name, spent in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        table.add_row(f"share of {name.removesuffix('_seconds')}", f"{100 * spent / total:.1f} %")
    table.add_row("share of everything else", f"{100 * (1 - sum(clock.seconds.values()) / total):.1f} %")
    Console().print(table)


if __name__ == "__main__":
    main()
