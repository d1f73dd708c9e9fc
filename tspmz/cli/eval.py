"""tspmz-eval: measure a trained agent on sets of instances."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tspmz.cli.command import run_command
from tspmz.errors import UsageError

if TYPE_CHECKING:
    pass


class Starts(click.ParamType):
    """A number of starts, or `all` (None)."""

    name = "starts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """The number, or None."""
        if value == "all" or isinstance(value, int):
            return None if value == "all" else value
        if not (value.isascii() and value.isdecimal() and int(value) >= 1):
            self.fail(f"{value!r} is neither a whole number of at least 1 nor 'all'", param, ctx)
        return int(value)


@click.command(name="tspmz-eval", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("source", metavar="RUN_OR_CHECKPOINT", type=click.Path(path_type=Path))
@click.argument("more_instances", metavar="[FILE.tsp]...", nargs=-1)
@click.option(
    "--instances", multiple=True, required=True, metavar="SPEC",
    help="uniform:N:COUNT:SEED, clustered:N:COUNT:SEED, FILE.npy with coordinates [I, N, 2], FILE.tsp, or a folder of "
    ".tsp files; may be repeated, and several files may follow.",
)  # fmt: skip
@click.option(
    "--decode", type=click.Choice(["greedy", "sample", "search"]), default="greedy", show_default=True,
    help="Each move the policy's most likely one, one drawn from it, or found by tree search.",
)  # fmt: skip
@click.option(
    "--simulations", type=click.IntRange(min=1), metavar="S", help="Simulations per move [default: those of the run]."
)
@click.option(
    "--starts", type=Starts(), default=1, show_default=True, metavar="K|all",
    help="Tours per instance, each from another city; the best counts.",
)  # fmt: skip
@click.option(
    "--augment", type=click.Choice(["1", "8"]), default="1", show_default=True,
    help="Symmetric copies of each instance; the best tour counts.",
)  # fmt: skip
@click.option(
    "--samples", type=click.IntRange(min=1), default=1, show_default=True, metavar="S",
    help="Tours drawn per start, with --decode sample; the best counts.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what --decode sample draws.")
@click.option(
    "--reference", default="lkh", show_default=True, metavar="lkh|exact|published|none|FILE",
    help="Lengths to compare with: LKH (needs tspmz[eval]), exact (up to 12 cities), the published optima of TSPLIB, "
    "none, or a file: .npy [I], or text lines 'name : length'.",
)  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path), metavar="OUT", help="Write the result as JSON.")
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), metavar="OUT", help="Write a line per instance as CSV."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def evaluate(
    source: Path, more_instances: tuple[str, ...], instances: tuple[str, ...], decode: str, simulations: int | None,
    starts: int | None, augment: str, samples: int, seed: int, reference: str, json_path: Path | None,
    csv_path: Path | None, device: str,
) -> None:  # fmt: skip
    """Measure RUN_OR_CHECKPOINT (a run folder or one of its checkpoints) on sets of instances."""
    if not source.exists():
        raise UsageError(f"{source}: no such run folder or checkpoint")
    if simulations is not None and decode != "search":
        raise UsageError(f"--simulations needs --decode search: {decode} runs none")
    if samples > 1 and decode != "sample":
        raise UsageError(f"--samples needs --decode sample: {decode} always finds the same tour")
    for option, path in (("--json", json_path), ("--csv", csv_path)):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"{option} {path}: the folder {path.parent} does not exist")
    from tspmz.evaluation import evaluate as measure
    from tspmz.tsp.instances import InstanceError
    from tspmz.tsp.reference import ReferenceSolverError

    try:
        result = measure(
            source,
            [*instances, *more_instances],
            decode=decode,
            simulations=simulations,
            starts=starts,
            augment=int(augment),
            samples=samples,
            seed=seed,
            reference=reference,
            device=device,
        )
    except (InstanceError, ReferenceSolverError) as error:
        raise UsageError(str(error)) from None
    from tspmz.cli import result_output

    result_output.print_result(result)
    if json_path is not None:
        result_output.write_json(json_path, result)
    if csv_path is not None:
        result_output.write_csv(csv_path, result)


def main() -> None:
    """Entry point of bin/tspmz-eval."""
    run_command(evaluate)
