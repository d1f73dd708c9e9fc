"""How do games/s grow with actors, cities, simulations and the size of a group, and memory with window and cities?

Actors are processes that play and write into their shard of one ring, as in a run; there is no learner, which would
take one of the cores.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from benchmarks.results import Cell, Figure, Result, Table, this_machine
from benchmarks.selfplay import Player
from benchmarks.timing import here, interleaved, one_core
from tspmz.allocation import keep_freed_memory
from tspmz.replay.fields import fields_for
from tspmz.replay.ring import Ring
from tspmz.search import BatchedSearch

_SECONDS, _ROUNDS = 4.0, 5  # of play, of each number of actors in turn


class Law(NamedTuple):
    """A quantity at several sizes, and the power of the size that it is expected to follow.

    Attributes:
        of: what grows, for example "games/s".
        against: what it is measured against, for example "cities".
        expected: the exponent, in words where it is a range.
        sizes, values: what was measured.
    """

    of: str
    against: str
    expected: str
    sizes: Sequence[float]
    values: Sequence[float]

    @property
    def exponent(self) -> float:
        """Slope of a line through the logarithms."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.values), 1)[0])

    @property
    def last_exponent(self) -> float:
        """Slope between the two largest sizes, where fixed costs weigh least."""
        (x, y), (v, w) = np.log(self.sizes[-2:]), np.log(self.values[-2:])
        return float((w - v) / (y - x))


def measure(short: bool) -> Result:
    """Measure how play and memory scale."""
    with one_core():
        laws = play_laws(short)
    actors, resident = actors_law(short)
    laws = [actors, *laws, *memory_laws(short), resident]
    rows: list[list[Cell]] = []
    for law in laws:
        sizes = ", ".join(f"{size:g}" for size in law.sizes)
        values = ", ".join(f"{value:,.4g}" for value in law.values)
        rows.append([law.of, law.against, sizes, values, law.expected, law.exponent, law.last_exponent])
    columns = ("of", "against", "at", "measured", "expected", "exponent", "between the last two")
    return Result(
        name="scaling",
        title="Scaling",
        answers=(
            "What grows with what, as the exponent of a power law: of a line through all points (in logarithms), and "
            "between the two largest sizes. Games are those of actors with the default settings and 20 cities where "
            "nothing else is said."
        ),
        tables=[Table("", columns, rows)],
        figures=[Figure("exponent of games/s against actors", actors.exponent, unit="")],
        notes=[
            "Games against cities: each of N moves has S simulations whose cost is part fixed, part a sum over N "
            "cities, and an encoder that compares all pairs of cities once per group. Against simulations: a move "
            "costs S of them and one look at its root.",
            "Actors have as many cores as the machine, and no learner beside them. A second of theirs is one by the "
            "clock, so that what else the machine does takes from it.",
        ],
        machine=this_machine(),
        short=short,
    )


