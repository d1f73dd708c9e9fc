"""The runner: starts the processes of a run, watches and restarts them, shows the run, stops it in order."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from tspmz.actor import actor_main
from tspmz.channels import Channels, memory_plan, open_channels
from tspmz.config import Config
from tspmz.control import Phase
from tspmz.display import Display, ProcessView
from tspmz.errors import RunError, TspmzError
from tspmz.evaluator import evaluator_main
from tspmz.monitor import Monitor
from tspmz.network.build import build_network, num_weights
from tspmz.process import describe_exit, log_tail, log_to_file
from tspmz.recorder import recorder_main
from tspmz.resume import Restored, find_restored, restore_channels
from tspmz.rundir import RunDirectory, write_config
from tspmz.serial import run_serial
from tspmz.settings import network_settings
from tspmz.shared import SharedMemoryError
from tspmz.training import learner_device, learner_main
from tspmz.warmup import compile_kernels

_LOG = logging.getLogger(__name__)
_TICK_SECONDS = 0.25
_STOP_SECONDS = {"actor": 2.0, "learner": 120.0, "recorder": 60.0, "evaluator": 60.0}
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 10.0


@dataclass
class Child:
    """One child process of the run.

    Attributes:
        role, index: which row of the statistics it writes.
        target, args: its main function; the parent's process id is added.
        process: the running or ended process; None between an end and a restart.
        started: monotonic time of the last start.
        ends: monotonic times of its unwanted ends.
        not_before: monotonic time of the next start while `process` is None.
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

    @property
    def name(self) -> str:
        """For people and file names."""
        return f"actor {self.index}" if self.role == "actor" else self.role

    def start(self) -> None:
        """Spawn the process."""
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=self.target, args=(*self.args, os.getpid()), name=self.name)
        self.process.start()
        self.started = time.monotonic()

    @property
    def alive(self) -> bool:
        """It runs."""
        return self.process is not None and self.process.is_alive()

    def end(self, timeout: float) -> None:
        """Wait for the process; after `timeout` seconds terminate it, then kill it."""
        if self.process is None:
            return
        self.process.join(timeout)
        for stop in (self.process.terminate, self.process.kill):
            if self.process.is_alive():
                stop()
                self.process.join(1.0)


class Interrupts:
    """Counts SIGINT and SIGTERM instead of dying of them; a second one raises KeyboardInterrupt at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    @property
    def exit_code(self) -> int:
        """128 + the signal's number; 0 without one."""
        return 0 if self.signal is None else 128 + self.signal


