"""What does handing weights to actors cost beside a plain copy of the same bytes?"""

from __future__ import annotations

import numpy as np

from benchmarks.crew import Crew, Handlers
from benchmarks.results import Cell, Figure, Result, Table, this_machine
from benchmarks.timing import here, interleaved, one_core, times_faster
from tspmz.config import Config
from tspmz.network.build import build_network, num_weights
from tspmz.settings import network_settings
from tspmz.weights import SharedWeights

_READERS = (1, 2, 4, 8, 16)
_MOST_COPIES, _MOST_EXTRA = 2.0, 20.0  # asked: at most so many times memcpy, and so many microseconds


class _Setup:
    """Weights that are published and pulled, and arrays of the same size."""

    def __init__(self, count: int) -> None:
        self._weights = SharedWeights(count)
        self._flat = np.random.default_rng(0).random(count, dtype=np.float32)
        self._out = np.empty_like(self._flat)
        self._banks = np.ones((2, count), np.float32)
        self._bank = 0

    def publish(self) -> None:
        self._weights.publish(self._flat)

    def copy_in(self) -> None:
        self._bank = 1 - self._bank
        np.copyto(self._banks[self._bank], self._flat)

    def pull(self) -> None:
        if self._weights.pull(self._out, -1) is None:
            raise RuntimeError("no weights were there")

    def copy_out(self) -> None:
        np.copyto(self._out, self._banks[self._bank])


def measure(short: bool) -> Result:
    """Measure publishing and pulling, alone and with several readers at once."""
    count = num_weights(build_network(0, **network_settings(Config())))
    rows: list[list[Cell]] = []
    figures: list[Figure] = []
    with one_core():
        for size in (count, 10 * count):
            setup = _Setup(size)
            names = ("publish", "copy_in", "pull", "copy_out")
            spent = interleaved({name: here(getattr(setup, name)) for name in names}, seconds=0.1, short=short)
            rows.append([size, 4 * size / 1e6, *[1e6 * spent[name].median for name in names]])
            for name, limit in (("publish", "copy_in"), ("pull", "copy_out")):
                slower = times_faster(spent[limit], spent[name])
                most = _MOST_COPIES + _MOST_EXTRA / (1e6 * spent[limit].median)
                figures.append(Figure(f"time to {name} {size:,} weights, in memcpys", *slower, at_most=most))
    table, found = _of_readers(count, short)
    columns = ("weights", "MB", "publish us", "copy us", "pull us", "copy out us")
    return Result(
        name="weights",
        title="Weights",
        answers="How long does it take the learner to publish its weights, and an actor to pull them, beside memcpy "
        "of the same bytes? Asked: at most twice that, and 20 microseconds.",
        tables=[Table("One process", columns, rows), table],
        figures=[*figures, *found],
        notes=["More readers than cores share the cores: a pull takes as much longer as a copy does."],
        machine=this_machine(),
        short=short,
    )


def _reading(index: int, weights: SharedWeights, count: int) -> Handlers:
    """What a reader can do: pull, or copy as many bytes."""
    out, source = np.ones(count, np.float32), np.ones(count, np.float32)
    return {"pull": lambda: weights.pull(out, -1), "copy": lambda: np.copyto(out, source)}


def _of_readers(count: int, short: bool) -> tuple[Table, list[Figure]]:
    """Microseconds of a pull with several readers at once."""
    weights = SharedWeights(count)
    weights.publish(np.random.default_rng(0).random(count, dtype=np.float32))
    most = 2 if short else max(_READERS)
    rounds, seconds = (1, 0.0) if short else (5, 0.2)
    rows: list[list[Cell]] = []
    figures = []
    with Crew(most, _reading, weights, count) as crew:
        for readers in [number for number in _READERS if number <= most]:
            times = [
                [readers * 1e6 / crew.rate(readers, name, seconds) for name in ("pull", "copy")] for _ in range(rounds)
            ]
            pulled, copied = (float(value) for value in np.median(times, axis=0))
            slower = [pull / copy for pull, copy in times]
            rows.append([readers, pulled, copied, float(np.median(slower))])
            name = f"time to pull {count:,} weights with {readers} readers at once, in memcpys"
            most_here = _MOST_COPIES + _MOST_EXTRA / copied
            figures.append(Figure(name, float(np.median(slower)), min(slower), max(slower), at_most=most_here))
    return Table("Readers at the same time", ("readers", "pull us", "copy us", "ratio"), rows), figures
