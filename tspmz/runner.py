"""The runner: starts the processes of a run, watches and restarts them, shows the run, stops it in order."""

from __future__ import annotations

import logging
import math
import os
import time
from multiprocessing.connection import wait as wait_for_any
from pathlib import Path

from rich.console import Console

from tspmz.actor import actor_main
from tspmz.channels import Channels, memory_plan, open_channels
from tspmz.children import Child, Interrupts, end_all, reserve_open_files
from tspmz.config import Config
from tspmz.console import ChildLines, log_to_console
from tspmz.control import Phase
from tspmz.display import Display, ProcessView
from tspmz.errors import RunError, TspmzError
from tspmz.evaluator import evaluator_main
from tspmz.monitor import Monitor
from tspmz.network.build import build_network, num_weights
from tspmz.process import PRIVATE_UMASK, describe_exit, log_tail, log_to_file
from tspmz.reanalyzer import reanalyzer_main
from tspmz.recorder import recorder_main
from tspmz.resume import Restored, bound_reached, find_restored, restore_channels
from tspmz.rundir import RunDirectory, write_config
from tspmz.serial import run_serial
from tspmz.settings import network_settings
from tspmz.stats import Snapshot
from tspmz.training import initial_network, learner_device, learner_main
from tspmz.warmup import compile_kernels

_LOG = logging.getLogger(__name__)
_TICK_SECONDS = 0.25
_STOP_SECONDS = {"actor": 2.0, "reanalyzer": 2.0, "learner": 120.0, "recorder": 60.0, "evaluator": 60.0}
_STARTUP_SECONDS = 120.0
_COMPILE_SECONDS = 900.0
_OTHER_CHILDREN = 4  # learner, reanalyzer, recorder, evaluator
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 10.0


