"""Self-play: groups of episodes on one instance each, all moves of all episodes found by one batched search."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.fields import FieldSpec, Records, empty_records, part
from tspmz.replay.targets import returns, shaped_rewards
from tspmz.rng import generator_for
from tspmz.search import BatchedSearch
from tspmz.tsp import env, generators
from tspmz.tsp.tours import past_cities
from tspmz.types import Bool, Float32, Int64, RecurrentOutput, RootOutput


class StageClock(Protocol):
    """Where the seconds of each stage are added up (`stats.StatsRow` is one)."""

    def add(self, name: str, value: float) -> None:
        """Add `value` to the named column."""


class Model(Protocol):
    """What a search plans with: learned (`network.inference.SearchModel`) or true (`tsp.dynamics.TrueDynamics`)."""

    @property
    def stacked_observations(self) -> int:
        """Past cities k that `initial` wants to know of."""

    def encode(self, coordinates: Float32) -> None:
        """Take in the instances `[I, N, 2]` that the next calls are about."""

    def initial(
        self, first: Int64, current: Int64, legal_actions: Bool, history: Int64 | None = None
    ) -> RootOutput:
        """Roots at true states: `first`, `current` `[I, G]`, `legal_actions [I, G, N]`, past cities `[I, G, k]`."""

    def recurrent(self, parents: Int64, actions: Int64, node: int, legal_actions: Bool) -> RecurrentOutput:
        """One action from a node of each tree, as `BatchedSearch.run` asks for it."""


class Play(NamedTuple):
    """Finished episodes on I instances, G each, in lock-step. Index rule as in `types.Group`.

    Attributes:
        tours: `[I, G, N]` int64, or shorter integers, as they are stored.
        rewards: `[I, G, T]` float32, minus the added edges.
        root_values: `[I, G, T]` float32; before the last, forced move it is that move's reward.
        prior_log_probs: `[I, G, T]` float32.
        visit_counts: `[I, G, T, N]` int32, or as stored; the last axis is 0 where they are not wanted.
        action_weights: `[I, G, T, N]` float32; the last axis is 0 where they are not wanted.
        mean_depth: mean depth of the expanded tree nodes.
    """

    tours: NDArray[Any]
    rewards: Float32
    root_values: Float32
    prior_log_probs: Float32
    visit_counts: NDArray[Any]
    action_weights: Float32
    mean_depth: float = 0.0


def _empty_play(instances: int, group_size: int, num_cities: int) -> Play:
    """Room for all there is to know."""
    moves = (instances, group_size, num_cities - 1)
    return Play(
        tours=np.empty((instances, group_size, num_cities), np.int64),
        rewards=np.empty(moves, np.float32),
        root_values=np.empty(moves, np.float32),
        prior_log_probs=np.empty(moves, np.float32),
        visit_counts=np.empty((*moves, num_cities), np.int32),
        action_weights=np.empty((*moves, num_cities), np.float32),
    )


def _stored_play(records: Records, num_cities: int) -> Play:
    """Views of what records of groups store of their play."""
    stored = records.dtype.names or ()

    def view(name: str) -> NDArray[Any]:
        if name in stored:
            return part(records, name, num_cities)
        return np.empty((len(records), records["rewards"].shape[1], num_cities - 1, 0), np.float32)

    return Play(*(view(name) for name in Play._fields[:-1]))  # type: ignore[arg-type]


def play(
    model: Model,
    search: BatchedSearch,
    coordinates: Float32,
    starts: Int64,
    rng: np.random.Generator,
    *,
    temperature: float = 1.0,
    temperature_threshold: int = 0,
    noise: bool = True,
    edge_reward: float = 0.0,
    follow: Int64 | None = None,
    into: Play | None = None,
    clock: StageClock | None = None,
) -> Play:
    """Play every episode to its end with the searched moves, or search the states along given tours.

    Args:
        model: what the search plans with, with room for its nodes.
        search: of batch size I * G.
        coordinates: `[I, N, 2]` float32 in the unit square.
        starts: `[I, G]` int64.
        rng: the search's noise.
        temperature: as for `BatchedSearch.run`.
        temperature_threshold: from that move on the temperature is 0; 0 = never.
        noise: with root noise.
        edge_reward: what an edge is worth before its length is taken off, in the scale of the network's values.
        follow: `[I, G, N]` int64, tours whose moves are made whatever the search says.
        into: arrays to fill; None = new ones.
        clock: gets `network_seconds`, `tree_seconds`, `env_seconds`.
    """
    state = env.reset(coordinates, starts)
    shape = state.visited.shape
    moves = shape[2] - 1
    out = _empty_play(*shape) if into is None else into
    out.prior_log_probs[..., -1] = 0.0  # of the forced move
    targets = _wanted_targets(out)
    out.tours[:, :, 0] = state.current
    watch = _StopWatch(clock)
    with watch("network_seconds"):
        model.encode(coordinates)
    stacked = model.stacked_observations
    depth = 0.0
    for t in range(moves - 1):
        legal = env.legal_actions(state)
        with watch("network_seconds"):
            past = past_cities(out.tours, t, stacked) if stacked else None
            root = model.initial(state.first, state.current, legal, past)
        cold = temperature_threshold and t >= temperature_threshold
        with watch("tree_seconds", minus="network_seconds"):
            heat = 0.0 if cold else temperature
            result = search.run(root, watch.timed(model.recurrent), rng, temperature=heat, noise=noise)
        with watch("env_seconds"):
            actions = result.actions.reshape(shape[:2]) if follow is None else follow[:, :, t + 1]
            state, time_step = env.step(state, actions)
            out.tours[:, :, t + 1] = actions
            out.rewards[:, :, t] = time_step.rewards
            out.root_values[:, :, t] = result.root_values.reshape(shape[:2])
            out.prior_log_probs[:, :, t] = _log_probs(root.policy_logits, actions.reshape(-1)).reshape(shape[:2])
            for wanted, name in targets:
                wanted[:, :, t] = getattr(result, name).reshape(shape)
            depth += float(result.depths.mean())
    _play_forced_move(state, out, edge_reward)
    return out._replace(mean_depth=depth / max(moves - 1, 1))


def _wanted_targets(out: Play) -> list[tuple[NDArray[Any], str]]:
    """The search's statistics that are kept: where, and their name in `SearchResult`."""
    both = ((out.visit_counts, "visit_counts"), (out.action_weights, "action_weights"))
    return [(array, name) for array, name in both if array.shape[-1]]


