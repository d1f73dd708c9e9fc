"""A setting as a dataclass field that carries its meaning, range and source; the error of wrong ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any


class ConfigError(ValueError):
    """All that is wrong with a configuration, one line a problem.

    Attributes:
        problems: the lines.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def setting(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    source: str = "",
    fixed: bool = False,
) -> Any:
    """A field with its documentation.

    Args:
        default: value when nothing is said.
        meaning: one line, the unit in brackets first where there is one.
        low: smallest allowed value (inclusive).
        high: largest allowed value (inclusive).
        choices: the allowed strings.
        source: paper section the setting comes from.
        fixed: cannot change when a run is resumed (weights or stored episodes depend on it).
    """
    metadata = {"meaning": meaning, "low": low, "high": high, "choices": choices, "source": source, "fixed": fixed}
    return dataclasses.field(default=default, metadata=metadata)
