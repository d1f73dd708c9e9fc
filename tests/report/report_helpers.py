"""A run folder of a tiny agent, and what a page says, read as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from process_helpers import TinyRun

from tspmz.rundir import write_config
from tspmz.tensorboard import EventWriter


def tiny_run(directory: Path, curve: bool = True, **values: Any) -> Path:
    """A run folder of an untrained agent, with an evaluation in its events where `curve`."""
    run = TinyRun(directory, played=0, **{"problem__num_cities": 6, "run__seed": 3, **values})
    run.loop.save()
    write_config(directory, "a run", run.config)
    if curve:
        for part, points in (
            ("train", {"run/elapsed_minutes": 1.5, "run/env_steps": 1200.0}),
            ("evaluation", {"evaluation/gap_greedy": 0.5, "evaluation/gap_multi": 0.25}),
        ):
            events = EventWriter(directory / "tensorboard" / part)
            events.scalars(points, 0)
            events.close()
    return directory


class PageReader(HTMLParser):
    """Tables by caption as rows of cells, and everything that a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.references: list[str] = []
        self._text = ""
        self._caption = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href", "srcset")]
        if tag in ("caption", "th", "td"):
            self._text = ""
        if tag == "tr":
            self.tables[self._caption].append([])

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption":
            self._caption = self._text
            self.tables[self._caption] = []
        if tag in ("th", "td"):
            self.tables[self._caption][-1].append(self._text)


def console_errors(browser: Any, page: Path) -> list[str]:
    """What the browser has to complain of when it opens a page."""
    browser.get(page.resolve().as_uri())
    return [entry["message"] for entry in browser.get_log("browser")]
