"""What every child process does first: die with its parent, leave signals to it, use one thread, log to the run."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from tspmz.allocation import keep_freed_memory

_PR_SET_PDEATHSIG = 1
PRIVATE_UMASK = 0o077
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOG_FORMAT = "%(asctime)s %(processName)s %(levelname)s %(message)s"
TRAIN_LOG = "train.log"
RELAYED = "tspmz.relayed"
"""Logger of lines that the parent repeats from `train.log`; they are not written there again."""

_START_MARK = "--- process"


class Orphaned(SystemExit):
    """The parent was gone before this process could tie itself to it."""


def tie_to_parent(parent_pid: int) -> int:
    """Get SIGKILL when the parent ends, however that ends; returns its process id.

    Raises:
        Orphaned: the parent is already gone.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent died before prctl took effect
        raise Orphaned(1)
    return parent_pid


class ParentTie:
    """Ties the child that unpickles it, and becomes the parent's process id there.

    As the first argument of `run_child` it is unpickled before the child's main function, and so before torch is
    loaded, which takes seconds on a busy machine: nobody would end a child whose parent dies meanwhile.
    """

    def __reduce__(self) -> tuple[Callable[[int], int], tuple[int]]:
        return tie_to_parent, (os.getpid(),)


def run_child(parent_pid: int, target: Callable[..., None], *args: Any) -> None:
    """What a spawned child runs: its main function, which wants the parent's process id last."""
    target(*args, parent_pid)


def enter_child(run_dir: Path, name: str, parent_pid: int, threads: int = 1, orderly: bool = False) -> None:
    """Set up a child process; call before any work.

    The child is tied to its parent (`tie_to_parent`). It ignores SIGINT (the parent decides). What it
    prints, a traceback say, goes to `logs/<name>.log`, what it logs to `train.log`. Its files are private. Where it has
    loaded torch it keeps the memory that it frees.

    Args:
        run_dir: the run directory.
        name: of the process, in file names and log lines.
        parent_pid: process id of the parent, as the parent saw it.
        threads: compute threads of torch, where the module of the child's main function has loaded it.
        orderly: it ignores SIGTERM too, because it must end in order, through the control words (a service manager
            sends SIGTERM to all processes of a run); else it ends at SIGTERM.

    Raises:
        Orphaned: the parent is already gone.
    """
    tie_to_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if orderly else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    os.umask(PRIVATE_UMASK)
    path = log_path(run_dir, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for standard in (sys.stdout, sys.stderr):
        standard.flush()
        os.dup2(descriptor, standard.fileno())
    os.write(descriptor, f"{_START_MARK} {os.getpid()}\n".encode())
    os.close(descriptor)
    log_to_file(run_dir)
    torch = sys.modules.get("torch")
    if torch is not None:  # the recorder needs none: importing it would triple its memory and the time of a restart
        torch.set_num_threads(threads)
        keep_freed_memory()


@contextlib.contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Start children in this context: they inherit the block and so cannot die of Ctrl-C before `enter_child`.

    A signal that comes meanwhile reaches this process at the end of the context.
    """
    resource_tracker.ensure_running()  # the first start of a child would start it, and it unblocks both signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _RunLog(logging.FileHandler):
    """One write a line, so that processes do not cut each other's lines."""

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk costs the line, not the run, and no traceback for each line."""


def log_to_file(run_dir: Path) -> logging.Handler:
    """Append this process's log lines to `train.log`; returns the handler, for who wants to take it off again."""
    path = run_dir / TRAIN_LOG
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    handler = _RunLog(path, mode="a", encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    handler.addFilter(lambda record: record.name != RELAYED)
    root = logging.getLogger("tspmz")
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    return handler


def log_path(run_dir: Path, name: str) -> Path:
    """File that holds what a child prints."""
    return run_dir / "logs" / f"{name.replace(' ', '-')}.log"


def log_tail(run_dir: Path, name: str, lines: int = 15) -> str:
    """The last lines that a child printed since its last start; empty where it printed nothing."""
    try:
        text = log_path(run_dir, name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    _, _, since = text.rpartition(_START_MARK)
    return "\n".join(since.splitlines()[1:][-lines:])


def describe_exit(exit_code: int | None) -> str:
    """How a process ended, for people."""
    if exit_code is None:
        return "is still running"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = "an unknown signal"
    hint = ", likely for lack of memory" if -exit_code == signal.SIGKILL else ""
    return f"was killed by signal {-exit_code} ({name}{hint})"
