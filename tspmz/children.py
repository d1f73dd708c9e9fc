"""The parent's side of child processes: start, end and remember one; stop signals that do not kill the parent."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from tspmz.errors import RunError
from tspmz.process import STOP_SIGNALS, ParentTie, run_child, stop_signals_blocked

_END_SECONDS = 1.0
_FILES = 48  # shared blocks, logs, curves, and what libraries open for a moment
_FILES_PER_CHILD = 3  # its wake-up, and two pipes of `multiprocessing`


@dataclass
class Child:
    """One child process of the run.

    Attributes:
        role, index: which row of the statistics it writes.
        target, args: its main function; the parent's process id is added.
        process: the running or ended process; None between an end and a restart.
        started: monotonic time of the last start.
        ends: monotonic times of its unwanted ends.
        restarts: how often it was started again.
        not_before: monotonic time of the next start while `process` is None; infinite where it was given up.
        killed_for: why the parent killed it; empty where it did not.
    """

    role: str
    index: int
    target: Callable[..., None]
    args: tuple[Any, ...]
    process: BaseProcess | None = None
    started: float = 0.0
    ends: deque[float] = field(default_factory=deque)
    restarts: int = 0
    not_before: float = 0.0
    killed_for: str = ""

    @property
    def name(self) -> str:
        """For people and file names."""
        return f"actor {self.index}" if self.role == "actor" else self.role

    def start(self) -> None:
        """Spawn the process.

        Raises:
            RunError: the system refuses (too many open files or processes, say).
        """
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=run_child, args=(ParentTie(), self.target, *self.args), name=self.name)
        try:
            with stop_signals_blocked():
                process.start()
        except OSError as error:
            raise RunError(
                f"{self.name} could not be started: {error}; fewer actors, or higher limits (ulimit -n, ulimit -u) help"
            ) from None
        self.process = process
        self.started = time.monotonic()
        self.killed_for = ""

    @property
    def alive(self) -> bool:
        """It runs."""
        return self.process is not None and self.process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """As `multiprocessing` gives it: negative for a signal; None while it runs or was never started."""
        return None if self.process is None else self.process.exitcode

    def kill(self, reason: str) -> None:
        """End it at once, and remember why."""
        if self.process is not None:
            self.killed_for = reason
            self.process.kill()
            self.process.join(_END_SECONDS)

    def forget(self) -> None:
        """Free what an ended process still holds."""
        if self.process is not None:
            self.process.close()
            self.process = None


def reserve_open_files(num_children: int) -> None:
    """Make sure that the parent of so many children may open all the files it needs; raises its limit if it can.

    Raises:
        RunError: the limit is too low and cannot be raised; names the number needed.
    """
    needed = _FILES + _FILES_PER_CHILD * num_children
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RunError(
            f"{num_children} child processes need {needed} open files, the limit is {hard}: raise it (ulimit -Hn "
            f"{needed}), or use fewer actors"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def end_all(children: Sequence[Child], timeout: float) -> None:
    """Wait for all, together at most `timeout` seconds; then terminate those that are left, then kill them."""
    processes = [child.process for child in children if child.process is not None]

    def wait(seconds: float) -> list[BaseProcess]:
        deadline = time.monotonic() + seconds
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        return [process for process in processes if process.is_alive()]

    for process in wait(timeout):
        process.terminate()
    for process in wait(_END_SECONDS):
        process.kill()
    wait(_END_SECONDS)


class Interrupts:
    """Counts SIGINT and SIGTERM instead of dying of them; a second one raises KeyboardInterrupt at once, once.

    Attributes:
        signal: number of the first signal; None before it.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in STOP_SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            return
        for stop in STOP_SIGNALS:  # a third one must not cut short the end of the children
            signal.signal(stop, signal.SIG_IGN)
        raise KeyboardInterrupt

    @property
    def exit_code(self) -> int:
        """128 + the signal's number; 0 without one."""
        return 0 if self.signal is None else 128 + self.signal
