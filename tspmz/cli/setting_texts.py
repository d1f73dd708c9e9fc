"""What people read about settings: the help of one, the list of all at a terminal, and as a page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tspmz.config import settings
from tspmz.config_files import collect_values

_TITLE = "Settings (* cannot change when a run is resumed)"
_PAGE_PRESETS = ("tsp50", "tsp100")
_PAGE_HEAD = """\
# Settings

`bin/tspmz-train --list-settings` prints them; this page is what it writes where its output is no terminal. Set them by
`--set KEY=VALUE`, or in a TOML file given by `--config`. Those with a star cannot change when a run is resumed. Values
of the presets for 50 and 100 cities stand behind the default where they are others.
"""


def describe(key: str) -> str:
    """Help of one setting: meaning, range, default, dotted key."""
    field = settings()[key]
    allowed = "" if field.metadata["choices"] else _allowed(field)
    facts = [text for text in (allowed, f"default {_text(field.default)}", key) if text]
    meaning = field.metadata["meaning"]
    return f"{meaning[:1].upper()}{meaning[1:]} [{'; '.join(facts)}]."


def print_settings() -> None:
    """Every setting with its default, range and meaning: a table at a terminal, `settings_page` elsewhere."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        print(settings_page(), end="")
        return
    table = Table(title=_TITLE, title_justify="left")
    table.add_column("setting", no_wrap=True)
    table.add_column("default", no_wrap=True)
    table.add_column("range", max_width=24)
    table.add_column("meaning (source)", ratio=1)
    section = ""
    for key, field in settings().items():
        if key.split(".")[0] != section:
            section = key.split(".")[0]
            table.add_section()
        row = (key + "*" if field.metadata["fixed"] else key, _text(field.default), _allowed(field), _meaning(field))
        table.add_row(*(escape(cell) for cell in row))
    console.print(table, width=max(console.width, 110))


def settings_page() -> str:
    """All settings in Markdown, a line each: docs/settings.md."""
    presets = {name: collect_values([Path(f"presets/{name}.toml")]) for name in _PAGE_PRESETS}
    lines, section = [_PAGE_HEAD], ""
    for key, field in settings().items():
        if key.split(".")[0] != section:
            section = key.split(".")[0]
            lines += [
                *([""] if lines[1:] else []), f"## {section}", "", "| setting | default | range | meaning |",
                "|---|---|---|---|",
            ]  # fmt: skip
        default = _text(field.default)
        for name, values in presets.items():
            if key in values and values[key] != field.default:
                default += f"; {name}: {_text(values[key])}"
        escaped = _meaning(field).replace("|", "\\|")
        name = f"`{key}`" + ("*" if field.metadata["fixed"] else "")
        lines.append(f"| {name} | {default} | {_allowed(field)} | {escaped} |")
    return "\n".join([*lines, ""])


def _meaning(field: dataclasses.Field[Any]) -> str:
    source = field.metadata["source"]
    return f"{field.metadata['meaning']}{f' ({source})' if source else ''}"


def _allowed(field: dataclasses.Field[Any]) -> str:
    """The range or the choices of a setting; empty where anything goes."""
    low, high, choices = (field.metadata[name] for name in ("low", "high", "choices"))
    if choices:
        return ", ".join(choices)
    if low is not None and high is not None:
        return f"{low:,g} to {high:,g}" if high < 1e6 else f"{low:,g} or more"
    return ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return '""' if value == "" else f"{value}"
