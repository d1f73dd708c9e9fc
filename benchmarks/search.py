"""How many simulations per second does the tree search make on one core, beside mctx and LightZero's C++ trees?"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from benchmarks.peers.client import Peer, Peers
from benchmarks.peers.tables import table_of
from benchmarks.results import NOT_INSTALLED, Cell, Figure, Result, Table, this_machine
from benchmarks.timing import Ratio, Timed, here, interleaved, one_core, times_faster
from tspmz.search import BatchedSearch
from tspmz.types import Bool, Int64, RecurrentOutput, RootOutput, SearchResult

PEERS = ("mctx", "lightzero")
_SETTINGS: dict[str, dict[str, Any]] = {
    "gumbel": {"algorithm": "gumbel", "max_considered_actions": 16, "value_scale": 0.1, "rescale_values": True},
    "puct": {"algorithm": "puct", "q_normalization": "tree"},
    "puct, siblings": {"algorithm": "puct", "q_normalization": "siblings"},
}
"""Ours, as the peers search: Q values by LightZero's rule (range of the tree) and by mctx's (of the siblings)."""

_PAIRS = {
    "gumbel": {"mctx": "gumbel", "lightzero": "gumbel"},
    "puct": {"mctx": "puct, siblings", "lightzero": "puct"},
}
"""By algorithm, the settings of ours that each peer is compared with."""


class Case(NamedTuple):
    """What is searched: B roots, N actions, S simulations, with rewards and values that vary or are the same."""

    algorithm: str
    batch_size: int
    num_actions: int
    num_simulations: int
    constant: bool = False


class TableSearch:
    """Our search of a case's roots around the table that the peers look their outputs up in, too."""

    def __init__(self, case: Case, settings: str) -> None:
        self._rewards, self._values, self._logits = table_of(case.num_actions, case.constant)
        starts = np.arange(case.batch_size) % len(self._rewards)
        legal = np.ones((case.batch_size, case.num_actions), np.bool_)
        self._root = RootOutput(self._logits[starts], self._values[starts], legal)
        self._states = np.zeros((case.num_simulations + 1, case.batch_size), np.int64)
        self._states[0] = starts
        self._output = RecurrentOutput(self._values[starts], self._values[starts], self._logits[starts])
        self._rng = np.random.default_rng(0)
        # the peers know legal actions at the root alone
        self._search = BatchedSearch(
            case.batch_size, case.num_actions, num_simulations=case.num_simulations, mask_interior=False,
            **_SETTINGS[settings],
        )  # fmt: skip

    def run(self) -> SearchResult:
        """Search once, with root noise."""
        return self._search.run(self._root, self._recurrent, self._rng)

    def _recurrent(self, parents: Int64, actions: Int64, node: int, legal: Bool) -> RecurrentOutput:
        _look_up(self._rewards, self._values, self._logits, self._states, parents, actions, node, *self._output[:3])
        return self._output


@njit(cache=True)
def _look_up(rewards, values, logits, states, parents, actions, node, out_rewards, out_values, out_logits):  # type: ignore[no-untyped-def]
    """The model, compiled as it is within mctx."""
    count, num_actions = logits.shape
    for b in range(parents.shape[0]):
        state = (states[parents[b], b] * num_actions + actions[b] + 1) % count
        states[node, b] = state
        out_rewards[b] = rewards[state]
        out_values[b] = values[state]
        out_logits[b] = logits[state]


class Found(NamedTuple):
    """Of one case.

    Attributes:
        rates: simulations/s by candidate: settings of ours, and peers.
        depths: mean depth of the expanded nodes, by candidate.
        ratios: by peer, how many times faster ours is.
    """

    rates: dict[str, float]
    depths: dict[str, float]
    ratios: dict[str, Ratio]

    @property
    def worst(self) -> Ratio | None:
        """Against the fastest peer."""
        return min(self.ratios.values(), default=None)


def compare(case: Case, peers: dict[str, Peer], short: bool) -> Found:
    """Measure one case."""
    pairs = _PAIRS[case.algorithm]
    ours = {settings: TableSearch(case, settings) for settings in dict.fromkeys(pairs.values())}
    candidates: dict[str, Timed] = {settings: here(search.run, time.process_time) for settings, search in ours.items()}
    depths = {settings: float(search.run().depths.mean()) for settings, search in ours.items()}
    for name, peer in peers.items():
        peer.ask("prepare", **case._asdict())
        depths[name] = peer.ask("mean_depth")
        candidates[name] = peer.timed("run")
    timings = interleaved(candidates, seconds=0.1, short=short)
    simulations = case.batch_size * case.num_simulations
    return Found(
        rates={name: simulations / timing.median for name, timing in timings.items()},
        depths=depths,
        ratios={name: times_faster(timings[pairs[name]], timings[name]) for name in peers},
    )


