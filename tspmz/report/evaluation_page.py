"""The page about one evaluation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from tspmz.agent import NO_AGENT, Agent
from tspmz.config import Config
from tspmz.config_files import flat_values
from tspmz.curves import read_learning_curve
from tspmz.errors import TspmzError
from tspmz.evaluation import EvaluationResult, InstanceResult, gap_interval
from tspmz.plots.evaluation import Curve, draw_gap_against_budget, draw_gap_histogram, draw_learning_curves
from tspmz.plots.style import to_svg
from tspmz.plots.tours import draw_tour_beside_reference
from tspmz.report.budget import STARTS, BudgetPoint, first_instances, spend_more
from tspmz.report.page import (
    DASH,
    Picture,
    Table,
    gap_text,
    interval_text,
    length_text,
    picture,
    seconds_text,
    write_page,
)
from tspmz.tsp.instances import InstanceSet
from tspmz.tsp.reference import SOLVED_TOLERANCE
from tspmz.tsp.tours import farthest_insertion, nearest_neighbor
from tspmz.types import Float64

_DRAWN = 3
_NAMED = 3
_BUDGET_INSTANCES = 200
_RESULT_COLUMNS = ("method", "mean length", "gap", "95 % interval", "solved", "time per instance")


class DrawnTour(NamedTuple):
    """A tour with what is said of it."""

    name: str
    detail: str
    svg: Markup


class Budget(NamedTuple):
    """The part of the page about search budgets."""

    note: str
    picture: Picture
    table: Table


def write_report(
    directory: Path, agent: Agent, sets: Sequence[InstanceSet], result: EvaluationResult, command: str
) -> Path:
    """Write `directory/index.html` about an evaluation; the budgets are measured for it.

    Args:
        directory: made if need be.
        agent: what was evaluated; learning curves and settings are left out where no network was asked.
        sets: on which instances.
        result: what `evaluation.evaluate` found.
        command: that makes the page, for the reader.

    Raises:
        UsageError: the page cannot be written.
    """
    summary = result.summary()
    trained = agent.source != NO_AGENT
    who = f"{summary['source']} after {summary['train_steps']:,} train steps" if trained else "No network"
    with_gaps = result.gaps is not None
    names = [one.problem.name if one.problem else one.name for one in sets]
    learning, no_learning = _learning(Path(agent.source)) if trained else (None, "")
    tours_known = all(one.reference_tour is not None for one in result.instances)
    return write_page(
        directory,
        "evaluation.html.j2",
        kind="evaluation",
        title=_title(summary, with_gaps),
        lead=f"{who} on {names_text(names)}, decoded by {decoding_text(summary)}.",
        trained=trained,
        command=command,
        figures=_key_figures(summary),
        result=_result_table(result, sets, summary),
        notes=result.notes,
        histogram=_histogram(result),
        budget=_budget(agent, sets, result) if with_gaps else None,
        tours_note="Of each pair, the tour is left and the reference tour right." if tours_known else "",
        with_reference_tours=tours_known,
        tour_groups=_tour_groups(result),
        learning=learning,
        no_learning=no_learning,
        instances=_instance_table(result),
        changed=_settings_table(agent.config, "Settings of the run that differ from the defaults.", changed_only=True),
        settings=_settings_table(agent.config, "All settings of the run.", changed_only=False),
    )


def gap_keys(summary: dict[str, Any]) -> tuple[str, str]:
    """Names of the gap that counts and its interval: of unlike instances, the mean of their own gaps."""
    if isinstance(summary["cities"], list):
        return "gap_mean_of_ratios", "gap_of_ratios_interval"
    return "gap_mean", "gap_interval"


def cities_text(cities: Any) -> str:
    """Their number, or the smallest and the largest."""
    return f"{cities[0]} to {cities[-1]} cities" if isinstance(cities, list) else f"{cities} cities"


def names_text(texts: Sequence[str]) -> str:
    """The first of some names, and how many others there are."""
    names = list(dict.fromkeys(texts))
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} others" if len(names) > _NAMED else "")


def _title(summary: dict[str, Any], with_gaps: bool) -> str:
    start = f"{summary['instances']:,} tours of {cities_text(summary['cities'])}"
    if not with_gaps:
        return f"{start}, mean length {length_text(summary['tour_length_mean'])}"
    return f"{start}: {gap_text(summary[gap_keys(summary)[0]])} above {reference_text(summary['reference'])}"


def reference_text(reference: str) -> str:
    """What a reference is, in words."""
    names = {"lkh": "LKH", "exact": "the exact optimum", "published": "the published optima"}
    return names.get(reference, f"the lengths of {reference}")


def decoding_text(summary: dict[str, Any]) -> str:
    """How tours were made, in words."""
    rules = " and the true rules" if summary.get("dynamics") == "true" else ""
    rules += f", {summary['prior']} priors, {summary['leaf_values']} values" if rules else ""
    how = {
        "greedy": "the greedy policy",
        "sample": f"{summary['samples']} samples of the policy per start",
        "search": f"search with {summary['simulations']} simulations{rules}",
    }[summary["decode"]]
    starts = "all starts" if summary["starts"] is None else f"{summary['starts']} starts"
    parts = [how, "one start" if summary["starts"] == 1 else starts]
    if summary["augment"] > 1:
        parts.append(f"{summary['augment']} symmetries")
    return ", ".join(parts)


def _key_figures(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    gap, interval = gap_keys(summary)
    solved = summary["solved_share"]
    rate = summary["instances_per_second"]
    return [
        ("gap", gap_text(summary[gap]), f"95 %: {interval_text(summary[interval])}"),
        (
            "solved to the reference", DASH if solved is None else f"{100 * solved:.1f} %",
            f"reference: {reference_text(summary['reference'])}" if summary["reference"] != "none" else "no reference",
        ),
        ("mean length", length_text(summary["tour_length_mean"]),
         f"reference {length_text(summary['reference_length_mean'])}"),
        ("time per instance", seconds_text(summary["seconds"] / summary["instances"]),
         f"{rate:,.0f} instances/s on {summary['device']}" if rate else ""),
    ]  # fmt: skip


def _row(
    name: str, lengths: Float64, references: Float64 | None, seconds: float | None, mixed: bool
) -> tuple[str, ...]:
    gap = interval = solved = None
    if references is not None:
        above, below = (lengths / references, np.ones(len(lengths))) if mixed else (lengths, references)
        gap = float(above.mean() / below.mean() - 1)
        interval = gap_interval(above, below) if len(lengths) > 1 else None
        solved = float((lengths <= references * (1 + SOLVED_TOLERANCE)).mean())
    return (
        name, length_text(float(lengths.mean())), gap_text(gap), interval_text(interval),
        DASH if solved is None else f"{100 * solved:.1f} %", DASH if seconds is None else seconds_text(seconds),
    )  # fmt: skip


def _result_table(result: EvaluationResult, sets: Sequence[InstanceSet], summary: dict[str, Any]) -> Table:
    mixed = isinstance(summary["cities"], list)
    references = result.reference_lengths
    rows = []
    for name, construct in (("nearest neighbor", _nearest), ("farthest insertion", _farthest)):
        started = time.perf_counter()
        lengths = np.concatenate([one.lengths(construct(one)[:, None])[:, 0] for one in sets])
        rows.append(_row(name, lengths, references, (time.perf_counter() - started) / len(lengths), mixed))
    rows.append(_row(f"tspmz, {decoding_text(summary)}", result.lengths, references,
                     result.seconds / len(result.instances), mixed))  # fmt: skip
    marked = len(rows) - 1
    if references is not None:
        name = reference_text(summary["reference"])
        rows.append((name, length_text(float(references.mean())), gap_text(0.0), DASH, DASH, DASH))
    caption = f"All {len(result.instances):,} instances, each row on the same ones."
    return Table(caption, _RESULT_COLUMNS, rows, marked)


def _nearest(one: InstanceSet) -> Any:
    return nearest_neighbor(one.coordinates, np.zeros((len(one.coordinates), 1), np.int64))[:, 0]


def _farthest(one: InstanceSet) -> Any:
    return farthest_insertion(one.coordinates)


def _histogram(result: EvaluationResult) -> Picture | None:
    if result.gaps is None:
        return None
    gaps = result.gaps
    unsolved = gaps[np.abs(gaps) > SOLVED_TOLERANCE]
    caption = f"{len(gaps) - len(unsolved):,} of {len(gaps):,} instances are as long as the reference"
    if not len(unsolved):
        return picture(draw_gap_histogram(gaps), "gap-histogram", f"{caption}: all of them.")
    ends = f"{gap_text(float(unsolved.min()))} to {gap_text(float(unsolved.max()))}"
    return picture(
        draw_gap_histogram(unsolved), "gap-histogram", f"{caption}; drawn are the other {len(unsolved):,}, {ends}."
    )


def _budget(agent: Agent, sets: Sequence[InstanceSet], result: EvaluationResult) -> Budget:
    chosen = first_instances(sets, _BUDGET_INSTANCES)
    assert result.reference_lengths is not None
    count = sum(len(one.coordinates) for one in chosen)
    references = result.reference_lengths[:count]
    mixed = len({one.coordinates.shape[1] for one in chosen}) > 1
    points = spend_more(agent, chosen, result.decoding)
    which = "all instances" if count == len(result.instances) else f"the first {count} instances"
    families = list(dict.fromkeys(point.family for point in points))
    ways, numbers = "a deeper search of each move", "simulations per move"
    if STARTS in families:
        ways = f"more tours from the policy, or {ways}"
        numbers = f"starts (blue) and {numbers} (orange; green with the true rules)"
    note = f"What more time buys on {which}: {ways}. Compare at equal time, from left to right."
    caption = f"Gap against seconds per instance, both logarithmic, with 95 % intervals. Numbers are {numbers}."
    curves = [_budget_curve(family, points, references, mixed) for family in families]
    rows = [_row(point.name, point.lengths, references, point.seconds, mixed) for point in points]
    return Budget(
        note,
        picture(draw_gap_against_budget(curves, f"seconds per instance ({agent.device})"), "gap-budget", caption),
        Table(f"The points of the plot, on {which}.", _RESULT_COLUMNS, rows),
    )


def _budget_curve(family: str, points: Sequence[BudgetPoint], references: Float64, mixed: bool) -> Curve:
    own = [point for point in points if point.family == family]
    pairs = [
        (point.lengths / references, np.ones(len(references))) if mixed else (point.lengths, references)
        for point in own
    ]
    ends = np.array([gap_interval(above, below) for above, below in pairs])
    return Curve(
        family,
        np.array([point.seconds for point in own]),
        np.array([above.mean() / below.mean() - 1 for above, below in pairs]),
        [point.label for point in own],
        ends[:, 0],
        ends[:, 1],
    )


def _tour_groups(result: EvaluationResult) -> list[tuple[str, list[DrawnTour]]]:
    if result.gaps is None:
        first = list(range(min(_DRAWN, len(result.instances))))
        return [("The first instances", _drawn(result, first, "first"))]
    order = np.argsort(result.gaps, kind="stable").tolist()
    shown = min(_DRAWN, len(order))
    groups = [("Worst", _drawn(result, order[::-1][:shown], "worst"))]
    if len(order) > shown:
        groups.append(("Best", _drawn(result, order[:shown], "best")))
    return groups


def _drawn(result: EvaluationResult, numbers: Sequence[int], group: str) -> list[DrawnTour]:
    return [_drawn_tour(result.instances[number], f"tour-{group}-{place}") for place, number in enumerate(numbers)]


def _drawn_tour(one: InstanceResult, name: str) -> DrawnTour:
    detail = f"length {length_text(one.length)}"
    if one.reference_length is not None:
        detail += f", reference {length_text(one.reference_length)}, gap {gap_text(one.gap)}"
    figure = draw_tour_beside_reference(one.coordinates, one.tour, one.reference_tour)
    beside = "" if one.reference_tour is None else " beside the reference tour"
    return DrawnTour(one.name, detail, Markup(to_svg(figure, name, f"Tour of {one.name}{beside}")))


def _learning(source: Path) -> tuple[Picture | None, str]:
    """The run's curves; where there are none, why."""
    if not (source / "config.json").is_file():
        return None, f"{source} is no run folder, which holds the curves."
    try:
        curve = read_learning_curve(source)
    except (TspmzError, ValueError, OSError) as error:
        return None, f"The curves of {source} cannot be read: {error}"
    if curve is None:
        return None, "The run has no evaluations in its TensorBoard events."
    axes: tuple[tuple[str, Any], ...] = (
        ("minutes", curve.minutes), ("games", curve.games), ("train steps", curve.train_steps)
    )  # fmt: skip
    panels = [
        (label, [Curve("one greedy tour", x, curve.gap_greedy), Curve("best of several starts", x, curve.gap_multi)])
        for label, x in axes
    ]
    caption = (
        f"Gap on the run's held-out instances while it trained: {len(curve.minutes)} evaluations in "
        f"{curve.minutes[-1]:.1f} minutes, {curve.games[-1]:,.0f} games and {curve.train_steps[-1]:,} train steps."
    )
    return picture(draw_learning_curves(panels), "learning-curves", caption), ""


def _instance_table(result: EvaluationResult) -> Table:
    order: Sequence[int] = range(len(result.instances))
    gaps = result.gaps
    if gaps is not None:
        order = np.argsort(-gaps, kind="stable").tolist()
    rows = [
        (one.name, str(one.num_cities), length_text(one.length), length_text(one.reference_length), gap_text(one.gap))
        for one in (result.instances[number] for number in order)
    ]
    caption = "Every instance" + (", the largest gap first." if gaps is not None else ".")
    return Table(caption, ("instance", "cities", "length", "reference", "gap"), rows)


def _settings_table(config: Config, caption: str, changed_only: bool) -> Table:
    defaults = flat_values(Config())
    values = flat_values(config)
    rows = [
        (key, str(value) or DASH, str(defaults[key]) or DASH)
        for key, value in values.items()
        if not changed_only or value != defaults[key]
    ]
    return Table(caption, ("setting", "value", "default"), rows)
