"""Finished trainings of a comparison, kept in a JSON file, so that it can go on another day, or on another machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
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


class Wanted(NamedTuple):
    """A training that a comparison needs.

    Attributes:
        name: whose, or of which variant.
        cities: N.
        minutes: its budget.
        seed: its seed.
        cores: that it may use.
        settings: of tspmz, beside those that the number of cities chooses.
        instances: names of the sets that it is measured on.
    """

    name: str
    cities: int
    minutes: float
    seed: int
    cores: int
    settings: dict[str, Any]
    instances: list[str]


class Training(NamedTuple):
    """A finished training.

    Attributes:
        name, cities, minutes, seed, settings: as in `Wanted`.
        points: in order, the last one at the end.
        machine: where; of its cores, those that the training could use.
    """

    name: str
    cities: int
    minutes: float
    seed: int
    settings: dict[str, Any]
    points: list[Point]
    machine: Machine

    def is_for(self, wanted: Wanted) -> bool:
        """Whether a table would show it as that one, whatever its settings and instances."""
        found = (self.name, self.cities, self.minutes, self.seed, self.machine.cores)
        return found == (wanted.name, wanted.cities, wanted.minutes, wanted.seed, wanted.cores)


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

    def get(self, wanted: Wanted, train: Callable[[], list[Point]]) -> Training:
        """The one that is kept, or else a new one, which is then kept.

        Raises:
            click.UsageError: the one that is kept is of other settings, or not measured on all of the instances.
        """
        kept = self._find(wanted)
        if kept is not None:
            return kept
        click.echo(f"{wanted.name}: {wanted.cities} cities, {wanted.minutes:g} minutes, seed {wanted.seed}", err=True)
        machine = replace(this_machine(), cores=wanted.cores)
        made = Training(*wanted[:4], settings=wanted.settings, points=train(), machine=machine)
        self.all.append(made)
        text = json.dumps([_to_json(one) for one in self.all], indent=1)
        partial = self._path.with_suffix(".part")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(self._path)
        return made

    def check(self, wanted: Iterable[Wanted]) -> None:
        """Whether what is kept is what is wanted, as far as it is kept; to be asked before hours of training.

        Raises:
            click.UsageError: as `get` does.
        """
        for one in wanted:
            self._find(one)

    def _find(self, wanted: Wanted) -> Training | None:
        for one in self.all:
            if one.is_for(wanted):
                self._check(one, wanted)
                return one
        return None

    def _check(self, kept: Training, wanted: Wanted) -> None:
        found = f"{self._path} keeps {kept.name!r}, {kept.cities} cities, {kept.minutes:g} minutes, seed {kept.seed}"
        missing = set(wanted.instances) - set(kept.points[-1].gaps)
        if kept.settings != wanted.settings:
            other = f"with the settings {_named(kept.settings)}, not {_named(wanted.settings)}"
        elif missing:
            other = f"measured on {', '.join(kept.points[-1].gaps)}, not on {', '.join(sorted(missing))}"
        else:
            return
        raise click.UsageError(f"{found}, {other}. Name another file with --results.")


def opened(path: Path) -> Trainings:
    """The trainings of a file that the user named.

    Raises:
        click.UsageError: the file holds something else.
    """
    try:
        return Trainings(path)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _named(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items()) or "as they come"


def _to_json(training: Training) -> dict[str, Any]:
    points = [point._asdict() for point in training.points]
    return {**training._asdict(), "points": points, "machine": vars(training.machine)}


def _from_json(one: dict[str, Any]) -> Training:
    points, machine = [Point(**point) for point in one["points"]], Machine(**one["machine"])
    return Training(**{**one, "points": points, "machine": machine})


def spread(gaps: list[float]) -> str:
    """Mean of fractions in percent, and their range; `-` where there are none."""
    return mean_and_range([100.0 * gap for gap in gaps], 3) if gaps else "-"


def mean_and_range(values: list[float], digits: int) -> str:
    """`2.0 (1.5 to 2.5)`, the value alone if there is one."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"