def _log_probs(policy_logits: Float32, actions: Int64) -> Float32:
    """Log-probability `[B]` of each of `actions [B]` under `policy_logits [B, N]` (very low on illegal actions)."""
    shifted = policy_logits - policy_logits.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(actions)), actions]
    return chosen - np.log(np.exp(shifted).sum(axis=1))  # type: ignore[no-any-return]


def forced_value(rewards: Float32, edge_reward: float) -> Float32:
    """Value of the states before the last move, from its rewards as stored: it adds two edges, and nothing follows."""
    return np.float32(2 * edge_reward) + rewards


def _play_forced_move(state: env.TSPState, out: Play, edge_reward: float) -> None:
    """The last city needs no search: it is the only legal one, and the reward of its two edges is the value."""
    legal = env.legal_actions(state)
    actions = legal.argmax(axis=-1)
    _, time_step = env.step(state, actions)
    out.tours[:, :, -1] = actions
    out.rewards[:, :, -1] = time_step.rewards
    out.root_values[:, :, -1] = forced_value(time_step.rewards, edge_reward)
    for wanted, _ in _wanted_targets(out):
        wanted[:, :, -1] = legal


SIZE_BLOCK = 16
"""Groups of one size that follow one another where sizes are mixed: the size of a group must follow from its number
alone, whatever plays it, and some must be of one size to be played in lock-step."""


