"""What does prioritized sampling cost, beside other buffers; and a batch of groups, beside gathering its rows?"""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.groups import random_group
from benchmarks.peers.client import Peers
from benchmarks.results import NOT_INSTALLED, Cell, Figure, Result, Table, this_machine
from benchmarks.timing import Timed, Timing, here, interleaved, one_core, times_faster
from tspmz.config_files import load_config
from tspmz.replay.buffer import ReplayBuffer
from tspmz.replay.fields import fields_for
from tspmz.replay.ring import Ring
from tspmz.replay.sumtree import SMALLEST_PRIORITY, SumTree
from tspmz.replay.targets import importance_weights
from tspmz.settings import replay_settings

_SIZES = (100_000, 1_000_000)
_BATCH = 512
_ALPHA, _BETA = 0.6, 0.4
_PEERS = ("torchrl_replay", "cpprb_replay")
_CITIES = (20, 50, 100)
_EPISODES = 16
_GROUPS = (16, 512)
_WINDOW_BYTES = 64 * 2**20
_DIFFERENT = 16
_TWICE, _HALF = 2.0, 0.5


class Sampler:
    """Draws with importance weights and sets priorities, as `ReplayBuffer` does.

    Args:
        size: entries.
        batch: draws.
    """

    def __init__(self, size: int, batch: int) -> None:
        self._rng = np.random.default_rng(0)
        self._tree = SumTree(size)
        self._size, self._batch = size, batch
        priorities = self._rng.random(size) ** _ALPHA
        self._tree.set(np.arange(size), priorities)
        self._shares = priorities / priorities.sum()
        self._new = self._rng.random(batch)
        self._drawn = self._tree.sample(self._rng, batch)[0]

    def sample(self) -> None:
        """Draw a batch."""
        self._drawn, probabilities = self._tree.sample(self._rng, self._batch)
        importance_weights(probabilities, self._size, _BETA)

    def update(self) -> None:
        """Set the priorities of the last batch."""
        self._tree.set(self._drawn, (self._new + SMALLEST_PRIORITY) ** _ALPHA)

    def cycle(self) -> None:
        """Both."""
        self.sample()
        self.update()

    def choice(self) -> None:
        """Draw a batch with numpy, which adds up all shares each time."""
        self._rng.choice(self._size, self._batch, p=self._shares)


