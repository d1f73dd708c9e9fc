"""What every child process does first: die with its parent, leave signals to it, use one thread, log to the run."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
LOG_FORMAT = "%(asctime)s %(processName)s %(levelname)s %(message)s"


class Orphaned(SystemExit):
    """The parent was gone before this process could tie itself to it."""


def enter_child(run_dir: Path, name: str, parent_pid: int, threads: int = 1) -> None:
    """Set up a child process; call before any work.

    The child gets SIGKILL when its parent ends, however that ends. It ignores SIGINT (the parent decides) and ends at
    SIGTERM. What it prints, a traceback say, goes to `logs/<name>.log`, what it logs to `train.log`.

    Args:
        run_dir: the run directory.
        name: of the process, in file names and log lines.
        parent_pid: process id of the parent, as the parent saw it.
        threads: compute threads of torch.

    Raises:
        Orphaned: the parent is already gone.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent died before prctl took effect
        raise Orphaned(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    path = log_path(run_dir, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for standard in (sys.stdout, sys.stderr):
        standard.flush()
        os.dup2(descriptor, standard.fileno())
    os.close(descriptor)
    log_to_file(run_dir)
    import torch

    torch.set_num_threads(threads)


def log_to_file(run_dir: Path) -> None:
    """Append this process's log lines to `train.log` (one write a line, so that processes do not cut each other's)."""
    path = run_dir / "train.log"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger("tspmz")
    root.setLevel(logging.INFO)
    root.addHandler(handler)


def log_path(run_dir: Path, name: str) -> Path:
    """File that holds what a child prints."""
    return run_dir / "logs" / f"{name.replace(' ', '-')}.log"


def log_tail(run_dir: Path, name: str, lines: int = 15) -> str:
    """The last lines that a child printed; empty where it printed nothing."""
    try:
        text = log_path(run_dir, name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


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
