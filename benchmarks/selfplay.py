"""How fast is self-play on one core, where does its time go, and how far is it from a search of one root at a time?

Networks are freshly drawn: their weights do not change the amount of work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.one_root import OneRootPlayer
from benchmarks.results import Cell, Figure, Result, Table, this_machine
from benchmarks.timing import Ratio, here, interleaved, one_core, times_faster
from tspmz.config import Config
from tspmz.config_files import collect_values, load_config
from tspmz.network.build import build_network
from tspmz.network.inference import SearchModel
from tspmz.replay.fields import fields_for
from tspmz.replay.ring import Ring, RingWriter
from tspmz.search import BatchedSearch
from tspmz.selfplay import GroupSource, play_groups
from tspmz.settings import group_settings, network_settings, reads_root_values, search_settings

STAGES = ("network", "tree", "env", "write")

_DEEP = 25
"""Simulations of the ancestor."""


def ancestor() -> dict[str, Any]:
    """Problem, network and search of presets/ancestor.toml, with the residual network; the default batch of games."""
    preset = collect_values([Path("presets") / "ancestor.toml"])
    chosen = {key: value for key, value in preset.items() if key.split(".")[0] in ("problem", "network", "search")}
    del chosen["problem.num_cities"]
    return chosen | {"network.kind": "resnet", "selfplay.starts": "first_city"}


class _Clock:
    """Adds up the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((f"{name}_seconds" for name in STAGES), 0.0)

    def add(self, name: str, value: float) -> None:
        if name in self.seconds:
            self.seconds[name] += value


class Player:
    """Plays batches of groups and writes them into a ring, as an actor does.

    Args:
        values: settings other than the defaults.
        writer: into the ring; None = into one of its own.

    Attributes:
        config: all settings.
        games, moves, simulations: of one batch.
    """

    def __init__(self, values: dict[str, Any], writer: RingWriter | None = None) -> None:
        self.config: Config = load_config(values=values)
        self._count = self.config.selfplay.groups_in_parallel
        cities, size = self.config.problem.num_cities, self.config.selfplay.group_size
        self.network = build_network(0, **network_settings(self.config)).eval()
        self._search = BatchedSearch(self._count * size, cities, **search_settings(self.config))
        self._with_values = reads_root_values(self.config)
        nodes = self._search.num_simulations + 1
        self._model = SearchModel(self.network, nodes, with_values=self._with_values)
        if writer is None:
            writer = Ring(1, 2 * self._count, fields_for(cities, size, self.config.replay.policy_target)).writer(0)
        self._writer = writer
        self._source = GroupSource(**group_settings(self.config, writer.actor))
        self._first = 0
        self._clock = _Clock()
        self._seconds = 0.0
        self.games = self._count * size
        self.moves = self.games * (cities - 1)
        self.simulations = self.games * (cities - 2) * self._search.num_simulations  # none for the last, forced move

    def play(self) -> None:
        """Play the next batch and write it."""
        started = time.perf_counter()
        records = play_groups(
            self._model, self._search, self._source, self._first, self._count, 0, self._writer.specs,
            temperature=1.0, temperature_threshold=0, with_values=self._with_values, clock=self._clock,
        )  # fmt: skip
        written = time.perf_counter()
        self._writer.write_stored(records)
        ended = time.perf_counter()
        self._clock.add("write_seconds", ended - written)
        self._first += self._count
        self._seconds += ended - started

    def shares(self) -> list[float]:
        """Percent of the time in each of `STAGES`, and in everything else."""
        parts = [100 * spent / self._seconds for spent in self._clock.seconds.values()]
        return [*parts, 100 - sum(parts)]

    def begin(self) -> None:
        """Encode the instances of a batch and look at their roots; `evaluate` needs it, or a game that was played."""
        points, starts = zip(*(self._source.instance(self._first + i) for i in range(self._count)), strict=True)
        self._model.encode(np.stack(points))
        here = np.stack(starts)
        legal = np.ones((*here.shape, self.config.problem.num_cities), np.bool_)
        self._model.initial(here, here, legal)

    def evaluate(self) -> None:
        """What the network does in one simulation of the whole batch, alone: the limit of a search around it."""
        zeros = np.zeros(self.games, np.int64)
        self._model.recurrent(zeros, zeros, 1, np.ones((self.games, self.config.problem.num_cities), np.bool_))


class Found(NamedTuple):
    """Of one setting.

    Attributes:
        cities, simulations: of the setting.
        games, moves, rate: complete games, moves and simulations, ours, per second.
        shares: percent of the time in each of `STAGES`, and in everything else.
        one_root: simulations/s of the search of one root at a time.
        against_one_root: how many times more simulations/s ours makes.
        of_network: percent of what the network alone evaluates per second.
    """

    cities: int
    simulations: int
    games: float
    moves: float
    rate: float
    shares: list[float]
    one_root: float
    against_one_root: Ratio
    of_network: Ratio


