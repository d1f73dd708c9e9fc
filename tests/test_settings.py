"""From the config to keyword arguments: every receiver takes exactly what it is given."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from process_helpers import tiny_config

from tspmz.config import Config
from tspmz.config_files import build_config
from tspmz.learner import Learner
from tspmz.network.build import build_network
from tspmz.replay.buffer import ReplayBuffer
from tspmz.search import BatchedSearch
from tspmz.settings import learner_settings, network_settings, replay_settings, search_settings


@pytest.mark.parametrize(
    ("settings", "receiver", "left_out"),
    [
        (network_settings, build_network, set()),
        (search_settings, BatchedSearch, set()),
        (learner_settings, Learner, set()),
        (replay_settings, ReplayBuffer, {"window_per_actor", "reanalyzed"}),
    ],
)
def test_receiver_takes_exactly_these_settings(
    settings: Callable[[Config], dict[str, Any]], receiver: Callable[..., Any], left_out: set[str]
) -> None:
    parameters = inspect.signature(receiver).parameters.values()
    keywords = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    assert set(settings(Config())) == keywords - left_out


def test_values_are_those_of_the_config() -> None:
    config = tiny_config(search__discount=0.5, learner__learning_rate=0.25, learner__batch_groups=3)
    found = network_settings(config)
    assert found.pop("num_cities") == 5
    assert (found["fc_value_layers"], found["resnet_policy_layers"]) == ((64,), ())
    assert {k: v for k, v in found.items() if not k.endswith("_layers") or k == "num_layers"} == {
        k: v for k, v in dataclasses.asdict(config.network).items() if not k.endswith("_layers") or k == "num_layers"
    }
    assert search_settings(config) == dataclasses.asdict(config.search)
    assert learner_settings(config)["learning_rate"] == 0.25
    assert learner_settings(tiny_config(learner__unroll_steps=20))["unroll_steps"] == 4
    assert replay_settings(config)["discount"] == 0.5
    assert replay_settings(config)["batch_groups"] == 3


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({}, 8),  # half of 16
        ({"replay.rerooted_share": 0.25}, 4),
        ({"selfplay.group_size": 3}, 1),
        ({"replay.rerooted_share": 0.25, "selfplay.group_size": 3}, 0),
        ({"replay.policy_target": "gumbel"}, 0),
        ({"replay.td_steps": 5}, 0),
        ({"replay.td_steps": 19}, 8),  # as many as there are moves: Monte-Carlo
    ],
)
def test_tours_are_walked_again_only_where_nothing_else_is_stored_along_them(
    values: dict[str, object], count: int
) -> None:
    assert replay_settings(build_config(values))["rerooted_episodes"] == count
