"""How a command ends: its exit code, and errors as lines for people instead of tracebacks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from tspmz.config import ConfigError
from tspmz.errors import TspmzError

INTERRUPTED = 130


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a click command whose function returns an exit code (or None), then leave the process.

    Exit codes: 0 done, 1 failed, 2 wrong use or settings, 130 interrupted; a command may return others.

    Args:
        command: the command.
        arguments: instead of the process's own.
    """
    try:
        code = command.main(args=arguments, standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except ConfigError as error:
        _complain(error.problems)
        code = 2
    except TspmzError as error:
        _complain([str(error)])
        code = error.exit_code
    sys.exit(code)


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(f"error: {line}", err=True)