def compare(values: dict[str, Any], short: bool) -> Found:
    """Measure one setting beside a search of one root at a time with the same network, and the network alone."""
    player = Player(values)
    config = player.config
    cities, simulations = config.problem.num_cities, config.search.num_simulations
    other = OneRootPlayer(player.network, cities, simulations, alpha=config.search.dirichlet_alpha)
    calls = {"tspmz": player.play, "one root": other.play, "network": player.evaluate}
    candidates = {name: here(call, time.process_time) for name, call in calls.items()}
    timings = interleaved(candidates, seconds=0.5, short=short)
    ours, theirs = timings["tspmz"], timings["one root"]
    of_game = (cities - 2) * simulations
    return Found(
        cities=cities,
        simulations=simulations,
        games=player.games / ours.median,
        moves=player.moves / ours.median,
        rate=player.simulations / ours.median,
        shares=player.shares(),
        one_root=of_game / theirs.median,
        against_one_root=times_faster(ours, theirs, player.simulations / of_game),
        of_network=times_faster(ours, timings["network"], 100 * player.simulations / player.games),
    )


def end_to_end(values: dict[str, Any], short: bool) -> Ratio:
    """Complete games/s with the default network, of those of one root at a time with the ancestor's settings."""
    player = Player(values)
    cities = player.config.problem.num_cities
    old = load_config(values={"problem.num_cities": cities, **ancestor()})
    network = build_network(0, **network_settings(old)).eval()
    other = OneRootPlayer(network, cities, old.search.num_simulations, alpha=old.search.dirichlet_alpha)
    calls = {"tspmz": player.play, "one root": other.play}
    spent = interleaved(
        {name: here(call, time.process_time) for name, call in calls.items()}, seconds=0.5, short=short
    )
    return times_faster(spent["tspmz"], spent["one root"], player.games)


def measure(short: bool) -> Result:
    """Measure self-play on one core."""
    with one_core():
        found = {name: compare(values, short) for name, values in settings(short)}
        cities = next(iter(found.values())).cities
        small = _small(short)
        as_deep = end_to_end({"problem.num_cities": cities, "search.num_simulations": _DEEP, **small}, short)
        default = end_to_end({"problem.num_cities": cities, **small}, short)
    return report(found, as_deep, default, short)


def report(found: dict[str, Found], as_deep: Ratio, default: Ratio, short: bool) -> Result:
    """What was found; `end_to_end` with as many simulations as the ancestor, and with the default ones."""
    rows = [_row(name, one) for name, one in found.items()]
    columns = (
        "network", "cities", "simulations", "complete games/s", "moves/s", "simulations/s", "one root, simulations/s",
        "times one root", "% of the network alone",
    )  # fmt: skip
    shares = [[name, one.cities, one.simulations, *one.shares] for name, one in found.items()]
    heads = ("network", "cities", "simulations", *(f"{stage} %" for stage in STAGES), "else %")
    ancestor, ours = found["ancestor's residual"], found["attention (default)"]
    fewer = Ratio(*(ours.simulations / _DEEP * games for games in default))
    return Result(
        name="selfplay",
        title="Self-play",
        answers=(
            "Complete games per second of CPU time on one core, written into a ring, beside a search of one root at a "
            "time in plain Python with the same network (how muzero-general plays: `benchmarks/one_root.py`), and "
            "beside what the network alone evaluates per second in batches of the same size, which is the limit of a "
            "search around it."
        ),
        tables=[Table("", columns, rows), Table("Where the time goes", heads, shares)],
        figures=[
            Figure("ancestor's settings, simulations/s against one root", *ancestor.against_one_root, at_least=25.0),
            Figure(
                f"default network, {_DEEP} simulations, simulations/s against one root at the ancestor's", *as_deep,
                at_least=100.0,
            ),
            Figure("default settings, simulations/s against one root at the ancestor's", *fewer, at_least=100.0),
            Figure("default settings, complete games/s against one root at the ancestor's", *default),
            Figure("default settings, simulations/s against one root", *ours.against_one_root),
        ],
        notes=[
            "Ancestor's: network and search of `presets/ancestor.toml` with its residual network, 20 cities, "
            f"{_DEEP} simulations.",
            "Two rows have the same settings and were measured at different times. What is compared with the "
            "ancestor's one root was measured in turns with it, not divided from the table.",
        ],
        machine=this_machine(),
        short=short,
    )


def settings(short: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and settings of what is measured."""
    small = _small(short)
    cities = 6 if short else 20
    yield "attention (default)", {"problem.num_cities": cities, **small}
    yield "ancestor's residual", {"problem.num_cities": cities, **ancestor(), **small}
    if short:
        return
    for cities in (20, 50, 100):
        for simulations in (8, _DEEP, 50):
            values = {"problem.num_cities": cities, "search.num_simulations": simulations}
            yield f"attention, {cities} cities, {simulations} simulations", values


def _small(short: bool) -> dict[str, Any]:
    return {"selfplay.groups_in_parallel": 1} if short else {}


def _row(name: str, one: Found) -> list[Cell]:
    ratios = [one.against_one_root.median, one.of_network.median]
    return [name, one.cities, one.simulations, one.games, one.moves, one.rate, one.one_root, *ratios]
