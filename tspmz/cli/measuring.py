"""The options that say on which instances an agent is measured and how its tours are made; how far it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from tspmz.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])


INSTANCE_FILES = (".tsp", ".npy")
PICTURES = (".png", ".svg")
MOST_SIMULATIONS = 100_000
_MOST_SAMPLES = 1_000_000


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


def leaf_values_option(default: str) -> Callable[[Function], Function]:
    """`--leaf-values`, whose help says what its default is."""
    return click.option(
        "--leaf-values", type=click.Choice(["network", "nearest_neighbor", "farthest_insertion", "zero"]),
        help="What a new tree node is worth with --dynamics true: the network's value, what a rule makes of the rest "
        f"of the tour, or 0 [default: {default}].",
    )  # fmt: skip


def instances_option(*, required: bool) -> Callable[[Function], Function]:
    """`--instances`, which a command receives as `instances` (texts)."""
    return click.option(
        "--instances", multiple=True, required=required, metavar="SPEC",
        help="uniform:N:COUNT:SEED, clustered:N:COUNT:SEED, FILE.npy with coordinates [I, N, 2], FILE.tsp, or a folder "
        "of .tsp files; may be repeated.",
    )  # fmt: skip


_OPTIONS = (
    click.option(
        "--decode", type=click.Choice(["greedy", "sample", "search"]), default="greedy", show_default=True,
        help="Each move the policy's most likely one, one drawn from it, or found by tree search.",
    ),
    click.option(
        "--simulations", type=click.IntRange(1, MOST_SIMULATIONS), metavar="S",
        help="Simulations per move [default: those of self-play, or 8 where that has none].",
    ),
    click.option(
        "--dynamics", type=click.Choice(["learned", "true"]), default="learned", show_default=True,
        help="What --decode search plans with: the learned model, or the rules, where the best tour found counts.",
    ),
    click.option(
        "--prior", type=click.Choice(["network", "uniform"]), default="network", show_default=True,
        help="Of --dynamics true; with uniform priors no AGENT is asked.",
    ),
    leaf_values_option("network; nearest_neighbor with --prior uniform"),
    click.option(
        "--backup", type=click.Choice(["mean", "max"]),
        help="What a tree node is worth, see search.backup [default: that of the run; max with --prior uniform].",
    ),
    click.option(
        "--starts", type=Starts(), default=1, show_default=True, metavar="K|all",
        help="Tours per instance, each from another city; the best counts.",
    ),
    click.option(
        "--augment", type=click.Choice(["1", "8"]), default="1", show_default=True,
        help="Symmetric copies of each instance; the best tour counts.",
    ),
    click.option(
        "--samples", type=click.IntRange(1, _MOST_SAMPLES), default=1, show_default=True, metavar="S",
        help="Tours drawn per start, with --decode sample; the best counts.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what --decode sample draws."
    ),
    click.option(
        "--reference", default="lkh", show_default=True, metavar="lkh|exact|published|none|FILE|FOLDER",
        help="Lengths to compare with: LKH (needs elkai), exact (up to 12 cities), the published optima of "
        "TSPLIB, none, lengths given by a file (.npy [I], or text lines 'name : length'), or given tours: a folder of "
        ".tour files, NAME.tour or NAME.opt.tour.",
    ),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
)  # fmt: skip


def measuring_options(function: Function) -> Function:
    """Add the options to a command, which receives as keywords what `measuring` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def measuring(*, augment: str, **how: Any) -> dict[str, Any]:
    """The options as keyword arguments of `evaluation.evaluate`: decode, simulations, starts, and so on.

    Raises:
        UsageError: two that do not go together.
    """
    _check_search_options(how["decode"], how["dynamics"], how["prior"], how["leaf_values"], how["backup"])
    if how["simulations"] is not None and how["decode"] != "search":
        raise UsageError(f"--simulations needs --decode search: {how['decode']} runs none")
    if how["samples"] > 1 and how["decode"] != "sample":
        raise UsageError(f"--samples needs --decode sample: {how['decode']} always finds the same tour")
    return {**how, "augment": int(augment)}


def _check_search_options(
    decode: str, dynamics: str, prior: str, leaf_values: str | None, backup: str | None
) -> None:
    """Options of the search that another one makes meaningless."""
    if decode != "search" and (dynamics == "true" or backup is not None):
        raise UsageError(f"{'--dynamics true' if dynamics == 'true' else '--backup'} needs --decode search")
    if dynamics != "true":
        unfit = (("--prior", prior != "network"), ("--leaf-values", leaf_values))
        for option, given in unfit:
            if given:
                raise UsageError(f"{option} needs --decode search --dynamics true")
    if prior == "uniform" and leaf_values == "network":
        raise UsageError("--leaf-values network needs --prior network")


@contextlib.contextmanager
def measuring_progress(agents: int = 1) -> Iterator[Callable[[int, int], None] | None]:
    """Shows at a terminal how many instances are decoded; what comes before, references above all, as it goes on.

    The function takes what `evaluation.evaluate` hands to `on_progress`; None where standard error is no terminal.

    Args:
        agents: that are measured one after the other on the same instances.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("references", total=None)
        before = 0

        def show(done: int, total: int) -> None:
            nonlocal before
            progress.update(task, description="instances", completed=before + done, total=agents * total)
            before += total if done == total else 0

        yield show


def agent_and_files(words: Sequence[str]) -> tuple[Path | None, tuple[str, ...]]:
    """The agent that the words after a command's name begin with, None where the first is a file of instances."""
    if not words or Path(words[0]).suffix in INSTANCE_FILES:
        return None, tuple(words)
    return Path(words[0]), tuple(words[1:])


def check_folders(files: dict[str, Path | None], report_dir: Path | None = None) -> None:
    """Refuse what could not be written in the end, before any work is done.

    Args:
        files: output files by option; their folder must be there.
        report_dir: folder of `--report`, which is made if need be.

    Raises:
        UsageError: names the first.
    """
    for option, path in files.items():
        if path is None:
            continue
        if not path.absolute().parent.is_dir():
            raise UsageError(f"{option} {path}: the folder {path.parent} does not exist")
        if path.is_dir():
            raise UsageError(f"{option} {path}: is a folder, name a file")
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            raise UsageError(f"{option} {path}: may not be written")
    if report_dir is not None:
        there = next(above for above in (report_dir.absolute(), *report_dir.absolute().parents) if above.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise UsageError(f"--report {report_dir}: nothing can be made in {there}")
