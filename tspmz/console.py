"""What a person reads beside the display: the parent's log lines, and what matters of the children's."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from tspmz.process import RELAYED, TRAIN_LOG

_LINE = re.compile(r"\S+ \S+ (?P<process>.+?) (?P<level>INFO|WARNING|ERROR|CRITICAL) (?P<message>.*)")
_ALWAYS_SHOWN = "evaluator"
_MAX_BYTES = 2**16


class ChildLines:
    """Repeats new lines of the children in `train.log` to the parent's handlers: warnings, and all of the evaluator.

    Args:
        run_dir: the run directory; what its log holds already is left out.
        own_name: process name of the parent, whose lines its handlers have seen.
    """

    def __init__(self, run_dir: Path, own_name: str = "MainProcess") -> None:
        self._path = run_dir / TRAIN_LOG
        self._own_name = own_name
        self._rest = b""
        self._log = logging.getLogger(RELAYED)
        try:
            self._offset = self._path.stat().st_size
        except OSError:
            self._offset = 0

    def relay(self) -> None:
        """Repeat what is new."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                new = file.read(_MAX_BYTES)
        except OSError:  # what cannot be read now is read later, or never: the log file itself is what counts
            return
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            match = _LINE.fullmatch(line.decode("utf-8", "replace"))
            if match is None or match["process"] == self._own_name:
                continue
            level = logging.getLevelNamesMapping()[match["level"]]
            if level >= logging.WARNING or match["process"] == _ALWAYS_SHOWN:
                self._log.log(min(level, logging.WARNING), "%s", match["message"])


@contextlib.contextmanager
def log_to_console(console: Console) -> Iterator[None]:
    """Show the log lines of this process, up to warnings; errors end the command, which prints them itself.

    Args:
        console: of the display: lines go above what it shows live.
    """
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_level=False, rich_tracebacks=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: record.levelno < logging.ERROR)
    root = logging.getLogger("tspmz")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
