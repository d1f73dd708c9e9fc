"""The environment as the model of a tree search: a node's state is a true state, its reward and legal actions exact."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from tspmz.tsp.compiled import kernel
from tspmz.tsp.completion import finish_insertion, finish_nearest
from tspmz.tsp.env import move_length
from tspmz.tsp.tours import distance_matrices, neighbor_lists, tour_lengths
from tspmz.types import Bool, Float32, Float64, Int64, PolicyFn, RecurrentOutput, RootOutput

LEAF_VALUES = ("network", "nearest_neighbor", "farthest_insertion", "zero")

_NO_RULE, _NEAREST, _INSERTION = 0, 1, 2
_RULES = {"nearest_neighbor": _NEAREST, "farthest_insertion": _INSERTION}

_MARKS = 200
_BYTES_PER_NODE = 4 + 4 + 8


class Prior(Protocol):
    """What judges true states (`network.inference.SearchModel` does)."""

    @property
    def stacked_observations(self) -> int:
        """Past cities k that `initial` wants to know of."""

    def encode(self, coordinates: Float32) -> None:
        """Take in the instances `[I, N, 2]` that the next calls are about."""

    def initial(
        self, first: Int64, current: Int64, legal_actions: Bool, history: Int64 | None = None
    ) -> RootOutput:
        """Policy and value; `first`, `current` `[I, G]`, `legal_actions [I, G, N]`, past cities `[I, G, k]`."""


class FoundTours(NamedTuple):
    """The best tours that searches came across, and when.

    A simulation finds a tour when it reaches the end of an episode, or where a rule states the leaf values
    (`nearest_neighbor`, `farthest_insertion`) any state, from where that rule completes the tour. The tour that was
    played in the end counts too.

    Attributes:
        tours: `[I, G, N]` int64, the best found.
        lengths: `[I, G]` float64 of `tours`.
        played_lengths: `[I, G]` float64 of the tours that the chosen moves made.
        simulations: `[R]` int64, numbers of simulations of one episode, over all its moves so far.
        best_lengths: `[R, I, G]` float64, best length found by then; infinite before the first.
    """

    tours: Int64
    lengths: Float64
    played_lengths: Float64
    simulations: Int64
    best_lengths: Float64


@kernel
def _follow(  # type: ignore[no-untyped-def]
    coordinates, edge_reward, first, current, visited, lengths, origins, parents, actions, node, rewards, legal
):
    """Write the states behind `actions` from the nodes `parents` as `node`; fill `rewards` and `legal`."""
    num_trees, num_cities = legal.shape
    episodes = num_trees // len(coordinates)
    for b in range(num_trees):
        parent, city = parents[b], actions[b]
        left = 0
        for a in range(num_cities):
            seen = visited[parent, b, a] or a == city
            visited[node, b, a] = seen
            legal[b, a] = not seen
            left += not seen
        added = move_length(coordinates[b // episodes], first[b], current[parent, b], city, left == 0)
        rewards[b] = edge_reward * (2 if left == 0 else 1) - added
        lengths[node, b] = lengths[parent, b] + added
        current[node, b] = city
        origins[node, b] = parent


@kernel
def _evaluate(  # type: ignore[no-untyped-def]
    coordinates, neighbors, distances, edge_reward, first, current, visited, lengths, origins, node, played, rule,
    values, best_lengths, best_tours,
):
    """Note the tours found at `node`: finished ones, with a rule all, whose `values` are filled then."""
    num_trees, num_cities = best_tours.shape
    episodes = num_trees // len(coordinates)
    seen = np.empty(num_cities, np.bool_)
    tour = np.empty(num_cities, np.int64)
    for b in range(num_trees):
        size = 0
        for city in range(num_cities):
            seen[city] = visited[node, b, city]
            size += seen[city]
        if size < num_cities and rule == _NO_RULE:
            continue
        i = b // episodes
        rest = 0.0
        if size < num_cities and rule == _NEAREST:
            rest = finish_nearest(coordinates[i], neighbors[i], first[b], current[node, b], seen, size, tour)
        elif size < num_cities:
            rest = finish_insertion(distances[i], first[b], current[node, b], seen, size, tour)
        if rule != _NO_RULE:
            values[b] = edge_reward * (num_cities - size + (size < num_cities)) - rest
        if lengths[node, b] + rest < best_lengths[b]:
            best_lengths[b] = lengths[node, b] + rest
            place, at = size - 1, node
            while at != 0:
                tour[place] = current[at, b]
                place -= 1
                at = origins[at, b]
            tour[: place + 1] = played[b, : place + 1]
            best_tours[b] = tour


@kernel
def _past(current, origins, played, moves, nodes, out):  # type: ignore[no-untyped-def]
    """Fill `out [B, k]` with the cities before those of `nodes [B]`, the latest first; -1 before the start."""
    for b in range(out.shape[0]):
        at, place = nodes[b], moves
        for j in range(out.shape[1]):
            if at != 0:
                at = origins[at, b]
                out[b, j] = current[at, b]
            else:
                place -= 1
                out[b, j] = played[b, place] if place >= 0 else -1


class TrueDynamics:
    """True states at the nodes of B = I * G trees, and the tours found there; a model like `SearchModel`.

    Memory: `bytes_per_node` for each node of each tree.

    Args:
        prior: gives the policy of true states; None = uniform.
        num_nodes: nodes of a tree, simulations + 1.
        leaf_values: what a new node is worth: "network", the prior's value; "nearest_neighbor" or
            "farthest_insertion", the return that is left when that rule completes the tour (`tsp/completion.py`); or
            "zero". Only with "network" is the prior asked about every new node, else about those that the search comes
            by a second time.
        edge_reward: what an edge is worth before its length is taken off, in the scale of the prior's values.

    Raises:
        ValueError: `leaf_values` unknown, or "network" without a prior.

    Attributes:
        stacked_observations: 0: the past that a prior asks for follows from the tree.
    """

    stacked_observations = 0

    def __init__(
        self,
        prior: Prior | None,
        num_nodes: int,
        leaf_values: str,
        edge_reward: float = 0.0,
    ) -> None:
        if leaf_values not in LEAF_VALUES:
            raise ValueError(f"leaf_values = {leaf_values!r}: must be one of {', '.join(LEAF_VALUES)}")
        if leaf_values == "network" and prior is None:
            raise ValueError("leaf_values = 'network': needs a network; without one take another")
        self._prior = prior
        self._num_nodes = num_nodes
        self._network_values = leaf_values == "network"
        self._rule = _RULES.get(leaf_values, _NO_RULE)
        self._edge_reward = float(edge_reward)
        self._coordinates = np.zeros((0, 0, 2), np.float32)
        self._neighbors = np.zeros((0, 0, 0), np.int32)
        self._distances = np.zeros((0, 0, 0), np.float64)
        self._shape = (0, 0)
        self._marks = np.zeros(0, np.int64)

    @staticmethod
    def bytes_per_node(num_cities: int) -> int:
        """Memory of one node of one tree."""
        return _BYTES_PER_NODE + num_cities

    def encode(self, coordinates: Float32) -> None:
        """Take in the instances `[I, N, 2]` that the next episodes are about."""
        self._coordinates = np.ascontiguousarray(coordinates, np.float32)
        self._shape = (0, 0)
        if self._rule == _NEAREST:
            self._neighbors = neighbor_lists(self._coordinates)
        elif self._rule == _INSERTION:
            self._distances = distance_matrices(self._coordinates)
        if self._prior is not None:
            self._prior.encode(self._coordinates)

    def initial(
        self, first: Int64, current: Int64, legal_actions: Bool, history: Int64 | None = None
    ) -> RootOutput:
        """Roots at true states: `first`, `current` `[I, G]`, `legal_actions [I, G, N]`, all after equally many moves.

        The calls after one `encode` follow the same episodes, move by move.
        """
        if self._shape != first.shape:
            self._start(first, legal_actions)
        self._moves = moves = int((~legal_actions[0, 0]).sum()) - 1
        self._played[:, moves] = self._current[0] = current.reshape(-1)
        self._visited[0] = ~legal_actions.reshape(-1, legal_actions.shape[-1])
        if moves:
            before = self._played[:, moves - 1]
            self._lengths[0] += _edges(self._coordinates, before, self._played[:, moves])
        legal = legal_actions.reshape(self._visited.shape[1:])
        policy_logits, values = self._predict(self._every_row, np.zeros(len(legal), np.int64))
        self._note(0, values)
        return RootOutput(policy_logits, values, legal)

    def recurrent(self, parents: Int64, actions: Int64, node: int, legal_actions: Bool) -> RecurrentOutput:
        """The states behind `actions [B]` from tree nodes `parents [B]`, stored as `node`; legal actions included."""
        rewards = np.empty(len(parents), np.float32)
        legal = np.empty(legal_actions.shape, np.bool_)
        _follow(
            self._coordinates, self._edge_reward, self._first, self._current, self._visited, self._lengths,
            self._origins, parents, actions, node, rewards, legal,
        )  # fmt: skip
        policy_logits: Float32 | PolicyFn
        if self._prior is None or self._network_values:
            policy_logits, values = self._predict(self._every_row, np.full(len(parents), node))
        else:
            policy_logits, values = self._policies, np.zeros(len(parents), np.float32)
        self._note(node, values)
        self._simulations += 1
        if self._noted < len(self._marks) and self._simulations == self._marks[self._noted]:
            self._history[self._noted] = self._best_lengths
            self._noted += 1
        return RecurrentOutput(rewards, values, policy_logits, legal)

    def found(self, played: Int64) -> FoundTours:
        """What was found on the way, `played [I, G, N]` being the tours that the chosen moves made."""
        played_lengths = tour_lengths(self._coordinates, played)
        tours = self._best_tours.reshape(played.shape).copy()
        lengths = self._best_lengths.reshape(played_lengths.shape).copy()
        better = played_lengths < lengths
        tours[better] = played[better]
        lengths = tour_lengths(self._coordinates, tours)
        history = self._history[: self._noted].reshape(self._noted, *self._shape)
        return FoundTours(tours, lengths, played_lengths, self._marks[: self._noted].copy(), history.copy())

    def _start(self, first: Int64, legal_actions: Bool) -> None:
        """Memory for trees of this shape, nothing found yet."""
        trees, num_cities = first.size, legal_actions.shape[-1]
        self._shape = (first.shape[0], first.shape[1])
        self._every_row = np.arange(trees).reshape(self._shape)
        self._first = first.reshape(-1).copy()
        self._current = np.zeros((self._num_nodes, trees), np.int32)
        self._origins = np.zeros((self._num_nodes, trees), np.int32)
        self._lengths = np.zeros((self._num_nodes, trees), np.float64)
        self._visited = np.zeros((self._num_nodes, trees, num_cities), np.bool_)
        self._played = np.zeros((trees, num_cities), np.int64)
        self._best_lengths = np.full(trees, np.inf)
        self._best_tours = np.zeros((trees, num_cities), np.int64)
        self._simulations = 0
        total = max(1, (self._num_nodes - 1) * (num_cities - 2))
        self._marks = np.unique(np.geomspace(1, total, _MARKS).round().astype(np.int64))
        self._history = np.empty((len(self._marks), trees))
        self._noted = 0

    def _policies(self, nodes: Int64, asked: Bool) -> Float32:
        """Logits `[B, N]` of the states at `nodes [B]` where `asked [B]`, which are all that the prior is asked about.

        The prior wants equally many states of each instance: those of an instance that has fewer are filled up.
        """
        asked_here = asked.reshape(self._shape)
        most = asked_here.sum(axis=1).max()
        columns = np.argsort(~asked_here, axis=1, kind="stable")[:, :most]
        rows = np.take_along_axis(self._every_row, columns, axis=1)
        policy_logits = np.zeros(self._visited.shape[1:], np.float32)
        policy_logits[rows.reshape(-1)], _ = self._predict(rows, nodes)
        return policy_logits

    def _predict(self, rows: Int64, nodes: Int64) -> tuple[Float32, Float32]:
        """The prior's logits `[I * E, N]` of the states at `nodes [B]` of the trees `rows [I, E]`; its values, or 0."""
        trees = rows.reshape(-1)
        if self._prior is None:
            return np.zeros((len(trees), self._visited.shape[2]), np.float32), np.zeros(len(trees), np.float32)
        current, unvisited = self._current[nodes[trees], trees], ~self._visited[nodes[trees], trees]
        past = self._past_cities(nodes, self._prior.stacked_observations)
        policy_logits, values, _ = self._prior.initial(
            self._first[rows], current.astype(np.int64).reshape(rows.shape), unvisited.reshape(*rows.shape, -1),
            None if past is None else past[rows],
        )  # fmt: skip
        return policy_logits, values if self._network_values else np.zeros(len(trees), np.float32)

    def _note(self, node: int, values: Float32) -> None:
        """Note the tours found at `node`; where a rule states the `values [B]`, they are written."""
        _evaluate(
            self._coordinates, self._neighbors, self._distances, self._edge_reward, self._first, self._current,
            self._visited, self._lengths, self._origins, node, self._played, self._rule, values, self._best_lengths,
            self._best_tours,
        )  # fmt: skip

    def _past_cities(self, nodes: Int64, count: int) -> Int64 | None:
        """The last `count` cities before those of `nodes [B]`, `[B, count]`; None for none."""
        if not count:
            return None
        past = np.empty((self._first.size, count), np.int64)
        _past(self._current, self._origins, self._played, self._moves, nodes, past)
        return past


def _edges(coordinates: Float32, starts: Int64, ends: Int64) -> Float64:
    """Distances `[B]` between two cities of each of B = I * G episodes."""
    points = coordinates.astype(np.float64)
    rows = np.arange(len(starts)) // (len(starts) // len(points))
    difference = points[rows, starts] - points[rows, ends]
    return np.sqrt((difference**2).sum(axis=1))  # type: ignore[no-any-return]
