"""Tours by a search with the true rules: no learned dynamics, with a trained network's priors or with none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from tspmz.network.build import Network
from tspmz.network.inference import SearchModel
from tspmz.search import BatchedSearch
from tspmz.selfplay import play
from tspmz.tsp.dynamics import FoundTours, TrueDynamics
from tspmz.types import Float32, Float64, Int64

UNGUIDED: dict[str, Any] = {"algorithm": "puct", "backup": "max", "pb_c_init": 3.0}
"""Settings of `BatchedSearch` that suit a search without a network: Gumbel's choice of actions needs a prior."""


class Record(NamedTuple):
    """How long the best tour found was after so many simulations, for each instance.

    Attributes:
        simulations: `[R]` int64, of one episode, over all its moves so far.
        best_lengths: `[R, I]` float64, the best over the instance's starts and symmetries, which are searched side by
            side; infinite before the first tour was found.
        played_lengths: `[I]` float64, the best of the tours that the chosen moves made.
    """

    simulations: Int64
    best_lengths: Float64
    played_lengths: Float64


def record_of(found: FoundTours, augment: int = 1) -> Record:
    """The best over G starts and `augment` symmetries; `found` holds the symmetries `[augment * I, G]` one by one."""
    history = found.best_lengths.reshape(len(found.simulations), augment, -1, found.best_lengths.shape[2])
    played = found.played_lengths.reshape(augment, -1, found.played_lengths.shape[1])
    return Record(found.simulations, history.min(axis=(1, 3)), played.min(axis=(0, 2)))


def joined(records: Sequence[Record]) -> Record:
    """The records of further instances side by side; all are over the same numbers of simulations."""
    return Record(
        records[0].simulations,
        np.concatenate([record.best_lengths for record in records], axis=1),
        np.concatenate([record.played_lengths for record in records]),
    )


def merged(records: Sequence[Record]) -> Record:
    """The record of the same instances over all the episodes that several records are of."""
    return Record(
        records[0].simulations,
        np.minimum.reduce([record.best_lengths for record in records]),
        np.minimum.reduce([record.played_lengths for record in records]),
    )


def plan(
    make_search: Callable[[int, int], BatchedSearch],
    coordinates: Float32,
    starts: Int64,
    *,
    network: Network | None = None,
    leaf_values: str = "nearest_neighbor",
    edge_reward: float = 0.0,
    device: torch.device | str = "cpu",
) -> FoundTours:
    """Search with the true rules at each move, without noise.

    A tree takes memory for each simulation: about 2 MB at 20 cities and 10,000 simulations. Who has more instances and
    starts than fit plans them in parts (`decode.decode` does).

    Args:
        make_search: `(batch size, number of cities) -> search`.
        coordinates: `[I, N, 2]` float32 in the unit square.
        starts: `[I, G]` int64.
        network: gives the priors, in evaluation mode, on `device`; None = uniform priors (see `UNGUIDED`).
        leaf_values: one of `tsp.dynamics.LEAF_VALUES`, see `TrueDynamics`.
        edge_reward: what an edge is worth before its length is taken off, in the scale of the network's values.
        device: where the network runs.

    Raises:
        ValueError: `leaf_values` unknown, or "network" without one.
    """
    search = make_search(starts.size, coordinates.shape[1])
    prior = None if network is None else SearchModel(network, 1, device, leaf_values == "network")
    model = TrueDynamics(prior, search.num_simulations + 1, leaf_values, edge_reward)
    rng = np.random.default_rng(0)  # never drawn from: no noise, temperature 0
    played = play(model, search, coordinates, starts, rng, temperature=0.0, noise=False)
    return model.found(played.tours)
