"""Long haul: a run that is hit by SIGKILL again and again, and the same run undisturbed beside it.

    python -m benchmarks.longhaul --steps 25000

Both start at the same moment, on the same machine, with the same seed and settings, so that both see the same load.
In one of them a process chosen at random is killed every 20 s; after the end of the parent or the learner it is
resumed. Both train for the same number of steps, which takes the killed one longer (half an hour and more on two cores
that have nothing else to do): kills cost time, but must not change what is learned. Memory, descriptors, /dev/shm and
throughput of the first third are compared with those of the last; the final gaps on instances that neither has seen,
with intervals over the instances. One pair of runs says nothing about the spread between seeds: a fifth of the gap
passes for it. Exit code 1 where a promise is broken.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import psutil

from benchmarks.live_run import LiveRun, end_in_order_at_sigterm, is_gone, wait_for
from tspmz.errors import TspmzError

_ACTORS = 4
_SAMPLE_SECONDS = 5.0
_GROWN_UP_SECONDS = 30.0  # younger processes still load and warm up: their memory is not counted
_VICTIMS = ["actor"] * 6 + ["recorder"] * 2 + ["evaluator", "learner", "parent"]
_END_SECONDS = 180.0
_MOST_GROWTH = 0.10
_MOST_DESCRIPTORS = 2.0
_LEAST_THROUGHPUT = 0.8
_GAP_TOLERANCE = 0.2
_LONGEST_SECONDS = 7200.0
_RESAMPLES = 10_000


class Sample(NamedTuple):
    """One look at a run.

    Attributes:
        seconds: since the start.
        memory: by role, mean resident bytes of its grown-up processes.
        descriptors: by role, the most open files of one process.
        groups_sealed: so far.
        train_steps: of the newest checkpoint.
        shm_bytes: used in /dev/shm, by everybody.
    """

    seconds: float
    memory: dict[str, float]
    descriptors: dict[str, int]
    groups_sealed: int
    train_steps: int
    shm_bytes: int


class Haul:
    """One of the two runs with its samples.

    Attributes:
        run: the run.
        kills: by role.
        samples: in order.
        ended_after: seconds from the start to its end.
    """

    def __init__(self, run: LiveRun) -> None:
        self.run = run
        self.kills: dict[str, int] = {}
        self.samples: list[Sample] = []
        self.ended_after = 0.0

    def sample(self, seconds: float) -> None:
        """Look once."""
        memory: dict[str, list[float]] = {}
        descriptors: dict[str, int] = {}
        for name, pid in self.run.roles().items():
            role = name.partition(" ")[0]
            try:
                process = psutil.Process(pid)
                if time.time() - process.create_time() >= _GROWN_UP_SECONDS:
                    memory.setdefault(role, []).append(process.memory_info().rss)
                    descriptors[role] = max(descriptors.get(role, 0), process.num_fds())
            except psutil.Error:
                continue
        progress = self.run.progress()
        shm = os.statvfs("/dev/shm")
        self.samples.append(
            Sample(
                seconds, {role: float(np.mean(values)) for role, values in memory.items()}, descriptors,
                sum(progress.sealed.values()), progress.train_steps, (shm.f_blocks - shm.f_bfree) * shm.f_frsize,
            )
        )  # fmt: skip

    def thirds(self) -> dict[str, tuple[float, float]]:
        """Each figure in the first and in the last third of the run: means, and rates per second of wall time."""
        end = self.ended_after
        parts = [
            [sample for sample in self.samples if sample.seconds <= end / 3],
            [sample for sample in self.samples if 2 * end / 3 <= sample.seconds <= end],
        ]
        figures = [self._figures(part) for part in parts]
        return {name: (figures[0][name], figures[1][name]) for name in figures[0] if name in figures[1]}

    @staticmethod
    def _figures(samples: list[Sample]) -> dict[str, float]:
        found: dict[str, float] = {}
        if len(samples) < 2:
            return found
        seconds = samples[-1].seconds - samples[0].seconds
        found["groups sealed / s"] = (samples[-1].groups_sealed - samples[0].groups_sealed) / seconds
        found["train steps / s"] = (samples[-1].train_steps - samples[0].train_steps) / seconds
        for role in sorted({role for sample in samples for role in sample.memory}):
            seen = [sample for sample in samples if role in sample.memory]
            found[f"memory of {role} (MiB)"] = float(np.mean([sample.memory[role] for sample in seen])) / 2**20
            found[f"descriptors of {role}"] = float(np.mean([sample.descriptors[role] for sample in seen]))
        found["/dev/shm (MiB)"] = float(np.mean([sample.shm_bytes for sample in samples])) / 2**20
        return found


def kill_one(haul: Haul, rng: np.random.Generator, problems: list[str]) -> None:
    """Kill a process of the run; resume it where that ends it."""
    run = haul.run
    roles = {name: pid for name, pid in run.roles().items() if not is_gone(pid)}
    role = str(rng.choice(_VICTIMS))
    names = [name for name in roles if name.partition(" ")[0] == role]
    if not names or run.ended:
        return  # it is just being restarted
    name = str(rng.choice(names))
    haul.kills[role] = haul.kills.get(role, 0) + 1
    os.kill(roles[name], signal.SIGKILL)
    if role in ("parent", "learner"):
        if not wait_for(lambda: run.ended, _END_SECONDS):
            problems.append(f"no end after the {role} was killed")
        elif run.process.returncode == 0:
            return  # it had reached its bound at that moment
        run.destroy()
        run.start()


def haul_both(killed: Haul, calm: Haul, every: float, seed: int, problems: list[str]) -> None:
    """Run both to their ends."""
    rng = np.random.default_rng(seed)
    started = time.monotonic()
    for haul in (killed, calm):
        haul.run.start()
    next_kill, next_sample = math.inf, 0.0
    while not all(haul.ended_after for haul in (killed, calm)):
        now = time.monotonic() - started
        if now >= next_sample:
            next_sample = now + _SAMPLE_SECONDS
            for haul in (killed, calm):
                if not haul.ended_after and not haul.run.ended:
                    haul.sample(now)
        if math.isinf(next_kill) and killed.run.progress().train_steps >= 0:
            next_kill = now + every  # a run without a checkpoint could not be resumed
        if now >= next_kill and not killed.ended_after:
            next_kill = now + every
            kill_one(killed, rng, problems)
        for name, haul in (("killed", killed), ("undisturbed", calm)):
            if not haul.ended_after and haul.run.ended:
                haul.ended_after = time.monotonic() - started
                if haul.run.process.returncode != 0:
                    problems.append(f"the {name} run ended with exit code {haul.run.process.returncode}")
        if now > _LONGEST_SECONDS:
            problems.append(f"not finished after {_LONGEST_SECONDS / 60:.0f} minutes")
            break
        time.sleep(0.1)
    for haul in (killed, calm):
        haul.run.destroy()


def final_lengths(folder: Path, instances: str, starts: int) -> tuple[np.ndarray, np.ndarray]:
    """`[I]` tour lengths of the last checkpoint of a run, best of `starts`, and `[I]` reference lengths (LKH)."""
    from tspmz.evaluation import evaluate

    result = evaluate(folder, instances, starts=starts, device="cpu")
    references = result.reference_lengths
    assert references is not None
    return result.lengths, references


def gaps(killed: np.ndarray, calm: np.ndarray, references: np.ndarray) -> dict[str, list[float]]:
    """Gap of both runs and their difference (fractions): value, and a 95 % bootstrap interval over the instances.

    Args:
        killed, calm, references: `[I]` lengths.
    """
    rng = np.random.default_rng(0)
    rows = rng.integers(len(references), size=(_RESAMPLES, len(references)))
    lengths = references[rows].mean(axis=1)
    drawn = {"killed": killed[rows].mean(axis=1) / lengths - 1, "undisturbed": calm[rows].mean(axis=1) / lengths - 1}
    drawn["difference"] = drawn["killed"] - drawn["undisturbed"]
    values = {"killed": killed.mean() / references.mean() - 1, "undisturbed": calm.mean() / references.mean() - 1}
    values["difference"] = values["killed"] - values["undisturbed"]
    return {name: [float(values[name]), *np.percentile(drawn[name], [2.5, 97.5]).tolist()] for name in values}


def judge(
    killed: dict[str, tuple[float, float]], calm: dict[str, tuple[float, float]], gap: dict[str, dict[str, list[float]]]
) -> list[str]:
    """Promises that were broken, for people.

    Args:
        killed, calm: figure -> (first third, last third).
        gap: by way of decoding, from `gaps`.
    """
    broken = []
    for name, figures in (("killed", killed), ("undisturbed", calm)):
        for figure, (first, last) in figures.items():
            if figure.startswith("memory") and last > first * (1 + _MOST_GROWTH):
                broken.append(f"{name}: {figure} grew from {first:.0f} to {last:.0f}")
            if figure.startswith("descriptors") and last > first + _MOST_DESCRIPTORS:
                broken.append(f"{name}: {figure} grew from {first:.1f} to {last:.1f}")
    for figure in ("groups sealed / s", "train steps / s"):
        if figure in killed and figure in calm:
            kept = [last / max(first, 1e-9) for first, last in (killed[figure], calm[figure])]
            if kept[0] < _LEAST_THROUGHPUT * kept[1]:
                broken.append(f"killed: {figure} fell to {kept[0]:.2f} of its start, undisturbed to {kept[1]:.2f}")
    for way, found in gap.items():
        if found["difference"][1] > _GAP_TOLERANCE * found["undisturbed"][0]:
            broken.append(f"{way}: the gap is worse by {100 * found['difference'][0]:.3f} percentage points")
    return broken


def print_result(result: dict[str, Any]) -> None:
    """Print the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=max(110, Console().width))
    kills = ", ".join(f"{role} {count}" for role, count in sorted(result["kills"].items())) or "nobody"
    for name in ("killed", "undisturbed"):
        part = result[name]
        table = Table(
            "figure", "first third", "last third",
            title=f"{name}: {part['minutes']:.1f} minutes of wall time, {part['train_steps']:,} train steps, "
            f"{part['groups_sealed']:,} groups sealed, {part['parts']} starts",
        )  # fmt: skip
        for figure, (first, last) in part["thirds"].items():
            table.add_row(figure, f"{first:,.1f}", f"{last:,.1f}")
        console.print(table)
    console.print(f"killed: {kills}")
    table = Table("gap", "killed", "undisturbed", "difference", title=f"95 % intervals over {result['instances']}")
    for way, found in result["gap"].items():
        cells = [f"{100 * v:.3f} % ({100 * low:.3f} to {100 * high:.3f})" for v, low, high in found.values()]
        table.add_row(way, *cells)
    console.print(table)
    for line in result["broken"]:
        console.print(f"broken: {line}", markup=False)
    console.print("a promise is broken" if result["broken"] else "all promises held")


