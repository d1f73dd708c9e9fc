"""Several processes that do the same thing at the same time: writers of one ring, readers of the same weights."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

Handlers = Mapping[str, Callable[[], Any]]


class Crew:
    """Spawned processes that wait until some of them are asked to work. A context manager.

    Args:
        size: processes.
        handlers_of: a function of a module: number of the process and `args` to what it can do by name.
        args: pickled into each process.
    """

    def __init__(self, size: int, handlers_of: Callable[..., Handlers], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends: list[Connection] = []
        self._processes = []
        for index in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_member, args=(theirs, handlers_of, index, args), daemon=True)
            process.start()
            theirs.close()
            self._ends.append(ours)
            self._processes.append(process)
        for end in self._ends:
            end.recv()

    def rate(self, members: int, name: str, seconds: float) -> float:
        """Calls per second of the first `members` processes together, while all of them call for `seconds`."""
        for end in self._ends[:members]:
            end.send((name, seconds))
        return sum(end.recv() for end in self._ends[:members])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()


def _member(end: Connection, handlers_of: Callable[..., Handlers], index: int, args: tuple[Any, ...]) -> None:
    handlers = handlers_of(index, *args)
    for handler in handlers.values():
        handler()  # what is compiled or touched for the first time is not counted
    end.send("ready")
    while True:
        try:
            name, seconds = end.recv()
        except EOFError:
            return
        handler, calls, started = handlers[name], 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - started < seconds:
            handler()
            calls += 1
        end.send(calls / (time.perf_counter() - started))
