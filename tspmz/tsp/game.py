"""The TSP as a game for one player, one move at a time: the environment with words, pictures and a human's input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tspmz.tsp import env
from tspmz.types import Float32, Int64

_MAP_WIDTH, _MAP_HEIGHT = 61, 21


class TSPGame:
    """One graph, kept for the whole life of the game; every reset starts on it anew.

    The rules are those of `env`, for one episode. An action is the next city, so that N actions can name every city.

    Args:
        coordinates: `[N, 2]` float32 in the unit square, N >= 2.
        start: the city every episode starts in.
        edge_reward: what an edge is worth before its length is taken off; 1 makes rewards of `1 - length`.

    Raises:
        ValueError: `coordinates` or `start` do not fit.
    """

    def __init__(self, coordinates: NDArray[Any], start: int = 0, edge_reward: float = 0.0) -> None:
        points = np.array(coordinates, np.float32)
        if points.ndim != 2:
            raise ValueError(f"coordinates are {points.shape}, want [N, 2]: one graph")
        self._points = points
        self._start = int(start)
        self._edge_reward = float(edge_reward)
        self.reset()

    @property
    def coordinates(self) -> Float32:
        """`[N, 2]`, read-only."""
        view = self._points.view()
        view.setflags(write=False)
        return view

    @property
    def num_cities(self) -> int:
        """N, the number of actions too."""
        return len(self._points)

    @property
    def tour(self) -> Int64:
        """Cities visited so far, the start first."""
        return np.array(self._tour, np.int64)

    @property
    def length(self) -> float:
        """Length so far; with the closing edge once done."""
        return self._length

    @property
    def done(self) -> bool:
        """All cities are visited."""
        return len(self._tour) == self.num_cities

    @property
    def current(self) -> int:
        """Where the episode stands."""
        return self._tour[-1]

    @property
    def env_state(self) -> env.TSPState:
        """The state as `env` holds it, with I = G = 1."""
        return self._state

    def reset(self) -> Float32:
        """Start again in the start city of the same graph; returns the observation."""
        self._state = env.reset(self._points[None], np.array([[self._start]]))
        self._tour = [self._start]
        self._length = 0.0
        return self.observation()

    def step(self, action: int) -> tuple[Float32, float, bool]:
        """Go to a city.

        Returns:
            The next observation, the reward, and whether that was the last move: its reward holds the closing edge.

        Raises:
            ValueError: the city may not be visited; says why.
        """
        self._state, time_step = env.step(self._state, np.array([[action]]))
        self._tour.append(int(action))
        added = -float(time_step.rewards[0, 0])
        self._length += added
        edges = 2 if time_step.done else 1
        return self.observation(), edges * self._edge_reward - added, time_step.done

    def observation(self) -> Float32:
        """`[N, 2]` float32: 1 for the visited cities; 1 for the city where the episode stands."""
        observed = np.zeros((self.num_cities, 2), np.float32)
        observed[self._tour, 0] = 1.0
        observed[self.current, 1] = 1.0
        return observed

    def legal_actions(self) -> list[int]:
        """Cities that may be visited next; none once done."""
        return [int(city) for city in np.flatnonzero(env.legal_actions(self._state)[0, 0])]

    def to_play(self) -> int:
        """The player whose turn it is: always 0, there is one."""
        return 0

    def state_string(self) -> str:
        """The whole state in short: the tour so far, `0-3-1`, and after the last move the way home, `0-3-1-2-0`."""
        return "-".join(map(str, [*self._tour, *self._tour[: self.done]]))

    def action_to_string(self, action: int) -> str:
        """An action in words.

        Raises:
            ValueError: no such city.
        """
        if not 0 <= action < self.num_cities:
            raise ValueError(f"there are cities 0..{self.num_cities - 1} only, not {action}")
        x, y = (float(value) for value in self._points[action])
        away = float(np.linalg.norm(self._points[action].astype(np.float64) - self._points[self.current]))
        return f"city {action} at ({x:.3f}, {y:.3f}), {away:.3f} away"

    def human_to_action(self, ask: Callable[[str], str] = input) -> int:
        """The action that a human chooses; asks again until it is a legal one.

        Args:
            ask: shows its argument and returns the answer.

        Raises:
            EOFError: whatever `ask` raises at the end of its input.
        """
        legal = self.legal_actions()
        prompt = f"next city ({', '.join(map(str, legal))}): "
        while True:
            answer = ask(prompt).strip()
            if answer.isascii() and answer.isdecimal() and int(answer) in legal:
                return int(answer)
            prompt = f"{self._why_not(answer)}; next city ({', '.join(map(str, legal))}): "

    def _why_not(self, answer: str) -> str:
        if not (answer.isascii() and answer.isdecimal()):
            return f"{answer!r} is not the number of a city"
        if int(answer) >= self.num_cities:
            return f"there is no city {int(answer)}"
        return f"city {int(answer)} is visited already"

    def render(self) -> str:
        """The state as text: a map of the cities' numbers, and the tour so far.

        Visited cities stand in brackets, the one where the episode stands in square ones.
        """
        rows = [[" "] * _MAP_WIDTH for _ in range(_MAP_HEIGHT)]
        visited = set(self._tour)
        # later ones are written over earlier ones: the current city last
        for city in sorted(range(self.num_cities), key=lambda c: (c == self.current, c not in visited)):
            mark = f"[{city}]" if city == self.current else f"({city})" if city in visited else str(city)
            column = round(float(self._points[city, 0]) * (_MAP_WIDTH - 1)) - len(mark) // 2
            column = min(max(column, 0), _MAP_WIDTH - len(mark))
            row = round((1.0 - float(self._points[city, 1])) * (_MAP_HEIGHT - 1))
            rows[row][column : column + len(mark)] = mark
        frame = "+" + "-" * _MAP_WIDTH + "+"
        lines = [frame, *("|" + "".join(row) + "|" for row in rows), frame]
        lines.append(f"tour {self.state_string()}, length {self._length:.4f}{', done' if self.done else ''}")
        return "\n".join(lines)

    def picture(self) -> NDArray[np.uint8]:
        """The state as a picture, `[H, W, 3]` RGB."""
        from tspmz.plots.style import to_pixels
        from tspmz.plots.tours import draw_path

        title = f"{len(self._tour)} of {self.num_cities} cities, length {self._length:.3f}"
        return to_pixels(draw_path(self._points, self.tour, title, closed=self.done))
