"""A tree search of one root at a time in plain Python: how muzero-general, and so the ancestor of tspmz, plays.

Nodes are objects, children are dictionaries, the network is asked for one state at a time. Written for this comparison,
without detours: one evaluation per simulation, no conversion that is not needed, children for legal actions alone.
Equations are those of MuZero, appendix B.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from tspmz.network.attention import legal_bias
from tspmz.network.build import Network
from tspmz.types import Float32


class _Node:
    """A state of the tree, with the edge that leads to it."""

    __slots__ = ("children", "prior", "reward", "state", "value_sum", "visits")

    def __init__(self, prior: float) -> None:
        self.prior = prior
        self.visits = 0
        self.value_sum = 0.0
        self.reward = 0.0
        self.state: Any = None
        self.children: dict[int, _Node] = {}

    @property
    def value(self) -> float:
        """Mean of what was backed up."""
        return self.value_sum / self.visits if self.visits else 0.0


class OneRootPlayer:
    """Plays one game after another, each move with a search of its own.

    Args:
        network: in evaluation mode.
        num_simulations: per move.
        seed: of instances, noise and moves.
        pb_c_init, pb_c_base: c1 and c2 (eq. 2).
        alpha, fraction: of the root's Dirichlet noise.
    """

    def __init__(
        self, network: Network, num_cities: int, num_simulations: int, seed: int = 0, pb_c_init: float = 1.25,
        pb_c_base: float = 19652.0, alpha: float = 0.3, fraction: float = 0.25,
    ) -> None:  # fmt: skip
        self._network = network
        self._num_cities = num_cities
        self._num_simulations = num_simulations
        self._rng = np.random.default_rng(seed)
        self._pb_c_init, self._pb_c_base = pb_c_init, pb_c_base
        self._alpha, self._fraction = alpha, fraction
        self._context: Any = None
        self._low = self._high = 0.0

    @torch.inference_mode()
    def play(self) -> tuple[list[int], Float32]:
        """A game on a new instance from city 0: its tour, and the coordinates `[N, 2]`."""
        points = self._rng.random((self._num_cities, 2), dtype=np.float32)
        self._context = self._network.encode(torch.from_numpy(points)[None])
        tour = [0]
        while len(tour) < self._num_cities - 1:
            legal = sorted(set(range(self._num_cities)) - set(tour))
            root = self._search(tour, legal)
            visits = np.array([root.children[action].visits for action in legal], np.float64)
            tour.append(int(self._rng.choice(legal, p=visits / visits.sum())))
        return [*tour, *(set(range(self._num_cities)) - set(tour))], points  # the last move is forced

    def _search(self, tour: list[int], legal: list[int]) -> _Node:
        mask = torch.zeros(1, 1, self._num_cities)
        mask[0, 0, legal] = 1.0
        first, current = torch.tensor([[tour[0]]]), torch.tensor([[tour[-1]]])
        root = _Node(0.0)
        root.state = self._network.representation(self._context, first, current, mask)
        self._predict(root, current, legal)
        noise = self._rng.dirichlet([self._alpha] * len(legal))
        for child, share in zip(root.children.values(), noise.tolist(), strict=True):
            child.prior = child.prior * (1 - self._fraction) + share * self._fraction
        self._low, self._high = math.inf, -math.inf
        for _ in range(self._num_simulations):
            self._simulate(root, legal)
        return root

    def _simulate(self, root: _Node, legal: list[int]) -> None:
        node, path, taken = root, [root], []
        while node.children:
            action, child = self._select(node)
            taken.append(action)
            path.append(child)
            if child.visits == 0:
                break
            node = child
        leaf, parent = path[-1], path[-2]
        remaining = [action for action in legal if action not in taken]
        if leaf.visits == 0:
            action_taken = torch.tensor([[taken[-1]]])
            leaf.state, reward = self._network.dynamics(self._context, parent.state, action_taken)
            leaf.reward = float(self._network.support.to_scalar(reward))
            value = self._predict(leaf, action_taken, remaining)
        else:
            value = 0.0  # the tour is complete
        for node in reversed(path):
            node.value_sum += value
            node.visits += 1
            value = node.reward + value
            q = node.reward + node.value
            self._low, self._high = min(self._low, q), max(self._high, q)

    def _predict(self, node: _Node, current: torch.Tensor, legal: list[int]) -> float:
        """Give a node its children; the network's value, 0 at the end of a tour."""
        mask = torch.zeros(1, 1, self._num_cities, dtype=torch.bool)
        mask[0, 0, legal] = True
        logits, value = self._network.prediction(self._context, node.state, current, legal_bias(mask))
        priors = torch.softmax(logits[0, 0], dim=0).tolist()
        node.children = {action: _Node(priors[action]) for action in legal}
        return float(self._network.support.to_scalar(value)) if legal else 0.0

    def _select(self, node: _Node) -> tuple[int, _Node]:
        """The child with the largest upper bound (eq. 2, Q values by eq. 5)."""
        rate = math.log((node.visits + self._pb_c_base + 1) / self._pb_c_base) + self._pb_c_init
        rate *= math.sqrt(node.visits)
        span = self._high - self._low
        best, best_score = None, -math.inf
        for item in node.children.items():
            child = item[1]
            score = rate * child.prior / (child.visits + 1)
            if child.visits:
                q = child.reward + child.value
                score += (q - self._low) / span if span > 0 else q
            if score > best_score:
                best, best_score = item, score
        assert best is not None
        return best
