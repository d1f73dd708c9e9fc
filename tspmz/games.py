"""Games move by move: a trained agent without noise, a random player or a human, on a graph that is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from tspmz.search import BatchedSearch
from tspmz.selfplay import Model, StageClock, play
from tspmz.tsp import env
from tspmz.tsp.game import TSPGame
from tspmz.tsp.tours import past_cities
from tspmz.types import Float32, Float64, Int32, Int64


class Thought(NamedTuple):
    """What a search saw before a move.

    Attributes:
        root_value: value of the state, in the scale of the rewards.
        tree_depth: mean depth of the tree nodes expanded.
        visit_counts: `[N]` int32 of the root's children.
        qvalues: `[N]` float32 of the root's children, 0 where unvisited.
        prior: `[N]` float32, the probabilities that the search started from.
    """

    root_value: float
    tree_depth: float
    visit_counts: Int32
    qvalues: Float32
    prior: Float32


class Move(NamedTuple):
    """One move of a game.

    Attributes:
        action: the city.
        reward: received because of it.
        thought: what the player's search saw; None for players that do not search, and for the forced last move.
    """

    action: int
    reward: float
    thought: Thought | None


class GameResult(NamedTuple):
    """A finished game.

    Attributes:
        coordinates: `[N, 2]` float32, the graph.
        tour: `[N]` int64.
        tour_length: with the closing edge.
        total_reward: sum of the rewards.
        moves: all of them; their number is the episode's length.
    """

    coordinates: Float32
    tour: Int64
    tour_length: float
    total_reward: float
    moves: tuple[Move, ...]

    @property
    def episode_length(self) -> int:
        """Number of moves."""
        return len(self.moves)


class GameTotals(NamedTuple):
    """Games of one agent on I graphs.

    Attributes:
        total_rewards: `[I]` float64, sums of the rewards.
        episode_length: moves of each game.
    """

    total_rewards: Float64
    episode_length: int


def play_test_games(
    model: Model, search: BatchedSearch, coordinates: Float32, edge_reward: float, clock: StageClock | None = None
) -> GameTotals:
    """Play I games side by side from city 0, without noise, at temperature 0.

    Args:
        model: what the search plans with, with room for its nodes.
        search: of batch size I.
        coordinates: `[I, N, 2]` float32.
        edge_reward: what an edge is worth before its length is taken off.
        clock: hears of every stage of every move.
    """
    rng = np.random.default_rng(0)  # never drawn from: no noise, temperature 0
    starts = np.zeros((len(coordinates), 1), np.int64)
    played = play(model, search, coordinates, starts, rng, temperature=0.0, noise=False, clock=clock)
    edges = played.tours.shape[2]
    return GameTotals(edges * edge_reward + played.rewards[:, 0].sum(axis=1, dtype=np.float64), edges - 1)


class Player(Protocol):
    """Who chooses the moves of a game."""

    def choose(self, game: TSPGame) -> tuple[int, Thought | None]:
        """A legal action of a game that is not done, and what was seen before it."""


class SearchPlayer:
    """Plays the searched move, without noise, at temperature 0.

    Args:
        model: what the search plans with, with room for its nodes.
        search: of batch size 1.
    """

    def __init__(self, model: Model, search: BatchedSearch) -> None:
        self._model = model
        self._search = search
        self._rng = np.random.default_rng(0)  # never drawn from: no noise, temperature 0

    def choose(self, game: TSPGame) -> tuple[int, Thought | None]:
        """The last move is forced, and not searched."""
        legal = game.legal_actions()
        if len(legal) == 1:
            return legal[0], None
        state = game.env_state
        if state.step == 0:
            self._model.encode(state.coordinates)
        stacked = self._model.stacked_observations
        past = past_cities(game.tour[None, None], state.step, stacked) if stacked else None
        root = self._model.initial(state.first, state.current, env.legal_actions(state), past)
        result = self._search.run(root, self._model.recurrent, self._rng, temperature=0.0, noise=False)
        logits = np.where(root.legal_actions[0], root.policy_logits[0], -np.inf)
        weights = np.exp(logits - logits.max())
        thought = Thought(
            root_value=float(result.root_values[0]),
            tree_depth=float(result.depths[0]),
            visit_counts=result.visit_counts[0],
            qvalues=result.qvalues[0],
            prior=weights / weights.sum(),
        )
        return int(result.actions[0]), thought


class RandomPlayer:
    """Goes to any city not yet visited, each with the same probability.

    Args:
        rng: its only source of randomness.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def choose(self, game: TSPGame) -> tuple[int, Thought | None]:
        """A random legal action."""
        return int(self._rng.choice(game.legal_actions())), None


class HumanPlayer:
    """Asks a human.

    Args:
        ask: shows its argument and returns the answer; what it raises at the end of its input passes through.
    """

    def __init__(self, ask: Callable[[str], str] = input) -> None:
        self._ask = ask

    def choose(self, game: TSPGame) -> tuple[int, Thought | None]:
        """What the human says; the last move is forced, and not asked for."""
        legal = game.legal_actions()
        return (legal[0] if len(legal) == 1 else game.human_to_action(self._ask)), None


def play_game(game: TSPGame, player: Player, on_move: Callable[[TSPGame, Move], None] | None = None) -> GameResult:
    """Play a game from its start to its end.

    Args:
        game: is reset first.
        player: chooses all moves.
        on_move: called after each move, with the game as it is then.
    """
    game.reset()
    moves = []
    while not game.done:
        action, thought = player.choose(game)
        _, reward, _ = game.step(action)
        moves.append(Move(action, reward, thought))
        if on_move is not None:
            on_move(game, moves[-1])
    return GameResult(game.coordinates, game.tour, game.length, sum(move.reward for move in moves), tuple(moves))
