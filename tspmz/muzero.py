"""The whole of it as one object: train, load a model, test it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tspmz.config import Config
from tspmz.config_files import build_config, config_of, flat_values
from tspmz.errors import UsageError
from tspmz.rng import generator_for
from tspmz.rundir import BEST_MODEL, CHECKPOINTS, read_config

if TYPE_CHECKING:
    from tspmz.agent import Agent
    from tspmz.games import GameResult, Move, Player
    from tspmz.tsp.game import TSPGame


class MuZero:
    """Training, the model that came of it, and games with it.

    Args:
        config: settings of a run; or dotted keys with values, the rest being those of the preset for their number of
            cities, as for `tspmz-train`; None = no keys.

    Attributes:
        config: the settings; those of the model once one is loaded.
        agent: the loaded model, or None.
        run_dir: the last run that was trained or loaded, or None.

    Raises:
        ConfigError: the settings are wrong; names all problems.

    >>> import tspmz
    >>> muzero = tspmz.MuZero({"problem.num_cities": 20, "run.minutes": 5.0})
    >>> muzero.load_model("runs/20-1").config.problem.num_cities
    20
    >>> (result,) = muzero.test()
    >>> result.episode_length
    19
    """

    def __init__(self, config: Config | Mapping[str, Any] | None = None) -> None:
        self.config = config if isinstance(config, Config) else config_of(config or {})
        self._own = self.config
        self._own_keys = list(flat_values(config) if isinstance(config, Config) else config or {})
        self.agent: Agent | None = None
        self.run_dir: Path | None = None

    def train(self, run_dir: str | os.PathLike[str] | None = None, *, resume: bool = False) -> int:
        """Train until a bound of the settings, Ctrl-C or SIGTERM; then load the newest model.

        The processes of a run are spawned: a script that calls this needs the `if __name__ == "__main__":` guard.

        Args:
            run_dir: folder of the run, new or empty; None = the next free `runs/<cities>-<number>`.
            resume: go on with the run in `run_dir`, by its stored settings and those that were given here.

        Returns:
            The exit code: 0 when a bound was reached, 130 after Ctrl-C, 143 after SIGTERM.

        Raises:
            TspmzError: what went wrong, for people.
        """
        from tspmz.rundir import next_run_dir
        from tspmz.runner import train

        if resume and run_dir is None:
            raise UsageError("resume: name the run to go on with")
        folder = next_run_dir(self.config.problem.num_cities) if run_dir is None else Path(run_dir)
        code = train(self._resumed_config(folder) if resume else self.config, folder, resume)
        self.load_model(folder)
        return code

    def _resumed_config(self, folder: Path) -> Config:
        """The stored settings of a run, and on top those that were asked for here, not what stands around them."""
        mine = flat_values(self.config)
        keys = self._own_keys if self.config is self._own else mine
        return build_config({**flat_values(read_config(folder)), **{key: mine[key] for key in keys}})

    def load_model(self, path: str | os.PathLike[str] | None = None, *, device: str = "auto") -> Agent:
        """Load a trained model; its settings take the place of the present ones.

        Args:
            path: a run folder (its newest checkpoint), or a file: a checkpoint, or the run's best model,
                `checkpoints/best.pt`. None = the best model of the last run, or its newest where there is no best.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            CheckpointError: it cannot be used; the model loaded before stays.
            UsageError: nothing at the path, or no path and no run yet.
        """
        from tspmz.agent import load_agent

        if path is None:
            if self.run_dir is None:
                raise UsageError("load_model: no run was trained yet; name a run folder or a checkpoint")
            best = self.run_dir / CHECKPOINTS / BEST_MODEL
            path = best if best.is_file() else self.run_dir
        agent = load_agent(path, device)
        if Path(path).is_dir():
            self.run_dir = Path(path)
        self.agent, self.config = agent, agent.config
        self._own, self._own_keys = agent.config, []
        return agent

    def test(
        self,
        games: int = 1,
        *,
        opponent: str = "self",
        seed: int = 0,
        ask: Callable[[str], str] = input,
        on_start: Callable[[TSPGame], None] | None = None,
        on_move: Callable[[TSPGame, Move], None] | None = None,
    ) -> list[GameResult]:
        """Play games without noise; each result holds total reward, number of moves and tour length.

        Args:
            games: how many, each on another graph (on the same one where the run's graph is fixed).
            opponent: who plays: `self`, the loaded model; `random`; or `human`, who is asked. The TSP has one player,
                so that opponents play the same graphs (of the same `seed`), and the shorter tour wins.
            seed: names the graphs and the moves of `random`.
            ask: shows its argument and returns the human's answer.
            on_start: called before each game.
            on_move: called after each move.

        Raises:
            UsageError: no such opponent, or no model is loaded for `self`.
        """
        from tspmz.games import play_game

        results = []
        for number in range(games):
            game = self.new_game(seed + number)
            if on_start is not None:
                on_start(game)
            results.append(play_game(game, self._player(opponent, seed + number, ask), on_move))
        return results

    def new_game(self, seed: int = 0) -> TSPGame:
        """The game of these settings: the fixed graph of the run, or else the one that `seed` names."""
        from tspmz.tsp import generators
        from tspmz.tsp.game import TSPGame

        problem = self.config.problem
        shape = (problem.num_cities, problem.num_clusters)
        if problem.fixed_graph:
            points = generators.fixed_graph(problem.distribution, self.config.run.seed, *shape)
        else:
            rng = generator_for(seed, "evaluation", 2)
            points = generators.generate(problem.distribution, rng, 1, *shape)[0]
        return TSPGame(points, edge_reward=problem.edge_reward)

    def _player(self, opponent: str, seed: int, ask: Callable[[str], str]) -> Player:
        from tspmz.games import HumanPlayer, RandomPlayer, SearchPlayer

        if opponent == "human":
            return HumanPlayer(ask)
        if opponent == "random":
            return RandomPlayer(generator_for(seed, "evaluation", 3))
        if opponent != "self":
            raise UsageError(f"opponent = {opponent!r}: must be self, random or human")
        if self.agent is None:
            raise UsageError("no model is loaded: train one, or load one with load_model")
        from tspmz.agent import search_factory
        from tspmz.decode import Decoding
        from tspmz.network.inference import SearchModel

        search = search_factory(self.config, Decoding("search"))(1, self.config.problem.num_cities)
        return SearchPlayer(SearchModel(self.agent.network, search.num_simulations + 1, self.agent.device), search)
