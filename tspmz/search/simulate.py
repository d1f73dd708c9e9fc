"""The passes over all trees of a batch: start, one simulation (expand, backward, select), and reading the result."""

from __future__ import annotations

import math

import numpy as np

from tspmz.search.compiled import inner, kernel
from tspmz.search.numerics import clip_logit, exp32, row_argmax, row_logsumexp
from tspmz.search.qtransforms import best_qvalue, completed_qvalues
from tspmz.search.selection import refresh_open, select_gumbel_interior, select_gumbel_root, select_puct
from tspmz.search.settings import PackedSettings, Settings, unpacked
from tspmz.search.tree import AWAITED, CLOSED_LOGIT, NO_ACTION, NO_PARENT, ROOT, STALE, UNVISITED, Tree
from tspmz.types import Bool, Float32, Float64, Int32, Int64

_ZERO = np.float32(0.0)


@kernel
def start(
    tree: Tree, packed: PackedSettings, logits: Float32, values: Float32, legal: Bool, noise: Float32
) -> int:
    """Bring all trees to their roots and select the first leaves.

    Args:
        logits: `[B, N]` float32.
        values: `[B]` float32.
        legal: `[B, N]` bool.
        noise: `[B, N]` float32; added to the logits (Gumbel), or weights >= 0 of the prior's admixture (PUCT).

    Returns:
        The first row without a legal action, where nothing is searched; -1 when there is none.
    """
    settings = unpacked(packed)
    for b in range(logits.shape[0]):
        num_legal = 0
        for a in range(logits.shape[1]):
            num_legal += legal[b, a]
            tree.root_legal[b, a] = legal[b, a]
        if num_legal == 0:
            return b
        tree.searches[b].num_legal = num_legal
        tree.searches[b].q_min = np.float32(np.inf)
        tree.searches[b].q_max = np.float32(-np.inf)
        tree.searches[b].depth_sum = 0
        _write_node(tree, b, ROOT, NO_PARENT, NO_ACTION, values[b])
        _write_root_logits(tree, b, logits)
        if settings.gumbel:
            for a in range(logits.shape[1]):
                if legal[b, a]:
                    tree.open_logits[b, ROOT, a] = clip_logit(tree.root_logits[0, b, a] + noise[b, a])
        else:
            _mix_noise(tree, settings, b, noise)
        _select_leaf(tree, settings, b, 0)
    return -1


@inner
def _write_root_logits(tree: Tree, b: int, logits: Float32) -> None:
    """Logits of the root relative to the largest legal one, and their normalizer."""
    for a in range(logits.shape[1]):
        x = clip_logit(logits[b, a])
        tree.root_logits[0, b, a] = x if tree.root_legal[b, a] else CLOSED_LOGIT
    for a in range(logits.shape[1], tree.root_logits.shape[2]):
        tree.root_logits[0, b, a] = CLOSED_LOGIT
    largest = tree.root_logits[0, b, row_argmax(tree.root_logits, 0, b)]
    for a in range(tree.root_logits.shape[2]):
        if a < logits.shape[1] and tree.root_legal[b, a]:
            tree.root_logits[0, b, a] -= largest
        tree.open_logits[b, ROOT, a] = tree.root_logits[0, b, a]
    tree.nodes[b, ROOT].logsumexp = row_logsumexp(tree.root_logits, 0, b, _ZERO)


@inner
def _mix_noise(tree: Tree, settings: Settings, b: int, noise: Float32) -> None:
    """Root logits of (1 - fraction) * prior + fraction * noise, the noise normalized over the legal actions."""
    total = 0.0
    for a in range(noise.shape[1]):
        if tree.root_legal[b, a]:
            total += noise[b, a]
    if total <= 0.0:
        return
    fraction = settings.dirichlet_fraction
    for a in range(noise.shape[1]):
        if tree.root_legal[b, a]:
            prior = exp32(tree.root_logits[0, b, a] - tree.nodes[b, ROOT].logsumexp)
            mixed = (1.0 - fraction) * prior + fraction * (noise[b, a] / total)
            tree.open_logits[b, ROOT, a] = clip_logit(np.float32(math.log(mixed)))
    tree.nodes[b, ROOT].logsumexp = _ZERO


