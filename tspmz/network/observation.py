"""What a network for one number of cities is told of a state, of its past and of an action, city by city."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Observation:
    """Planes over the cities, as the network's input.

    A past state is given by the cities visited before it, so that nothing has to be stored for it: the states of an
    episode, and the actions between them, follow from its tour.

    Args:
        num_cities: N.
        kind: "full": started from, stands on, unvisited; coordinates are the network's own business. "visits": visited
            and stands on, all that the ancestor's `[N, 2]` observation holds; it fits one fixed graph only.
        stacked_observations: past states k that are told as well, each with the action taken there; zeros before the
            start (MuZero, appendix E).
        action_input: "one_hot": 1 at the action's city; "plane": the same number, `(city + 1) / N`, everywhere.

    Attributes:
        num_planes: X.
    """

    def __init__(self, num_cities: int, kind: str, stacked_observations: int, action_input: str) -> None:
        self.num_cities = num_cities
        self.full = kind == "full"
        self.stacked_observations = stacked_observations
        self.one_hot_actions = action_input == "one_hot"
        self.num_planes = (3 if self.full else 2) + 3 * stacked_observations

    def state(self, first: Tensor, current: Tensor, legal_actions: Tensor, history: Tensor | None) -> Tensor:
        """Planes `[M, E, N, X]` of true states.

        Args:
            first: `[M, E]` int64, where the episode started.
            current: `[M, E]` int64, where it stands.
            legal_actions: `[M, E, N]` float32, 1 for the cities not yet visited.
            history: `[M, E, k]` int64, the cities before `current`, the latest first; -1 before the start. Not needed
                where k is 0.

        Raises:
            ValueError: no history, or one of another depth.
        """
        here = self._one_hot(current)
        planes = [self._one_hot(first), here, legal_actions] if self.full else [1 - legal_actions, here]
        if self.stacked_observations:
            if history is None or history.shape[-1] != self.stacked_observations:
                depth = "none" if history is None else history.shape[-1]
                raise ValueError(f"past cities: {depth} given, the network stacks {self.stacked_observations}")
            visited = 1 - legal_actions
            following = current
            for city in history.unbind(dim=-1):
                known = (city >= 0).unsqueeze(-1).float()
                visited = visited - self._one_hot(following)
                followed = city.clamp(min=0)
                planes += [known * visited, known * self._one_hot(followed), known * self.action(following)]
                following = followed
        return torch.stack(planes, dim=-1)

    def action(self, actions: Tensor) -> Tensor:
        """Plane `[M, E, N]` of `actions [M, E]`."""
        if self.one_hot_actions:
            return self._one_hot(actions)
        return ((actions + 1) / self.num_cities).unsqueeze(-1).expand(-1, -1, self.num_cities)

    def _one_hot(self, cities: Tensor) -> Tensor:
        return F.one_hot(cities, self.num_cities).float()
