"""What all commands make of an error: a line and an exit code where people can do something, else a traceback."""

from __future__ import annotations

import click
import pytest
import torch

from tspmz.cli.command import run_command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "error: not enough memory: the work is too large for this machine"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you\nmore"), "error: not enough memory: Default"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"), "error: not enough memory: CUDA out of memory. T"),
    ],
)
def test_too_little_memory_is_one_line(error: Exception, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _code_of(error) == 1
    found = capsys.readouterr().err
    assert found.startswith(line)
    assert found.count("\n") == 1


def test_other_errors_of_the_program_show_where_they_come_from() -> None:
    with pytest.raises(RuntimeError, match="a defect"):
        _code_of(RuntimeError("a defect"))


def _code_of(error: Exception) -> object:
    @click.command()
    def fails() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_command(fails, [])
    return caught.value.code
