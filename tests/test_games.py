"""Games move by move: whoever plays, the tour is whole and the sums are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_helpers import random_coordinates, tiny_network
from process_helpers import tiny_config

from tspmz.games import HumanPlayer, Move, RandomPlayer, SearchPlayer, play_game, play_test_games
from tspmz.network.build import build_network
from tspmz.network.inference import SearchModel
from tspmz.search import BatchedSearch
from tspmz.selfplay import play
from tspmz.settings import network_settings
from tspmz.tsp.dynamics import TrueDynamics
from tspmz.tsp.game import TSPGame
from tspmz.tsp.tours import is_permutation, tour_length

N = 6
GAME = TSPGame(random_coordinates(1, N)[0])


def search_player(algorithm: str = "gumbel", simulations: int = 8) -> SearchPlayer:
    search = BatchedSearch(1, N, algorithm=algorithm, num_simulations=simulations)
    return SearchPlayer(SearchModel(tiny_network(num_cities=N), simulations + 1), search)


@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_searched_game_is_that_of_self_play_without_noise(algorithm: str) -> None:
    result = play_game(GAME, search_player(algorithm))
    search = BatchedSearch(1, N, algorithm=algorithm, num_simulations=8)
    model = SearchModel(tiny_network(num_cities=N), 9)
    rng = np.random.default_rng(0)
    points = GAME.coordinates[None].copy()
    played = play(model, search, points, np.zeros((1, 1), np.int64), rng, temperature=0.0, noise=False)
    np.testing.assert_array_equal(result.tour, played.tours[0, 0])
    assert result.total_reward == pytest.approx(played.rewards.sum(), rel=1e-5)
    assert result.episode_length == N - 1
    assert result.tour_length == pytest.approx(tour_length(GAME.coordinates, result.tour))
    for t, move in enumerate(result.moves[:-1]):
        assert move.thought is not None
        assert move.thought.root_value == pytest.approx(played.root_values[0, 0, t], rel=1e-5)
        np.testing.assert_array_equal(move.thought.visit_counts, played.visit_counts[0, 0, t])
        assert move.thought.prior.sum() == pytest.approx(1.0)
        assert (move.thought.prior[result.tour[: t + 1]] == 0.0).all()
        assert 1.0 <= move.thought.tree_depth <= N - 1 - t
    assert result.moves[-1].thought is None  # forced


def test_network_that_stacks_observations_plays_as_in_self_play() -> None:
    config = tiny_config(
        network__kind="fullyconnected", problem__num_cities=N, selfplay__group_size=2, network__stacked_observations=2
    )
    network: Any = build_network(0, **network_settings(config)).eval()
    searches = [BatchedSearch(1, N, num_simulations=8) for _ in range(2)]
    result = play_game(GAME, SearchPlayer(SearchModel(network, 9), searches[0]))
    rng = np.random.default_rng(0)
    starts = np.zeros((1, 1), np.int64)
    points = GAME.coordinates[None].copy()
    played = play(SearchModel(network, 9), searches[1], points, starts, rng, temperature=0.0, noise=False)
    np.testing.assert_array_equal(result.tour, played.tours[0, 0])


def test_two_games_in_a_row_are_the_same() -> None:
    player = search_player()
    tours = [play_game(GAME, player).tour.tolist() for _ in range(2)]
    assert tours[0] == tours[1]


def test_true_rules_play_too() -> None:
    search = BatchedSearch(1, N, algorithm="puct", backup="max", num_simulations=300)
    result = play_game(GAME, SearchPlayer(TrueDynamics(None, 301, "nearest_neighbor"), search))
    assert result.tour_length <= play_game(GAME, search_player()).tour_length + 1e-9


def test_test_games_are_the_games_one_by_one() -> None:
    points = random_coordinates(3, N)
    search = BatchedSearch(3, N, num_simulations=8)
    model = SearchModel(tiny_network(num_cities=N), 9)
    totals = play_test_games(model, search, points, 1.0)
    assert totals.episode_length == N - 1
    for i in range(3):
        single = play_game(TSPGame(points[i], edge_reward=1.0), search_player())
        assert totals.total_rewards[i] == pytest.approx(single.total_reward, abs=1e-5)


def test_random_player_follows_its_generator() -> None:
    tours = [play_game(GAME, RandomPlayer(np.random.default_rng(seed))).tour for seed in (0, 0, 1)]
    assert is_permutation(np.stack(tours)).all()
    np.testing.assert_array_equal(tours[0], tours[1])
    assert (tours[0] != tours[2]).any()


def test_human_is_asked_for_every_move_but_the_last() -> None:
    answers = iter(["3", "3", "1", "2", "4"])  # 3 is visited at the second question
    seen: list[tuple[str, Move]] = []
    player = HumanPlayer(lambda prompt: next(answers))
    result = play_game(GAME, player, lambda game, move: seen.append((game.state_string(), move)))
    assert result.tour.tolist() == [0, 3, 1, 2, 4, 5]
    assert [state for state, _ in seen] == ["0-3", "0-3-1", "0-3-1-2", "0-3-1-2-4", "0-3-1-2-4-5-0"]
    assert next(answers, None) is None


def test_total_reward_is_in_the_form_of_the_game() -> None:
    game = TSPGame(GAME.coordinates, edge_reward=1.0)
    result: Any = play_game(game, RandomPlayer(np.random.default_rng(0)))
    assert result.total_reward == pytest.approx(N - result.tour_length)