def cases(short: bool) -> Iterator[Case]:
    """The grid of cases whose rewards and values vary, and a few with constant ones."""
    if short:
        yield from (Case(algorithm, 4, 5, 3, constant) for algorithm in _PAIRS for constant in (False, True))
        return
    for algorithm in _PAIRS:
        for batch_size in (1, 64, 256, 1024):
            for num_actions in (20, 50, 100):
                yield from (Case(algorithm, batch_size, num_actions, count) for count in (16, 25, 50))
        yield from (Case(algorithm, 256, *size, constant=True) for size in ((20, 16), (50, 25), (100, 50)))


def measure(short: bool) -> Result:
    """Measure the tree search."""
    with one_core(), Peers(*PEERS) as peers:
        found = {case: compare(case, peers.found, short) for case in cases(short)}
    return report(found, peers.notes, short)


def report(found: dict[Case, Found], notes: list[str], short: bool) -> Result:
    """What was found, with notes on the peers."""
    tables = [
        _table(algorithm, {case: one for case, one in found.items() if case.algorithm == algorithm})
        for algorithm in _PAIRS
    ]
    return Result(
        name="search",
        title="Search",
        answers=(
            "Thousand simulations per second of CPU time on one core with a model that is a table, so that the cost of "
            "the tree is left, beside mctx (compiled for the CPU) and LightZero's C++ trees; all actions are legal. "
            "Ours and mctx's draw their root noise within the measured time. Each peer is compared with our search "
            "with its own way to normalize Q values: LightZero's PUCT by the range of the tree (ours: `puct`), mctx's "
            "by that of the siblings (ours: `puct, siblings`); the ratio is the smaller of the two."
        ),
        tables=tables,
        figures=list(_figures(found)),
        notes=[
            *notes,
            "LightZero's trees take Python lists: making them of the model's arrays is counted, as it is in its own "
            "search. Its Gumbel noise is of one seed, and not drawn anew.",
        ],
        machine=this_machine(),
        short=short,
    )


def _table(algorithm: str, found: dict[Case, Found]) -> Table:
    names = [*dict.fromkeys(_PAIRS[algorithm].values()), *PEERS]
    columns = ["batch", "actions", "simulations", *(f"{name} k/s" for name in names), "ratio"]
    rows: list[list[Cell]] = []
    for case, one in found.items():
        rates: list[Cell] = [one.rates[name] / 1000 if name in one.rates else NOT_INSTALLED for name in names]
        depths = " / ".join(f"{one.depths[name]:.1f}" for name in names if name in one.depths)
        simulations = f"{case.num_simulations}{', constant values' if case.constant else ''}"
        ratio = one.worst.median if one.worst else None
        rows.append([case.batch_size, case.num_actions, simulations, *rates, ratio, depths])
    return Table(f"{algorithm}, mean depths in the order of the columns", [*columns, "mean depths"], rows)


def _figures(found: dict[Case, Found]) -> Iterator[Figure]:
    for algorithm in _PAIRS:
        varied = {case: one for case, one in found.items() if case.algorithm == algorithm and not case.constant}
        batched = {case: one for case, one in varied.items() if case.batch_size > 1}
        largest = {case: one for case, one in batched.items() if case[2:4] == (100, 50)}
        single = {case: one for case, one in varied.items() if case.batch_size == 1}
        yield from _smallest(f"{algorithm}, smallest ratio of batches of 64 and more", batched.values(), 2.0)
        yield from _smallest(f"{algorithm}, of these with 100 actions, 50 simulations", largest.values(), 4.0)
        yield from _smallest(f"{algorithm}, smallest ratio of single roots", single.values(), 1.0)


def _smallest(name: str, found: Collection[Found], at_least: float) -> Iterator[Figure]:
    """One figure, or none where no such case was measured."""
    ratios = [one.worst for one in found if one.worst]
    if ratios:
        yield Figure(name, *min(ratios), at_least=at_least)
    elif found:
        yield Figure(name, None, at_least=at_least, why=NOT_INSTALLED)