@inner
def _write_node(tree: Tree, b: int, node: int, parent: int, action: int, value: np.float32) -> None:
    """A node as it is right after its expansion."""
    tree.nodes[b, node].visits = 1
    tree.nodes[b, node].value = value
    tree.nodes[b, node].raw_value = value
    tree.nodes[b, node].parent = parent
    tree.nodes[b, node].action = action
    tree.nodes[b, node].first_child = UNVISITED
    tree.nodes[b, node].best_open = STALE


@inner
def _select_leaf(tree: Tree, settings: Settings, b: int, simulation: int) -> None:
    """Walk from the root to an action without a child, or to a terminal node; keep the legal actions behind it.

    At a node whose logits are awaited the walk stops; `resume` begins it again.
    """
    for a in range(tree.leaf_legal.shape[1]):
        tree.leaf_legal[b, a] = tree.root_legal[b, a]
    node = ROOT
    depth = 0
    while True:
        if tree.nodes[b, node].best_open <= STALE:
            if tree.nodes[b, node].best_open == AWAITED:
                tree.leaf_parents[b] = node
                tree.searches[b].leaf_node = AWAITED
                return
            refresh_open(tree, settings, b, node)
        if tree.nodes[b, node].best_open == NO_ACTION and tree.nodes[b, node].first_child == UNVISITED:
            tree.leaf_parents[b] = tree.nodes[b, node].parent
            tree.leaf_actions[b] = tree.nodes[b, node].action
            tree.searches[b].leaf_node = node
            break
        if not settings.gumbel:
            child = select_puct(tree, settings, b, node)
        elif node == ROOT:
            required = settings.considered_visits[_num_considered(tree, settings, b), simulation]
            child = select_gumbel_root(tree, settings, b, required)
        else:
            child = select_gumbel_interior(tree, settings, b, node)
        depth += 1
        action = tree.nodes[b, node].best_open if child == UNVISITED else tree.nodes[b, child].action
        if settings.mask_interior:
            tree.leaf_legal[b, action] = False
        if child == UNVISITED:
            tree.leaf_parents[b] = node
            tree.leaf_actions[b] = action
            tree.searches[b].leaf_node = UNVISITED
            break
        node = child
    tree.searches[b].leaf_depth = depth
    tree.searches[b].depth_sum += depth


@inner
def _num_considered(tree: Tree, settings: Settings, b: int) -> int:
    return min(settings.considered_visits.shape[0] - 1, tree.searches[b].num_legal)


@inner
def _expand(
    tree: Tree, settings: Settings, b: int, node: int, reward: np.float32, value: np.float32, logits: Float32,
    masked: bool, awaited: bool,
) -> None:  # fmt: skip
    """Hang a new node below the selected edge; its actions stay unranked until a simulation comes by.

    Where the logits are awaited, they are 0 for the legal actions until then.
    """
    parent = tree.leaf_parents[b]
    action = tree.leaf_actions[b]
    num_actions = tree.leaf_legal.shape[1]
    terminal = masked
    if masked:
        for a in range(num_actions):
            terminal = terminal and not tree.leaf_legal[b, a]
    _write_node(tree, b, node, parent, action, _ZERO if terminal else value)
    tree.nodes[b, node].reward = reward
    logit = tree.open_logits[b, parent, action]
    prior_logit = tree.root_logits[0, b, action] if parent == ROOT and settings.gumbel else logit
    tree.nodes[b, node].logit = logit
    tree.nodes[b, node].prior = exp32(prior_logit - tree.nodes[b, parent].logsumexp)
    tree.nodes[b, node].next_sibling = tree.nodes[b, parent].first_child
    tree.nodes[b, parent].first_child = node
    tree.open_logits[b, parent, action] = CLOSED_LOGIT
    tree.nodes[b, parent].best_open = STALE
    if awaited:
        for a in range(num_actions):
            tree.open_logits[b, node, a] = _ZERO if tree.leaf_legal[b, a] or not masked else CLOSED_LOGIT
        if not terminal:
            tree.nodes[b, node].best_open = AWAITED
    elif masked:
        for a in range(num_actions):
            x = clip_logit(logits[b, a])
            tree.open_logits[b, node, a] = x if tree.leaf_legal[b, a] else CLOSED_LOGIT
    else:
        for a in range(num_actions):
            tree.open_logits[b, node, a] = clip_logit(logits[b, a])


