"""Fake models for `BatchedSearch`: a function of the path, and tables over a ring of states."""

from typing import Any

import numpy as np

from tspmz.types import RecurrentOutput, RootOutput

DEFAULTS: dict[str, Any] = {
    "algorithm": "gumbel",
    "num_simulations": 16,
    "max_considered_actions": 4,
    "mask_interior": True,
    "discount": 1.0,
    "value_scale": 0.1,
    "maxvisit_init": 50.0,
    "rescale_values": False,
    "pb_c_init": 1.25,
    "pb_c_base": 19652.0,
    "dirichlet_fraction": 0.25,
    "q_normalization": "tree",
    "backup": "mean",
}


class PathModel:
    """Calls one path function per row and keeps every path that the search asked for.

    Attributes:
        calls: one entry per simulation: node, paths of the rows, legal actions `[B, N]`.
    """

    def __init__(self, functions: list[Any], legal: np.ndarray) -> None:
        self.functions = functions
        self.legal = legal
        self.paths: dict[int, list[tuple[int, ...]]] = {0: [()] * len(functions)}
        self.calls: list[tuple[int, list[tuple[int, ...]], np.ndarray]] = []

    def root(self) -> RootOutput:
        outputs = [function(()) for function in self.functions]
        return RootOutput(
            np.stack([logits for _, _, logits in outputs]).astype(np.float32),
            np.array([value for _, value, _ in outputs], np.float32),
            self.legal,
        )

    def recurrent(self, parents: np.ndarray, actions: np.ndarray, node: int, legal: np.ndarray) -> RecurrentOutput:
        paths = [(*self.paths[int(p)][b], int(a)) for b, (p, a) in enumerate(zip(parents, actions, strict=True))]
        self.paths[node] = paths
        self.calls.append((node, paths, legal.copy()))
        outputs = [function(path) for function, path in zip(self.functions, paths, strict=True)]
        return RecurrentOutput(
            np.array([reward for reward, _, _ in outputs], np.float32),
            np.array([value for _, value, _ in outputs], np.float32),
            np.stack([logits for _, _, logits in outputs]).astype(np.float32),
        )


class LateModel(PathModel):
    """A `PathModel` that gives logits only when it is asked for them, each once, and numbers that spoil all else.

    Attributes:
        asked: `(row, node)` of every logits that were asked for.
    """

    def __init__(self, functions: list[Any], legal: np.ndarray) -> None:
        super().__init__(functions, legal)
        self.asked: list[tuple[int, int]] = []
        self._logits: dict[int, np.ndarray] = {}

    def recurrent(self, parents: np.ndarray, actions: np.ndarray, node: int, legal: np.ndarray) -> RecurrentOutput:
        output = super().recurrent(parents, actions, node, legal)
        assert isinstance(output.policy_logits, np.ndarray)
        self._logits[node] = output.policy_logits
        return output._replace(policy_logits=self._policies)

    def _policies(self, nodes: np.ndarray, asked: np.ndarray) -> np.ndarray:
        logits = np.full(self.legal.shape, np.nan, np.float32)
        for b in np.flatnonzero(asked):
            logits[b] = self._logits[int(nodes[b])][b]
            self.asked.append((int(b), int(nodes[b])))
        return logits


class TableModel:
    """States 0 .. M - 1; action a leads from state s to (s * N + a + 1) mod M; outputs are looked up by state.

    Args:
        rewards: `[M]`, received on entering a state.
        values: `[M]`.
        logits: `[M, N]`.
        starts: `[B]`, states of the roots.
        num_simulations: S.
    """

    def __init__(
        self, rewards: np.ndarray, values: np.ndarray, logits: np.ndarray, starts: np.ndarray, num_simulations: int
    ) -> None:
        self.rewards, self.values, self.logits = rewards, values, logits
        self.states = np.zeros((num_simulations + 1, len(starts)), np.int64)
        self.states[0] = starts

    def root(self, legal: np.ndarray) -> RootOutput:
        return RootOutput(self.logits[self.states[0]], self.values[self.states[0]], legal)

    def recurrent(self, parents: np.ndarray, actions: np.ndarray, node: int, legal: np.ndarray) -> RecurrentOutput:
        count, num_actions = self.logits.shape
        states = (self.states[parents, np.arange(len(parents))] * num_actions + actions + 1) % count
        self.states[node] = states
        return RecurrentOutput(self.rewards[states], self.values[states], self.logits[states])
