"""tspmz-solve: the best tour of one instance."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tspmz.cli.command import CONTEXT_SETTINGS, INTERRUPTED, run_command, version_option
from tspmz.cli.measuring import MOST_SIMULATIONS, PICTURES, agent_and_files, check_folders, leaf_values_option
from tspmz.errors import UsageError
from tspmz.pretrained import find_agent

if TYPE_CHECKING:
    from tspmz.solving import Progress, Solution
    from tspmz.tsp.instances import InstanceSet


@click.command(name="tspmz-solve", context_settings=CONTEXT_SETTINGS)
@version_option
@click.argument("words", metavar="[AGENT] FILE", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.tour", help="Write the tour as a TSPLIB file.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the tour (.png or .svg).")
@click.option(
    "--curve", type=click.Path(path_type=Path), metavar="FILE",
    help="Draw the best length against seconds and simulations (.png or .svg).",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), metavar="S",
    help="Go on looking for so long [default: once through all starts and symmetries].",
)  # fmt: skip
@click.option(
    "--decode", type=click.Choice(["greedy", "sample", "search"]), default=None,
    help="What follows the greedy tours: nothing, draws from the policy, or tree search, with twice as many "
    "simulations whenever all symmetries are through [default: sample with --seconds, else greedy].",
)  # fmt: skip
@click.option(
    "--simulations", type=click.IntRange(1, MOST_SIMULATIONS), metavar="S",
    help="Simulations per move of the first searches [default: those of self-play, or 8 where that has none].",
)  # fmt: skip
@click.option(
    "--dynamics", type=click.Choice(["learned", "true"]), default="learned", show_default=True,
    help="What --decode search plans with: the learned model, or the rules, where every tour come across counts.",
)  # fmt: skip
@leaf_values_option("network")
@click.option("--polish", is_flag=True, help="2-opt and Or-opt on the best tour: no longer the network's work alone.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what --decode sample draws.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def solve(
    words: tuple[str, ...], out: Path | None, plot: Path | None, curve: Path | None, seconds: float | None,
    decode: str | None, simulations: int | None, dynamics: str, leaf_values: str | None, polish: bool, seed: int,
    device: str,
) -> int:  # fmt: skip
    """Find a short tour of the instance in FILE (.tsp, or .npy with coordinates [N, 2]) with AGENT.

    AGENT is a run folder, a checkpoint, or a pretrained model; without, it is the one of those that come along whose
    number of cities is nearest.

    Ctrl-C ends it early, with the best tour so far.
    """
    source, file = _agent_and_file(words)
    decode = decode or ("greedy" if seconds is None else "sample")
    _check(
        source, {"--out": out, "--plot": plot, "--curve": curve}, decode, simulations, dynamics, leaf_values, seconds
    )
    from tspmz.agent import get_agent
    from tspmz.solving import solve as find
    from tspmz.tsp.instances import InstanceError, load_instances

    try:
        instance = load_instances(file)
    except InstanceError as error:
        raise UsageError(str(error)) from None
    if len(instance.coordinates) != 1:
        raise UsageError(f"{file}: holds {len(instance.coordinates)} instances, want one; tspmz-eval takes many")
    agent = get_agent(source, device, num_cities=instance.coordinates.shape[1])
    reference = _published(instance)
    with _stop_on_interrupt() as stopped, _live_view(instance, reference, seconds) as show:
        solution = find(
            instance, agent, seconds=seconds, decode=decode, simulations=simulations, dynamics=dynamics,
            leaf_values=leaf_values, polish=polish, seed=seed, on_progress=show, should_stop=stopped,
        )  # fmt: skip
        interrupted = stopped()
    _print_solution(agent.source, instance, solution, reference)
    _write_files(instance, solution, reference, out, plot, curve)
    return INTERRUPTED if interrupted else 0


def _agent_and_file(words: Sequence[str]) -> tuple[Path | None, str]:
    source, files = (None, tuple(words)) if len(words) == 1 else agent_and_files(words)
    if len(files) != 1:
        missing = "FILE is missing" if not files else f"{' '.join(files)}: want one FILE"
        raise UsageError(f"{missing}; see tspmz-solve --help")
    return source, files[0]


def _check(
    source: Path | None, files: dict[str, Path | None], decode: str, simulations: int | None, dynamics: str,
    leaf_values: str | None, seconds: float | None,
) -> None:
    if source is not None:
        find_agent(source)
    check_folders(files)
    for option, path in files.items():
        if path is not None and option != "--out" and path.suffix not in PICTURES:
            raise UsageError(f"{option} {path}: must end in .png or .svg")
    if simulations is not None and decode != "search":
        raise UsageError(f"--simulations needs --decode search: {decode} runs none")
    if dynamics != "learned" and decode != "search":
        raise UsageError(f"--dynamics true needs --decode search: {decode} plans nothing")
    if leaf_values and dynamics != "true":
        raise UsageError("--leaf-values needs --decode search --dynamics true")
    if seconds is not None and not math.isfinite(seconds):
        raise UsageError(f"--seconds {seconds}: must be a number of seconds; without it, the search ends by itself")
    if seconds is not None and decode == "greedy":
        raise UsageError("--seconds needs --decode sample or search: the greedy tours are few and soon done")


def _published(instance: InstanceSet) -> int | None:
    from tspmz.tsp.optima import PUBLISHED_OPTIMA

    return PUBLISHED_OPTIMA.get(instance.problem.name) if instance.problem is not None else None


@contextlib.contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl-C was pressed; a second one ends at once."""
    pressed: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _live_view(
    instance: InstanceSet, reference: int | None, seconds: float | None
) -> Iterator[Callable[[Progress], None] | None]:
    """Shows progress in a line at a terminal; elsewhere, one plain line that it has begun."""
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from tspmz.tsp.tsplib import format_length

    console = Console()
    if not console.is_terminal:
        how_long = "" if seconds is None else f", {seconds:g} seconds"
        print(f"{instance.name}: {instance.coordinates.shape[1]} cities{how_long}", flush=True)
        yield None
        return

    def table(progress: Progress) -> Table:
        grid = Table.grid(padding=(0, 3))
        gap = "" if reference is None else f" ({100 * (progress.length / reference - 1):.2f} %)"
        limit = "" if seconds is None else f" of {seconds:g}"
        grid.add_row(
            f"[bold]{format_length(progress.length)}[/]{gap}", progress.method, f"{progress.tours:,} tours",
            f"{progress.simulations:,} simulations", f"{progress.seconds:.1f}{limit} s",
        )  # fmt: skip
        return grid

    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield lambda progress: live.update(table(progress))


