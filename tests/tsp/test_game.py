"""The game: one graph for life, rewards that close, every city nameable, and a human who mistypes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tspmz.tsp.game import TSPGame
from tspmz.tsp.generators import uniform_instances
from tspmz.tsp.tours import tour_length

# Cities on the corners of a rectangle, in order: sides 0.3, 0.4, 0.3, 0.4, diagonals 0.5.
RECTANGLE = np.array([[0.0, 0.0], [0.3, 0.0], [0.3, 0.4], [0.0, 0.4]], np.float32)


def test_rectangle_by_hand() -> None:
    game = TSPGame(RECTANGLE)
    assert (game.to_play(), game.legal_actions(), game.state_string(), game.done) == (0, [1, 2, 3], "0", False)
    steps = [game.step(city) for city in (1, 2, 3)]
    assert [reward for _, reward, _ in steps] == pytest.approx([-0.3, -0.4, -(0.3 + 0.4)])
    assert [done for *_, done in steps] == [False, False, True]  # the closing step is the last one, and says so
    assert (game.length, game.done, game.legal_actions()) == (pytest.approx(1.4), True, [])
    assert game.state_string() == "0-1-2-3-0"


def test_rewards_of_one_minus_length() -> None:
    game = TSPGame(RECTANGLE, start=2, edge_reward=1.0)
    assert [game.step(city)[1] for city in (0, 1, 3)] == pytest.approx([1 - 0.5, 1 - 0.3, 2 - (0.5 + 0.3)])


def test_observation_shows_visited_and_current() -> None:
    game = TSPGame(RECTANGLE)
    first = game.reset()
    assert first.dtype == np.float32
    assert first.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0]]
    assert game.step(2)[0].tolist() == [[1, 0], [0, 0], [1, 1], [0, 0]]


@given(st.integers(0, 2**32), st.integers(2, 12))
def test_any_order_is_played_on_the_graph_that_is_scored(seed: int, num_cities: int) -> None:
    rng = np.random.default_rng(seed)
    points = uniform_instances(rng, 1, num_cities)[0]
    tour = rng.permutation(num_cities)
    game = TSPGame(points, start=int(tour[0]))
    for _ in range(2):  # a reset keeps the graph
        game.reset()
        total, done = 0.0, False
        for city in tour[1:]:
            assert not done
            assert int(city) in game.legal_actions()  # N actions name every city, the last one too
            _, reward, done = game.step(int(city))
            total += reward
        assert done
        assert total == pytest.approx(-tour_length(points, tour), rel=1e-5)
        assert game.length == pytest.approx(-total)
        np.testing.assert_array_equal(game.tour, tour)


def test_graph_cannot_change_under_the_game() -> None:
    points = RECTANGLE.copy()
    game = TSPGame(points)
    points[1] = 0.9
    assert game.step(1)[1] == pytest.approx(-0.3)
    with pytest.raises(ValueError, match="read-only"):
        game.coordinates[0] = 0.5


@pytest.mark.parametrize(("action", "message"), [(0, "already visited"), (4, "cities 0..3 only"), (-1, "0..3 only")])
def test_illegal_moves_are_refused_and_change_nothing(action: int, message: str) -> None:
    game = TSPGame(RECTANGLE)
    with pytest.raises(ValueError, match=message):
        game.step(action)
    assert game.state_string() == "0"
    game.step(1)


def test_finished_game_says_so() -> None:
    game = TSPGame(RECTANGLE)
    for city in (1, 2, 3):
        game.step(city)
    with pytest.raises(ValueError, match="finished"):
        game.step(0)


def test_actions_in_words() -> None:
    game = TSPGame(RECTANGLE)
    assert game.action_to_string(2) == "city 2 at (0.300, 0.400), 0.500 away"
    with pytest.raises(ValueError, match=r"cities 0\.\.3 only, not 4"):
        game.action_to_string(4)


def test_human_is_asked_until_the_city_is_legal() -> None:
    game = TSPGame(RECTANGLE)
    game.step(2)
    answers = iter(["", "one", "-1", "7", "2", "²", " 3 "])
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(answers)

    assert game.human_to_action(ask) == 3
    assert prompts[0] == "next city (1, 3): "
    reasons = [prompt.split(";")[0] for prompt in prompts[1:]]
    assert reasons == [
        "'' is not the number of a city", "'one' is not the number of a city", "'-1' is not the number of a city",
        "there is no city 7", "city 2 is visited already", "'²' is not the number of a city",
    ]  # fmt: skip


def test_end_of_input_is_not_swallowed() -> None:
    def ask(prompt: str) -> str:
        raise EOFError

    with pytest.raises(EOFError):
        TSPGame(RECTANGLE).human_to_action(ask)


def test_text_shows_every_city_and_the_tour() -> None:
    game = TSPGame(np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [0.0, 1.0]], np.float32))
    game.step(2)
    lines = game.render().splitlines()
    assert len({len(line) for line in lines[:-1]}) == 1
    assert lines[1].startswith("|3")  # y points up
    assert lines[1].endswith("1|")
    assert lines[11][28:35].strip() == "[2]"
    assert lines[21].startswith("|(0)")
    assert lines[-1] == "tour 0-2, length 0.7071"


def test_picture_changes_with_the_state() -> None:
    game = TSPGame(RECTANGLE)
    pictures = [game.picture()]
    for city in (1, 2, 3):
        game.step(city)
        pictures.append(game.picture())
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
    assert all((one != other).any() for one, other in pairwise(pictures))


@pytest.mark.parametrize(
    ("points", "start", "message"),
    [(np.zeros((2, 3, 2)), 0, "one graph"), (np.zeros((1, 2)), 0, "N >= 2"), (RECTANGLE, 4, "start 4 is not one")],
)
def test_wrong_graphs_are_refused(points: np.ndarray, start: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TSPGame(points, start)
