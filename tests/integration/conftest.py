"""Runs that are killed at the end of their test, whatever happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Run, Starter


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts a run in a directory under `tmp_path` by its name; arguments as for `Run`."""
    started: list[Run] = []

    def start_run(name: str, *arguments: str, resume: bool = False, sabotage: str = "") -> Run:
        run = Run(tmp_path / name, *arguments, resume=resume, sabotage=sabotage)
        started.append(run)
        return run

    yield start_run
    for run in started:
        run.destroy()
