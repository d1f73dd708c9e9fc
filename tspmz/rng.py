"""One seed tree per run: every random stream is a pure function of the run's seed and of what it is for."""

from __future__ import annotations

from typing import Literal

import numpy as np

Role = Literal["instance", "search", "sampler", "augmentation", "network", "evaluation", "graph", "reanalyze"]

_ROLE_KEYS: dict[str, int] = {
    "instance": 1,
    "search": 2,
    "sampler": 3,
    "augmentation": 4,
    "network": 5,
    "evaluation": 6,
    "graph": 7,
    "reanalyze": 8,
}


def seed_for(seed: int, role: Role, index: int = 0, episode: int = 0) -> np.random.SeedSequence:
    """Seed of one stream.

    Streams are stateless: a process that restarts at the same ``(index, episode)`` draws the same numbers, so
    resuming needs counters and nothing else.

    Args:
        seed: the run's seed, >= 0.
        role: what the stream is for; streams of different roles never share numbers.
        index: which process of that role (the actor's number), >= 0.
        episode: which unit of work within the process (group number, train step), >= 0.

    Raises:
        KeyError: unknown role.
    """
    return np.random.SeedSequence(entropy=seed, spawn_key=(_ROLE_KEYS[role], index, episode))


def generator_for(seed: int, role: Role, index: int = 0, episode: int = 0) -> np.random.Generator:
    """A fresh generator (SFC64) for the stream that `seed_for` names."""
    return np.random.Generator(np.random.SFC64(seed_for(seed, role, index, episode)))
