"""Who learns faster at equal training time: tspmz, or POMO (as rl4co has it)?

    python -m benchmarks.learning --peers-python PYTHON --out DIR [--cities 20] [--minutes 4] [--minutes 10] [--seeds 3]

Per budget and seed one training of each, one after the other, on the same cores, then the same instances for both:
greedy tours from one start, from all starts, from all starts in 8 symmetries; tspmz also by search from one start. The
budget of tspmz holds everything that a run does, from the start of its first process; POMO's begins when its libraries
are loaded. Each training is measured at several points, which costs neither any of its budget. Finished trainings are
kept in a file (`--results`) and not done again, so that a comparison can go on another day; `python -m
benchmarks.beside_pomo` shows what such a file holds. PYTHON is that of an environment with rl4co
(`pip install torch==2.13.0 rl4co==0.7.0`); `--peers-python none` trains tspmz alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.beside_pomo import POMO, SEARCHES, TSPMZ, draw, report
from benchmarks.live_run import ROOT, LiveRun, end_in_order_at_sigterm
from benchmarks.trainings import Point, Training, Trainings, Wanted, opened, results_option

COUNTS = {20: 1000, 50: 500, 100: 200}
_LOADING_SECONDS = 600.0


class Plan(NamedTuple):
    """What all trainings share.

    Attributes:
        cities: N.
        cores: numbers of the cores both may use.
        points: measured per training.
        simulations: per move, of the searches from one start; 0 = no searches at all.
        settings: of tspmz, beside its defaults.
        references: mean length of LKH's tours by `.npy` file of instances.
        out: folder.
    """

    cities: int
    cores: list[int]
    points: int
    simulations: int
    settings: dict[str, Any]
    references: dict[Path, float]
    out: Path

    def wanted(self, name: str, minutes: float, seed: int) -> Wanted:
        """One of its trainings."""
        settings = {} if name == POMO else self.settings
        instances = [file.stem for file in self.references]
        return Wanted(name, self.cities, minutes, seed, len(self.cores), settings, instances)


@contextlib.contextmanager
def _on_cores(cores: list[int]) -> Iterator[None]:
    """What is started meanwhile inherits these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def train_tspmz(plan: Plan, minutes: float, seed: int) -> list[Point]:
    """Train by the command, keep checkpoints on the way, and measure them afterwards.

    Raises:
        click.ClickException: the run failed.
    """
    from tspmz.checkpoint import list_checkpoints, load_checkpoint

    settings: dict[str, Any] = {
        "problem.num_cities": plan.cities, "run.minutes": minutes, "run.seed": seed,
        "selfplay.num_actors": max(1, len(plan.cores) - 1), "run.tensorboard": False,
        "evaluation.interval_seconds": 0.0, "learner.keep_checkpoints": 1000,
        "learner.checkpoint_seconds": 60.0 * minutes / plan.points, **plan.settings,
    }  # fmt: skip
    run = LiveRun(plan.out / f"run-{minutes:g}-{seed}", settings)
    try:
        with _on_cores(plan.cores):
            run.start()
            run.process.wait(60.0 * minutes + _LOADING_SECONDS)
    finally:
        run.destroy()
    if run.process.returncode != 0:
        raise click.ClickException(f"tspmz failed: {run.output_path.read_text(encoding='utf-8')[-1000:]}")
    points = []
    paths = list_checkpoints(run.directory / "checkpoints")
    for path in paths:
        state = load_checkpoint(path)
        if state["learner"]["train_steps"]:
            measured = {file.stem: _measure(path, file, plan, last=path == paths[-1]) for file in plan.references}
            gaps = {name: found[0] for name, found in measured.items()}
            seconds = {name: found[1] for name, found in measured.items()}
            points.append(Point(state["elapsed_seconds"] / 60.0, state["learner"]["train_steps"], gaps, seconds))
    return points


