"""tspmz: the menu. Train, load a model, watch it play, play against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tspmz.cli.command import CONTEXT_SETTINGS, run_command, version_option
from tspmz.errors import TspmzError

if TYPE_CHECKING:
    from rich.console import Console

    from tspmz.muzero import MuZero

_TITLE = "tspmz - MuZero for the Travelling Salesman Problem"


class Menu:
    """Asks, and does what was chosen, until the end of the input or Exit.

    Args:
        console: where everything is printed.
        ask: shows its argument and returns the answer; raises EOFError at the end of the input.
    """

    def __init__(self, console: Console, ask: Callable[[str], str] = input) -> None:
        from tspmz.muzero import MuZero

        self._console = console
        self._ask = ask
        self._muzero: MuZero = MuZero()
        self._choices: tuple[tuple[str, Callable[[], None] | None], ...] = (
            ("Train", self._train),
            ("Load a trained model", self._load),
            ("Render self-play games", self._render),
            ("Play against it", self._play),
            ("Exit", None),
        )

    def run(self) -> None:
        """Until Exit.

        Raises:
            EOFError: the end of the input.
        """
        self._say(_TITLE)
        while True:
            self._say("")
            for number, (name, _) in enumerate(self._choices, 1):
                self._say(f"  {number}  {name}")
            loaded = self._muzero.agent
            if loaded is not None:
                cities = self._muzero.config.problem.num_cities
                self._say(f"  model: {loaded.source}, {cities} cities, {loaded.train_steps:,} train steps")
            chosen = self._number("choose", 1, len(self._choices))
            action = self._choices[chosen - 1][1]
            if action is None:
                return
            try:
                action()
            except (TspmzError, ValueError) as error:  # ConfigError is a ValueError
                self._say(f"error: {error}")
            except KeyboardInterrupt:
                self._say("stopped")

    def _train(self) -> None:
        from tspmz.config_files import collect_values, preset_for
        from tspmz.muzero import MuZero

        cities = self._number("cities", 3, 1000, 20)
        minutes = self._number("minutes", 1, 100_000, 5)
        values = {"problem.num_cities": cities, "run.minutes": float(minutes)}
        muzero = MuZero(collect_values([preset_for(cities)], values=values))
        code = muzero.train()
        self._muzero = muzero
        self._say(f"{'done' if code == 0 else 'stopped'}; the run is in {muzero.run_dir}")

    def _load(self) -> None:
        path = self._ask("run folder or checkpoint: ").strip()
        if not path:
            self._say("nothing loaded")
            return
        self._muzero.load_model(path)
        self._say(f"loaded {path}")

    def _render(self) -> None:
        games = self._number("games", 1, 1000, 1)
        seed = self._number("seed of the graphs", 0, 2**31, 0)
        for number in range(games):
            self._show(self._muzero, "self", seed + number, with_map=True)

    def _play(self) -> None:
        """On the same graph first the human, then the model."""
        seed = self._number("seed of the graph", 0, 2**31, 0)
        if self._muzero.agent is None:
            raise TspmzError("no model is loaded: train one, or load one")
        yours = self._show(self._muzero, "human", seed, with_map=True)
        its = self._show(self._muzero, "self", seed, with_map=False)
        gap = yours / its - 1.0
        outcome = "a draw" if abs(gap) < 1e-6 else "it wins" if gap > 0 else "you win"
        self._say(f"{outcome}: your tour {yours:.4f}, its tour {its:.4f} ({100 * gap:+.2f} %)")

    def _show(self, muzero: MuZero, opponent: str, seed: int, with_map: bool) -> float:
        """Play one game and print it; returns the tour's length."""
        from tspmz.cli.game_view import GameView

        view = GameView(self._console, with_map)
        games: list[Any] = []

        def start(game: Any) -> None:
            games.append(game)
            if with_map:
                self._say(game.render())

        (result,) = muzero.test(opponent=opponent, seed=seed, ask=self._ask, on_start=start, on_move=view.move)
        view.end(games[0], result, "you" if opponent == "human" else "the model")
        return result.tour_length

    def _number(self, question: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from `low` to `high`; asks again until it is one; an empty answer is the default."""
        shown = f"{question} ({low}-{high})" if default is None else f"{question} [{default}]"
        while True:
            answer = self._ask(f"{shown}: ").strip()
            if not answer and default is not None:
                return default
            if answer.isascii() and answer.isdecimal() and low <= int(answer) <= high:
                return int(answer)
            self._say(f"{answer!r}: please answer with a whole number from {low} to {high}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, no_wrap=True, overflow="ignore", crop=False)


@click.command(name="tspmz", context_settings=CONTEXT_SETTINGS)
@version_option
def menu() -> None:
    """Train a MuZero agent, load one, watch it play and play against it, by a menu.

    Ctrl-D leaves; Ctrl-C stops what is running and comes back to the menu.
    """
    from rich.console import Console

    console = Console()
    try:
        Menu(console).run()
    except EOFError:
        console.print()


def main() -> None:
    """Entry point of bin/tspmz."""
    run_command(menu)