@click.command()
@click.option("--steps", default=25_000, show_default=True, help="Train steps of each run.")
@click.option("--every", default=20.0, show_default=True, help="Seconds between two kills.")
@click.option("--seed", default=0, show_default=True)
@click.option("--cities", default=20, show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Another setting of both runs.")
@click.option("--instances", default="uniform:20:1000:1234", show_default=True, help="As for tspmz-eval.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the runs here [default: a temporary folder].")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result.")
def main(
    steps: int, every: float, seed: int, cities: int, overrides: tuple[str, ...], instances: str,
    folder: Path | None, json_path: Path | None,
) -> None:  # fmt: skip
    """Kill processes of a long run every few seconds, and compare it with one left alone."""
    end_in_order_at_sigterm()
    settings: dict[str, Any] = {
        "problem.num_cities": cities,
        "selfplay.num_actors": _ACTORS,
        "run.train_steps": steps,
        "run.seed": seed,
        "run.max_restarts": 1000,
        "learner.checkpoint_seconds": 10.0,
    }
    settings |= dict(text.split("=", 1) for text in overrides)
    place = folder or Path(tempfile.mkdtemp(prefix="tspmz-longhaul-"))
    place.mkdir(parents=True, exist_ok=True)
    killed, calm = (Haul(LiveRun(place / name, settings)) for name in ("killed", "undisturbed"))
    shared_before = set(os.listdir("/dev/shm"))
    broken: list[str] = []
    try:
        haul_both(killed, calm, every, seed, broken)
    finally:
        for haul in (killed, calm):
            haul.run.destroy()
    left = set(os.listdir("/dev/shm")) - shared_before
    broken += [f"left in /dev/shm: {', '.join(sorted(left))}"] if left else []
    result: dict[str, Any] = {"kills": killed.kills, "instances": instances}
    for name, haul in (("killed", killed), ("undisturbed", calm)):
        progress = haul.run.progress()
        result[name] = {
            "minutes": haul.ended_after / 60, "train_steps": progress.train_steps,
            "groups_sealed": sum(progress.sealed.values()), "parts": haul.run.parts, "thirds": haul.thirds(),
            "samples": [sample._asdict() for sample in haul.samples],
        }  # fmt: skip
    result["gap"] = {}
    try:
        for way, starts in (("one start", 1), (f"best of {min(20, cities)} starts", min(20, cities))):
            lengths, references = final_lengths(killed.run.directory, instances, starts)
            result["gap"][way] = gaps(lengths, final_lengths(calm.run.directory, instances, starts)[0], references)
    except TspmzError as error:
        broken.append(f"no final gap: {error}")
    result["broken"] = broken + judge(result["killed"]["thirds"], result["undisturbed"]["thirds"], result["gap"])
    print_result(result)
    if json_path is not None:
        json_path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if result["broken"]:
        click.echo(f"the runs are kept in {place}", err=True)
        raise SystemExit(1)
    if folder is None:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
