"""From a template and its content to one HTML file that needs no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from tspmz.errors import UsageError
from tspmz.plots.style import PAGE_COLORS, percent, to_svg
from tspmz.replay.files import FileSystem, atomic_write
from tspmz.rundir import versions

PAGE = "index.html"
DASH = "\N{EN DASH}"
"""Stands where nothing is known."""

_DARK = {
    "ink": "#e6edf3", "muted": "#9fb0bf", "grid": "#33414e", "paper": "#17202a", "reference": "#f0a55e",
    "start": "#ff7385", "series-0": "#6cb0ff", "series-1": "#ff9d5c", "series-2": "#4fd1a5", "series-3": "#c99bf0",
    "series-4": "#e3bd4b", "series-5": "#ff85b8", "series-6": "#a3cf6b", "series-7": "#a3b2ff",
}  # fmt: skip
"""The colors of pictures on a dark page."""


class Picture(NamedTuple):
    """A picture with what is said below it.

    Attributes:
        svg: an element.
        caption: one or two sentences.
    """

    svg: Markup
    caption: str


class Table(NamedTuple):
    """A table whose first column names the row.

    Attributes:
        caption: what it shows.
        columns: headings.
        rows: texts, as many as headings.
        marked: number of the row that the page is about; -1 for none.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: int = -1


def picture(figure: Any, name: str, caption: str) -> Picture:
    """A matplotlib figure for a page; `name` is unique on it."""
    return Picture(Markup(to_svg(figure, name, caption)), caption)


def gap_text(gap: float | None) -> str:
    """A gap as percent; a dash where it is unknown."""
    return DASH if gap is None or not math.isfinite(gap) else percent(gap)


def interval_text(interval: Sequence[float] | None) -> str:
    """An interval of gaps."""
    return DASH if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def length_text(value: float | None) -> str:
    """A length, with digits by its size."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.4f}" if value < 1000 else f"{value:,.1f}"


def seconds_text(seconds: float) -> str:
    """A duration: 0.0012 -> `1.2 ms`."""
    if seconds < 1:
        return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"


def write_page(directory: Path, template: str, **content: Any) -> Path:
    """Render a template into `directory/index.html`, made if need be; an older page is replaced.

    Raises:
        UsageError: it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tspmz.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    colors = {name: (light, _DARK[name]) for name, light in PAGE_COLORS.items()}
    text = environment.get_template(template).render(colors=colors, version=versions()["tspmz"], **content)
    files = FileSystem()
    try:
        files.make_directory(directory)
        atomic_write(files, directory / PAGE, text.encode())
    except OSError as error:
        raise UsageError(f"{directory}: the report cannot be written: {error.strerror}") from None
    return directory / PAGE