def _measure(checkpoint: Path, file: Path, plan: Plan, last: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Gaps and seconds by way of decoding."""
    import tspmz

    agent = tspmz.load(checkpoint, device="cpu")
    ways: dict[str, dict[str, Any]] = {
        "one start": {}, "all starts": {"starts": None}, "all starts x 8": {"starts": None, "augment": 8},
    }  # fmt: skip
    if last and plan.simulations:
        common = {"decode": "search", "simulations": plan.simulations}
        ways |= {name: {**common, **how} for name, how in SEARCHES.items()}
    gaps, seconds = {}, {}
    for name, how in ways.items():
        result = tspmz.evaluate(agent, str(file), reference="none", **how)
        gaps[name], seconds[name] = float(result.lengths.mean()) / plan.references[file] - 1.0, result.seconds
    return gaps, seconds


def train_pomo(plan: Plan, minutes: float, seed: int, python: str) -> list[Point]:
    """Train by the worker in the peers' environment.

    Raises:
        click.ClickException: it failed.
    """
    out = plan.out / f"pomo-{minutes:g}-{seed}"
    command = [
        python, str(ROOT / "benchmarks" / "peers" / "pomo.py"), "--cities", plan.cities, "--minutes", minutes,
        "--seed", seed, "--threads", len(plan.cores), "--points", plan.points, "--out", out,
        "--instances", *plan.references,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(len(plan.cores))}
    with _on_cores(plan.cores):
        ended = subprocess.run([str(word) for word in command], stdout=sys.stderr, env=environment, check=False)
    if ended.returncode != 0:
        raise click.ClickException(f"POMO failed with exit code {ended.returncode}; is {python} one with rl4co?")
    found = json.loads((out / "points.json").read_text(encoding="utf-8"))
    means = {file.stem: length for file, length in plan.references.items()}
    return [
        Point(
            point["minutes"],
            point["train_steps"],
            {
                name: {way: float(np.mean(lengths)) / means[name] - 1.0 for way, lengths in of_set.items()}
                for name, of_set in point["lengths"].items()
            },
            point["seconds"],
        )
        for point in found
    ]


def compare(
    plan: Plan, kept: Trainings, budgets: tuple[float, ...], seeds: int, python: str
) -> Iterator[Training]:
    """All trainings, the shortest budgets first; those that are kept are not done again.

    Raises:
        click.UsageError: before any training: one that is kept is of other settings or instances.
    """
    trainers: dict[str, Callable[[Plan, float, int], list[Point]]] = {TSPMZ: train_tspmz}
    if python != "none":
        trainers[POMO] = partial(train_pomo, python=python)
    asked = [
        (plan.wanted(name, minutes, seed), partial(train, plan, minutes, seed))
        for minutes in sorted(budgets) for seed in range(seeds) for name, train in trainers.items()
    ]  # fmt: skip
    kept.check(wanted for wanted, _ in asked)
    for wanted, train in asked:
        yield kept.get(wanted, train)


def instance_files(cities: int, sets: tuple[int, ...], out: Path) -> dict[Path, float]:
    """Write the instances of each seed once; their files, and the mean lengths of LKH's tours."""
    from tspmz.tsp.generators import published_uniform
    from tspmz.tsp.reference import solve_lkh

    found = {}
    for seed in sets:
        path = out / f"uniform-{cities}-{seed}.npy"
        coordinates = published_uniform(cities, COUNTS[cities], seed)
        np.save(path, coordinates)
        found[path] = float(solve_lkh(coordinates)[1].mean())
    return found


@click.command()
@click.option("--cities", type=click.Choice([str(cities) for cities in COUNTS]), default="20", show_default=True)
@click.option("--minutes", "budgets", type=float, multiple=True, default=(4.0, 10.0), show_default=True)
@click.option("--seeds", default=3, show_default=True, help="Trainings per budget and method.")
@click.option("--cores", default=2, show_default=True, help="That each training may use.")
@click.option("--instance-seed", "sets", type=int, multiple=True, default=(2718, 1234), show_default=True)
@click.option("--simulations", default=64, show_default=True, help="Per move, of the searches from one start.")
@click.option("--points", default=8, show_default=True, help="Measured per training.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of tspmz.")
@click.option("--peers-python", "python", required=True, help="A Python that has rl4co; none: tspmz alone.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for runs and instances.")
@results_option
def main(
    cities: str, budgets: tuple[float, ...], seeds: int, cores: int, sets: tuple[int, ...], simulations: int,
    points: int, settings: tuple[str, ...], python: str, out: Path, results: Path | None,
) -> None:  # fmt: skip
    """Train and measure, print tables, and draw pictures in the folder."""
    import torch

    end_in_order_at_sigterm()
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    kept = opened(results or out / "results.json")
    references = instance_files(int(cities), sets, out)
    chosen = dict(text.split("=", 1) for text in settings)
    available = sorted(os.sched_getaffinity(0))[:cores]
    plan = Plan(int(cities), available, points, simulations, chosen, references, out)
    trainings = list(compare(plan, kept, budgets, seeds, python))
    for text in report(trainings):
        click.echo(text)
    draw(trainings, out)


if __name__ == "__main__":
    main()
