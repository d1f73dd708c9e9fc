"""Tours from a trained network: its policy, or a search at each move, from one or many starts, by batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from tspmz.errors import UsageError
from tspmz.fitting import batch_bytes
from tspmz.network.build import Network
from tspmz.network.inference import SearchModel
from tspmz.network.rollout import Rollout, start_rollout
from tspmz.planning import Record, joined, merged, plan, record_of
from tspmz.rng import generator_for
from tspmz.search import BatchedSearch
from tspmz.selfplay import play
from tspmz.tsp import symmetry, tours
from tspmz.tsp.dynamics import TrueDynamics
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
        simulations: per move, for `search`; None = as in self-play, or 8 where that has none.
        starts: tours per instance and symmetry, from `first_start` on; None = from every city from there on.
        augment: 1, or 8 for all symmetries of the square.
        samples: tours per start, for `sample`.
        seed: of what `sample` draws.
        dynamics: what `search` plans with: `learned`, where the tour is the one that its moves make, or `true`, the
            rules themselves, where the best tour found counts (`planning.plan`).
        prior: of the search with the true rules: `network` or `uniform`.
        leaf_values: what a new node of that search is worth: one of `tsp.dynamics.LEAF_VALUES`; None = the
            network's value where it is the prior, else `nearest_neighbor`.
        backup: of `search`, `mean` or `max`; None = as trained, or what suits a uniform prior.
        first_start: city that the first tour begins in: tours from some starts are the same as with all at once.
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
    first_start: int = 0

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
        path = []
        for t in range(1, num_cities - 1):
            path.append(_choose(rollout, None if draws is None else draws[:, :, t]))
            rollout.move(path[-1])
        if path:  # from a GPU all at once: to ask for each would wait for it
            out[:, :, 1:-1] = torch.stack(path, dim=-1).cpu().numpy()
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
) -> Int64:
    """Tours `[I, G, N]` that take the searched move, without noise.

    Args:
        network: in evaluation mode, on `device`.
        make_search: makes the search.
        coordinates: `[I, N, 2]` float32 in the unit square.
        starts: `[I, G]` int64.
        device: where the network runs.
    """
    search = make_search(starts.size, coordinates.shape[1])
    model = SearchModel(network, search.num_simulations + 1, device)
    rng = np.random.default_rng(0)  # never drawn from: no noise, temperature 0
    return play(model, search, coordinates, starts, rng, temperature=0.0, noise=False).tours


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

    Whole instances are decoded at a time, or starts of one, as many as fit into the memory set aside.

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
        UsageError: a part of `decoding` that another one makes meaningless.
    """
    num_instances, num_cities, _ = coordinates.shape
    first = decoding.first_start
    num_starts = num_cities - first if decoding.starts is None else decoding.starts
    _check(decoding, num_starts, num_cities, make_search)
    per_start = decoding.samples if decoding.decode == "sample" else 1
    starts = np.repeat(np.arange(first, first + num_starts), per_start)
    make = _Maker(network, decoding, make_search, edge_reward, device)
    best = np.full(num_instances, np.inf)
    best_tours = np.zeros((num_instances, num_cities), np.int64)
    records: list[Record] = []
    for instances, parts in make.parts(num_instances, num_cities, len(starts)):
        chosen = coordinates[instances]
        draws = _Draws(decoding, instances, num_cities) if decoding.decode == "sample" else None
        found: list[Record] = []
        for part in parts:
            candidates, record = make.tours(chosen, starts[part], draws)
            # lengths on the original coordinates: a symmetry's rounding must not decide
            lengths = lengths_of(instances, candidates) if lengths_of else tours.tour_lengths(chosen, candidates)
            pick = lengths.argmin(axis=1)[:, None]
            shortest = np.take_along_axis(lengths, pick, 1)[:, 0]
            better = np.flatnonzero(shortest < best[instances])
            best[instances][better] = shortest[better]
            best_tours[instances][better] = candidates[better, pick[better, 0]]
            found += [record] if record is not None else []
        records += [merged(found)] if found else []
        if on_progress is not None:
            on_progress(len(chosen))
    return Decoded(best_tours, best, joined(records) if records else None)


