"""tspmz-eval: measure a trained agent on sets of instances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tspmz.cli.command import run_command
from tspmz.errors import UsageError


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
@click.argument("source", metavar="RUN_OR_CHECKPOINT", required=False, type=click.Path(path_type=Path))
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
    "--dynamics", type=click.Choice(["learned", "true"]), default="learned", show_default=True,
    help="What --decode search plans with: the learned model, or the rules, where the best tour found counts.",
)  # fmt: skip
@click.option(
    "--prior", type=click.Choice(["network", "uniform"]), default="network", show_default=True,
    help="Of --dynamics true; with uniform priors no RUN_OR_CHECKPOINT is needed.",
)  # fmt: skip
@click.option(
    "--leaf-values", type=click.Choice(["network", "nearest_neighbor", "zero"]),
    help="What a new tree node is worth with --dynamics true: the network's value, the nearest-neighbor completion, or "
    "0 [default: network; nearest_neighbor with --prior uniform].",
)  # fmt: skip
@click.option(
    "--backup", type=click.Choice(["mean", "max"]),
    help="What a tree node is worth, see search.backup [default: that of the run; max with --prior uniform].",
)  # fmt: skip
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
@click.option(
    "--record-plot", type=click.Path(path_type=Path), metavar="FILE.png",
    help="Draw the best tour found against the number of simulations (--dynamics true).",
)  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def evaluate(
    source: Path | None, more_instances: tuple[str, ...], instances: tuple[str, ...], decode: str,
    simulations: int | None, dynamics: str, prior: str, leaf_values: str | None, backup: str | None,
    starts: int | None, augment: str, samples: int, seed: int, reference: str, json_path: Path | None,
    csv_path: Path | None, record_plot: Path | None, device: str,
) -> None:  # fmt: skip
    """Measure RUN_OR_CHECKPOINT (a run folder or one of its checkpoints) on sets of instances."""
    if source is not None and not source.exists():
        raise UsageError(f"{source}: no such run folder or checkpoint")
    if source is None and prior == "network":
        raise UsageError("RUN_OR_CHECKPOINT is missing; only --dynamics true --prior uniform needs none")
    _check_search_options(decode, dynamics, prior, leaf_values, backup, record_plot)
    if simulations is not None and decode != "search":
        raise UsageError(f"--simulations needs --decode search: {decode} runs none")
    if samples > 1 and decode != "sample":
        raise UsageError(f"--samples needs --decode sample: {decode} always finds the same tour")
    for option, path in (("--json", json_path), ("--csv", csv_path), ("--record-plot", record_plot)):
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
            dynamics=dynamics,
            prior=prior,
            leaf_values=leaf_values,
            backup=backup,
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
    if record_plot is not None:
        result_output.write_record_plot(record_plot, result)


def _check_search_options(
    decode: str, dynamics: str, prior: str, leaf_values: str | None, backup: str | None, record_plot: Path | None
) -> None:
    """Options of the search that another one makes meaningless."""
    if decode != "search" and (dynamics == "true" or backup is not None):
        raise UsageError(f"{'--dynamics true' if dynamics == 'true' else '--backup'} needs --decode search")
    if dynamics != "true":
        unfit = (("--prior", prior != "network"), ("--leaf-values", leaf_values), ("--record-plot", record_plot))
        for option, given in unfit:
            if given:
                raise UsageError(f"{option} needs --decode search --dynamics true")
    if prior == "uniform" and leaf_values == "network":
        raise UsageError("--leaf-values network needs --prior network")


def main() -> None:
    """Entry point of bin/tspmz-eval."""
    run_command(evaluate)
