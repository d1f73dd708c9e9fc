"""What all commands have in common: help, version, exit codes, and errors as lines for people, not tracebacks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
from click.core import ParameterSource

from tspmz import __version__
from tspmz.allocation import keep_freed_memory
from tspmz.config import ConfigError
from tspmz.errors import TspmzError

INTERRUPTED = 130

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

version_option = click.version_option(__version__, message="tspmz %(version)s", help="Print the version and leave.")


def run_command(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a click command whose function returns an exit code (or None), then leave the process.

    Exit codes: 0 done, 1 failed, 2 wrong use or settings, 130 interrupted; a command may return others.

    Args:
        command: the command.
        arguments: instead of the process's own.
    """
    keep_freed_memory()
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
    except MemoryError as error:
        _complain([f"not enough memory: {str(error) or 'the work is too large for this machine'}"])
        code = 1
    except RuntimeError as error:
        from tspmz.fitting import is_out_of_memory, reason_of

        if not is_out_of_memory(error):
            raise
        _complain([f"not enough memory: {reason_of(error)}"])
        code = 1
    sys.exit(code)


def command_line(context: click.Context, **shown: str) -> str:
    """The call that a context belongs to, as one would type it: arguments, then the options that were given.

    Args:
        context: of the call.
        shown: instead of the value of the parameter of that name.
    """
    words = [context.command.name or ""]
    options: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        value = shown.get(name, context.params.get(name))
        if isinstance(parameter, click.Argument):
            words += [str(one) for one in value or ()] if parameter.nargs != 1 else [str(value)]
        elif isinstance(parameter, click.Option) and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            given = (value or ()) if parameter.multiple else [value]
            for one in given:
                options += [parameter.opts[0]] if parameter.is_flag else [parameter.opts[0], _typed(one)]
    return shlex.join(words + options)


def _typed(value: object) -> str:
    return "all" if value is None else str(value)


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(f"error: {line}", err=True)
