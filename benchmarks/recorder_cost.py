"""What does storing every group cost the learner and the actors?

    python -m benchmarks.recorder_cost --pairs 6 --seconds 60

Pairs of runs with `replay.persist` on and off, one after the other, the order changing from pair to pair (on, off, off,
on, ...), so that a machine that gets slower or faster meanwhile favours neither. Rates are taken between two
checkpoints, the first of them after the warm-up. Exit code 1 where the median pair loses 2 % or more; on a busy
machine the ratios say little, and the recorder's own share of a core says more.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import psutil

from benchmarks.live_run import LiveRun, end_in_order_at_sigterm, wait_for

_MOST_COST = 0.02
_CHECKPOINT_SECONDS = 5.0


class Rates(NamedTuple):
    """What one run did per second of its warm part.

    Attributes:
        games: finished episodes.
        train_steps: updates.
        recorder_share: CPU seconds of the recorder per second of the run; 0 without one.
    """

    games: float
    train_steps: float
    recorder_share: float


def measure(run: LiveRun, warm_seconds: float, each_second: Callable[[], None] | None = None) -> Rates:
    """Train to the end of the run's bound.

    Args:
        run: not started yet.
        warm_seconds: left out at the start.
        each_second: called meanwhile.

    Raises:
        click.ClickException: the run failed.
    """
    from tspmz.checkpoint import list_checkpoints, load_checkpoint

    looks: list[tuple[float, float]] = []  # (time, CPU seconds of the recorder) since it has loaded its libraries
    run.start()
    while not wait_for(lambda: run.ended, 1.0):
        if each_second is not None:
            each_second()
        try:
            times = psutil.Process(run.roles()["recorder"]).cpu_times()
            looks.append((time.monotonic(), times.user + times.system))
        except (psutil.Error, KeyError):
            continue
    share = (looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0]) if len(looks) > 1 else 0.0
    if run.process.returncode != 0:
        raise click.ClickException(f"a run failed: {run.output_path.read_text(encoding='utf-8')[-1000:]}")
    states = [load_checkpoint(path) for path in list_checkpoints(run.directory / "checkpoints")]
    warm = [state for state in states if state["elapsed_seconds"] >= warm_seconds]
    if len(warm) < 2:
        raise click.ClickException("fewer than two checkpoints after the warm-up: more --seconds are needed here")
    first, last = warm[0], warm[-1]
    span = last["elapsed_seconds"] - first["elapsed_seconds"]
    groups = last["limiter"]["inserted"] - first["limiter"]["inserted"]
    steps = last["learner"]["train_steps"] - first["learner"]["train_steps"]
    group_size = last["config"]["selfplay"]["group_size"]
    return Rates(groups * group_size / span, steps / span, share)


@click.command()
@click.option("--pairs", default=6, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="Training time of each run.")
@click.option("--warm-seconds", default=20.0, show_default=True, help="Left out at the start of each run.")
@click.option("--cities", default=20, show_default=True)
@click.option("--actors", default=1, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result.")
def main(
    pairs: int, seconds: float, warm_seconds: float, cities: int, actors: int, json_path: Path | None
) -> None:
    """Compare runs that store their groups with runs that do not."""
    from rich.console import Console
    from rich.table import Table

    if seconds < warm_seconds + 2 * _CHECKPOINT_SECONDS:
        raise click.UsageError(f"--seconds must be at least {warm_seconds + 2 * _CHECKPOINT_SECONDS:g}")
    end_in_order_at_sigterm()
    place = Path(tempfile.mkdtemp(prefix="tspmz-recorder-cost-"))
    found: dict[bool, list[Rates]] = {True: [], False: []}
    run: LiveRun | None = None
    try:
        for pair in range(pairs):
            for persist in (True, False) if pair % 2 == 0 else (False, True):
                settings: dict[str, Any] = {
                    "problem.num_cities": cities, "selfplay.num_actors": actors, "run.minutes": seconds / 60,
                    "run.seed": pair, "run.tensorboard": False, "evaluation.interval_seconds": 0.0,
                    "learner.checkpoint_seconds": _CHECKPOINT_SECONDS, "learner.keep_checkpoints": 1000,
                    "replay.persist": persist,
                }  # fmt: skip
                run = LiveRun(place / f"{pair}-{persist}", settings)
                found[persist].append(measure(run, warm_seconds))
                shutil.rmtree(run.directory)
    finally:
        if run is not None:
            run.destroy()
        shutil.rmtree(place)

    console = Console(width=max(100, Console().width))
    table = Table("pair", "games/s on", "off", "ratio", "train steps/s on", "off", "ratio", "recorder, share of a core")
    ratios: dict[str, list[float]] = {"games": [], "train_steps": []}
    for pair, (on, off) in enumerate(zip(found[True], found[False], strict=True)):
        ratios["games"].append(on.games / off.games)
        ratios["train_steps"].append(on.train_steps / off.train_steps)
        table.add_row(
            str(pair), f"{on.games:,.0f}", f"{off.games:,.0f}", f"{ratios['games'][-1]:.3f}", f"{on.train_steps:.1f}",
            f"{off.train_steps:.1f}", f"{ratios['train_steps'][-1]:.3f}", f"{100 * on.recorder_share:.2f} %",
        )  # fmt: skip
    console.print(table)
    medians = {name: float(np.median(values)) for name, values in ratios.items()}
    for name, values in ratios.items():
        console.print(
            f"{name.replace('_', ' ')}/s with the recorder on, of those with it off: median {medians[name]:.3f}, "
            f"from {min(values):.3f} to {max(values):.3f} in {pairs} pairs"
        )
    share = float(np.median([rates.recorder_share for rates in found[True]]))
    console.print(f"the recorder itself: {100 * share:.2f} % of one core (median)")
    if json_path is not None:
        result = {"ratios": ratios, "medians": medians, "recorder_share": share}
        json_path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if min(medians.values()) <= 1.0 - _MOST_COST:
        console.print(f"the promise of less than {100 * _MOST_COST:g} % is broken")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
