"""Errors that end a command with one line for people and an exit code."""

from __future__ import annotations


class TspmzError(Exception):
    """What went wrong, where, and what to do, in one line; commands print it without a traceback.

    Attributes:
        exit_code: exit status of the command that it ends.
    """

    exit_code = 1


class UsageError(TspmzError):
    """The command cannot be run as it was given (bad option, folder in use, settings that do not fit)."""

    exit_code = 2


class RunError(TspmzError):
    """A run failed after it had started."""