class Runner:
    """The processes of one run in parallel mode.

    Args:
        config: the run's settings.
        run: the locked run directory.
        channels: what the processes share, restored where the run is resumed.
        restored: what the run goes on from; None for a new run.
    """

    def __init__(self, config: Config, run: RunDirectory, channels: Channels, restored: Restored | None) -> None:
        self._config = config
        self._path = run.path
        self._channels = channels
        path = run.path
        checkpoint = restored.checkpoint if restored else None
        self._learner = Child("learner", 0, learner_main, (config, channels, path, run.run_id, checkpoint))
        self._actors = [
            Child("actor", index, actor_main, (index, config, channels, path))
            for index in range(config.selfplay.num_actors)
        ]
        self._recorder = Child("recorder", 0, recorder_main, (config, channels, path, run.run_id))
        self._helpers = [self._recorder]
        if config.evaluation.interval_seconds > 0:
            self._helpers.append(Child("evaluator", 0, evaluator_main, (config, channels, path)))

    @property
    def children(self) -> list[Child]:
        """All of them."""
        return [self._learner, *self._actors, *self._helpers]

    def run(self, interrupts: Interrupts, monitor: Monitor, display: Display) -> None:
        """Start everything, watch until the learner has reached the bound or a signal came, stop in order.

        Raises:
            RunError: a process failed for good; names it, how it ended, and what it last printed.
            KeyboardInterrupt: a second signal; all children have been killed.
        """
        try:
            self._channels.control.start_clock()
            for child in self.children:
                child.start()
            while interrupts.signal is None and self._watch():
                self._show(monitor, display)
                wait_for_any([c.process.sentinel for c in self.children if c.process is not None], _TICK_SECONDS)
            self._stop(monitor, display)
        finally:
            for child in self.children:
                if child.alive:
                    child.end(0.0)
        monitor.finish()

    def _watch(self) -> bool:
        """Look after every process; False when the learner has ended well."""
        process = self._learner.process
        if process is not None and not process.is_alive():
            if process.exitcode == 0:
                return False
            raise RunError(self._obituary(self._learner))
        self._check_heartbeat(self._learner)
        for child in (*self._actors, *self._helpers):
            self._check_heartbeat(child)
            if child.process is not None and not child.process.is_alive():
                self._note_end(child)
            if child.process is None and time.monotonic() >= child.not_before:
                child.start()
                child.restarts += 1
                _LOG.warning("%s restarted", child.name)
        return True

    def _note_end(self, child: Child) -> None:
        """A process that should run has ended: restart it a little later, unless that happens too often."""
        now = time.monotonic()
        limit, window = self._config.run.max_restarts, self._config.run.restart_window_seconds
        child.ends.append(now)
        while child.ends and child.ends[0] < now - window:
            child.ends.popleft()
        if len(child.ends) > limit:
            raise RunError(f"{self._obituary(child)}\n{child.name} ended {len(child.ends)} times in {window:g} s")
        _LOG.warning("%s", self._obituary(child))
        backoff = min(_FIRST_BACKOFF_SECONDS * 2 ** (len(child.ends) - 1), _LONGEST_BACKOFF_SECONDS)
        child.not_before = now + backoff
        child.process = None

    def _obituary(self, child: Child) -> str:
        tail = log_tail(self._path, child.name)
        ending = describe_exit(child.process.exitcode if child.process else None)
        return f"{child.name} {ending}" + (f"; it last printed:\n{tail}" if tail else "")

    def _check_heartbeat(self, child: Child) -> None:
        """Kill a process that has been silent for too long; the next look finds it ended."""
        if not child.alive or child.process is None:
            return
        last = max(self._channels.stats.row(child.role, child.index).get("heartbeat"), child.started)
        silence = time.monotonic() - last
        if silence > self._config.run.heartbeat_seconds:
            _LOG.warning("%s gave no sign of life for %.0f s and is killed", child.name, silence)
            child.process.kill()
            child.process.join(5.0)

    def _stop(self, monitor: Monitor, display: Display) -> None:
        """Actors first, then the learner's last checkpoint, then recorder and evaluator."""
        self._channels.control.advance(Phase.STOP)
        for actor in self._actors:
            actor.end(_STOP_SECONDS["actor"])
        self._await_end([self._learner], monitor, display)
        self._channels.control.advance(Phase.FINISH)
        if not self._recorder.alive:
            self._recorder.start()  # it died: what is still in the ring shall be sealed all the same
        self._await_end(self._helpers, monitor, display)

    def _await_end(self, children: list[Child], monitor: Monitor, display: Display) -> None:
        """Wait for processes that were told to end, and name those that end badly.

        Raises:
            RunError: one ended with an error or did not end in time.
        """
        problems = []
        for child in children:
            deadline = time.monotonic() + _STOP_SECONDS[child.role]
            while child.alive and time.monotonic() < deadline:
                self._show(monitor, display)
                if child.process is not None:
                    child.process.join(_TICK_SECONDS)
            late = child.alive
            child.end(0.0)
            if late:
                problems.append(f"{child.name} did not end within {_STOP_SECONDS[child.role]:g} s and was killed")
            elif child.process is not None and child.process.exitcode:
                problems.append(self._obituary(child))
        if problems:
            raise RunError("\n".join(problems))

    def _show(self, monitor: Monitor, display: Display) -> None:
        snapshot = self._channels.stats.snapshot()
        processes = tuple(self._view(child, snapshot) for child in self.children)
        display.update(monitor.view(snapshot, processes))

    def _view(self, child: Child, snapshot: Any) -> ProcessView:
        state = "running" if child.alive else "restarts soon" if child.process is None else "ended"
        return ProcessView(
            child.name,
            state,
            float(snapshot.values(child.role, "rss_bytes")[child.index]),
            float(snapshot.silence(child.role)[child.index]),
            child.restarts,
        )


def train(config: Config, run_dir: Path, resume: bool = False, allow_empty_replay: bool = False) -> int:
    """Train in `run_dir`: a new run, or on from where an earlier part of it stopped.

    Args:
        config: the settings, validated.
        run_dir: run directory; empty or missing for a new run.
        resume: go on with the run in it.
        allow_empty_replay: resume even though no stored episode can be used.

    Returns:
        0 when a bound was reached, 130 after SIGINT, 143 after SIGTERM.

    Raises:
        TspmzError: what went wrong, for people.
    """
    run = RunDirectory.open(run_dir) if resume else RunDirectory.create(run_dir, config)
    try:
        log_to_file(run.path)
        return _train(config, run, resume, allow_empty_replay)
    except SharedMemoryError as error:
        raise RunError(str(error)) from None
    except TspmzError as error:
        _LOG.error("%s", error)
        raise
    finally:
        run.close()


def _train(config: Config, run: RunDirectory, resume: bool, allow_empty_replay: bool) -> int:
    learner_device(config.learner.device)  # a missing device is an error now, not a dead learner later
    restored = find_restored(run, config, allow_empty_replay) if resume else None
    count = num_weights(build_network(config.run.seed, **network_settings(config)))
    for purpose, size in memory_plan(config, count).items():
        _LOG.info("shared memory: %.1f MiB for the %s", size / 2**20, purpose)
    version = int(restored.state["weights_version"]) if restored else 0
    elapsed = float(restored.state["elapsed_seconds"]) if restored else 0.0
    channels = open_channels(config, count, version, elapsed)
    if restored:
        restore_channels(channels, restored, config)
        write_config(run.path, run.run_id, config)
    compile_kernels()
    with Interrupts() as interrupts, Monitor(config, run.path, channels) as monitor, Display() as display:
        try:
            if config.run.mode == "serial":
                run_serial(config, run, channels, restored, lambda: interrupts.signal is not None, monitor, display)
            else:
                Runner(config, run, channels, restored).run(interrupts, monitor, display)
        except KeyboardInterrupt:
            _LOG.warning("stopped at once at the second signal")
    return interrupts.exit_code
