"""Who learns faster at equal training time: tspmz, or POMO (as rl4co has it)?

    python -m benchmarks.learning --peers-python PYTHON --out DIR [--cities 20] [--minutes 4] [--minutes 10] [--seeds 3]

Per budget and seed one training of each, one after the other, on the same cores, then the same instances for both:
greedy tours from one start, from all starts, from all starts in 8 symmetries; tspmz also by search from one start. The
budget of tspmz holds everything that a run does, from the start of its first process; POMO's begins when its libraries
are loaded. Each training is measured at several points, which costs neither any of its budget. Finished trainings in
DIR are not done again, so that an interrupted comparison goes on. PYTHON is that of an environment with rl4co
(`pip install torch==2.13.0 rl4co==0.7.0`); `--peers-python none` trains tspmz alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.live_run import ROOT, LiveRun, end_in_order_at_sigterm

COUNTS = {20: 1000, 50: 500, 100: 200}
_LOADING_SECONDS = 600.0
WAYS = ("one start", "all starts", "all starts x 8")
_SEARCHES = {"search, learned model": "learned", "search, true rules": "true"}


class Point(NamedTuple):
    """A training at one moment.

    Attributes:
        minutes: of the budget.
        train_steps: so far.
        lengths: by file of instances and way of decoding, `[I]`.
        seconds: of the decoding, in the same way.
    """

    minutes: float
    train_steps: int
    lengths: dict[str, dict[str, list[float]]]
    seconds: dict[str, dict[str, float]]


class Training(NamedTuple):
    """A finished training.

    Attributes:
        method: `tspmz` or `POMO`.
        minutes: its budget.
        seed: its seed.
        points: in order, the last one at the end.
    """

    method: str
    minutes: float
    seed: int
    points: list[Point]


class Plan(NamedTuple):
    """What all trainings share.

    Attributes:
        cities: N.
        cores: numbers of the cores both may use.
        points: measured per training.
        simulations: per move, of the searches; 0 = none.
        settings: of tspmz, beside its defaults.
        files: `.npy` files of instances.
        out: folder.
    """

    cities: int
    cores: list[int]
    points: int
    simulations: int
    settings: dict[str, Any]
    files: list[Path]
    out: Path


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
            measured = {file.stem: _measure(path, file, plan, last=path == paths[-1]) for file in plan.files}
            lengths = {name: found[0] for name, found in measured.items()}
            seconds = {name: found[1] for name, found in measured.items()}
            points.append(Point(state["elapsed_seconds"] / 60.0, state["learner"]["train_steps"], lengths, seconds))
    return points


def _measure(
    checkpoint: Path, file: Path, plan: Plan, last: bool
) -> tuple[dict[str, list[float]], dict[str, float]]:
    import tspmz

    agent = tspmz.load(checkpoint, device="cpu")
    ways: dict[str, dict[str, Any]] = {
        "one start": {}, "all starts": {"starts": None}, "all starts x 8": {"starts": None, "augment": 8},
    }  # fmt: skip
    if last and plan.simulations:
        for name, dynamics in _SEARCHES.items():
            ways[name] = {"decode": "search", "simulations": plan.simulations, "dynamics": dynamics}
    lengths, seconds = {}, {}
    for name, how in ways.items():
        result = tspmz.evaluate(agent, str(file), reference="none", **how)
        lengths[name], seconds[name] = result.lengths.tolist(), result.seconds
    return lengths, seconds


def train_pomo(plan: Plan, minutes: float, seed: int, python: str) -> list[Point]:
    """Train by the worker in the peers' environment.

    Raises:
        click.ClickException: it failed.
    """
    out = plan.out / f"pomo-{minutes:g}-{seed}"
    command = [
        python, str(ROOT / "benchmarks" / "peers" / "pomo.py"), "--cities", plan.cities, "--minutes", minutes,
        "--seed", seed, "--threads", len(plan.cores), "--points", plan.points, "--out", out,
        "--instances", *plan.files,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(len(plan.cores))}
    with _on_cores(plan.cores):
        ended = subprocess.run([str(word) for word in command], stdout=sys.stderr, env=environment, check=False)
    if ended.returncode != 0:
        raise click.ClickException(f"POMO failed with exit code {ended.returncode}; is {python} one with rl4co?")
    return [Point(**point) for point in json.loads((out / "points.json").read_text(encoding="utf-8"))]


def store(training: Training, path: Path) -> None:
    """Write a finished training as JSON."""
    text = json.dumps({**training._asdict(), "points": [point._asdict() for point in training.points]})
    path.write_text(text, encoding="utf-8")


def stored(path: Path) -> Training | None:
    """The training that is in the file; None where there is none."""
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Training(**{**found, "points": [Point(**point) for point in found["points"]]})


def compare(plan: Plan, budgets: tuple[float, ...], seeds: int, python: str) -> Iterator[Training]:
    """All trainings, the shortest budgets first; those that are stored are not done again."""
    for minutes in sorted(budgets):
        for seed in range(seeds):
            for method in ("tspmz",) if python == "none" else ("tspmz", "POMO"):
                path = plan.out / f"{method}-{minutes:g}-{seed}.json"
                training = stored(path)
                if training is None:
                    click.echo(f"{method}: {plan.cities} cities, {minutes:g} minutes, seed {seed}", err=True)
                    if method == "tspmz":
                        points = train_tspmz(plan, minutes, seed)
                    else:
                        points = train_pomo(plan, minutes, seed, python)
                    training = Training(method, minutes, seed, points)
                    store(training, path)
                yield training


class Row(NamedTuple):
    """A line of the table: gaps of the seeds as fractions.

    Attributes:
        minutes: budget.
        way: of decoding.
        tspmz: gap by seed.
        pomo: gap by seed; empty where it has no such decoding.
        seconds: of decoding by tspmz, mean.
        pomo_seconds: by POMO; nan where it has none.
    """

    minutes: float
    way: str
    tspmz: list[float]
    pomo: list[float]
    seconds: float
    pomo_seconds: float

    @property
    def ratio(self) -> float:
        """Mean gap of tspmz / mean gap of POMO; nan without POMO."""
        return float(np.mean(self.tspmz) / np.mean(self.pomo)) if self.pomo else float("nan")


def rows(trainings: list[Training], name: str, reference: float) -> Iterator[Row]:
    """The end of every training, on the instances of one file.

    Args:
        trainings: all of them.
        name: of the file.
        reference: mean length of the reference tours.
    """
    for minutes in sorted({training.minutes for training in trainings}):
        ends = {
            method: [one.points[-1] for one in trainings if one.method == method and one.minutes == minutes]
            for method in ("tspmz", "POMO")
        }
        for way in (*WAYS, *_SEARCHES):
            gaps, seconds = {}, {}
            for method, points in ends.items():
                having = [point for point in points if way in point.lengths[name]]
                gaps[method] = [float(np.mean(point.lengths[name][way])) / reference - 1.0 for point in having]
                timed = [point.seconds[name][way] for point in having if way in point.seconds[name]]
                seconds[method] = float(np.mean(timed)) if timed else float("nan")
            yield Row(minutes, way, gaps["tspmz"], gaps["POMO"], seconds["tspmz"], seconds["POMO"])


def draw(trainings: list[Training], references: dict[str, float], path: Path) -> None:
    """Gap against minutes, a panel per way of decoding, a line per training; on the first file of instances."""
    from tspmz.plots.style import SERIES, dress, legend, new_figure

    name, reference = next(iter(references.items()))
    figure = new_figure(11.0, 3.6)
    for panel, way in zip(figure.subplots(1, len(WAYS)), WAYS, strict=True):
        dress(panel, "minutes", "gap in percent" if way == WAYS[0] else "", way)
        panel.set_yscale("log")
        labelled = set()
        for training in trainings:
            minutes = [point.minutes for point in training.points]
            gaps = [100.0 * (float(np.mean(point.lengths[name][way])) / reference - 1.0) for point in training.points]
            label = None if training.method in labelled else training.method
            panel.plot(minutes, gaps, color=SERIES[training.method == "POMO"], label=label, linewidth=1.4, alpha=0.8)
            labelled.add(training.method)
        legend(panel)
    figure.savefig(path)


def table(title: str, found: list[Row]) -> str:
    """As it stands in the docs."""
    lines = [
        f"{title}:\n", "| minutes | decoding | tspmz, gap % | POMO, gap % | ratio | seconds | POMO, seconds |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for row in found:
        ratio = f"{row.ratio:.2f}" if row.pomo else "-"
        times = [f"{seconds:.1f}" if np.isfinite(seconds) else "-" for seconds in (row.seconds, row.pomo_seconds)]
        ours, theirs = spread(row.tspmz), spread(row.pomo)
        lines.append(f"| {row.minutes:g} | {row.way} | {ours} | {theirs} | {ratio} | {' | '.join(times)} |")
    return "\n".join(lines) + "\n"


def spread(gaps: list[float]) -> str:
    """Mean of fractions in percent, and the range over seeds."""
    if not gaps:
        return "-"
    percents = [100.0 * gap for gap in gaps]
    mean = f"{np.mean(percents):.3f}"
    return mean if len(gaps) == 1 else f"{mean} ({min(percents):.3f} to {max(percents):.3f})"


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
@click.option("--simulations", default=64, show_default=True, help="Per move, of the searches.")
@click.option("--points", default=8, show_default=True, help="Measured per training.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of tspmz.")
@click.option("--peers-python", "python", required=True, help="A Python that has rl4co; none: tspmz alone.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for trainings and results.")
def main(
    cities: str, budgets: tuple[float, ...], seeds: int, cores: int, sets: tuple[int, ...], simulations: int,
    points: int, settings: tuple[str, ...], python: str, out: Path,
) -> None:  # fmt: skip
    """Train, measure, print tables, and draw `gap.png` in the folder."""
    import torch

    end_in_order_at_sigterm()
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    references = instance_files(int(cities), sets, out)
    chosen = dict(text.split("=", 1) for text in settings)
    available = sorted(os.sched_getaffinity(0))[:cores]
    plan = Plan(int(cities), available, points, simulations, chosen, list(references), out)
    trainings = list(compare(plan, budgets, seeds, python))
    for path, reference in references.items():
        title = f"{path.stem}, {COUNTS[int(cities)]:,} instances, {len(available)} cores, {seeds} seeds"
        click.echo(table(title, list(rows(trainings, path.stem, reference))))
    draw(trainings, {path.stem: reference for path, reference in references.items()}, out / "gap.png")


if __name__ == "__main__":
    main()
