"""Which edge a simulation follows at a node: Gumbel's two rules and PUCT."""

from __future__ import annotations

import numpy as np

from tspmz.search.compiled import formula, inner
from tspmz.search.numerics import exp32, row_argmax, row_logsumexp
from tspmz.search.qtransforms import completed_qvalues, normalize, sibling_range
from tspmz.search.settings import Settings
from tspmz.search.tree import CLOSED_LOGIT, LOGIT_LIMIT, NO_ACTION, ROOT, UNVISITED, Tree

_LOWEST_SCORE = np.float32(-LOGIT_LIMIT)
_MINUS_INFINITY = np.float32(-np.inf)


@inner
def refresh_open(tree: Tree, settings: Settings, b: int, node: int) -> None:
    """Find the best open action of a node after its first expansion or after one of its actions was taken.

    All open actions of a node share the same completed Q value and visit count 0, so under each rule the one with the
    largest logit is the only candidate, and the others matter through the sum of their exponentials alone.
    """
    action = row_argmax(tree.open_logits, b, node)
    largest = tree.open_logits[b, node, action]
    if largest == CLOSED_LOGIT:
        tree.nodes[b, node].best_open = NO_ACTION
        return
    tree.nodes[b, node].best_open = action
    tree.nodes[b, node].best_open_logit = largest
    if node == ROOT:
        return
    first = tree.nodes[b, node].first_child == UNVISITED
    if first or settings.gumbel:
        tree.nodes[b, node].open_logsumexp = row_logsumexp(tree.open_logits, b, node, largest)
        if first:
            tree.nodes[b, node].logsumexp = tree.nodes[b, node].open_logsumexp


@inner
def select_gumbel_root(tree: Tree, settings: Settings, b: int, required_visits: int) -> int:
    """Child of the root with the largest Gumbel + logit + bonus among those with `required_visits` visits.

    Source: Gumbel MuZero, section 3.3 (sequential halving) and eq. 8.

    Returns:
        The child's node; `UNVISITED` for the best open action.
    """
    if required_visits == 0 and tree.nodes[b, ROOT].best_open != NO_ACTION:
        return UNVISITED
    _, scale, offset = completed_qvalues(tree, settings, b, ROOT)
    best = tree.nodes[b, ROOT].first_child
    best_score = _MINUS_INFINITY
    child = best
    while child != UNVISITED:
        if tree.nodes[b, child].visits == required_visits:
            score = max(_LOWEST_SCORE, tree.nodes[b, child].logit + scale * (tree.nodes[b, child].qvalue - offset))
            if score > best_score or (score == best_score and tree.nodes[b, child].action < tree.nodes[b, best].action):
                best = child
                best_score = score
        child = tree.nodes[b, child].next_sibling
    return best


@inner
def select_gumbel_interior(tree: Tree, settings: Settings, b: int, node: int) -> int:
    """Edge that brings the visit distribution closest to the improved policy: Gumbel MuZero, section 5, eq. 14.

    Returns:
        The child's node; `UNVISITED` for the best open action.
    """
    first = tree.nodes[b, node].first_child
    if first == UNVISITED:
        return UNVISITED
    completed, scale, offset = completed_qvalues(tree, settings, b, node)
    weights = tree.scratch
    open_action = tree.nodes[b, node].best_open
    has_open = open_action != NO_ACTION
    open_bonus = scale * (completed - offset)
    largest = tree.nodes[b, node].open_logsumexp + open_bonus if has_open else _MINUS_INFINITY
    child = first
    while child != UNVISITED:
        weights[child] = tree.nodes[b, child].logit + scale * (tree.nodes[b, child].qvalue - offset)
        largest = max(largest, weights[child])
        child = tree.nodes[b, child].next_sibling
    total = exp32(tree.nodes[b, node].open_logsumexp + open_bonus - largest) if has_open else np.float32(0.0)
    child = first
    while child != UNVISITED:
        weights[child] = exp32(weights[child] - largest)
        total += weights[child]
        child = tree.nodes[b, child].next_sibling
    best = UNVISITED if has_open else first
    best_action = open_action if has_open else tree.nodes[b, first].action
    best_score = _MINUS_INFINITY
    if has_open:
        best_score = exp32(tree.nodes[b, node].best_open_logit + open_bonus - largest) / total
    node_visits = np.float32(tree.nodes[b, node].visits)
    child = first
    while child != UNVISITED:
        score = weights[child] / total - np.float32(tree.nodes[b, child].visits) / node_visits
        if score > best_score or (score == best_score and tree.nodes[b, child].action < best_action):
            best = child
            best_action = tree.nodes[b, child].action
            best_score = score
        child = tree.nodes[b, child].next_sibling
    return best


@formula
def puct_score(q: np.float32, prior: np.float32, visits: int, exploration: np.float32) -> np.float32:
    """Normalized Q plus exploration bonus: MuZero, appendix B, eq. 2; `exploration` from `exploration_table`."""
    return np.float32(q + exploration * prior / np.float32(visits + 1))


@inner
def select_puct(tree: Tree, settings: Settings, b: int, node: int) -> int:
    """Edge with the largest PUCT score; an open action counts as the worst Q of the range.

    Returns:
        The child's node; `UNVISITED` for the best open action.
    """
    first = tree.nodes[b, node].first_child
    if first == UNVISITED:
        return UNVISITED
    if settings.tree_range:
        low, high = tree.searches[b].q_min, tree.searches[b].q_max
    else:
        low, high = sibling_range(tree, b, node)
    exploration = settings.exploration[tree.nodes[b, node].visits]
    best = first
    best_action = tree.nodes[b, first].action
    best_score = _MINUS_INFINITY
    if tree.nodes[b, node].best_open != NO_ACTION:
        best = UNVISITED
        best_action = tree.nodes[b, node].best_open
        prior = exp32(tree.nodes[b, node].best_open_logit - tree.nodes[b, node].logsumexp)
        best_score = puct_score(np.float32(0.0), prior, 0, exploration)
    child = first
    while child != UNVISITED:
        q = normalize(tree.nodes[b, child].qvalue, low, high)
        score = puct_score(q, tree.nodes[b, child].prior, tree.nodes[b, child].visits, exploration)
        if score > best_score or (score == best_score and tree.nodes[b, child].action < best_action):
            best = child
            best_action = tree.nodes[b, child].action
            best_score = score
        child = tree.nodes[b, child].next_sibling
    return best
