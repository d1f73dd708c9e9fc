"""A game as a person sees it: after each move what the search saw, then the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from tspmz.games import GameResult, Move, Thought
    from tspmz.tsp.game import TSPGame

_SHOWN_ACTIONS = 6


class GameView:
    """Prints a game move by move.

    Args:
        console: where to.
        with_map: the map after each move, else only at the end.
    """

    def __init__(self, console: Console, with_map: bool = True) -> None:
        self._console = console
        self._with_map = with_map

    def move(self, game: TSPGame, move: Move) -> None:
        """Print one move; `game` is as it is after it."""
        number = len(game.tour) - 1
        self._line(f"move {number}: city {move.action}, reward {move.reward:.4f}, length so far {game.length:.4f}")
        if move.thought is not None:
            thought = move.thought
            self._line(f"  root value {thought.root_value:.4f}, tree depth {thought.tree_depth:.2f}")
            self._console.print(_thought_table(thought, move.action))
        if self._with_map and not game.done:
            self._line(game.render())

    def end(self, game: TSPGame, result: GameResult, who: str) -> None:
        """Print the finished game."""
        self._line(game.render())
        self._line(
            f"{who}: total reward {result.total_reward:.4f} in {result.episode_length} moves, "
            f"tour length {result.tour_length:.4f}"
        )

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, no_wrap=True, overflow="ignore", crop=False)


def _thought_table(thought: Thought, chosen: int) -> Table:
    """The cities that the search looked at most."""
    table = Table("city", "visits", "Q", "prior", box=None, padding=(0, 2))
    for column in table.columns:
        column.justify = "right"
    most = sorted(range(len(thought.visit_counts)), key=lambda city: (-thought.visit_counts[city], city))
    for city in most[:_SHOWN_ACTIONS]:
        if thought.visit_counts[city]:
            row = (str(city), str(thought.visit_counts[city]), f"{thought.qvalues[city]:.4f}")
            table.add_row(*row, f"{100 * thought.prior[city]:.1f} %", style="bold" if city == chosen else "")
    return table
