"""What a question of the benchmarks found: tables, figures beside what was asked, and the machine; to JSON and back.

A question is a module of `benchmarks/` with `measure(short: bool) -> Result`; `questions.py` lists them.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

NOT_INSTALLED = "not installed"
"""Cell of a peer that is not there; `peers.client` says which command installs it."""

NOT_MEASURED = "not measured"

Cell = str | float | int | None
"""Of a table: text, a number, or None for an empty cell."""


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers.

    Attributes:
        title: one line; may be empty.
        columns: heads, with the unit where there is one.
        rows: as many cells each as there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Figure:
    """One number, with its spread over the rounds and what was asked of it.

    Attributes:
        name: what it is, for example "simulations/s against mctx, 100 actions, 50 simulations".
        value: the median over the rounds; None where it could not be measured.
        low, high: smallest and largest of the rounds; None where there was one.
        unit: "times" for ratios.
        at_least, at_most: what was asked; None where nothing was.
        why: of a figure that is None: the reason.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = "times"
    at_least: float | None = None
    at_most: float | None = None
    why: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the figure is what was asked; None where nothing was asked or nothing measured."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    @property
    def asked(self) -> str:
        """What was asked, for people."""
        low = "" if self.at_least is None else f"at least {number(self.at_least)}"
        high = "" if self.at_most is None else f"at most {number(self.at_most)}"
        return ", ".join(part for part in (low, high) if part)


@dataclass(frozen=True)
class Machine:
    """Where a result comes from.

    Attributes:
        cpu: model name.
        cores: that the process may use.
        gpu: name of the first CUDA device, or "none".
        load: load average of the last minute when the measurement began.
        commit: of the checkout; "+" behind it where files were changed.
        versions: of Python and of what the figures depend on.
    """

    cpu: str
    cores: int
    gpu: str
    load: float
    commit: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Result:
    """What a question found.

    Attributes:
        name: of the question; `python -m benchmarks NAME` measures it again.
        title: one line.
        answers: what the figures answer and how they were taken, in a few sentences.
        tables: what was measured.
        figures: ratios against peers and limits, and other single numbers, with what was asked of them.
        notes: what a reader has to know to read them right.
        machine: where it was measured.
        short: a trial of the code alone; its numbers mean nothing.
        extra: numbers of this question for programs, as JSON can hold them.
    """

    name: str
    title: str
    answers: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    machine: Machine | None = None
    short: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def this_machine() -> Machine:
    """The machine and the libraries of this process."""
    import torch

    names = ("numpy", "numba", "torch", "h5py")
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
        load=round(os.getloadavg()[0], 2),
        commit=_commit(),
        versions={"python": platform.python_version()} | {name: metadata.version(name) for name in names},
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _commit() -> str:
    root = Path(__file__).parent.parent
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--abbrev=7", "--dirty=+", "--exclude=*"],
            cwd=root, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()


def save(results: Sequence[Result], path: Path) -> None:
    """Write results as JSON; those of other questions that the file already holds stay as they are."""
    kept = {result.name: result for result in load(path)} if path.exists() else {}
    kept |= {result.name: result for result in results}
    text = json.dumps([asdict(result) for result in kept.values()], indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def load(path: Path) -> list[Result]:
    """Read what `save` wrote.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        return [_from_json(one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (TypeError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a file of results of python -m benchmarks: {error}") from error


def _from_json(one: dict[str, Any]) -> Result:
    parts = {
        "tables": [Table(**table) for table in one["tables"]],
        "figures": [Figure(**figure) for figure in one["figures"]],
        "machine": Machine(**one["machine"]) if one["machine"] else None,
    }
    return Result(**(one | parts))


def number(value: float | int) -> str:
    """A number for people: three to four digits that count, and thousands set apart."""
    if isinstance(value, int) or (abs(value) >= 100 and float(value).is_integer()):
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if value == 0 or abs(value) >= 0.01:
        return f"{value:.2f}"
    return f"{value:.2g}"
