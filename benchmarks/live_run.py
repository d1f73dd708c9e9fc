"""A training in processes of its own, seen from outside: who is who, how far it is, what it holds, whom to kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tspmz.replay.manifest import MANIFEST_NAME, parse_manifest
from tspmz.replay.segments import SegmentInfo

ROOT = Path(__file__).parents[1]
TRAIN = ROOT / "bin" / "tspmz-train"
AUDITED_TRAIN = ROOT / "benchmarks" / "audited_train.py"
POLL_SECONDS = 0.02

_MARK = "TSPMZ_LIVE_RUN"
_STARTED = re.compile(r" (actor \d+|learner|reanalyzer|recorder|evaluator) starts.*\(pid (\d+)\)")


class Progress(NamedTuple):
    """How far a run is, by its files.

    Attributes:
        sealed: by actor, one above its last sealed group.
        train_steps: of the newest checkpoint; -1 without one.
    """

    sealed: dict[int, int]
    train_steps: int


class LiveRun:
    """A run directory with the command that trains in it, which can be killed and started again.

    Args:
        directory: of the run; its output goes to a file beside it.
        settings: dotted keys and values of a new run.
        audit: folder for the notes of `audit.py`; None trains without them.

    Attributes:
        directory: of the run.
        process: the command now running, or the last one.
        parts: how often it was started.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any], audit: Path | None = None) -> None:
        self.directory = directory
        self.parts = 0
        self.process: subprocess.Popen[bytes]
        self._settings = dict(settings)
        self._audit = audit
        self._mark = f"{directory.resolve()}:{os.getpid()}"
        self._log_offset = 0

    def start(self) -> None:
        """Start a new run, or resume the one that is there."""
        resume = (self.directory / "config.json").exists()
        chosen = [word for key, value in self._settings.items() for word in ("--set", f"{key}={_text(value)}")]
        where = ["--resume", str(self.directory)] if resume else ["--run-dir", str(self.directory), *chosen]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), _MARK: self._mark}
        if self._audit is not None:
            self._audit.mkdir(parents=True, exist_ok=True)
            seed = str(self._settings.get("run.seed", 0))
            environment |= {"AUDIT_DIRECTORY": str(self._audit), "AUDIT_SEED": seed}
        script = TRAIN if self._audit is None else AUDITED_TRAIN
        log = self.directory / "train.log"
        self._log_offset = log.stat().st_size if log.exists() else 0
        with open(self.output_path, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(script), *where], stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        self.parts += 1

    @property
    def output_path(self) -> Path:
        """What the command printed, all parts."""
        return self.directory.with_name(f"{self.directory.name}.out")

    @property
    def ended(self) -> bool:
        """The command has ended."""
        return self.process.poll() is not None

    @property
    def part_log(self) -> str:
        """`train.log` since the last start."""
        try:
            with open(self.directory / "train.log", "rb") as file:
                file.seek(self._log_offset)
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def roles(self) -> dict[str, int]:
        """Process ids of the newest start of each child in this part that has said who it is, and of the parent."""
        found = {"parent": self.process.pid}
        for name, pid in _STARTED.findall(self.part_log):
            found[name] = int(pid)
        return found

    def progress(self) -> Progress:
        """How far the run is."""
        sealed: dict[int, int] = {}
        for entry in self.manifest():
            sealed[entry.actor] = max(sealed.get(entry.actor, 0), entry.last_group_id + 1)
        names = [path.stem for path in (self.directory / "checkpoints").glob("checkpoint-*.pt")]
        return Progress(sealed, max((int(name.split("-")[1]) for name in names), default=-1))

    def manifest(self) -> list[SegmentInfo]:
        """The segments that are sealed."""
        try:
            return parse_manifest((self.directory / "replay" / MANIFEST_NAME).read_bytes())[1]
        except FileNotFoundError:
            return []

    def works_since(self, mark: Progress, wanted: set[str], struck: int = 0) -> bool:
        """All of `wanted` run, without the process `struck`, and since `mark` new work was stored.

        That is: play of each actor was sealed, and a newer checkpoint was written.
        """
        roles = self.roles()
        if not wanted <= set(roles) or any(roles[name] == struck or is_gone(roles[name]) for name in wanted):
            return False
        now = self.progress()
        actors = [int(name.split()[1]) for name in wanted if name.startswith("actor ")]
        return now.train_steps > mark.train_steps and all(
            now.sealed.get(actor, 0) > mark.sealed.get(actor, 0) for actor in actors
        )

    def processes(self) -> list[psutil.Process]:
        """Every living process of any part of this run, found by a variable that all descendants inherit."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def end(self, number: signal.Signals, timeout: float) -> int | None:
        """Send a signal to the parent and wait for its end; its exit code, None where it did not end."""
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def destroy(self) -> None:
        """Kill what is left."""
        if self.parts and not self.ended:
            self.process.kill()
            self.process.wait()
        for process in self.processes() if self.parts else []:
            process.kill()


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end_in_order_at_sigterm() -> None:
    """SIGTERM ends this program like Ctrl-C does, so that it destroys its runs."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def is_gone(pid: int) -> bool:
    """It has ended (a zombie has)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
