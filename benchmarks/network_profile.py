"""Which operations does the network spend its time on in a search? One evaluation of a batch, by torch.profiler.

    python -m benchmarks.network_profile [--cities 20] [--ancestor] [--rows 12]

CPU time on one core, with the default settings or the residual network of presets/ancestor.toml.
"""

from __future__ import annotations

import time

import click


@click.command(help=__doc__)
@click.option("--cities", default=20, show_default=True)
@click.option("--ancestor", is_flag=True, help="The ancestor's residual network.")
@click.option("--rows", default=12, show_default=True, help="Lines of the table.")
@click.option("--evaluations", default=100, show_default=True)
def main(cities: int, ancestor: bool, rows: int, evaluations: int) -> None:
    """Print the microseconds of an evaluation, and a table of its operations."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from benchmarks import selfplay

    torch.set_num_threads(1)
    player = selfplay.Player((selfplay.ancestor() if ancestor else {}) | {"problem.num_cities": cities})
    player.begin()
    for _ in range(evaluations):
        player.evaluate()
    started = time.process_time()
    for _ in range(evaluations):
        player.evaluate()
    seconds = (time.process_time() - started) / evaluations
    print(f"{1e6 * seconds:.0f} microseconds for {player.games} states: {player.games / seconds:,.0f} states/s")
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(evaluations):
            player.evaluate()
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=rows, max_name_column_width=40))


if __name__ == "__main__":
    main()
