"""tspmz-train with a fault built in, named by the variable SABOTAGE. Spawned children import this file, too."""

from __future__ import annotations

import os
import signal
from typing import Any

from tspmz.actor import Actor
from tspmz.cli.train import main
from tspmz.learner import Learner, StepReport


def crash_in_play(actor: Actor) -> None:
    raise RuntimeError("sabotaged play")


def sabotage(kind: str) -> None:
    if kind == "actor crashes":
        Actor.play_once = crash_in_play  # type: ignore[method-assign]
    elif kind.startswith("killed at step "):
        last = int(kind.removeprefix("killed at step "))
        step = Learner.step

        def step_or_die(learner: Learner, *args: Any) -> StepReport:
            if learner.train_steps == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(learner, *args)

        Learner.step = step_or_die  # type: ignore[method-assign]


sabotage(os.environ.get("SABOTAGE", ""))

if __name__ == "__main__":
    main()
