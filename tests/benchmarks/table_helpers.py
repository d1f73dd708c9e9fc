"""Benchmark commands on an untrained agent, and their tables in Markdown as rows of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result
from process_helpers import TinyRun


def untrained_run(folder: Path, **values: Any) -> Path:
    """A run directory of an untrained agent; settings as for `tiny_config`."""
    TinyRun(folder, played=0, **values).loop.save()
    return folder


def called(command: click.Command, *arguments: str) -> Result:
    """What a command printed that ended well."""
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def table_rows(text: str) -> list[list[str]]:
    """The rows of a table in Markdown, without its head."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return rows[1:]