class GroupSource(NamedTuple):
    """What decides the instances and the noise of an actor's groups.

    Attributes:
        seed: the run's seed.
        actor: the actor's number.
        distribution, num_cities, num_clusters: as for `generators.generate`.
        group_size: G.
        mixed_sizes: the numbers of cities that are played in turn, `SIZE_BLOCK` groups of each; empty: `num_cities`.
        fixed_graph: all groups are played on `generators.fixed_graph`.
        first_city: all episodes start in city 0.
        edge_reward: as for `play`.
    """

    seed: int
    actor: int
    distribution: str
    num_cities: int
    num_clusters: int
    group_size: int
    fixed_graph: bool = False
    first_city: bool = False
    edge_reward: float = 0.0
    mixed_sizes: tuple[int, ...] = ()

    def size_of(self, group_id: int) -> int:
        """N of one group; actors begin with different ones."""
        if not self.mixed_sizes:
            return self.num_cities
        return self.mixed_sizes[(group_id // SIZE_BLOCK + self.actor) % len(self.mixed_sizes)]

    def batch_size(self, first_group_id: int, most: int) -> int:
        """Of `most` groups from a number on, how many have the size of the first and can be played in lock-step."""
        return min(most, SIZE_BLOCK - first_group_id % SIZE_BLOCK) if self.mixed_sizes else most

    def instance(self, group_id: int) -> tuple[Float32, Int64]:
        """Coordinates `[N, 2]` and starts `[G]` of one group: a pure function of seed, actor and group id."""
        rng = generator_for(self.seed, "instance", self.actor, group_id)
        num_cities = self.size_of(group_id)
        shape = (num_cities, self.num_clusters)
        if self.fixed_graph:
            coordinates = generators.fixed_graph(self.distribution, self.seed, *shape)
        else:
            coordinates = generators.generate(self.distribution, rng, 1, *shape)[0]
        if self.first_city:
            return coordinates, np.zeros(self.group_size, np.int64)
        return coordinates, rng.permutation(num_cities)[: self.group_size]


def play_groups(
    model: Model,
    search: BatchedSearch,
    source: GroupSource,
    first_group_id: int,
    count: int,
    weights_version: int,
    specs: Sequence[FieldSpec],
    *,
    temperature: float,
    temperature_threshold: int,
    with_values: bool = True,
    clock: StageClock | None = None,
) -> Records:
    """Play the groups `first_group_id .. first_group_id + count - 1` of an actor, all of one size, in lock-step.

    Given the weights, the result is a pure function of `source`, `first_group_id` and `count`.

    Args:
        with_values: the model says what roots are worth; without, their root values are what came of them.
        Others: as for `play`.

    Returns:
        The finished groups as `[count]` records of `specs`, stamped with `weights_version`.
    """
    instances = [source.instance(first_group_id + i) for i in range(count)]
    coordinates = np.stack([points for points, _ in instances])
    starts = np.stack([chosen for _, chosen in instances])
    records = empty_records(specs, count)
    num_cities = coordinates.shape[1]
    rng = generator_for(source.seed, "search", source.actor, first_group_id)
    played = play(
        model, search, coordinates, starts, rng,
        temperature=temperature, temperature_threshold=temperature_threshold,
        edge_reward=source.edge_reward, into=_stored_play(records, num_cities), clock=clock,
    )  # fmt: skip
    if not with_values:
        played.root_values[...] = returns(shaped_rewards(played.rewards, source.edge_reward), search.discount)
    if clock is not None:
        clock.add("root_depth_sum", played.mean_depth * count)
    part(records, "coordinates", num_cities)[...] = coordinates
    stamps = {
        "actor": source.actor, "group_id": first_group_id + np.arange(count), "seed": source.seed,
        "weights_version": weights_version, "num_cities": num_cities, "group_size": source.group_size,
    }  # fmt: skip
    for name, value in stamps.items():
        records[name] = value
    return records


class _StopWatch:
    """Adds the seconds of stages to a clock; a stage can leave out what another one took within it."""

    def __init__(self, clock: StageClock | None) -> None:
        self._clock = clock
        self._totals: dict[str, float] = {}
        self._name = ""
        self._minus: str | None = None

    def __call__(self, name: str, minus: str | None = None) -> _Stage:
        return _Stage(self, name, minus)

    def timed(self, function):  # type: ignore[no-untyped-def]
        """`function`, its seconds counted as the network's."""

        def call(*args):  # type: ignore[no-untyped-def]
            with self("network_seconds"):
                return function(*args)

        return call

    def total(self, name: str | None) -> float:
        """Seconds so far."""
        return self._totals.get(name, 0.0) if name else 0.0

    def add(self, name: str, seconds: float) -> None:
        """Count seconds."""
        self._totals[name] = self._totals.get(name, 0.0) + seconds
        if self._clock is not None:
            self._clock.add(name, seconds)


class _Stage:
    """One timed stretch of a `_StopWatch`."""

    def __init__(self, watch: _StopWatch, name: str, minus: str | None) -> None:
        self._watch, self._name, self._minus = watch, name, minus

    def __enter__(self) -> None:
        self._other = self._watch.total(self._minus)
        self._start = time.perf_counter()

    def __exit__(self, *exc: object) -> None:
        seconds = time.perf_counter() - self._start - (self._watch.total(self._minus) - self._other)
        self._watch.add(self._name, seconds)
