"""How Q values become comparable with logits (Gumbel) or with exploration terms (PUCT)."""

from __future__ import annotations

import numpy as np

from tspmz.search.compiled import formula, inner
from tspmz.search.settings import Settings
from tspmz.search.tree import NO_ACTION, UNVISITED, Tree

_TINY = np.float32(np.finfo(np.float32).tiny)
_EPSILON = np.float32(1e-8)


@formula
def mixed_value(
    raw_value: np.float32, num_visits: np.float32, prior_sum: np.float32, weighted_sum: np.float32
) -> np.float32:
    """Value that stands for the Q of unvisited actions: Gumbel MuZero, appendix D, eq. 33.

    Args:
        raw_value: the network's value of the node.
        num_visits: sum of visit counts over the node's children.
        prior_sum: sum of the visited actions' prior probabilities, > 0 where `num_visits` > 0.
        weighted_sum: sum of prior times Q over the visited actions.
    """
    if num_visits == 0:
        return raw_value
    return np.float32((raw_value + num_visits * (weighted_sum / prior_sum)) / (num_visits + np.float32(1.0)))


@inner
def completed_qvalues(tree: Tree, settings: Settings, b: int, node: int) -> tuple[np.float32, np.float32, np.float32]:
    """Linear map from Q to the bonus on a logit, at one node: Gumbel MuZero, section 4 and eq. 8.

    Returns:
        `(completed, scale, offset)`, float32: an action's bonus is `scale * (q - offset)`, where `q` is its Q value or,
        when unvisited, `completed`. With `rescale_values` the range is that of the legal actions' completed Q values.
    """
    prior_sum = np.float32(0.0)
    weighted_sum = np.float32(0.0)
    low = np.float32(np.inf)
    high = np.float32(-np.inf)
    max_visits = np.int32(0)
    child = tree.nodes[b, node].first_child
    while child != UNVISITED:
        prior = max(tree.nodes[b, child].prior, _TINY)
        q = tree.nodes[b, child].qvalue
        prior_sum += prior
        weighted_sum += prior * q
        low = min(low, q)
        high = max(high, q)
        max_visits = max(max_visits, tree.nodes[b, child].visits)
        child = tree.nodes[b, child].next_sibling
    num_visits = np.float32(tree.nodes[b, node].visits - 1)
    completed = mixed_value(tree.nodes[b, node].raw_value, num_visits, prior_sum, weighted_sum)
    scale = (settings.maxvisit_init + np.float32(max_visits)) * settings.value_scale
    if not settings.rescale_values:
        return completed, scale, np.float32(0.0)
    if tree.nodes[b, node].best_open != NO_ACTION:
        low = min(low, completed)
        high = max(high, completed)
    return completed, np.float32(scale / max(high - low, _EPSILON)), low


@inner
def best_qvalue(tree: Tree, b: int, node: int) -> np.float32:
    """Largest Q value of a node with at least one child; the raw value stands for all its open actions."""
    child = tree.nodes[b, node].first_child
    best = tree.nodes[b, child].qvalue
    if tree.nodes[b, node].best_open != NO_ACTION:
        best = max(best, tree.nodes[b, node].raw_value)
    while child != UNVISITED:
        best = max(best, tree.nodes[b, child].qvalue)
        child = tree.nodes[b, child].next_sibling
    return best


@inner
def sibling_range(tree: Tree, b: int, node: int) -> tuple[np.float32, np.float32]:
    """Smallest and largest of a node's value and its children's Q values (mctx's normalization for PUCT)."""
    low = tree.nodes[b, node].value
    high = low
    child = tree.nodes[b, node].first_child
    while child != UNVISITED:
        low = min(low, tree.nodes[b, child].qvalue)
        high = max(high, tree.nodes[b, child].qvalue)
        child = tree.nodes[b, child].next_sibling
    return low, high


@formula
def normalize(q: np.float32, low: np.float32, high: np.float32) -> np.float32:
    """Q brought to [0, 1], MuZero appendix B, eq. 5; 0 while the range is empty, so that units never matter."""
    return np.float32((q - low) / max(high - low, _EPSILON))