class Window:
    """A window of random groups that is larger than the caches, and what the learner does with it.

    Args:
        num_cities: N.
        groups: of a batch.
        window_bytes: about so large.
    """

    def __init__(self, num_cities: int, groups: int, window_bytes: int) -> None:
        config = load_config(values={"problem.num_cities": num_cities, "learner.batch_groups": groups})
        specs = fields_for(num_cities, _EPISODES, config.replay.policy_target)
        record = Ring(1, 2, specs).empty_records(1).dtype
        self.slots = max(2 * groups, window_bytes // record.itemsize)
        self._ring = Ring(1, self.slots, specs)
        writer = self._ring.writer(0)
        some = [random_group(0, number, num_cities, _EPISODES) for number in range(_DIFFERENT)]
        for number in range(self.slots):
            writer.write(some[number % _DIFFERENT]._replace(group_id=number))
        self._buffer = ReplayBuffer(self._ring, **replay_settings(config))
        self._buffer.ingest()
        self._rng = np.random.default_rng(0)
        self.nbytes = sum(part.nbytes for part in self._buffer.sample(self._rng) if isinstance(part, np.ndarray))
        self._rows = np.ones((self.slots, self.nbytes // groups // 8), np.uint64)
        self._copies = np.empty((groups, self._rows.shape[1]), np.uint64)

    def batch(self) -> None:
        """Draw and build a batch."""
        self._buffer.sample(self._rng)

    def gather(self) -> None:
        """As many bytes as a batch has, from as many random rows."""
        np.take(self._rows, self._rng.integers(0, self.slots, len(self._copies)), axis=0, out=self._copies, mode="clip")


def measure(short: bool) -> Result:
    """Measure drawing and updating, then the building of batches."""
    rows: list[list[Cell]] = []
    figures: list[Figure] = []
    with one_core(), Peers(*_PEERS) as peers:
        for size in _SIZES[:1] if short else _SIZES:
            found, ratios = _of_size(size, peers, short)
            rows += found
            figures += ratios
        table, shares = _of_batches(short)
    columns = ("entries", "buffer", "sample us", "update us", "both us")
    return Result(
        name="sampling",
        title="Sampling",
        answers=f"How long does it take to draw {_BATCH} of many entries by priority, with importance weights, and to "
        "set their priorities; and to build a batch of groups, beside copying as many bytes from random rows?",
        tables=[Table(f"{_BATCH} entries, alpha {_ALPHA}, beta {_BETA}", columns, rows), table],
        figures=[*figures, *shares],
        notes=[
            *peers.notes,
            "tspmz and torchrl draw and weigh; cpprb gathers one number per entry, too; numpy draws alone.",
            "A batch is read from the ring and validated; tours become 64-bit, the worst episodes walks of the best, "
            "returns, advantages and weights are worked out. Gathering is np.take of as many bytes as the batch has, "
            "into memory that is at hand. By default the learner draws 16 groups at a time.",
        ],
        machine=this_machine(),
        short=short,
    )


def _of_size(size: int, peers: Peers, short: bool) -> tuple[list[list[Cell]], list[Figure]]:
    ours = Sampler(size, _BATCH)
    candidates: dict[str, Timed] = {
        f"tspmz {name}": here(getattr(ours, name)) for name in ("sample", "update", "cycle")
    } | {"numpy sample": here(ours.choice)}
    for peer in peers.found.values():
        peer.ask("setup", size=size, batch=_BATCH, alpha=_ALPHA, beta=_BETA)
        candidates |= {f"{peer.name} {name}": peer.timed(name) for name in ("sample", "update", "cycle")}
    spent = interleaved(candidates, seconds=0.1, short=short)
    rows: list[list[Cell]] = []
    for who in ("tspmz", *_PEERS, "numpy"):
        missing: Cell = NOT_INSTALLED if who in _PEERS else None
        times = [_microseconds(spent.get(f"{who} {name}"), missing) for name in ("sample", "update", "cycle")]
        rows.append([size, "numpy choice(p=...)" if who == "numpy" else who.removesuffix("_replay"), *times])
    figures = []
    for who in _PEERS:
        name = f"sample and update of {size:,}, against {who.removesuffix('_replay')}"
        asked = _TWICE if who == "torchrl_replay" and size == max(_SIZES) else None
        if who in peers.found:
            faster = times_faster(spent["tspmz cycle"], spent[f"{who} cycle"])
            figures.append(Figure(name, *faster, at_least=asked))
        else:
            figures.append(Figure(name, None, at_least=asked, why=NOT_INSTALLED))
    faster = times_faster(spent["tspmz sample"], spent["numpy sample"])
    figures.append(Figure(f"sample of {size:,}, against numpy", *faster))
    return rows, figures


def _microseconds(timing: Timing | None, missing: Cell) -> Cell:
    return missing if timing is None else 1e6 * timing.median


def _of_batches(short: bool) -> tuple[Table, list[Figure]]:
    rows: list[list[Cell]] = []
    figures = []
    for groups, cities in itertools.product(_GROUPS, _CITIES[:1] if short else _CITIES):
        window = Window(cities, groups, 2**20 if short else _WINDOW_BYTES)
        spent = interleaved({"batch": here(window.batch), "gather": here(window.gather)}, seconds=0.2, short=short)
        megabytes = window.nbytes / 1e6
        rates = [megabytes / 1e3 / spent[name].median for name in ("batch", "gather")]
        rows.append([groups, cities, megabytes, *[1e6 * spent[name].median for name in ("batch", "gather")], *rates])
        share = times_faster(spent["batch"], spent["gather"])
        name = f"speed of gathering rows at which batches of {groups} groups are built, {cities} cities"
        figures.append(Figure(name, *share, at_least=_HALF))
    columns = ("groups", "cities", "MB a batch", "build us", "gather us", "build GB/s", "gather GB/s")
    return Table(f"Batches of groups of {_EPISODES} episodes, window of 64 MiB", columns, rows), figures
