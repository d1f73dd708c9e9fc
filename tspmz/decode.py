"""Tours from a trained network: its policy, or a search at each move, from one or many starts, by batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from tspmz.network.build import Network
from tspmz.network.inference import SearchModel
from tspmz.network.rollout import Rollout, start_rollout
from tspmz.planning import Record, joined, plan, record_of
from tspmz.rng import generator_for
from tspmz.search import BatchedSearch
from tspmz.selfplay import play
from tspmz.tsp import symmetry, tours
from tspmz.types import Float32, Float64, Int64

SearchFactory = Callable[[int, int], BatchedSearch]
"""`(batch size, number of cities) -> search`."""

LengthsOf = Callable[[slice, Int64], Float64]
"""`(instances, tours [I', G, N]) -> lengths [I', G]` of tours on some of the instances."""

_BATCH_BYTES = 256 * 2**20
_CACHE_BYTES = 3 * 2**20
"""Of a batch that follows the policy on the CPU: larger ones leave the cache and take half as long again."""


class Decoding(NamedTuple):
    """How tours are made of a policy.

    Attributes:
        decode: `greedy` (the policy's most likely city), `sample` (drawn from the policy) or `search`.
        simulations: per move, for `search`; None = as trained.
        starts: tours per instance and symmetry, from cities 0, 1, ...; None = from every city.
        augment: 1, or 8 for all symmetries of the square.
        samples: tours per start, for `sample`.
        seed: of what `sample` draws.
        dynamics: what `search` plans with: `learned`, where the tour is the one that its moves make, or `true`, the
            rules themselves, where the best tour found counts (`planning.plan`).
        prior: of the search with the true rules: `network` or `uniform`.
        leaf_values: what a new node of that search is worth: `network`, `nearest_neighbor` or `zero`; None = the
            network's value where it is the prior, else `nearest_neighbor`.
        backup: of `search`, `mean` or `max`; None = as trained, or what suits a uniform prior.
    """

    decode: str = "greedy"
    simulations: int | None = None
    starts: int | None = 1
    augment: int = 1
    samples: int = 1
    seed: int = 0
    dynamics: str = "learned"
    prior: str = "network"
    leaf_values: str | None = None
    backup: str | None = None

    @property
    def true_rules(self) -> bool:
        """Tours are searched with the true rules."""
        return self.decode == "search" and self.dynamics == "true"

    @property
    def chosen_leaf_values(self) -> str:
        """`leaf_values`, or what None stands for."""
        return self.leaf_values or ("network" if self.prior == "network" else "nearest_neighbor")


class Decoded(NamedTuple):
    """The best tour of each instance.

    Attributes:
        tours: `[I, N]` int64.
        lengths: `[I]` float64, in the coordinates' unit.
        record: of a search with the true rules, lengths in the unit square; None for other ways to decode.
    """

    tours: Int64
    lengths: Float64
    record: Record | None = None


def policy_tours(
    network: Network,
    coordinates: Float32,
    starts: Int64,
    device: torch.device | str = "cpu",
    uniforms: Float32 | None = None,
) -> Int64:
    """Tours `[I, G, N]` that take the policy's most likely city, or cities drawn from it.

    Args:
        network: in evaluation mode, on `device`.
        coordinates: `[I, N, 2]` float32 in the unit square.
        starts: `[I, G]` int64.
        device: where the network runs.
        uniforms: `[I, G, N]` in [0, 1): entry t decides the city drawn at place t; None = the most likely one.
    """
    num_cities = coordinates.shape[1]
    out = np.empty((*starts.shape, num_cities), np.int64)
    out[:, :, 0] = starts
    with torch.inference_mode():
        rollout = start_rollout(
            network, torch.from_numpy(np.ascontiguousarray(coordinates)).to(device), torch.from_numpy(starts).to(device)
        )
        draws = None if uniforms is None else torch.from_numpy(uniforms).to(device)
        for t in range(1, num_cities - 1):
            chosen = _choose(rollout, None if draws is None else draws[:, :, t])
            rollout.move(chosen)
            out[:, :, t] = chosen.cpu().numpy()
    out[:, :, -1] = num_cities * (num_cities - 1) // 2 - out[:, :, :-1].sum(axis=-1)  # the one that is left
    return out


def _choose(rollout: Rollout, uniforms: torch.Tensor | None) -> torch.Tensor:
    """Cities `[I, G]`: the most likely ones, or drawn from the policy by inversion of its distribution function."""
    scores = rollout.scores()
    if uniforms is None:
        return scores.max(dim=-1).indices  # argmax takes three times as long on short rows
    sums = rollout.policy_logits(scores).softmax(dim=-1).cumsum(dim=-1)
    drawn = (sums <= uniforms.unsqueeze(-1) * sums[..., -1:]).sum(dim=-1)
    # rounding may leave a draw behind the last city that has a chance
    return torch.minimum(drawn, (sums < sums[..., -1:]).sum(dim=-1))


def searched_tours(
    network: Network,
    make_search: SearchFactory,
    coordinates: Float32,
    starts: Int64,
    device: torch.device | str = "cpu",
    max_episodes: int = 2**62,
) -> Int64:
    """Tours `[I, G, N]` that take the searched move, without noise.

    Args:
        network: in evaluation mode, on `device`.
        make_search: makes the search of each part.
        coordinates: `[I, N, 2]` float32 in the unit square.
        starts: `[I, G]` int64.
        device: where the network runs.
        max_episodes: played at a time, at least 1: whole instances, or a part of one's.
    """
    num_instances, num_starts = starts.shape
    found = np.empty((num_instances, num_starts, coordinates.shape[1]), np.int64)
    rng = np.random.default_rng(0)  # never drawn from: no noise, temperature 0
    rows, columns = max(1, max_episodes // num_starts), min(num_starts, max_episodes)
    for i in range(0, num_instances, rows):
        for g in range(0, num_starts, columns):
            part = np.s_[i : i + rows, g : g + columns]
            search = make_search(starts[part].size, coordinates.shape[1])
            model = SearchModel(network, search.num_simulations + 1, device)
            played = play(model, search, coordinates[part[0]], starts[part], rng, temperature=0.0, noise=False)
            found[part] = played.tours
    return found


def decode(
    network: Network,
    coordinates: Float32,
    decoding: Decoding,
    *,
    make_search: SearchFactory | None = None,
    lengths_of: LengthsOf | None = None,
    edge_reward: float = 0.0,
    device: torch.device | str = "cpu",
    on_progress: Callable[[int], None] | None = None,
) -> Decoded:
    """The best tour of each instance over starts, symmetries and samples.

    Args:
        network: in evaluation mode, on `device`.
        coordinates: `[I, N, 2]` float32 in the unit square.
        decoding: how; its `simulations` are the matter of `make_search`.
        make_search: makes the search of each move, for `search`.
        lengths_of: what decides which tour is the best; None = euclidean lengths in the unit square.
        edge_reward: what an edge is worth to the network before its length is taken off.
        device: where the network runs.
        on_progress: called with the number of instances finished since its last call.

    Raises:
        ValueError: a part of `decoding` out of range, or a search without `make_search`.
    """
    num_instances, num_cities, _ = coordinates.shape
    num_starts = num_cities if decoding.starts is None else decoding.starts
    _check(decoding, num_starts, num_cities, make_search)
    augment, per_start = decoding.augment, decoding.samples if decoding.decode == "sample" else 1
    episodes = num_starts * per_start
    best = np.full(num_instances, np.inf)
    best_tours = np.zeros((num_instances, num_cities), np.int64)
    records: list[Record] = []
    searching, on_cpu = decoding.decode == "search", torch.device(device).type == "cpu"
    batch_bytes, per_city = (_BATCH_BYTES, 512) if searching else (_CACHE_BYTES if on_cpu else _BATCH_BYTES, 24)
    tree_bytes = _tree_bytes(network, num_cities, decoding, make_search)
    for instances in _batches(num_instances, num_cities, episodes * augment, batch_bytes, per_city, tree_bytes):
        part = coordinates[instances]
        chosen = len(part)
        seen = symmetry.all_symmetries(part).reshape(-1, num_cities, 2) if augment > 1 else part
        starts = np.tile(np.repeat(np.arange(num_starts), per_start), (len(seen), 1))
        if decoding.true_rules:
            assert make_search is not None
            planned = plan(
                make_search, seen, starts, network=network if decoding.prior == "network" else None,
                leaf_values=decoding.chosen_leaf_values, edge_reward=edge_reward, device=device,
            )  # fmt: skip
            records.append(record_of(planned, augment))
            found = planned.tours
        elif searching:
            assert make_search is not None
            limit = max(1, batch_bytes // (4 * num_cities * per_city + tree_bytes))
            found = searched_tours(network, make_search, seen, starts, device, limit)
        else:
            uniforms = _uniforms(decoding, instances, episodes, num_cities) if decoding.decode == "sample" else None
            found = policy_tours(network, seen, starts, device, uniforms)
        # lengths on the original coordinates: a symmetry's rounding must not decide
        by_instance = found.reshape(augment, chosen, episodes, num_cities).swapaxes(0, 1)
        candidates = by_instance.reshape(chosen, -1, num_cities)
        lengths = lengths_of(instances, candidates) if lengths_of else tours.tour_lengths(part, candidates)
        pick = lengths.argmin(axis=1)
        best[instances] = lengths[np.arange(chosen), pick]
        best_tours[instances] = candidates[np.arange(chosen), pick]
        if on_progress is not None:
            on_progress(chosen)
    return Decoded(best_tours, best, joined(records) if records else None)


def _check(decoding: Decoding, num_starts: int, num_cities: int, make_search: SearchFactory | None) -> None:
    if decoding.decode not in ("greedy", "sample", "search"):
        raise ValueError(f"decode = {decoding.decode!r}: must be greedy, sample or search")
    if decoding.decode == "search" and make_search is None:
        raise ValueError("decode = 'search' needs make_search")
    if not 1 <= num_starts <= num_cities:
        raise ValueError(f"starts = {num_starts}: must be 1 to {num_cities}, the number of cities")
    if decoding.augment not in (1, symmetry.NUM_SYMMETRIES):
        raise ValueError(f"augment = {decoding.augment}: must be 1 or {symmetry.NUM_SYMMETRIES}")
    if decoding.samples < 1:
        raise ValueError(f"samples = {decoding.samples}: must be at least 1")
    if decoding.dynamics not in ("learned", "true"):
        raise ValueError(f"dynamics = {decoding.dynamics!r}: must be learned or true")
    if decoding.prior not in ("network", "uniform"):
        raise ValueError(f"prior = {decoding.prior!r}: must be network or uniform")
    if decoding.prior == "uniform" and not decoding.true_rules:
        raise ValueError("prior = 'uniform' needs decode = 'search' and dynamics = 'true'")


def _uniforms(decoding: Decoding, instances: slice, episodes: int, num_cities: int) -> Float32:
    """Draws `[augment * I', G, N]`: those of an instance depend on the seed and its number, not on the batch."""
    shape = (decoding.augment, episodes, num_cities)
    drawn = [
        generator_for(decoding.seed, "evaluation", 1, i).random(shape, dtype=np.float32)
        for i in range(instances.start, instances.stop)
    ]
    return np.stack(drawn, axis=1).reshape(-1, episodes, num_cities)


def _tree_bytes(network: Network, num_cities: int, decoding: Decoding, make_search: SearchFactory | None) -> int:
    """Memory of an episode's search tree, of the embeddings of its nodes, and of what `play` writes down of it.

    `plan` sees to that of its trees itself.
    """
    if make_search is None or decoding.decode != "search" or decoding.true_rules:
        return 0
    search = make_search(1, num_cities)
    return search.num_bytes + 4 * (search.num_simulations + 1) * network.embedding_dim + 8 * num_cities**2


def _batches(
    num_instances: int, num_cities: int, episodes: int, batch_bytes: int, per_city: int, tree_bytes: int
) -> Iterator[slice]:
    """Slices of instances, as many at a time as fit into so many bytes.

    An episode takes `per_city` numbers per city, and a tree. What is kept for pairs of cities while an instance is
    encoded counts as one more episode per city.
    """
    instance_bytes = 4 * num_cities * per_city * (episodes + num_cities) + episodes * tree_bytes
    size = max(1, min(num_instances, batch_bytes // instance_bytes))
    for first in range(0, num_instances, size):
        yield slice(first, min(first + size, num_instances))
