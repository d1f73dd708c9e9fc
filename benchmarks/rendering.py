"""Results of the benchmarks for people: as tables at a terminal, and as the Markdown of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.results import NOT_MEASURED, Cell, Figure, Result, Table, number

_FIGURE_COLUMNS = ("figure", "value", "rounds", "asked", "")


def show(result: Result, console: Console) -> None:
    """Print a result."""
    console.print(f"[bold]{result.title}[/bold]")
    console.print(result.answers, highlight=False)
    for table in _all_tables(result):
        drawn = RichTable(title=table.title, title_justify="left")
        for head, right in zip(table.columns, _are_numbers(table), strict=True):
            drawn.add_column(head, justify="right" if right else "left")
        for row in table.rows:
            drawn.add_row(*[_text(cell) for cell in row])
        console.print(drawn)
    for note in result.notes:
        console.print(f"- {note}", style="dim", highlight=False)


def markdown(result: Result) -> str:
    """A result as a section of a page."""
    parts = [f"### {result.title}", result.answers, f"```sh\npython -m benchmarks {result.name}\n```"]
    for table in _all_tables(result):
        if table.title:
            parts.append(f"{table.title}:")
        parts.append(_markdown_table(table))
    if result.notes:
        parts.append("\n".join(f"- {note}" for note in result.notes))
    if result.machine is not None:
        parts.append(_origin(result))
    return "\n\n".join(parts)


def print_table(head: Sequence[str], lines: Sequence[Sequence[str]], in_markdown: bool, title: str = "") -> None:
    """Print a table of texts, of which the first column names what the others are numbers of.

    Args:
        head: names of the columns.
        lines: as many texts each.
        in_markdown: as it stands in the docs, without the title; else drawn for a terminal.
        title: above what is drawn.
    """
    if in_markdown:
        print(markdown_lines(head, [False, *[True] * (len(head) - 1)], lines))
        return
    drawn = RichTable(title=title or None)
    for place, name in enumerate(head):
        drawn.add_column(name, justify="right" if place else "left")
    for line in lines:
        drawn.add_row(*line)
    Console().print(drawn)


def _origin(result: Result) -> str:
    machine = result.machine
    assert machine is not None
    gpu = "no GPU" if machine.gpu == "none" else machine.gpu
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    where = f"{machine.cpu}, {machine.cores} cores, {gpu}, load {machine.load:.1f} at the start"
    return f"Commit {machine.commit}; {where}; {versions}."


def _all_tables(result: Result) -> list[Table]:
    """The tables, and one of the figures."""
    if not result.figures:
        return list(result.tables)
    rows = [_figure_row(figure, result.short) for figure in result.figures]
    return [*result.tables, Table("", _FIGURE_COLUMNS, rows)]


def _figure_row(figure: Figure, short: bool) -> list[Cell]:
    unit = "" if figure.unit == "times" else f" {figure.unit}"
    if figure.value is None:
        return [figure.name, figure.why or NOT_MEASURED, "", figure.asked, ""]
    spread = "" if figure.low is None or figure.high is None else f"{number(figure.low)} to {number(figure.high)}"
    verdict = "" if short or figure.met is None else ("reached" if figure.met else "missed")
    return [figure.name, f"{number(figure.value)}{unit}", spread, figure.asked, verdict]


def _are_numbers(table: Table) -> list[bool]:
    """For each column, whether it holds numbers and is set to the right."""
    if tuple(table.columns) == _FIGURE_COLUMNS:
        return [False, True, True, True, False]
    return [any(isinstance(row[i], int | float) for row in table.rows) for i in range(len(table.columns))]


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else number(cell)


def _markdown_table(table: Table) -> str:
    return markdown_lines(table.columns, _are_numbers(table), [[_text(cell) for cell in row] for row in table.rows])


def markdown_lines(head: Sequence[str], right: Sequence[bool], lines: Sequence[Sequence[str]]) -> str:
    """A table of texts; `right` says which columns are set to the right."""
    rule = "|" + "|".join("--:" if one else "---" for one in right) + "|"
    named, *rows = ("| " + " | ".join(line) + " |" for line in [head, *lines])
    return "\n".join([named, rule, *rows])
