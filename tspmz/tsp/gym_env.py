"""The TSP as a Gymnasium environment; needs the extra `gym`.

Importing this module registers `tspmz/TSP-v0`; `gymnasium.make("tspmz.tsp.gym_env:tspmz/TSP-v0")` does both.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tspmz.tsp.game import TSPGame
from tspmz.tsp.generators import fixed_graph, uniform_instances
from tspmz.types import Float32

ENV_ID = "tspmz/TSP-v0"

_RENDER_MODES = ("ansi", "rgb_array")
_ILLEGAL_REWARD = -2.0 * 2.0**0.5
"""Below every reward of a legal move: no two edges in the unit square are longer together."""


class TSPEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One tour per episode, from city 0; an action is the next city.

    Observations are `[N, 4]` float32: visited, current (one-hot), and the coordinates x and y. Rewards are minus the
    length of the added edge, the last one with the closing edge. `info["action_mask"]` (`[N]` int8, for
    `action_space.sample`) says which actions are legal. An illegal action changes nothing and costs 2.83; after
    `4 * N` steps the episode is truncated.

    Args:
        num_cities: N, at least 3.
        graph_seed: names the graph, the same as that of a run with this `run.seed` and `problem.fixed_graph`.
        fixed_graph: the graph is kept for the whole life of the environment; else each reset draws one.
        render_mode: "ansi" for text, "rgb_array" for pictures, None.

    Raises:
        ValueError: `num_cities` or `render_mode` is none of these.
    """

    metadata = {"render_modes": list(_RENDER_MODES), "render_fps": 4}  # noqa: RUF012 (gymnasium's own type)

    def __init__(
        self, num_cities: int = 20, graph_seed: int = 0, fixed_graph: bool = True, render_mode: str | None = None
    ) -> None:
        if num_cities < 3:
            raise ValueError(f"num_cities = {num_cities}: must be at least 3")
        if render_mode not in (None, *_RENDER_MODES):
            raise ValueError(f"render_mode = {render_mode!r}: must be ansi, rgb_array or None")
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0.0, 1.0, (num_cities, 4), np.float32)
        self.action_space = spaces.Discrete(num_cities)
        self._fixed_graph = fixed_graph
        self._steps = 0
        self._game = TSPGame(_fixed(graph_seed, num_cities))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32, dict[str, Any]]:
        """Start a tour; `seed` decides the graphs that are drawn where the graph is not fixed."""
        super().reset(seed=seed, options=options)
        if not self._fixed_graph:
            self._game = TSPGame(uniform_instances(self.np_random, 1, self._game.num_cities)[0])
        self._game.reset()
        self._steps = 0
        return self._observation(), self._info()

    def step(self, action: np.int64) -> tuple[Float32, float, bool, bool, dict[str, Any]]:
        """Go to a city; an illegal one changes nothing."""
        self._steps += 1
        reward, done = _ILLEGAL_REWARD, self._game.done
        if int(action) in self._game.legal_actions():
            _, reward, done = self._game.step(int(action))
        truncated = not done and self._steps >= 4 * self._game.num_cities
        return self._observation(), reward, done, truncated, self._info()

    def render(self) -> Any:
        """Text or picture of the state, by `render_mode`."""
        if self.render_mode == "ansi":
            return self._game.render()
        return self._game.picture() if self.render_mode == "rgb_array" else None

    def _observation(self) -> Float32:
        return np.concatenate((self._game.observation(), self._game.coordinates), axis=1)

    def _info(self) -> dict[str, Any]:
        mask = np.zeros(self._game.num_cities, np.int8)
        mask[self._game.legal_actions()] = 1
        return {"action_mask": mask, "length": self._game.length, "state": self._game.state_string()}


def _fixed(seed: int, num_cities: int) -> Float32:
    return fixed_graph("uniform", seed, num_cities, 1)


def register() -> None:
    """Make `gymnasium.make("tspmz/TSP-v0")` work."""
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(ENV_ID, entry_point="tspmz.tsp.gym_env:TSPEnv")


register()