class Runner:
    """The processes of one run in parallel mode.

    Args:
        config: the run's settings.
        run: the locked run directory.
        channels: what the processes share, restored where the run is resumed.
        checkpoint: what the learner goes on from; None for a new run.
    """

    def __init__(self, config: Config, run: RunDirectory, channels: Channels, checkpoint: Path | None) -> None:
        self._config = config
        self._path = run.path
        self._channels = channels
        path = run.path
        self._learner = Child("learner", 0, learner_main, (config, channels, path, run.run_id, checkpoint))
        self._actors = [
            Child("actor", index, actor_main, (index, config, channels, path))
            for index in range(config.selfplay.num_actors)
        ]
        recorder = Child("recorder", 0, recorder_main, (config, channels, path, run.run_id))
        self._recorders = [recorder] if config.replay.persist else []
        evaluator = Child("evaluator", 0, evaluator_main, (config, channels, path))
        self._evaluators = [evaluator] if config.evaluation.interval_seconds > 0 else []
        reanalyzer = Child("reanalyzer", 0, reanalyzer_main, (config, channels, path))
        self._reanalyzers = [reanalyzer] if config.reanalyzes else []
        self._optional = [*self._evaluators, *self._reanalyzers]
        self._compiles = {"learner": config.learner.compile, "actor": config.selfplay.compile}
        self._child_lines = ChildLines(path)
        self._last_look = self._awake_since = -math.inf

    @property
    def children(self) -> list[Child]:
        """All of them."""
        return [self._learner, *self._actors, *self._reanalyzers, *self._recorders, *self._evaluators]

    def run(self, interrupts: Interrupts, monitor: Monitor, display: Display) -> None:
        """Start everything, watch until the learner has reached the bound or a signal came, stop in order.

        Raises:
            RunError: a process failed for good; names it, how it ended, and what it last printed. The others have
                been stopped in order: the learner has written a checkpoint and the recorder what was played.
            KeyboardInterrupt: a second signal; all children have been killed.
        """
        problems = []
        try:
            self._channels.control.start_clock()
            try:
                for child in self.children:
                    child.start()
                while interrupts.signal is None and self._watch():
                    self._show(monitor, display)
                    sentinels = [child.process.sentinel for child in self.children if child.process is not None]
                    wait_for_any(sentinels, _TICK_SECONDS)
            except RunError as error:
                problems.append(str(error))
            if interrupts.signal is not None:
                _LOG.info("stopping: last checkpoint and segments are written; another signal stops at once")
            problems += self._stop(interrupts.signal is not None, monitor, display)
        finally:
            for child in self.children:
                if child.alive:
                    child.kill("the run is over")
            self._child_lines.relay()
        if problems:
            raise RunError("\n".join(problems))

    def _watch(self) -> bool:
        """Look after every process; False when the learner has ended well.

        Raises:
            RunError: the learner has ended badly, or another process too often.
        """
        now = time.monotonic()
        if now - self._last_look > self._config.run.heartbeat_seconds / 2:
            self._awake_since = now  # it was suspended (Ctrl-Z, say), and so were its children
        self._last_look = now
        for child in self.children:
            self._check_heartbeat(child)
        if not self._learner.alive:
            if self._learner.exit_code == 0:
                return False
            raise RunError(self._obituary(self._learner))
        for child in (*self._actors, *self._recorders, *self._optional):
            if child.process is not None and not child.alive:
                self._note_end(child)
            if child.process is None and time.monotonic() >= child.not_before:
                child.start()
                child.restarts += 1
                _LOG.warning("%s restarted", child.name)
        return True

    def _note_end(self, child: Child) -> None:
        """A process that should run has ended: restart it a little later, unless that happens too often.

        Raises:
            RunError: it happened too often. Evaluator and reanalyzer are then given up instead: training needs neither.
        """
        now = time.monotonic()
        limit, window = self._config.run.max_restarts, self._config.run.restart_window_seconds
        child.ends.append(now)
        while child.ends[0] < now - window:
            child.ends.popleft()
        obituary = self._obituary(child)
        backoff = min(_FIRST_BACKOFF_SECONDS * 2 ** (len(child.ends) - 1), _LONGEST_BACKOFF_SECONDS)
        if len(child.ends) > limit:
            often = f"{child.name} ended {len(child.ends)} times in {window:g} s"
            if child not in self._optional:
                raise RunError(f"{often}: {obituary}")
            _LOG.warning("%s and is given up, training goes on", often)
            backoff = math.inf
        _LOG.warning("%s", obituary)
        child.not_before = now + backoff
        child.forget()

    def _obituary(self, child: Child) -> str:
        ending = f"was killed: {child.killed_for}" if child.killed_for else describe_exit(child.exit_code)
        memory = self._channels.stats.row(child.role, child.index).get("rss_bytes") / 2**20
        tail = log_tail(self._path, child.name)
        printed = f"; it last printed:\n{tail}" if tail else ""
        return f"{child.name} {ending} (with {memory:,.0f} MiB of memory at its last sign of life){printed}"

    def _check_heartbeat(self, child: Child) -> None:
        """Kill a process that has been silent for too long; the next look finds it ended."""
        if not child.alive:
            return
        beat = self._channels.stats.row(child.role, child.index).get("heartbeat")
        silence = time.monotonic() - max(beat, child.started, self._awake_since)
        limit = self._config.run.heartbeat_seconds
        if beat < child.started:  # it still loads its libraries
            limit = max(limit, _STARTUP_SECONDS)
        if self._compiles.get(child.role, False):  # at the first batch of each shape
            limit = max(limit, _COMPILE_SECONDS)
        if silence > limit:
            child.kill(f"it gave no sign of life for {silence:.0f} s")

    def _stop(self, interrupted: bool, monitor: Monitor, display: Display) -> list[str]:
        """Actors first, then the learner's last checkpoint, then recorder and evaluator; returns what went wrong."""
        learner_ended = self._learner.process is not None and not self._learner.alive
        self._channels.control.advance(Phase.STOP)
        if interrupted:
            end_all(self._evaluators, 0.0)  # who stops a run does not wait for a last evaluation
        end_all([*self._actors, *self._reanalyzers], _STOP_SECONDS["actor"])
        problems = self._await_end([] if learner_ended else [self._learner], monitor, display)
        self._channels.control.advance(Phase.FINISH)
        for recorder in self._recorders:
            if not recorder.alive and self._learner.process is not None:
                try:
                    recorder.start()  # it died: what is still in the ring shall be sealed all the same
                except RunError as error:
                    problems.append(str(error))
        problems += self._await_end(self._recorders, monitor, display)
        for problem in [] if interrupted else self._await_end(self._evaluators, monitor, display):
            _LOG.warning("%s", problem)
        return problems

    def _await_end(self, children: list[Child], monitor: Monitor, display: Display) -> list[str]:
        """Wait for processes that were told to end; names those that end badly or not in time."""
        problems = []
        for child in children:
            deadline = time.monotonic() + _STOP_SECONDS[child.role]
            while child.alive and time.monotonic() < deadline:
                self._show(monitor, display)
                if child.process is not None:
                    child.process.join(_TICK_SECONDS)
            if child.alive:
                child.kill(f"it did not end within {_STOP_SECONDS[child.role]:g} s")
            if child.exit_code:
                problems.append(self._obituary(child))
        return problems

    def _show(self, monitor: Monitor, display: Display) -> None:
        self._child_lines.relay()
        snapshot = self._channels.stats.snapshot()
        processes = tuple(self._view(child, snapshot) for child in self.children)
        display.update(monitor.view(snapshot, processes))

    def _view(self, child: Child, snapshot: Snapshot) -> ProcessView:
        waiting = "given up" if math.isinf(child.not_before) else "restarts soon"
        state = "running" if child.alive else waiting if child.process is None else "ended"
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
        TspmzError: what went wrong, for people. A new run that did not get as far as its first process leaves its
            directory empty.
    """
    mask = os.umask(PRIVATE_UMASK)
    try:
        run = RunDirectory.open(run_dir) if resume else RunDirectory.create(run_dir, config)
        return _train(config, run, resume, allow_empty_replay)
    finally:
        os.umask(mask)


def _train(config: Config, run: RunDirectory, resume: bool, allow_empty_replay: bool) -> int:
    began = resume
    console = Console()
    log_file = log_to_file(run.path)
    try:
        with log_to_console(console):
            prepared = _prepare(config, run, resume, allow_empty_replay)
            if prepared is None:
                return 0
            began = True
            return _run(config, run, *prepared, console)
    except TspmzError as error:
        _LOG.error("%s", error)
        raise
    finally:
        logging.getLogger("tspmz").removeHandler(log_file)
        log_file.close()
        if began:
            run.close()
        else:
            run.discard()


def _prepare(
    config: Config, run: RunDirectory, resume: bool, allow_empty_replay: bool
) -> tuple[Channels, Restored | None] | None:
    """Everything that can be refused before the first process starts; None where there is nothing left to do."""
    if config.run.mode == "parallel":
        reserve_open_files(config.selfplay.num_actors + _OTHER_CHILDREN)
    learner_device(config.learner.device)  # a missing device is an error now, not a dead learner later
    restored = find_restored(run, config, allow_empty_replay) if resume else None
    reached = bound_reached(restored.state, config) if restored else ""
    if reached:
        _LOG.info("%s: nothing to do, %s; raise --steps or --minutes to go on", run.path, reached)
        return None
    # initial weights that do not fit are an error now, too
    network = build_network(0, **network_settings(config)) if restored else initial_network(config)
    count = num_weights(network)
    for purpose, size in memory_plan(config, count).items():
        _LOG.info("shared memory: %.1f MiB for the %s", size / 2**20, purpose)
    version = int(restored.state["weights_version"]) if restored else 0
    elapsed = float(restored.state["elapsed_seconds"]) if restored else 0.0
    channels = open_channels(config, count, version, elapsed)
    if restored:
        channels = restore_channels(channels, restored, config)
        write_config(run.path, run.run_id, config)
    compile_kernels()
    return channels, restored


def _run(config: Config, run: RunDirectory, channels: Channels, restored: Restored | None, console: Console) -> int:
    """Train; returns the exit code."""
    with Interrupts() as interrupts, Monitor(config, run.path, channels) as monitor:
        try:
            with Display(console) as display:
                if config.run.mode == "serial":
                    run_serial(config, run, channels, restored, lambda: interrupts.signal is not None, monitor, display)
                else:
                    checkpoint = restored.checkpoint if restored else None
                    Runner(config, run, channels, checkpoint).run(interrupts, monitor, display)
            monitor.finish()  # below what was shown live
        except KeyboardInterrupt:
            _LOG.warning("stopped at once at the second signal")
    return interrupts.exit_code
