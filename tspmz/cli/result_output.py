"""An evaluation's result as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tspmz.errors import UsageError
from tspmz.tsp.tsplib import format_length

if TYPE_CHECKING:
    from tspmz.evaluation import EvaluationResult

CSV_COLUMNS = ("name", "cities", "length", "reference_length", "gap", "seconds")


def print_result(result: EvaluationResult) -> None:
    """Print the result; where instances differ in size, a table of them first."""
    console = Console()
    summary = result.summary()
    mixed = isinstance(summary["cities"], list)
    if mixed:
        console.print(_instance_table(result))
    # Of instances of one size the ratio of means counts; of unlike ones, whose lengths differ, the mean of ratios.
    gap, interval = ("gap_mean_of_ratios", "gap_of_ratios_interval") if mixed else ("gap_mean", "gap_interval")
    updates = f", {summary['train_steps']:,} train steps" if summary["train_steps"] else ""
    rows = (
        ("agent", f"{summary['source']}{updates}"),
        ("instances", f"{summary['instances']:,}"),
        ("cities", _cities_text(summary["cities"])),
        ("decode", _decode_text(summary)),
        ("starts", "all" if summary["starts"] is None else str(summary["starts"])),
        ("augment", str(summary["augment"])),
        ("mean length", _mean_length(summary["tour_length_mean"])),
        (f"mean reference ({summary['reference']})", _mean_length(summary["reference_length_mean"])),
        ("mean gap" if mixed else "gap", _percent(summary[gap])),
        ("95 % interval", "-" if summary[interval] is None else " to ".join(map(_percent, summary[interval]))),
        ("solved to the reference", _percent(summary["solved_share"], digits=1)),
        ("seconds", f"{summary['seconds']:.2f}"),
        ("instances/s", _number(summary["instances_per_second"], "{:,.1f}")),
        ("device", summary["device"]),
    )
    table = Table(show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in result.notes:
        console.print(note, style="dim", highlight=False, markup=False)


def _instance_table(result: EvaluationResult) -> Table:
    table = Table()
    for name in ("instance", "cities", "length", "reference", "gap", "seconds"):
        table.add_column(name, justify="left" if name == "instance" else "right")
    for one in result.instances:
        reference = "-" if one.reference_length is None else format_length(one.reference_length)
        length, gap, seconds = format_length(one.length), _percent(one.gap), f"{one.seconds:.2f}"
        table.add_row(one.name, str(one.num_cities), length, reference, gap, seconds)
    return table


def write_json(path: Path, result: EvaluationResult) -> None:
    """Write `result.summary()`; numbers that are not finite become null.

    Raises:
        UsageError: the file cannot be written.
    """
    write_plain_json(path, result.summary())


def write_plain_json(path: Path, content: dict[str, Any]) -> None:
    """Write what `--json` asks for; numbers that are not finite become null.

    Raises:
        UsageError: the file cannot be written.
    """
    write_file(path, (json.dumps(_finite_or_none(content), indent=2) + "\n").encode(), "--json")


def write_csv(path: Path, result: EvaluationResult) -> None:
    """Write a line per instance, `CSV_COLUMNS`; what is unknown is empty, the gap is a fraction.

    Raises:
        UsageError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in result.instances:
        writer.writerow((one.name, one.num_cities, one.length, one.reference_length, one.gap, one.seconds))
    write_file(path, text.getvalue().encode(), "--csv")


def write_record_plot(path: Path, result: EvaluationResult) -> None:
    """Draw the best tour found against the number of simulations, as gaps where the references are known.

    Raises:
        UsageError: the file cannot be written.
    """
    from tspmz.plots.record import Curve, draw_record
    from tspmz.plots.style import picture_file

    record, references = result.record, result.reference_lengths
    assert record is not None, "of one set of instances, by the true rules"
    best, played = record.best_lengths.mean(axis=1), float(record.played_lengths.mean())
    if references is not None:
        best, played = best / references.mean() - 1.0, played / float(references.mean()) - 1.0
    label = f"{result.decoding.prior} prior, {result.decoding.chosen_leaf_values} values, {result.decoding.backup}"
    figure = draw_record([Curve(label, record.simulations, best, played)], gaps=references is not None)
    write_file(path, picture_file(figure, path.suffix, "best tour against simulations"), "--record-plot")


def write_file(path: Path, content: bytes, option: str) -> None:
    """Write what an option asks for.

    Raises:
        UsageError: it cannot be written; names the option.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written: {error.strerror}") from None


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite_or_none(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite_or_none(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _decode_text(summary: dict[str, Any]) -> str:
    if summary["decode"] == "search":
        rules = f"true rules, {summary['prior']} prior, {summary['leaf_values']} values, "
        return f"search, {rules if summary['dynamics'] == 'true' else ''}{summary['simulations']} simulations"
    return f"sample, {summary['samples']} per start" if summary["decode"] == "sample" else "greedy"


def _cities_text(cities: int | list[int]) -> str:
    return f"{cities[0]} to {cities[-1]}" if isinstance(cities, list) else str(cities)


def _mean_length(value: float | None) -> str:
    return _number(value, "{:.5f}" if value is not None and value < 1000.0 else "{:,.1f}")


def _percent(value: float | None, digits: int = 3) -> str:
    shown = None if value is None else round(100.0 * value, digits) + 0.0  # no -0.000
    return _number(shown, f"{{:.{digits}f}} %")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else form.format(value)
