"""How much of its time does the learner learn, and how close does a step come to the matrix products in it?"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import recorder_cost
from benchmarks.groups import random_group
from benchmarks.live_run import LiveRun
from benchmarks.peers.client import Peer
from benchmarks.results import Cell, Figure, Result, Table, this_machine
from benchmarks.timing import Timing, here, interleaved, one_core, ratio, times_faster
from tspmz.channels import open_channels, window_per_actor
from tspmz.config_files import load_config
from tspmz.network.build import build_network, num_weights
from tspmz.settings import network_settings
from tspmz.training import TrainingLoop

_CITIES = (20, 50, 100)
_LIMIT = 0.95
_RUN_SECONDS, _WARM_SECONDS, _ROUNDS = 25.0, 10.0, 5
_PRODUCTS = ("mm", "bmm", "addmm", "baddbmm")


class _Products(TorchDispatchMode):
    """Notes the shapes of all matrix products that are computed meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name.removeprefix("aten::")
        if name in _PRODUCTS:
            left, right = args[-2:]
            self.shapes[tuple(left.shape), tuple(right.shape)] += 1
        return function(*args, **(kwargs or {}))


class Turns:
    """A learner with a full window that nobody adds to.

    Args:
        num_cities: N.
        folder: of the run.
        settings: other than the defaults.
    """

    def __init__(self, num_cities: int, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        fixed = {"problem.num_cities": num_cities, "learner.checkpoint_seconds": 86_400.0}
        config = load_config(values={**fixed, **(settings or {})})
        channels = open_channels(config, num_weights(build_network(0, **network_settings(config))))
        writer = channels.ring.writer(0)
        groups = window_per_actor(config)
        for number in range(groups):
            writer.write(random_group(0, number, num_cities, config.selfplay.group_size))
            channels.limiter.record_insert(0)
        self._loop = TrainingLoop(config, channels, folder, "benchmark", "cpu")
        self._batch = self._loop.buffer.sample(np.random.default_rng(0))

    def turn(self) -> None:
        """What the learner does for a step: look for new groups, draw, step, priorities, now and then publish."""
        self._loop.refresh()
        self._loop.train_once()
        self._loop.save_if_due()

    def step(self) -> None:
        """A step on a batch that is at hand: the limit."""
        self._loop.learner.step(self._batch, 0.0)

    def products(self) -> tuple[int, list[tuple[torch.Tensor, torch.Tensor]]]:
        """Floating-point operations of a step, and operands as those of its matrix products."""
        counter = FlopCounterMode(display=False)
        with counter:
            self.step()
        noted = _Products()
        with noted:
            self.step()
        pairs = [
            (torch.rand(left), torch.rand(right)) for (left, right), times in noted.shapes.items() for _ in range(times)
        ]
        return counter.get_total_flops(), pairs


def measure(short: bool) -> Result:
    """Measure turns, steps and products; then whole runs."""
    rows: list[list[Cell]] = []
    figures: list[Figure] = []
    for cities in _CITIES[:1] if short else _CITIES:
        with (
            tempfile.TemporaryDirectory(prefix="tspmz-learner-") as folder,
            one_core(),
            Peer("system_malloc", Path(sys.executable)) as default,
        ):
            default.ask("setup", cities=cities)
            turns = Turns(cities, Path(folder))
            flops, pairs = turns.products()

            def multiply(pairs: list[tuple[torch.Tensor, torch.Tensor]] = pairs) -> None:
                for left, right in pairs:
                    torch.matmul(left, right)

            calls = {"turn": turns.turn, "step": turns.step, "products": multiply}
            candidates = {name: here(call) for name, call in calls.items()} | {"default": default.timed("step")}
            spent = interleaved(candidates, seconds=0.5, short=short)
        rates = [1 / spent[name].median for name in ("turn", "step")]
        rows.append(
            [cities, *rates, flops / 1e9, *[flops / 1e9 / spent[name].median for name in ("step", "products")]]
        )
        share = times_faster(spent["turn"], spent["step"])
        figures.append(Figure(f"turns of the learner per step in memory, {cities} cities", *share, at_least=_LIMIT))
        faster = times_faster(spent["step"], spent["default"])
        figures.append(Figure(f"steps in memory, of those that give freed memory back, {cities} cities", *faster))
        share = times_faster(spent["step"], spent["products"])
        figures.append(Figure(f"FLOP/s of a step, of its matrix products alone, {cities} cities", *share))
    columns = ("cities", "turns/s", "steps in memory/s", "GFLOP a step", "GFLOP/s", "GFLOP/s of the products alone")
    return Result(
        name="learner",
        title="Learner",
        answers="How many train steps does the learner make in a second, beside the same step on one batch in memory, "
        "and how many floating-point operations are that, beside the matrix products alone?",
        tables=[Table("One core, default settings", columns, rows)],
        figures=[*figures, *_of_runs(short)],
        notes=[
            "A turn is all that the learner does for a step: new groups, a batch, the step, priorities, statistics, "
            "and every fifth time publishing. Products have the shapes of those of the step, in fresh memory order.",
            "In a whole run actor, recorder, evaluator and the parent are there, too. They share what cores there are "
            "with the learner, or are kept off one that it has for itself, which is what was asked for.",
        ],
        machine=this_machine(),
        short=short,
    )


def _of_runs(short: bool) -> list[Figure]:
    """Train steps/s of whole runs, of those of the loop in memory that is measured before each of them."""
    cores = sorted(os.sched_getaffinity(0))
    name = f"train steps of a whole run per step in memory, 20 cities, {len(cores)} cores"
    names = {True: f"{name}, one of them for the learner alone", False: name}
    if short or len(cores) < 2:
        why = "not with --short" if short else "one core"
        return [Figure(names[True], None, at_least=_LIMIT, why=why), Figure(names[False], None, why=why)]
    shares: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="tspmz-learner-") as folder:
        with one_core():
            turns = Turns(20, Path(folder) / "memory")
        for round_, alone in itertools.product(range(_ROUNDS), (True, False)):
            with one_core():
                before: Timing = interleaved({"step": here(turns.step)}, seconds=0.5)["step"]
            run = LiveRun(
                Path(folder) / f"{round_}-{alone}",
                {
                    "run.minutes": _RUN_SECONDS / 60, "learner.checkpoint_seconds": 5.0,
                    "learner.keep_checkpoints": 1000, "evaluation.interval_seconds": 0.0, "run.tensorboard": False,
                },
            )  # fmt: skip
            try:
                pin = _Pin(run, cores[-1], cores[:-1]) if alone else None
                shares[alone].append(recorder_cost.measure(run, _WARM_SECONDS, pin).train_steps * before.median)
            finally:
                run.destroy()
    return [Figure(names[True], *ratio(shares[True]), at_least=_LIMIT), Figure(names[False], *ratio(shares[False]))]


class _Pin:
    """Gives the learner of a run a core of its own, once all processes are there.

    Args:
        run: the run.
        core: the learner's.
        others: of everybody else.
    """

    def __init__(self, run: LiveRun, core: int, others: list[int]) -> None:
        self._run, self._core, self._others = run, core, others
        self._done = False

    def __call__(self) -> None:
        roles = self._run.roles()
        if self._done or not {"learner", "recorder", "actor 0"} <= set(roles):
            return
        self._done = True
        for process in self._run.processes():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                for thread in process.threads():
                    os.sched_setaffinity(thread.id, [self._core] if process.pid == roles["learner"] else self._others)
