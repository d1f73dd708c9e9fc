"""How long does it take from a command to its help, and to the first train step?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from benchmarks.live_run import ROOT, TRAIN
from benchmarks.results import Cell, Figure, Result, Table, this_machine
from benchmarks.timing import here, interleaved

_COMMANDS = ("tspmz-train", "tspmz-eval", "tspmz-solve", "tspmz-replay", "tspmz-compare", "tspmz-export")
_HELP_SECONDS, _FIRST_STEP_SECONDS = 0.5, 15.0
_ROUNDS = 5
_STAGES = {
    "parent has reserved the memory": re.compile(r"shared memory: .* for the weights"),
    "actor starts": re.compile(r"actor 0 starts at group"),
    "learner starts": re.compile(r"learner starts at step"),
    "first train step": re.compile(r"learner ends at step 1$"),
}


def measure(short: bool) -> Result:
    """Measure imports and help, then first steps."""
    table, figures = _of_commands(short)
    steps, first = _of_first_steps(short)
    return Result(
        name="startup",
        title="Start-up",
        answers="How long does it take to import tspmz and to get the help of a command, and from the command to the "
        "first train step with the default settings, with and without compiled kernels in numba's cache?",
        tables=[table, steps],
        figures=[*figures, first],
        notes=[
            "Help needs none of torch, numba, h5py and matplotlib; a test holds that.",
            "A new run plays 64 groups before it trains. Kernels are compiled once per installation.",
        ],
        machine=this_machine(),
        short=short,
    )


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def _of_commands(short: bool) -> tuple[Table, list[Figure]]:
    scripts, codes = _COMMANDS, ("pass", "import tspmz", "import torch")
    if short:
        scripts, codes = scripts[:1], codes[:2]
    calls = {f"python -c {code!r}": ["-c", code] for code in codes}
    calls |= {f"{name} --help": [str(ROOT / "bin" / name), "--help"] for name in scripts}

    def run(arguments: list[str]) -> None:
        subprocess.run([sys.executable, *arguments], env=_environment(), check=True, stdout=subprocess.DEVNULL)

    candidates = {name: here(lambda arguments=arguments: run(arguments)) for name, arguments in calls.items()}  # type: ignore[misc]
    spent = interleaved(candidates, rounds=_ROUNDS, seconds=0.0, short=short)
    rows: list[list[Cell]] = [[name, timing.median] for name, timing in spent.items()]
    figures = []
    for name in ("python -c 'import tspmz'", "tspmz-train --help"):
        rounds = spent[name].rounds
        figures.append(Figure(name, spent[name].median, min(rounds), max(rounds), "s", at_most=_HELP_SECONDS))
    return Table("Commands", ("command", "s"), rows), figures


def _of_first_steps(short: bool) -> tuple[Table, Figure]:
    """Seconds from the command to each stage: once with an empty cache, then with what that left there."""
    with tempfile.TemporaryDirectory(prefix="tspmz-startup-") as folder:
        place = Path(folder)
        if short:  # compiling takes minutes on a busy machine: with the cache as it is
            times = [_first_step(place / "run", _environment())]
            cold: Mapping[str, float] = {}
        else:
            environment = _environment(NUMBA_CACHE_DIR=str(place / "cache"))
            cold = _first_step(place / "cold", environment)
            times = [_first_step(place / f"warm-{round_}", environment) for round_ in range(_ROUNDS)]
    rows: list[list[Cell]] = []
    for stage in _STAGES:
        warm = sorted(time_[stage] for time_ in times)
        rows.append([stage, warm[len(warm) // 2], cold.get(stage)])
    seconds = sorted(time_["first train step"] for time_ in times)
    figure = Figure(
        "from the command to the first train step, warm cache",
        seconds[len(seconds) // 2], seconds[0], seconds[-1], "s", at_most=_FIRST_STEP_SECONDS,
    )  # fmt: skip
    return Table("Seconds from the command", ("stage", "warm cache", "empty cache (once)"), rows), figure


def _first_step(run_dir: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Seconds from the command to each stage, by the times in the run's log."""
    started = time.time()
    command = [sys.executable, str(TRAIN), "--run-dir", str(run_dir), "--steps", "1"]
    done = subprocess.run(
        [*command, "--set", "evaluation.interval_seconds=0"], env=dict(environment), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the run failed: {done.stderr[-1000:]}")
    found: dict[str, float] = {}
    for line in (run_dir / "train.log").read_text(encoding="utf-8").splitlines():
        for stage, pattern in _STAGES.items():
            if stage not in found and pattern.search(line):
                found[stage] = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp() - started
    return found
