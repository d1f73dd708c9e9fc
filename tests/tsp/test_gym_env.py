"""The Gymnasium environment: what its own checker asks, and that it is the same game."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium")

import gymnasium
from gymnasium.utils.env_checker import check_env

from tspmz.tsp.generators import fixed_graph
from tspmz.tsp.gym_env import ENV_ID, TSPEnv
from tspmz.tsp.tours import tour_length


@pytest.mark.parametrize("fixed", [True, False])
def test_the_checker_of_gymnasium_is_content(fixed: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(ENV_ID, num_cities=7, fixed_graph=fixed).unwrapped)


def test_it_is_found_by_its_module_alone() -> None:
    code = "import gymnasium; print(gymnasium.make('tspmz.tsp.gym_env:tspmz/TSP-v0', num_cities=5).action_space)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "Discrete(5)"


def play(env: TSPEnv, rng: np.random.Generator, seed: int | None = None) -> tuple[list[int], float, np.ndarray]:
    """A random tour: cities, sum of rewards, coordinates observed."""
    observation, info = env.reset(seed=seed)
    points, tour, total, done = observation[:, 2:], [int(observation[:, 1].argmax())], 0.0, False
    while not done:
        action = rng.choice(np.flatnonzero(info["action_mask"]))
        observation, reward, done, truncated, info = env.step(action)
        assert not truncated
        tour.append(int(observation[:, 1].argmax()))
        total += reward
    np.testing.assert_array_equal(observation[:, 2:], points)
    assert observation[:, 0].all()
    return tour, total, points


def test_rewards_sum_to_minus_the_length_on_the_graph_of_the_seed() -> None:
    env, rng = TSPEnv(num_cities=8, graph_seed=3), np.random.default_rng(0)
    graph = fixed_graph("uniform", 3, 8, 1)
    for seed in (None, 1, 2):  # the graph is kept, whatever the seed of a reset
        tour, total, points = play(env, rng, seed)
        np.testing.assert_array_equal(points, graph)
        assert total == pytest.approx(-tour_length(graph, np.array(tour)), rel=1e-5)


def test_graphs_that_are_not_fixed_follow_the_seed() -> None:
    env, rng = TSPEnv(num_cities=8, fixed_graph=False), np.random.default_rng(0)
    graphs = [play(env, rng, seed)[2] for seed in (1, None, 1)]
    assert (graphs[0] != graphs[1]).any()
    np.testing.assert_array_equal(graphs[0], graphs[2])


def test_illegal_actions_cost_and_change_nothing() -> None:
    env = TSPEnv(num_cities=3)
    before, _ = env.reset()
    answers: list[Any] = [env.step(np.int64(0)) for _ in range(12)]
    for observation, reward, done, _, info in answers:
        np.testing.assert_array_equal(observation, before)
        assert reward < -2.8
        assert not done
        assert info["action_mask"].tolist() == [0, 1, 1]
    assert [truncated for *_, truncated, _ in answers] == [False] * 11 + [True]


def test_renders_text_and_pictures() -> None:
    text = TSPEnv(num_cities=5, render_mode="ansi")
    text.reset()
    assert "tour 0, length 0.0000" in text.render()
    picture = TSPEnv(num_cities=5, render_mode="rgb_array")
    picture.reset()
    assert picture.render().shape[2] == 3
    with pytest.raises(ValueError, match="must be ansi, rgb_array or None"):
        TSPEnv(render_mode="human")
    with pytest.raises(ValueError, match="must be at least 3"):
        TSPEnv(num_cities=2)


def test_the_package_does_not_need_gymnasium() -> None:
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "import tspmz.tsp.game, tspmz.planning, tspmz.cli.eval, tspmz.runner"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