@inner
def _backward(tree: Tree, settings: Settings, b: int, leaf: int) -> None:
    """Bring the leaf's value, discounted and with the rewards on the way, into the value of each node above it."""
    value = tree.nodes[b, leaf].raw_value
    node = leaf
    while node != ROOT:
        value = tree.nodes[b, node].reward + settings.discount * value
        q = tree.nodes[b, node].reward + settings.discount * tree.nodes[b, node].value
        tree.nodes[b, node].qvalue = q
        tree.searches[b].q_min = min(tree.searches[b].q_min, q)
        tree.searches[b].q_max = max(tree.searches[b].q_max, q)
        node = tree.nodes[b, node].parent
        if settings.max_backup:
            if tree.nodes[b, node].best_open == STALE:
                refresh_open(tree, settings, b, node)
            tree.nodes[b, node].value = best_qvalue(tree, b, node)
        else:
            count = np.float32(tree.nodes[b, node].visits)
            tree.nodes[b, node].value = (tree.nodes[b, node].value * count + value) / (count + np.float32(1.0))
        tree.nodes[b, node].visits += 1


@kernel
def advance(
    tree: Tree, packed: PackedSettings, rewards: Float32, values: Float32, logits: Float32, masked: bool,
    awaited: bool, simulation: int,
) -> None:  # fmt: skip
    """Finish one simulation with the network's outputs and select the leaves of the next, if there is one.

    Args:
        rewards: `[B]` float32.
        values: `[B]` float32.
        logits: `[B, N]` float32, not read where they are awaited.
        masked: `tree.leaf_legal` holds the legal actions of the leaves; else nothing is illegal there.
        awaited: the logits come later, by `resume`.
        simulation: 0 .. S - 1.
    """
    settings = unpacked(packed)
    last = simulation + 1 == settings.considered_visits.shape[1]
    for b in range(rewards.shape[0]):
        leaf = tree.searches[b].leaf_node
        if leaf == UNVISITED:
            leaf = simulation + 1
            _expand(tree, settings, b, leaf, rewards[b], values[b], logits, masked, awaited)
        else:
            tree.nodes[b, leaf].visits += 1
        _backward(tree, settings, b, leaf)
        if not last:
            _select_leaf(tree, settings, b, simulation + 1)


@kernel
def awaiting(tree: Tree, nodes: Int64, asked: Bool) -> bool:
    """Write which rows wait for logits, and of which node (the root elsewhere), into two arrays `[B]`.

    Returns:
        There is such a row.
    """
    found = False
    for b in range(nodes.shape[0]):
        asked[b] = tree.searches[b].leaf_node == AWAITED
        nodes[b] = tree.leaf_parents[b] if asked[b] else ROOT
        found = found or asked[b]
    return found


@kernel
def resume(tree: Tree, packed: PackedSettings, logits: Float32, simulation: int) -> None:
    """Give the rows that wait their logits `[B, N]`, and select their leaves of the simulation, 1 .. S - 1."""
    settings = unpacked(packed)
    for b in range(logits.shape[0]):
        if tree.searches[b].leaf_node == AWAITED:
            node = tree.leaf_parents[b]
            for a in range(logits.shape[1]):
                if tree.open_logits[b, node, a] != CLOSED_LOGIT:
                    tree.open_logits[b, node, a] = clip_logit(logits[b, a])
            tree.nodes[b, node].best_open = STALE
            _select_leaf(tree, settings, b, simulation)


