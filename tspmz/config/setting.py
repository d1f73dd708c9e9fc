"""A setting as a dataclass field that carries its meaning, range and source; the error of wrong ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
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
    parse: Callable[[str], object] | None = None,
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
        parse: what the string means, such as `parse_sizes`; raises a ValueError that says what it must be.
        source: paper section the setting comes from.
        fixed: cannot change when a run is resumed (weights or stored episodes depend on it).
    """
    metadata = {
        "meaning": meaning, "low": low, "high": high, "choices": choices, "parse": parse, "source": source,
        "fixed": fixed,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def parse_sizes(text: str) -> tuple[int, ...]:
    """The whole numbers that `text` lists, separated by commas; none where it is empty.

    Raises:
        ValueError: something else; says what it must be.
    """
    try:
        sizes = tuple(int(word) for word in text.split(",")) if text.strip() else ()
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise ValueError("whole numbers above 0, separated by commas, or empty")
    return sizes


def parse_schedule(text: str) -> tuple[tuple[int, float], ...]:
    """Pairs of train steps and the value from there on, written `step:value,step:value`; none where it is empty.

    Raises:
        ValueError: something else, steps that do not increase, or a value outside of 0 to 10; says what it must be.
    """
    try:
        words = [word.split(":") for word in text.split(",")] if text.strip() else []
        pairs = tuple((int(step), float(value)) for step, value in words)
    except ValueError:
        pairs = ((-1, 0.0),)
    steps = [step for step, _ in pairs]
    if any(step < 0 for step in steps) or steps != sorted(set(steps)) or not all(0 <= v <= 10 for _, v in pairs):
        raise ValueError("pairs of train steps, increasing, and values from 0 to 10, such as 1000:0.5,2000:0.25")
    return pairs
