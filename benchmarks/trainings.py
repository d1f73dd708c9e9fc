"""Finished trainings of a comparison, kept in a JSON file, so that it can go on another day, or on another machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.results import Machine, this_machine

results_option = click.option(
    "--results", type=click.Path(path_type=Path, dir_okay=False),
    help="Where finished trainings are kept [default: results.json in the folder of --out].",
)  # fmt: skip
"""Of the commands that train."""


class Point(NamedTuple):
    """A training at one moment.

    Attributes:
        minutes: of the budget.
        train_steps: so far.
        gaps: by set of instances and way of decoding, mean length / mean length of LKH's tours - 1.
        seconds: of decoding all instances, in the same way.
    """

    minutes: float
    train_steps: int
    gaps: dict[str, dict[str, float]]
    seconds: dict[str, dict[str, float]]


class Training(NamedTuple):
    """A finished training.

    Attributes:
        name: whose, or of which variant.
        cities: N.
        minutes: its budget.
        seed: its seed.
        points: in order, the last one at the end.
        machine: where; of its cores, those that the training could use.
    """

    name: str
    cities: int
    minutes: float
    seed: int
    points: list[Point]
    machine: Machine


class Trainings:
    """The trainings of one file; an absent file holds none.

    Args:
        path: the file.

    Attributes:
        all: in the order in which they were made.

    Raises:
        ValueError: the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
            self.all = [_from_json(one) for one in found]
        except (TypeError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not a file of trainings: {error}") from error

    def get(
        self, name: str, cities: int, minutes: float, seed: int, cores: int, train: Callable[[], list[Point]]
    ) -> Training:
        """The one that is kept, or else a new one on so many cores, which is then kept."""
        for one in self.all:
            if (one.name, one.cities, one.minutes, one.seed, one.machine.cores) == (name, cities, minutes, seed, cores):
                return one
        click.echo(f"{name}: {cities} cities, {minutes:g} minutes, seed {seed}", err=True)
        made = Training(name, cities, minutes, seed, train(), replace(this_machine(), cores=cores))
        self.all.append(made)
        text = json.dumps([_to_json(one) for one in self.all], indent=1)
        partial = self._path.with_suffix(".part")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(self._path)
        return made


def opened(path: Path) -> Trainings:
    """The trainings of a file that the user named.

    Raises:
        click.UsageError: the file holds something else.
    """
    try:
        return Trainings(path)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _to_json(training: Training) -> dict[str, Any]:
    points = [point._asdict() for point in training.points]
    return {**training._asdict(), "points": points, "machine": vars(training.machine)}


def _from_json(one: dict[str, Any]) -> Training:
    points, machine = [Point(**point) for point in one["points"]], Machine(**one["machine"])
    return Training(**{**one, "points": points, "machine": machine})


def spread(gaps: list[float]) -> str:
    """Mean of fractions in percent, and their range; `-` where there are none."""
    if not gaps:
        return "-"
    percents = [100.0 * gap for gap in gaps]
    mean = f"{np.mean(percents):.3f}"
    return mean if len(gaps) == 1 else f"{mean} ({min(percents):.3f} to {max(percents):.3f})"
