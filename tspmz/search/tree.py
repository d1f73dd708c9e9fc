"""Search trees of a batch as arrays of small records, and what holds for every one of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.types import Bool, Float32, Int64

ROOT = 0
UNVISITED = -1
NO_PARENT = -1
NO_ACTION = -1
STALE = -2
AWAITED = -3
CLOSED_LOGIT = np.float32(-1e30)
LOGIT_LIMIT = np.float32(1e9)
LANES = 16

NODE = np.dtype(
    [
        ("visits", np.int32),
        ("parent", np.int32),
        ("action", np.int32),
        ("first_child", np.int32),
        ("next_sibling", np.int32),
        ("best_open", np.int32),
        ("value", np.float32),
        ("raw_value", np.float32),
        ("reward", np.float32),
        ("qvalue", np.float32),
        ("prior", np.float32),
        ("logit", np.float32),
        ("best_open_logit", np.float32),
        ("open_logsumexp", np.float32),
        ("logsumexp", np.float32),
    ],
    align=True,
)
"""A node, together with the edge that leads to it.

- visits: 1 when expanded, one more per later pass; for a child that is the visit count of its edge, for a node 1 + the
  sum over its children.
- parent: node, `NO_PARENT` at the root. action: of the edge from the parent.
- first_child: node, `UNVISITED` at a leaf. next_sibling: node, `UNVISITED` at the last.
- best_open: open action with the largest logit (the lowest of equals); `NO_ACTION` when all are visited, `STALE` when
  not known yet, `AWAITED` when the logits are not known either. best_open_logit: its logit.
- value: mean of the raw value and of all values backed up through the node; with maximal back-up the largest qvalue of
  its children, among them the raw value for its open actions. raw_value: the network's.
- reward: received on the edge. qvalue: `reward + discount * value`, seen from the parent.
- prior: the parent's prior probability of the edge. logit: the parent's logit of it (with Gumbel noise below the root).
- open_logsumexp: over the open actions' logits. logsumexp: over all legal actions' logits.
"""

SEARCH = np.dtype(
    [
        ("num_legal", np.int32),
        ("depth_sum", np.int32),
        ("leaf_node", np.int32),
        ("leaf_depth", np.int32),
        ("q_min", np.float32),
        ("q_max", np.float32),
    ],
    align=True,
)
"""What is known once per tree.

- num_legal: legal actions of the root.
- depth_sum: sum over simulations of the depth they reached.
- leaf_node: of the current simulation: `UNVISITED` for a new node, the terminal node that was reached again, or
  `AWAITED` while it waits for the logits of node `leaf_parents`.
- leaf_depth: depth of that node.
- q_min, q_max: smallest and largest qvalue seen so far in the tree.
"""


class Tree(NamedTuple):
    """B trees of S + 1 nodes over N actions.

    Each simulation adds at most one node, and the node first expanded on simulation `i` has index `i + 1` (the root is
    0). What is known of an edge stands at the node it leads to, so that a tree is a few numbers per node: the children
    of a node are a linked list, `first_child` and then `next_sibling`. An action is *open* at a node while it is legal
    there and has no child; only the best open action of a node can be the next to be tried.

    Attributes:
        nodes: `[B, S + 1]` of `NODE`.
        searches: `[B]` of `SEARCH`.
        open_logits: `[B, S + 1, N']` float32, `CLOSED_LOGIT` where not open; N' is N rounded up to whole `LANES`.
        root_logits: `[1, B, N']` float32 without Gumbel noise, `CLOSED_LOGIT` where illegal.
        root_legal: `[B, N]` bool.
        leaf_parents: `[B]` int64, node from which the current simulation leaves the tree.
        leaf_actions: `[B]` int64, action by which it does.
        leaf_legal: `[B, N]` bool, legal actions behind `leaf_actions`.
        scratch: `[S + 1]` float32, working memory of selection.
    """

    nodes: NDArray[np.void]
    searches: NDArray[np.void]
    open_logits: Float32
    root_logits: Float32
    root_legal: Bool
    leaf_parents: Int64
    leaf_actions: Int64
    leaf_legal: Bool
    scratch: Float32


def allocate_tree(batch_size: int, num_actions: int, num_simulations: int) -> Tree:
    """Memory for B trees; `simulate.start` brings it into its first state.

    Args:
        batch_size: B.
        num_actions: N.
        num_simulations: S.
    """
    row = -(-num_actions // LANES) * LANES
    return Tree(
        nodes=np.zeros((batch_size, num_simulations + 1), NODE),
        searches=np.zeros(batch_size, SEARCH),
        open_logits=np.full((batch_size, num_simulations + 1, row), CLOSED_LOGIT, np.float32),
        root_logits=np.full((1, batch_size, row), CLOSED_LOGIT, np.float32),
        root_legal=np.zeros((batch_size, num_actions), np.bool_),
        leaf_parents=np.zeros(batch_size, np.int64),
        leaf_actions=np.zeros(batch_size, np.int64),
        leaf_legal=np.zeros((batch_size, num_actions), np.bool_),
        scratch=np.zeros(num_simulations + 1, np.float32),
    )