@kernel
def read_children(tree: Tree, visit_counts: Int32, qvalues: Float32) -> None:
    """Write the root children's visits and Q values by action into two zeroed arrays `[B, N]`."""
    for b in range(visit_counts.shape[0]):
        child = tree.nodes[b, ROOT].first_child
        while child != UNVISITED:
            visit_counts[b, tree.nodes[b, child].action] = tree.nodes[b, child].visits
            qvalues[b, tree.nodes[b, child].action] = tree.nodes[b, child].qvalue
            child = tree.nodes[b, child].next_sibling


@kernel
def finish_gumbel(
    tree: Tree, packed: PackedSettings, visit_counts: Int32, qvalues: Float32, action_weights: Float32, actions: Int64
) -> None:
    """Improved policy and chosen action: Gumbel MuZero, section 4, and section 3.3 for the choice.

    Args:
        visit_counts: `[B, N]` int32 from `read_children`.
        qvalues: `[B, N]` float32 from `read_children`.
        action_weights: `[B, N]` float32, zeroed; written.
        actions: `[B]` int64; written.
    """
    settings = unpacked(packed)
    for b in range(actions.shape[0]):
        refresh_open(tree, settings, b, ROOT)
        most = 0
        for a in range(visit_counts.shape[1]):
            most = max(most, visit_counts[b, a])
        child = select_gumbel_root(tree, settings, b, most)
        # without simulations there is no child
        actions[b] = tree.nodes[b, ROOT].best_open if child == UNVISITED else tree.nodes[b, child].action
        completed, scale, offset = completed_qvalues(tree, settings, b, ROOT)
        largest = np.float32(-np.inf)
        for a in range(visit_counts.shape[1]):
            if tree.root_legal[b, a]:
                q = qvalues[b, a] if visit_counts[b, a] > 0 else completed
                action_weights[b, a] = tree.root_logits[0, b, a] + scale * (q - offset)
                largest = max(largest, action_weights[b, a])
        total = _ZERO
        for a in range(visit_counts.shape[1]):
            if tree.root_legal[b, a]:
                action_weights[b, a] = exp32(action_weights[b, a] - largest)
                total += action_weights[b, a]
        for a in range(visit_counts.shape[1]):
            action_weights[b, a] /= total


@kernel
def finish_puct(
    visit_counts: Int32, temperature: float, uniforms: Float64, action_weights: Float32, actions: Int64
) -> None:
    """Visit distribution, and an action drawn from visits to the power of 1 / temperature: MuZero, appendix D.

    Args:
        visit_counts: `[B, N]` int32 from `read_children`.
        temperature: >= 0; 0 takes the most visited action, the lowest index of equals.
        uniforms: `[B]` float64 in [0, 1), read where temperature > 0.
        action_weights: `[B, N]` float32; written.
        actions: `[B]` int64; written.
    """
    for b in range(actions.shape[0]):
        best = 0
        count = 0
        for a in range(visit_counts.shape[1]):
            count += visit_counts[b, a]
            if visit_counts[b, a] > visit_counts[b, best]:
                best = a
        for a in range(visit_counts.shape[1]):
            action_weights[b, a] = np.float32(visit_counts[b, a] / count)
        actions[b] = best
        if temperature > 0.0:
            actions[b] = _draw(visit_counts, b, best, 1.0 / temperature, uniforms[b])


@inner
def _draw(visit_counts: Int32, b: int, best: int, exponent: float, uniform: float) -> int:
    """Inverse of the cumulative distribution of `(visits / largest visits) ** exponent` at `uniform`."""
    largest = visit_counts[b, best]
    total = 0.0
    for a in range(visit_counts.shape[1]):
        total += (visit_counts[b, a] / largest) ** exponent
    remaining = uniform * total
    for a in range(visit_counts.shape[1]):
        weight = (visit_counts[b, a] / largest) ** exponent
        if visit_counts[b, a] > 0:
            if remaining < weight:
                return a
            remaining -= weight
    return best
