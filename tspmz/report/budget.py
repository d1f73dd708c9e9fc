"""What more time buys: the same instances decoded with more starts and symmetries, and with deeper search."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tspmz.agent import Agent
from tspmz.decode import Decoding
from tspmz.tsp.instances import InstanceSet
from tspmz.types import Float64

STARTS = "policy: more starts, then 8 symmetries"
SEARCH = "search: more simulations, one start"
TRUE_SEARCH = "search with the true rules, insertion values: more simulations, one start"
UNGUIDED_SEARCH = "search with the true rules and no network: more simulations, one start"

_SIMULATIONS = (4, 8, 16, 32, 64, 128)
_UNGUIDED_SIMULATIONS = (10, 30, 100, 300, 1000, 3000)
_POINT_SECONDS = 10.0
"""A family ends with the first point that took longer: the next would take about twice as long."""


class BudgetPoint(NamedTuple):
    """One way to decode, and what it gave.

    Attributes:
        family: `STARTS`, `SEARCH` or `TRUE_SEARCH`; `UNGUIDED_SEARCH` where there is no network.
        label: a few characters for the plot.
        name: for a table.
        lengths: `[I]` float64, in the unit of the instances.
        seconds: per instance.
    """

    family: str
    label: str
    name: str
    lengths: Float64
    seconds: float


def first_instances(sets: Sequence[InstanceSet], count: int) -> list[InstanceSet]:
    """The first `count` instances of several sets, or all where there are fewer."""
    kept: list[InstanceSet] = []
    for one in sets:
        if count > 0:
            kept.append(one.part(slice(0, count)))
            count -= len(kept[-1].coordinates)
    return kept


def spend_more(agent: Agent, sets: Sequence[InstanceSet], decoding: Decoding) -> list[BudgetPoint]:
    """Decode with growing budgets; the points of a family follow each other.

    Args:
        agent: what is measured.
        sets: on which instances.
        decoding: that the page is about: it says whether a network is asked at all.
    """
    largest = max(one.coordinates.shape[1] for one in sets)
    families = (
        ((STARTS, _more_starts(largest)), (SEARCH, _more_simulations()), (TRUE_SEARCH, _more_with_true_rules()))
        if decoding.prior == "network"
        else ((UNGUIDED_SEARCH, _more_unguided(decoding)),)
    )
    points = []
    for family, ways in families:
        for number, (label, name, decoding) in enumerate(ways):
            if number == 0:  # what is compiled or loaded at first use is no part of the time
                _decoded([one.part(slice(0, 1)) for one in sets[:1]], agent, decoding)
            started = time.perf_counter()
            lengths = _decoded(sets, agent, decoding)
            seconds = time.perf_counter() - started
            points.append(BudgetPoint(family, label, name, lengths, seconds / len(lengths)))
            if seconds > _POINT_SECONDS:
                break
    return points


def _more_starts(num_cities: int) -> Iterator[tuple[str, str, Decoding]]:
    counts = [2**k for k in range(num_cities.bit_length()) if 2**k < num_cities]
    for count in [*counts, None]:
        text = "all" if count is None else str(count)
        name = "one start" if count == 1 else f"{text} starts"
        yield text, f"greedy, {name}", Decoding(starts=count)
    yield "all \N{MULTIPLICATION SIGN} 8", "greedy, all starts, 8 symmetries", Decoding(starts=None, augment=8)


def _more_simulations() -> Iterator[tuple[str, str, Decoding]]:
    for count in _SIMULATIONS:
        yield str(count), f"search, {count} simulations", Decoding("search", simulations=count)


def _more_with_true_rules() -> Iterator[tuple[str, str, Decoding]]:
    for count in _SIMULATIONS:
        how = Decoding("search", count, dynamics="true", leaf_values="farthest_insertion")
        yield str(count), f"search with the true rules, insertion values, {count} simulations", how


def _more_unguided(decoding: Decoding) -> Iterator[tuple[str, str, Decoding]]:
    for count in _UNGUIDED_SIMULATIONS:
        more = decoding._replace(simulations=count, starts=1, augment=1)
        yield f"{count:,}", f"search, {count:,} simulations", more


def _decoded(sets: Sequence[InstanceSet], agent: Agent, decoding: Decoding) -> Float64:
    return np.concatenate([_set_lengths(one, agent, decoding) for one in sets])


def _set_lengths(one: InstanceSet, agent: Agent, decoding: Decoding) -> Float64:
    num_cities = one.coordinates.shape[1]
    fitting = decoding._replace(starts=min(decoding.starts or num_cities, num_cities))
    return agent.decode(one.coordinates, fitting, lambda part, tours: one.part(part).lengths(tours)).lengths