def play_laws(short: bool) -> list[Law]:
    """Games per second of CPU time on one core."""
    cities = (4, 6) if short else (20, 50, 100)
    simulations = (1, 2) if short else (2, 8, 32)
    sizes = (2, 4) if short else (4, 8, 16)
    small: dict[str, Any] = {"problem.num_cities": 6 if short else 20}
    episodes = 8 if short else 256
    return [
        Law(
            "games per CPU second", "cities", "-1 to -2", cities,
            _rates([{"problem.num_cities": n} for n in cities], short),
        ),
        Law(
            "games per CPU second", "simulations", "0 to -1", simulations,
            _rates([small | {"search.num_simulations": count} for count in simulations], short),
        ),
        Law(
            "games per CPU second", f"episodes of a group, {episodes} in all", "0 to 1", sizes,
            _rates(
                [small | {"selfplay.group_size": g, "selfplay.groups_in_parallel": episodes // g} for g in sizes], short
            ),
        ),
    ]  # fmt: skip


def _rates(settings: list[dict[str, Any]], short: bool) -> list[float]:
    """Games per second of CPU time for each of some settings, measured in turns."""
    small = {"selfplay.groups_in_parallel": 1} if short else {}
    players = [Player(small | values) for values in settings]
    candidates = {str(i): here(player.play, time.process_time) for i, player in enumerate(players)}
    timings = interleaved(candidates, seconds=0.5, short=short)
    return [player.games / timings[str(i)].median for i, player in enumerate(players)]


def actors_law(short: bool) -> tuple[Law, Law]:
    """Games/s of 1, 2, 4 .. actors at once, as many as there are cores, and the resident memory of all of them.

    In turns; medians over the rounds.
    """
    cores = len(os.sched_getaffinity(0))
    counts = [2**k for k in range(cores.bit_length()) if 2**k <= cores][: 2 if short else None]
    if len(counts) == 1:
        counts = [1, 2]  # one core: what a second actor costs
    cities = 6 if short else 20
    ring = Ring(counts[-1], 64, fields_for(cities, min(16, cities), "advantage"))
    context = multiprocessing.get_context("spawn")
    pipes = []
    for number in range(counts[-1]):
        ours, theirs = context.Pipe()
        settings = {"problem.num_cities": cities}
        context.Process(target=_actor, args=(number, ring, settings, theirs), daemon=True).start()
        theirs.close()  # so that an actor that dies is noticed
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()  # ready
    told = np.empty((1 if short else _ROUNDS, len(counts), 2))
    for of_round in told:
        for i, count in enumerate(counts):
            for pipe in pipes[:count]:
                pipe.send(0.0 if short else _SECONDS)
            of_round[i] = np.sum([pipe.recv() for pipe in pipes[:count]], axis=0)
    for pipe in pipes:
        pipe.close()
    rates, memory = np.median(told, axis=0).T.tolist()
    return (
        Law("games/s, all actors", "actors", "1", counts, rates),
        Law("resident memory of all actors (MiB)", "actors", "1", counts, memory),
    )


def _actor(number: int, ring: Ring, values: dict[str, Any], pipe: Connection) -> None:
    """Play for as many seconds as the pipe says, whole batches; answer with games/s and peak memory in MiB."""
    import torch

    torch.set_num_threads(1)
    keep_freed_memory()
    player = Player(values, ring.writer(number))
    player.play()  # fills the allocators
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            seconds = pipe.recv()
            started, games = time.perf_counter(), 0
            while games == 0 or time.perf_counter() - started < seconds:
                player.play()
                games += player.games
            rate = games / (time.perf_counter() - started)
            pipe.send((rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def memory_laws(short: bool) -> list[Law]:
    """Bytes that a window takes (reserved when a run starts, page by page), and the trees of a search."""
    windows = (4, 8) if short else (128, 1024, 8192)
    cities = (20, 50, 100)
    simulations = (8, 25, 50)
    batch_size = 4 if short else 256
    window = 4 if short else 1024
    laws = [
        Law(
            "window (MiB), 20 cities", "groups", "1", windows,
            [_mib(Ring(1, count, fields_for(20, 16, "advantage")).nbytes) for count in windows],
        )
    ]  # fmt: skip
    for target, expected in (("advantage", "1"), ("visit_counts", "1 to 2")):
        sizes = [_mib(Ring(1, window, fields_for(n, 16, target)).nbytes) for n in cities]
        laws.append(Law(f"window (MiB), {window} groups, policy target {target}", "cities", expected, cities, sizes))
    trees = [_mib(BatchedSearch(batch_size, n).num_bytes) for n in cities]
    laws.append(Law("trees (MiB)", "cities", "0 to 1", cities, trees))
    trees = [_mib(BatchedSearch(batch_size, 20, num_simulations=count).num_bytes) for count in simulations]
    laws.append(Law("trees (MiB)", "simulations", "1", simulations, trees))
    return laws


def _mib(nbytes: int) -> float:
    return nbytes / 2**20
