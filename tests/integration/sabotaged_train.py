"""tspmz-train with faults built in, named by the variable SABOTAGE. Spawned children import this file, too."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
from typing import Any

import torch

from tspmz.actor import Actor
from tspmz.cli.train import main
from tspmz.learner import Learner, StepReport

DAY_SECONDS = 86_400.0


def crash_in_play(actor: Actor) -> None:
    raise RuntimeError("sabotaged play")


def at_step(last: int, harm: Any) -> None:
    """Do harm to the learner before the step that follows step `last`, once."""
    step, done = Learner.step, []

    def step_with_harm(learner: Learner, *args: Any) -> StepReport:
        if learner.train_steps == last and not done:
            done.append(True)
            harm(learner)
        return step(learner, *args)

    Learner.step = step_with_harm  # type: ignore[method-assign]


def kill(learner: Learner) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def spoil_weights(learner: Learner) -> None:
    with torch.no_grad():
        for parameter in learner.module.parameters():
            parameter.mul_(float("nan"))


def let_the_clock_jump() -> None:
    """The time of day goes a day forward and back at every look."""
    clock, jumps = time.time, itertools.cycle([DAY_SECONDS, -DAY_SECONDS])
    time.time = lambda: clock() + next(jumps)


def sabotage(kind: str) -> None:
    if kind == "actor crashes":
        Actor.play_once = crash_in_play  # type: ignore[method-assign]
    elif kind.startswith("killed at step "):
        at_step(int(kind.removeprefix("killed at step ")), kill)
    elif kind.startswith("weights spoiled at step "):
        at_step(int(kind.removeprefix("weights spoiled at step ")), spoil_weights)
    elif kind == "clock jumps":
        let_the_clock_jump()
    elif kind.startswith("start method "):
        multiprocessing.set_start_method(kind.removeprefix("start method "), force=True)


for fault in filter(None, os.environ.get("SABOTAGE", "").split("; ")):
    sabotage(fault)

if __name__ == "__main__":
    main()
