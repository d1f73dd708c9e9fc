"""Tours from a trained network: the greedy policy, or a search at each move, from one or many starts, by batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from tspmz.network.attention import legal_bias
from tspmz.network.build import Network
from tspmz.network.inference import SearchModel
from tspmz.search import BatchedSearch
from tspmz.selfplay import play
from tspmz.tsp import env, symmetry, tours
from tspmz.types import Float32, Int64

SearchFactory = Callable[[int, int], BatchedSearch]
"""`(batch size, number of cities) -> search`."""

_BATCH_BYTES = 256 * 2**20


class Decoded(NamedTuple):
    """The best tour of each instance.

    Attributes:
        tours: `[I, N]` int64.
        lengths: `[I]` float64, in the coordinates' unit.
    """

    tours: Int64
    lengths: np.ndarray


def greedy_tours(network: Network, coordinates: Float32, starts: Int64, device: torch.device | str = "cpu") -> Int64:
    """Tours `[I, G, N]` that always take the policy's most likely city.

    Args:
        network: in evaluation mode, on `device`.
        coordinates: `[I, N, 2]` float32 in the unit square.
        starts: `[I, G]` int64.
    """
    state = env.reset(coordinates, starts)
    num_instances, num_starts, num_cities = state.visited.shape
    out = np.empty((num_instances, num_starts, num_cities), np.int64)
    out[:, :, 0] = starts
    with torch.inference_mode():
        context = network.encode(torch.from_numpy(np.ascontiguousarray(coordinates)).to(device))
        first = torch.from_numpy(state.first).to(device)
        for t in range(1, num_cities):
            legal = torch.from_numpy(env.legal_actions(state)).to(device)
            current = torch.from_numpy(state.current).to(device)
            embeddings = network.representation(context, first, current, legal.float())
            policy_logits, _ = network.prediction(context, embeddings, current, legal_bias(legal))
            actions = policy_logits.argmax(dim=-1).cpu().numpy()
            state, _ = env.step(state, actions)
            out[:, :, t] = actions
    return out


def searched_tours(
    network: Network, search: BatchedSearch, coordinates: Float32, starts: Int64, device: torch.device | str = "cpu"
) -> Int64:
    """Tours `[I, G, N]` that take the searched move, without noise; `search` is of batch size I * G."""
    model = SearchModel(network, search.num_simulations + 1, device)
    rng = np.random.default_rng(0)  # never drawn from: no noise, temperature 0
    return play(model, search, coordinates, starts, rng, temperature=0.0, noise=False).tours


def decode(
    network: Network,
    coordinates: Float32,
    *,
    num_starts: int = 1,
    augment: int = 1,
    make_search: SearchFactory | None = None,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int], None] | None = None,
) -> Decoded:
    """The best tour of each instance over starts and symmetries.

    Args:
        network: in evaluation mode, on `device`.
        coordinates: `[I, N, 2]` float32 in the unit square.
        num_starts: episodes per instance and symmetry, from cities 0, 1, ...; at most N.
        augment: 1, or 8 for all symmetries of the square.
        make_search: search at each move; None = greedy policy.
        device: where the network runs.
        on_progress: called with the number of instances finished since its last call.

    Raises:
        ValueError: `num_starts` or `augment` out of range.
    """
    num_instances, num_cities, _ = coordinates.shape
    if not 1 <= num_starts <= num_cities:
        raise ValueError(f"starts = {num_starts}: must be 1 to {num_cities}, the number of cities")
    if augment not in (1, symmetry.NUM_SYMMETRIES):
        raise ValueError(f"augment = {augment}: must be 1 or {symmetry.NUM_SYMMETRIES}")
    best = np.full(num_instances, np.inf)
    best_tours = np.zeros((num_instances, num_cities), np.int64)
    for instances, chosen in _batches(num_instances, num_cities, num_starts * augment, make_search is not None):
        part = coordinates[instances]
        seen = symmetry.all_symmetries(part).reshape(-1, num_cities, 2) if augment > 1 else part
        starts = np.tile(np.arange(num_starts), (len(seen), 1))
        if make_search is None:
            found = greedy_tours(network, seen, starts, device)
        else:
            found = searched_tours(network, make_search(starts.size, num_cities), seen, starts, device)
        # lengths on the original coordinates: a symmetry's rounding must not decide
        by_instance = found.reshape(augment, chosen, num_starts, num_cities).swapaxes(0, 1)
        candidates = by_instance.reshape(chosen, -1, num_cities)
        lengths = tours.tour_lengths(part, candidates)
        pick = lengths.argmin(axis=1)
        best[instances] = lengths[np.arange(chosen), pick]
        best_tours[instances] = candidates[np.arange(chosen), pick]
        if on_progress is not None:
            on_progress(chosen)
    return Decoded(best_tours, best)


def _batches(num_instances: int, num_cities: int, episodes: int, searching: bool) -> Iterator[tuple[slice, int]]:
    """Slices of instances, as many at a time as fit into the memory set aside, and their sizes."""
    bytes_per_episode = 4 * num_cities * (512 if searching else 24)
    size = max(1, min(num_instances, _BATCH_BYTES // (bytes_per_episode * episodes)))
    for first in range(0, num_instances, size):
        last = min(first + size, num_instances)
        yield slice(first, last), last - first
