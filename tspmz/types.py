"""Tuples that cross the borders between rooms. Axis letters are those of docs/conventions.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Bool = NDArray[np.bool_]


class Group(NamedTuple):
    """G finished episodes on one instance, each from another start. T = N - 1 moves.

    Index rule: `root_values[g, t]` and `visit_counts[g, t]` belong to the state before the move
    `tours[g, t + 1]`; `rewards[g, t]` is received because of that move.

    Attributes:
        coordinates: `[N, 2]` float32 in the unit square.
        tours: `[G, N]` int64, permutations; `tours[g, 0]` is the start.
        rewards: `[G, T]` float32, minus the added edge, whatever `problem.reward` is; the last one includes the
            closing edge.
        root_values: `[G, T]` float32, searched mean value of the state before each move, in the scale of
            `problem.reward`; of play without a search what the network said, or where nobody reads that, the return.
        prior_log_probs: `[G, T]` float32, logarithm of the network's prior (without search and noise) of each move.
        visit_counts: `[G, T, N]` int32 of the root's children.
        action_weights: `[G, T, N]` float32, policy target produced by the search.
        actor: number of the actor that played it.
        group_id: number of the group within its actor: monotone, never reused.
        seed: the run's seed; the instance is `tsp.generators` at `generator_for(seed, "instance", actor, group_id)`.
        weights_version: version of the weights it was played with.
    """

    coordinates: Float32
    tours: Int64
    rewards: Float32
    root_values: Float32
    prior_log_probs: Float32
    visit_counts: Int32
    action_weights: Float32
    actor: int
    group_id: int
    seed: int
    weights_version: int


class Reanalysis(NamedTuple):
    """What newer weights make of a stored group; shapes as in `Group`.

    Attributes:
        source_actor, source_group_id: identity of the group.
        root_values: `[G, T]` float32, in the scale of `problem.reward`.
        visit_counts: `[G, T, N]` int32, all 0 where nothing was searched.
        action_weights: `[G, T, N]` float32, all 0 where nothing was searched.
        weights_version: version of the weights it was made with.
        group_id: number of the reanalysis: monotone, never reused.
        actor: writer of the ring it goes through; there is one.
    """

    source_actor: int
    source_group_id: int
    root_values: Float32
    visit_counts: Int32
    action_weights: Float32
    weights_version: int
    group_id: int
    actor: int = 0


class Batch(NamedTuple):
    """M sampled groups, ready for the learner.

    Attributes:
        coordinates: `[M, N, 2]` float32.
        tours: `[M, G, N]` int64.
        rewards: `[M, G, T]` float32, in the scale of `problem.reward`.
        prior_log_probs: `[M, G, T]` float32, as in `Group`; of the moves as played, also where `tours` and `rewards`
            are now a walk of the group's best tour.
        value_targets: `[M, G, T + 1]` float32, n-step or Monte-Carlo; the value after the last move is 0.
        policy_targets: `[M, G, T, N]` float32 distribution over the next city; None where the target is the move
            played (policy target `advantage`).
        policy_weights: `[M, G]` float32 factor of each episode's policy loss (1 unless the target is `advantage`,
            where those below the group's baseline are negative).
        lengths: `[M, G]` float32, of the tours as played.
        importance_weights: `[M]` float32, divided by the batch maximum.
        positions: `[M, P]` int64, which positions of each group are trained on; None leaves the choice to the learner.
        position_weights: `[M, P]` float32 importance weights of the positions, on top of those of the groups; their
            product is at most 1.
        probabilities: `[M]` float64 probability with which each group was drawn.
        slots: `[M]` int64 ring slots.
        actors: `[M]` int64.
        group_ids: `[M]` int64; with `actors` the identity for writing priorities back.
        weights_versions: `[M]` int64.
    """

    coordinates: Float32
    tours: Int64
    rewards: Float32
    prior_log_probs: Float32
    value_targets: Float32
    policy_targets: Float32 | None
    policy_weights: Float32
    lengths: Float32
    importance_weights: Float32
    positions: Int64 | None
    position_weights: Float32 | None
    probabilities: Float64
    slots: Int64
    actors: Int64
    group_ids: Int64
    weights_versions: Int64


class RootOutput(NamedTuple):
    """What the network says of the roots of a search.

    Attributes:
        policy_logits: `[B, N]` float32; entries of illegal actions are ignored.
        values: `[B]` float32.
        legal_actions: `[B, N]` bool, True = may be taken; at least one per row.
    """

    policy_logits: Float32
    values: Float32
    legal_actions: Bool


PolicyFn = Callable[[Int64, Bool], Float32]
"""`(nodes [B], asked [B]) -> policy_logits [B, N]` of tree nodes; rows that are not asked for are ignored."""


class RecurrentOutput(NamedTuple):
    """What the network says of the states behind one action each.

    Attributes:
        rewards: `[B]` float32 received because of the action.
        values: `[B]` float32 of the state after it.
        policy_logits: `[B, N]` float32 of the state after it; entries of illegal actions are ignored. Or a function
            that gives them once they are needed, when the search comes by the state a second time; most never are.
        legal_actions: `[B, N]` bool, the legal actions of the state after it, none at the end of an episode; None
            leaves them to the search's own rule (`mask_interior`).
    """

    rewards: Float32
    values: Float32
    policy_logits: Float32 | PolicyFn
    legal_actions: Bool | None = None


class SearchResult(NamedTuple):
    """What a search found.

    Attributes:
        actions: `[B]` int64, the chosen actions.
        action_weights: `[B, N]` float32, the policy target: normalised visit counts (PUCT) or the improved policy
            (Gumbel); rows sum to 1, zero on illegal actions.
        visit_counts: `[B, N]` int32 of the root's children.
        root_values: `[B]` float32, value of the root: the mean over its simulations, or its largest Q value (maximal
            back-up).
        qvalues: `[B, N]` float32 of the root's children, 0 where unvisited.
        depths: `[B]` float32, mean depth of the expanded leaves (a child of the root has depth 1).
    """

    actions: Int64
    action_weights: Float32
    visit_counts: Int32
    root_values: Float32
    qvalues: Float32
    depths: Float32
