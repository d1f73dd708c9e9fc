"""tspmz-eval: measure a trained agent on a set of instances."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tspmz.cli.command import run_command
from tspmz.errors import UsageError


@click.command(name="tspmz-eval", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("source", metavar="RUN_OR_CHECKPOINT", type=click.Path(path_type=Path))
@click.option(
    "--instances", required=True, metavar="SPEC",
    help="uniform:N:COUNT:SEED, clustered:N:COUNT:SEED, or FILE.npy with coordinates [I, N, 2].",
)  # fmt: skip
@click.option(
    "--decode", type=click.Choice(["greedy", "search"]), default="greedy", show_default=True,
    help="Each move by the policy alone, or by tree search.",
)  # fmt: skip
@click.option(
    "--simulations", type=click.IntRange(min=1), metavar="S", help="Simulations per move [default: those of the run]."
)
@click.option(
    "--starts", type=click.IntRange(min=1), default=1, show_default=True, metavar="K",
    help="Tours per instance, each from another city; the best counts.",
)  # fmt: skip
@click.option(
    "--augment", type=click.Choice(["1", "8"]), default="1", show_default=True,
    help="Symmetric copies of each instance; the best tour counts.",
)  # fmt: skip
@click.option(
    "--reference", default="lkh", show_default=True, metavar="lkh|exact|none|FILE.npy",
    help="Lengths to compare with: LKH (needs tspmz[eval]), exact (up to 12 cities), none, or stored ones [I].",
)  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="OUT", help="Write the result as JSON.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def evaluate(
    source: Path, instances: str, decode: str, simulations: int | None, starts: int, augment: str, reference: str,
    json_path: Path | None, device: str,
) -> None:  # fmt: skip
    """Measure RUN_OR_CHECKPOINT (a run folder or one of its checkpoints) on a set of instances."""
    if not source.exists():
        raise UsageError(f"{source}: no such run folder or checkpoint")
    if simulations is not None and decode == "greedy":
        raise UsageError("--simulations needs --decode search: greedy decoding runs none")
    if json_path is not None and not json_path.absolute().parent.is_dir():
        raise UsageError(f"--json {json_path}: the folder {json_path.parent} does not exist")
    from tspmz.evaluate import evaluate as measure
    from tspmz.tsp.instances import InstanceError
    from tspmz.tsp.reference import ReferenceSolverError

    try:
        result = measure(
            source,
            instances,
            decode=decode,
            simulations=simulations,
            starts=starts,
            augment=int(augment),
            reference=reference,
            device=device,
        )
    except (InstanceError, ReferenceSolverError) as error:
        raise UsageError(str(error)) from None
    print_result(result)
    if json_path is not None:
        write_json(json_path, result)


def print_result(result: Mapping[str, Any]) -> None:
    """Print the result (keys as in the JSON file) as a table."""
    from rich.console import Console
    from rich.table import Table

    rate = result["instances"] / result["seconds"] if result["seconds"] > 0 else math.nan
    gap = result["gap_mean"]
    rows = (
        ("instances", f"{result['instances']:,}"),
        ("cities", str(result["cities"])),
        ("decode", _decode_text(result)),
        ("starts", str(result["starts"])),
        ("augment", str(result["augment"])),
        ("mean length", f"{result['tour_length_mean']:.5f}"),
        ("mean reference", _number(result["reference_length_mean"], "{:.5f}")),
        ("gap", _number(None if gap is None else 100 * gap, "{:.3f} %")),
        ("seconds", f"{result['seconds']:.2f}"),
        ("instances/s", _number(rate, "{:,.1f}")),
        ("device", result["device"]),
    )
    table = Table(show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write the result; numbers that are not finite become null.

    Raises:
        UsageError: the file cannot be written.
    """
    plain = {key: _finite_or_none(value) for key, value in result.items()}
    try:
        path.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--json {path}: cannot be written: {error.strerror}") from None


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _decode_text(result: Mapping[str, Any]) -> str:
    return f"search, {result['simulations']} simulations" if result["decode"] == "search" else str(result["decode"])


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else form.format(value)


def main() -> None:
    """Entry point of bin/tspmz-eval."""
    run_command(evaluate)
