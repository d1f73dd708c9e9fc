"""How fast is self-play on one core, and where does its time go?

Plays with the default settings and a freshly drawn network: its weights do not change the amount of work.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.results import Result, Table, this_machine
from benchmarks.timing import here, interleaved, one_core
from tspmz.config_files import load_config
from tspmz.network.build import build_network
from tspmz.network.inference import SearchModel
from tspmz.search import BatchedSearch
from tspmz.selfplay import GroupSource, play_groups
from tspmz.settings import network_settings, search_settings

_STAGES = ("network", "tree", "env")


class _Clock:
    """Adds up the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, name: str, value: float) -> None:
        if name.endswith("_seconds"):
            self.seconds[name] = self.seconds.get(name, 0.0) + value


class Player:
    """Plays batches of groups, as an actor does.

    Args:
        values: settings other than the defaults.

    Attributes:
        games, moves, simulations: of one batch.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        config = load_config(values=values)
        self._count = config.selfplay.groups_in_parallel
        cities, size = config.problem.num_cities, config.selfplay.group_size
        self._search = BatchedSearch(self._count * size, cities, **search_settings(config))
        self._model = SearchModel(build_network(0, **network_settings(config)).eval(), self._search.num_simulations + 1)
        self._source = GroupSource(0, 0, config.problem.distribution, cities, config.problem.num_clusters, size)
        self._first = 0
        self.games = self._count * size
        self.moves = self.games * (cities - 1)
        self.simulations = self.games * (cities - 2) * self._search.num_simulations  # none for the last, forced move
        self.clock = _Clock()
        self.seconds = 0.0

    def play(self) -> None:
        """Play the next batch."""
        started = time.perf_counter()
        play_groups(
            self._model, self._search, self._source, self._first, self._count, 0,
            temperature=1.0, temperature_threshold=0, clock=self.clock,
        )  # fmt: skip
        self._first += self._count
        self.seconds += time.perf_counter() - started

    def shares(self) -> dict[str, float]:
        """Percent of the time in each stage."""
        return {name: 100 * self.clock.seconds.get(f"{name}_seconds", 0.0) / self.seconds for name in _STAGES}


def measure(short: bool) -> Result:
    """Measure self-play on one core."""
    with one_core():
        player = Player({})
        spent = interleaved({"tspmz": here(player.play)}, seconds=2.0, short=short)["tspmz"].median
    rates = [player.games / spent, player.moves / spent, player.simulations / spent]
    shares = player.shares()
    columns = ("complete games/s", "moves/s", "simulations/s", *(f"{name} %" for name in _STAGES), "else %")
    row = [*rates, *shares.values(), 100 - float(np.sum([*shares.values()]))]
    return Result(
        name="selfplay",
        title="Self-play",
        answers="How fast is self-play with the default settings on one core, and where does the time go?",
        tables=[Table("", columns, [row])],
        machine=this_machine(),
        short=short,
    )
