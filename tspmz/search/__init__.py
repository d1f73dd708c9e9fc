"""Batched tree search over arrays: Gumbel MuZero and PUCT. Knows no network and no torch."""

from tspmz.search.engine import BatchedSearch, RecurrentFn
from tspmz.search.halving import considered_visits, considered_visits_table
from tspmz.search.tree import NO_PARENT, ROOT, UNVISITED

__all__ = [
    "NO_PARENT",
    "ROOT",
    "UNVISITED",
    "BatchedSearch",
    "RecurrentFn",
    "considered_visits",
    "considered_visits_table",
]
