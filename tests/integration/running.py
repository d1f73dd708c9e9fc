"""Real runs with tiny settings: start one, look at it, wait for its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
TRAIN = ROOT / "bin" / "tspmz-train"
SABOTAGED = Path(__file__).with_name("sabotaged_train.py")
END_SECONDS = 100.0

TINY = """
[problem]
num_cities = 5
[network]
embedding_dim = 16
num_layers = 1
num_heads = 2
feedforward_dim = 16
support_size = 8
[search]
num_simulations = 2
max_considered_actions = 2
[selfplay]
groups_in_parallel = 2
group_size = 4
[replay]
capacity_groups = 32
min_groups = 8
error_buffer_groups = 8
segment_groups = 8
segment_seconds = 0.2
[learner]
batch_groups = 2
checkpoint_seconds = 0.5
[evaluation]
interval_seconds = 0.0
num_instances = 4
num_pictures = 0
[run]
tensorboard = false
"""


class Run:
    """One tspmz-train process; its output goes to a file beside the run directory.

    Attributes:
        directory: of the run.
        process: the command.
    """

    def __init__(self, directory: Path, *arguments: str, resume: bool = False, sabotage: str = "") -> None:
        self.directory = directory
        self._output = directory.with_suffix(".out")
        settings = directory.with_suffix(".toml")
        settings.write_text(TINY, encoding="utf-8")
        where = ["--resume", str(directory)] if resume else ["--config", str(settings), "--run-dir", str(directory)]
        script = SABOTAGED if sabotage else TRAIN
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SABOTAGE": sabotage}
        with open(self._output, "wb") as file:
            command = [sys.executable, str(script), *where, *arguments]
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)

    @property
    def output(self) -> str:
        """What the command printed so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    @property
    def log(self) -> str:
        """`train.log`."""
        path = self.directory / "train.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def pids(self, name: str) -> list[int]:
        """Process ids of all starts of a child, oldest first."""
        return [int(pid) for pid in re.findall(rf" {name} starts.*\(pid (\d+)\)", self.log)]

    def family(self) -> list[psutil.Process]:
        """The command and all of its descendants."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def steps(self) -> int:
        """Train steps of the newest checkpoint; -1 where there is none."""
        names = [path.stem for path in (self.directory / "checkpoints").glob("checkpoint-*.pt")]
        return max((int(name.split("-")[1]) for name in names), default=-1)

    def sealed(self) -> dict[int, int]:
        """By actor, the first group of its newest segment: it grows with each seal, while old segments are pruned."""
        newest: dict[int, int] = {}
        for path in (self.directory / "replay").glob("segment-*.h5"):
            actor, first = (int(number) for number in path.stem.split("-")[1:])
            newest[actor] = max(newest.get(actor, 0), first)
        return newest

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if any, wait for the end, and return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.destroy()
            raise AssertionError(f"no end; output:\n{self.output}\nlog:\n{self.log}") from None

    def destroy(self) -> None:
        """Kill what is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def is_gone(process: psutil.Process) -> bool:
    """It has ended (a zombie has)."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


Starter = Callable[..., Run]
