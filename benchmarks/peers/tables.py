"""The model that trees are compared with: a table, looked up in next to no time, the same for tspmz and its peers."""

from __future__ import annotations

import numpy as np

_STATES = 1021  # a prime, so that few paths meet; all of it fits into a core's cache


def table_of(num_actions: int, constant: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards `[M]`, values `[M]` and logits `[M, N]`, float32, of M states.

    Action a leads from state s to state (s * N + a + 1) mod M. Row b of a batch begins in state b mod M.

    Args:
        num_actions: N.
        constant: rewards are 0 and values 0.5 everywhere, so that priors alone shape the tree.
    """
    rng = np.random.default_rng(num_actions)
    logits = rng.standard_normal((_STATES, num_actions), dtype=np.float32)
    if constant:
        return np.zeros(_STATES, np.float32), np.full(_STATES, 0.5, np.float32), logits
    rewards, values = rng.standard_normal((2, _STATES), dtype=np.float32) * np.float32(0.1)
    return rewards, values, logits