class _Maker:
    """Makes tours on parts of the work, each of which fits into the memory set aside."""

    def __init__(
        self,
        network: Network,
        decoding: Decoding,
        make_search: SearchFactory | None,
        edge_reward: float,
        device: torch.device | str,
    ) -> None:
        self._network, self._decoding, self._make_search = network, decoding, make_search
        self._edge_reward, self._device = edge_reward, device

    def parts(self, num_instances: int, num_cities: int, episodes: int) -> Iterator[tuple[slice, list[slice]]]:
        """Slices of instances, each with the slices of its episodes (of one symmetry) that are made at a time.

        What is kept for pairs of cities while an instance is encoded counts as one more episode per city.
        """
        decoding = self._decoding
        on_cpu = torch.device(self._device).type == "cpu"
        most = batch_bytes(self._device, on_cpu=_BATCH_BYTES)
        limit = _CACHE_BYTES if on_cpu and decoding.decode != "search" else most
        city_bytes = 4 * num_cities * (512 if decoding.decode == "search" else 24)
        column_bytes = decoding.augment * (city_bytes + self._tree_bytes(num_cities))
        row_bytes = episodes * column_bytes + decoding.augment * num_cities * city_bytes
        rows = max(1, min(num_instances, limit // row_bytes))
        # one instance alone may take more than the cache: less at a time would encode it again and again
        columns = episodes if row_bytes <= limit else max(1, min(episodes, most // column_bytes))
        sliced = [slice(first, min(first + columns, episodes)) for first in range(0, episodes, columns)]
        for first in range(0, num_instances, rows):
            yield slice(first, min(first + rows, num_instances)), sliced

    def _tree_bytes(self, num_cities: int) -> int:
        """Memory of an episode's search tree, of its nodes' embeddings or states, and of what `play` writes down."""
        if self._make_search is None or self._decoding.decode != "search":
            return 0
        search = self._make_search(1, num_cities)
        true_rules = self._decoding.true_rules
        node_bytes = TrueDynamics.bytes_per_node(num_cities) if true_rules else 4 * self._network.embedding_dim
        return search.num_bytes + (search.num_simulations + 1) * node_bytes + 8 * num_cities**2

    def tours(
        self, coordinates: Float32, starts: Int64, draws: _Draws | None
    ) -> tuple[Int64, Record | None]:
        """Tours `[I, augment * G, N]` from `starts` `[G]` on all symmetries of `coordinates` `[I, N, 2]`."""
        count, num_cities, _ = coordinates.shape
        augment, decoding, network = self._decoding.augment, self._decoding, self._network
        seen = symmetry.all_symmetries(coordinates).reshape(-1, num_cities, 2) if augment > 1 else coordinates
        begun, record = np.tile(starts, (len(seen), 1)), None
        if decoding.decode != "search":
            uniforms = None if draws is None else draws.next(len(starts))
            found = policy_tours(network, seen, begun, self._device, uniforms)
        elif decoding.true_rules:
            assert self._make_search is not None
            planned = plan(
                self._make_search, seen, begun, network=network if decoding.prior == "network" else None,
                leaf_values=decoding.chosen_leaf_values, edge_reward=self._edge_reward, device=self._device,
            )  # fmt: skip
            found, record = planned.tours, record_of(planned, augment)
        else:
            assert self._make_search is not None
            found = searched_tours(network, self._make_search, seen, begun, self._device)
        return found.reshape(augment, count, -1, num_cities).swapaxes(0, 1).reshape(count, -1, num_cities), record


class _Draws:
    """Uniform numbers for sampled episodes; those of an instance depend on the seed and its number, not on the part."""

    def __init__(self, decoding: Decoding, instances: slice, num_cities: int) -> None:
        self._shape = (decoding.augment, num_cities)
        self._generators = [
            generator_for(decoding.seed, "evaluation", 1, i) for i in range(instances.start, instances.stop)
        ]
        for generator in self._generators:
            generator.random((decoding.first_start * decoding.samples, *self._shape), dtype=np.float32)

    def next(self, episodes: int) -> Float32:
        """Of the next episodes of each instance and symmetry, `[augment * I, episodes, N]`."""
        drawn = [generator.random((episodes, *self._shape), dtype=np.float32) for generator in self._generators]
        return np.stack(drawn).transpose(2, 0, 1, 3).reshape(-1, episodes, self._shape[1])


def check_options(decoding: Decoding) -> None:
    """Refuse what another part of a decoding makes meaningless.

    Raises:
        UsageError: names the first.
    """
    searches, true_rules, guided = decoding.decode == "search", decoding.true_rules, decoding.prior != "uniform"
    for name, given, possible, needed in (
        ("simulations", decoding.simulations is not None, searches, "decode = 'search'"),
        ("dynamics = 'true'", decoding.dynamics == "true", searches, "decode = 'search'"),
        ("backup", decoding.backup is not None, searches, "decode = 'search'"),
        ("samples", decoding.samples > 1, decoding.decode == "sample", "decode = 'sample'"),
        ("prior = 'uniform'", not guided, true_rules, "decode = 'search' and dynamics = 'true'"),
        ("leaf_values", decoding.leaf_values is not None, true_rules, "decode = 'search' and dynamics = 'true'"),
        ("leaf_values = 'network'", decoding.leaf_values == "network", guided, "a network's prior"),
    ):
        if given and not possible:
            raise UsageError(f"{name} needs {needed}")


def _check(decoding: Decoding, num_starts: int, num_cities: int, make_search: SearchFactory | None) -> None:
    if decoding.decode not in ("greedy", "sample", "search"):
        raise ValueError(f"decode = {decoding.decode!r}: must be greedy, sample or search")
    if decoding.simulations is not None and decoding.simulations < 1:
        raise ValueError(f"simulations = {decoding.simulations}: must be at least 1")
    check_options(decoding)
    if decoding.decode == "search" and make_search is None:
        raise ValueError("decode = 'search' needs make_search")
    if not 1 <= num_starts <= num_cities:
        raise ValueError(f"starts = {num_starts}: must be 1 to {num_cities}, the number of cities")
    if not 0 <= decoding.first_start <= num_cities - num_starts:
        raise ValueError(f"first_start = {decoding.first_start}: must be 0 to {num_cities - num_starts}")
    if decoding.augment not in (1, symmetry.NUM_SYMMETRIES):
        raise ValueError(f"augment = {decoding.augment}: must be 1 or {symmetry.NUM_SYMMETRIES}")
    if decoding.samples < 1:
        raise ValueError(f"samples = {decoding.samples}: must be at least 1")
    if decoding.dynamics not in ("learned", "true"):
        raise ValueError(f"dynamics = {decoding.dynamics!r}: must be learned or true")
    if decoding.prior not in ("network", "uniform"):
        raise ValueError(f"prior = {decoding.prior!r}: must be network or uniform")
