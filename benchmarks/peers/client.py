"""Workers of peers, from the side of the benchmarks: start one, ask it, let it measure itself between our rounds."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.timing import Timed

ROOT = Path(__file__).parent.parent.parent
INSTALL = "python -m benchmarks.peers"


class PeerMissing(Exception):
    """The environment or a package is not there; the message says so, and what installs it."""


def environment() -> Path:
    """Folder of the peers' virtual environment, whether or not it is there."""
    return Path(os.environ.get("TSPMZ_PEERS") or ROOT / ".peers")


class Peer:
    """One worker: a process that answers one request after another. A context manager.

    Args:
        name: module of the worker, `benchmarks/peers/NAME.py`.
        python: that runs it; None = that of the peers' environment.

    Attributes:
        name: as given.
        version: of the peer's package, as the worker tells it.

    Raises:
        PeerMissing: not installed.
    """

    def __init__(self, name: str, python: Path | None = None) -> None:
        self.name = name
        python = python or environment() / "bin" / "python"
        if not python.exists():
            raise PeerMissing(f"{name}: not installed ({INSTALL})")
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.peers.{name}"], cwd=ROOT, env=surroundings | threads, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            self.version = str(self._answer()["version"])
        except (PeerMissing, RuntimeError) as error:
            self.close()
            raise PeerMissing(f"{name}: not installed ({INSTALL}): {error}") from error

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Call a function of the worker.

        Args:
            operation: name of a handler.
            arguments: what JSON can hold.

        Raises:
            RuntimeError: it failed there; the worker lives on.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"operation": operation, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def timed(self, operation: str, **arguments: Any) -> Timed:
        """A handler that takes `calls` and returns the seconds they took, as a candidate of `timing.interleaved`."""
        return lambda calls: float(self.ask(operation, calls=calls, **arguments))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.name} ended with exit code {self._process.wait(10)}")
        answer = json.loads(line)
        if "missing" in answer:
            raise PeerMissing(answer["missing"])
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer["result"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Peers:
    """The workers of several peers, as far as they are installed. A context manager.

    Args:
        names: modules of workers.

    Attributes:
        found: by name, those that are there.
        notes: one line for each that is not, and the version of each that is.
    """

    def __init__(self, *names: str) -> None:
        self.found: dict[str, Peer] = {}
        self.notes: list[str] = []
        for name in names:
            try:
                self.found[name] = Peer(name)
                self.notes.append(f"{name} {self.found[name].version}")
            except PeerMissing as missing:
                self.notes.append(str(missing))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for peer in self.found.values():
            peer.close()