def _print_solution(source: str, instance: InstanceSet, solution: Solution, reference: int | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from tspmz.tsp import tsplib

    problem, last = instance.problem, solution.history[-1]
    rows = [
        ("agent", source),
        ("instance", instance.names[0] if problem is not None else instance.name),
        ("cities", str(len(solution.tour))),
        ("length", tsplib.format_length(solution.length) + ("" if problem is None else f" ({problem.rule})")),
    ]
    if solution.length != solution.agent_length or "2-opt" in solution.method:
        rows.append(("before 2-opt and Or-opt", tsplib.format_length(solution.agent_length)))
    if reference is not None:
        rows.append(("published optimum", tsplib.format_length(float(reference))))
        rows.append(("gap", f"{100 * (solution.length / reference - 1):.3f} %"))
    rows.append(("found by", solution.method))
    rows.append(("tours made", f"{last.tours:,}"))
    if last.simulations:
        rows.append(("simulations", f"{last.simulations:,}"))
    rows.append(("seconds", f"{last.seconds:.2f}"))
    table = Table(show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    note = "" if problem is None else tsplib.positions(problem)[1]
    if note:
        console.print(f"The network sees {note}.", style="dim", highlight=False)


def _write_files(
    instance: InstanceSet, solution: Solution, reference: int | None, out: Path | None, plot: Path | None,
    curve: Path | None,
) -> None:  # fmt: skip
    from tspmz.cli.result_output import write_file
    from tspmz.tsp import tsplib

    if out is not None:
        name = instance.problem.name if instance.problem is not None else Path(instance.name).stem
        comment = f"length {solution.length:.10g}, found by tspmz: {solution.method}"
        write_file(out, tsplib.tour_text(name, solution.tour, comment).encode(), "--out")
    if plot is not None:
        write_file(plot, _tour_picture(instance, solution, plot.suffix), "--plot")
    if curve is not None:
        write_file(curve, _curve_picture(solution, reference, curve.suffix), "--curve")


def _tour_picture(instance: InstanceSet, solution: Solution, suffix: str) -> bytes:
    from tspmz.plots.style import picture_file
    from tspmz.plots.tours import draw_tours
    from tspmz.tsp import tsplib

    points = instance.coordinates[0] if instance.problem is None else tsplib.drawing(instance.problem)
    name = instance.problem.name if instance.problem is not None else Path(instance.name).stem
    title = f"{name}: {tsplib.format_length(solution.length)} ({solution.method})"
    return picture_file(draw_tours(points[None], solution.tour[None], [title]), suffix, title)


def _curve_picture(solution: Solution, reference: int | None, suffix: str) -> bytes:
    import numpy as np

    from tspmz.plots.best_length import draw_best_length
    from tspmz.plots.style import picture_file

    history = solution.history
    polished = solution.length if "2-opt" in solution.method else None
    figure = draw_best_length(
        np.array([state.seconds for state in history]), np.array([state.simulations for state in history]),
        np.array([state.length for state in history]), reference, polished,
    )  # fmt: skip
    return picture_file(figure, suffix, "best length against seconds and simulations")


def main() -> None:
    """Entry point of bin/tspmz-solve."""
    run_command(solve)
