"""Two players who move in turn: with discount -1 the search finds what minimax finds, with the signs of the mover."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tspmz.search import BatchedSearch
from tspmz.types import RecurrentOutput, RootOutput

SEARCHES = [(algorithm, backup) for algorithm in ("puct", "gumbel") for backup in ("mean", "max")]


class Nim:
    """One heap; a move takes 1, 2 or 3 (action 0, 1, 2); who takes the last one wins. A state is the heap's size."""

    num_actions = 3

    @staticmethod
    def legal(heap: int) -> list[int]:
        return [action for action in range(3) if action < heap]

    @staticmethod
    def step(heap: int, action: int) -> tuple[int, float]:
        return heap - action - 1, float(heap == action + 1)


class TicTacToe:
    """A state is the board as a string of nine, the mover's stones "x"; a move turns the board to the other's view."""

    num_actions = 9
    lines = ("012", "345", "678", "036", "147", "258", "048", "246")

    @classmethod
    def won(cls, board: str, stone: str) -> bool:
        return any(all(board[int(place)] == stone for place in line) for line in cls.lines)

    @classmethod
    def legal(cls, board: str) -> list[int]:
        over = cls.won(board, "x") or cls.won(board, "o")
        return [] if over else [place for place in range(9) if board[place] == "."]

    @classmethod
    def step(cls, board: str, action: int) -> tuple[str, float]:
        after = board[:action] + "x" + board[action + 1 :]
        return after.translate(str.maketrans("xo", "ox")), float(cls.won(after, "x"))


class Rules:
    """A game as the model of a search: true states, exact rewards and legal actions, no idea of policy and value."""

    def __init__(self, game: Any, states: list[Any]) -> None:
        self.game = game
        self.states = {0: states}

    def legal(self, states: list[Any]) -> np.ndarray:
        mask = np.zeros((len(states), self.game.num_actions), bool)
        for b, state in enumerate(states):
            mask[b, self.game.legal(state)] = True
        return mask

    def root(self) -> RootOutput:
        legal = self.legal(self.states[0])
        return RootOutput(np.zeros(legal.shape, np.float32), np.zeros(len(legal), np.float32), legal)

    def recurrent(self, parents: Any, actions: Any, node: int, legal: Any) -> RecurrentOutput:
        rows = enumerate(zip(parents, actions, strict=True))
        stepped = [self.game.step(self.states[int(parent)][b], int(action)) for b, (parent, action) in rows]
        self.states[node] = [state for state, _ in stepped]
        legal = self.legal(self.states[node])
        rewards = np.array([reward for _, reward in stepped], np.float32)
        return RecurrentOutput(rewards, np.zeros(len(legal), np.float32), np.zeros(legal.shape, np.float32), legal)


def minimax(game: Any) -> Any:
    """`(state) -> {action: value for the mover}` and the value of a state, by full search."""

    @cache
    def values(state: Any) -> dict[int, float]:
        found = {}
        for action in game.legal(state):
            after, reward = game.step(state, action)
            found[action] = reward - max(values(after).values(), default=0.0)
        return found

    return values


def run(game: Any, states: list[Any], algorithm: str, backup: str, simulations: int, **settings: float) -> Any:
    model = Rules(game, states)
    search = BatchedSearch(
        len(states), game.num_actions, algorithm=algorithm, backup=backup, num_simulations=simulations, discount=-1.0,
        max_considered_actions=game.num_actions, **settings,
    )  # fmt: skip
    return search.run(model.root(), model.recurrent, np.random.default_rng(0), temperature=0.0, noise=False)


def values_for_the_mover(result: Any, algorithm: str, backup: str) -> Any:
    """Root values; the mean of a Gumbel search counts losing moves as much as the winning one: there the move's Q."""
    if (algorithm, backup) == ("gumbel", "mean"):
        return np.take_along_axis(result.qvalues, result.actions[:, None], axis=1)[:, 0]
    return result.root_values


@pytest.mark.parametrize(("algorithm", "backup"), SEARCHES)
def test_nim_is_won_by_leaving_a_multiple_of_four(algorithm: str, backup: str) -> None:
    heaps = [1, 2, 3, 4, 5, 6, 7, 8]
    result = run(Nim, heaps, algorithm, backup, 600)
    values = values_for_the_mover(result, algorithm, backup)
    for heap, action, value in zip(heaps, result.actions, values, strict=True):
        if heap % 4:
            assert (heap - action - 1) % 4 == 0
            assert value > 0.1
        else:
            assert value < -0.1


@pytest.mark.parametrize("algorithm", ["puct", "gumbel"])
def test_maximal_backup_of_the_whole_tree_is_minimax(algorithm: str) -> None:
    heaps = [1, 2, 3, 4, 5, 6]
    # 1 + the ways to write each size up to 6 as sums of 1, 2, 3 is 1 + 1 + 2 + 4 + 7 + 13 + 24 nodes at most.
    result = run(Nim, heaps, algorithm, "max", 1000, pb_c_init=100.0)  # nothing is left untried
    for b, heap in enumerate(heaps):
        exact = minimax(Nim)(heap)
        assert result.root_values[b] == max(exact.values())
        for action, value in exact.items():
            assert result.qvalues[b, action] == value


def random_boards(count: int, stones: int) -> list[str]:
    """Boards of games that are not over and not drawn by force, after random moves."""
    rng = np.random.default_rng(stones)
    boards: list[str] = []
    while len(boards) < count:
        board = "." * 9
        for _ in range(stones):
            legal = TicTacToe.legal(board)
            if not legal:
                break
            board, _ = TicTacToe.step(board, int(rng.choice(legal)))
        values = minimax(TicTacToe)(board)
        if values and max(values.values()) != 0.0:
            boards.append(board)
    return boards


@pytest.mark.parametrize(("algorithm", "backup"), SEARCHES)
def test_tic_tac_toe_finds_the_moves_of_minimax_and_the_sign_of_the_value(algorithm: str, backup: str) -> None:
    boards = [*random_boards(8, 3), *random_boards(8, 4)]
    result = run(TicTacToe, boards, algorithm, backup, 1200)
    values = values_for_the_mover(result, algorithm, backup)
    for b, board in enumerate(boards):
        exact = minimax(TicTacToe)(board)
        best = max(exact.values())
        assert exact[int(result.actions[b])] == best, board
        assert np.sign(values[b]) == np.sign(best), board


def test_a_threat_is_answered() -> None:
    board = "oo.x.x..."  # x to move: 4 wins at once
    assert run(TicTacToe, [board], "puct", "mean", 200).actions[0] == 4
    board = "oo.x....x"  # x to move: o threatens 2
    assert run(TicTacToe, [board], "puct", "mean", 600).actions[0] == 2


def test_terminal_states_have_no_children_and_keep_their_value() -> None:
    model = Rules(Nim, [2])
    search = BatchedSearch(1, 3, algorithm="puct", num_simulations=50, discount=-1.0, mask_interior=False)
    result = search.run(model.root(), model.recurrent, np.random.default_rng(0), temperature=0.0, noise=False)
    # Taking both wins: +1. Taking one leaves one to the other: -1 after his only move.
    assert result.qvalues[0, 1] == 1.0
    assert result.qvalues[0, 0] < 0.0
    assert result.depths[0] <= 2.0
    assert result.actions[0] == 1
