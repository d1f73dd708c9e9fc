"""The configuration: every problem at once, files and overrides, what may change, and the hash."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tspmz import config, config_files
from tspmz.config import Config, ConfigError
from tspmz.config_files import build_config, config_hash, parse_cities

KEYS = list(config.settings())


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(call: object, *args: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.problems


def test_defaults_are_valid() -> None:
    Config().validate()


@pytest.mark.parametrize("key", KEYS)
def test_every_setting_is_documented(key: str) -> None:
    facts = config.settings()[key].metadata
    assert facts["meaning"]
    kind = config.setting_type(key)
    assert kind in (int, float, bool, str)
    assert type(config.settings()[key].default) is kind
    if kind in (int, float):
        assert facts["low"] is not None
        assert facts["low"] < facts["high"]


@pytest.mark.parametrize("key", KEYS)
def test_values_outside_the_range_are_named(key: str) -> None:
    facts = config.settings()[key].metadata
    wrong: list[object] = [facts["high"] * 2 + 1, facts["low"] - 1] if facts["low"] is not None else []
    if facts["choices"]:
        wrong = ["no such choice"]
    for value in wrong:
        (problem,) = problems_of(config_files.build_config, {key: value})
        assert problem.startswith(f"{key} = ")
        assert "must be" in problem


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_numbers_that_are_not_finite_are_refused(text: str) -> None:
    (problem,) = problems_of(config_files.load_config, (), [f"learner.learning_rate={text}"])
    assert "must be a finite number" in problem


def test_all_problems_are_named_at_once() -> None:
    values = {"problem.num_cities": 2, "search.num_simulations": -1, "search.algorithm": "dfs"}
    assert problems_of(config_files.build_config, values) == [
        "problem.num_cities = 2: must be at least 3",
        "search.algorithm = 'dfs': must be one of gumbel, puct",
        "search.num_simulations = -1: must be at least 0",
    ]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"network.num_heads": 3}, "network.num_heads = 3"),
        ({"selfplay.group_size": 30}, "selfplay.group_size = 30"),
        ({"selfplay.group_size": 1}, "selfplay.group_size = 1"),
        ({"network.stacked_observations": 1}, "network.stacked_observations = 1"),
        ({"network.downsample": True}, "network.downsample = true"),
        ({"network.kind": "resnet", "network.downsample": True}, "network.downsample = true"),
        ({"network.observation": "visits"}, "network.observation = visits: tells no city"),
        ({"network.observation": "visits", "network.kind": "resnet"}, "network.observation = visits: tells no city"),
        ({"network.observation": "visits", "network.kind": "fullyconnected"}, "network.observation = visits: shows"),
        ({"replay.position_sampling": "prioritized"}, "replay.position_sampling = prioritized: learner.positions = 0"),
        (
            {"replay.position_sampling": "prioritized", "learner.positions": 1, "replay.sampling": "uniform"},
            "replay.position_sampling = prioritized: needs replay.sampling",
        ),
        ({"replay.reanalyze_fraction": 0.5}, "replay.reanalyze_fraction: replay.policy_target = advantage"),
        (
            {"replay.reanalyze_fraction": 1.0, "replay.reanalyze_policy": False, "run.mode": "serial"},
            "replay.reanalyze_fraction: is work of a process",
        ),
        ({"replay.policy_target": "gumbel", "search.algorithm": "puct"}, "replay.policy_target = gumbel"),
        ({"search.num_simulations": 0, "search.algorithm": "puct"}, "search.num_simulations = 0: needs"),
        (
            {"search.num_simulations": 0, "replay.policy_target": "gumbel"},
            "search.num_simulations = 0: replay.policy_target = gumbel learns what a search finds",
        ),
        (
            {"replay.policy_target": "visit_counts", "search.num_simulations": 70_000},
            "search.num_simulations = 70000: must be at most 65535",
        ),
        ({"replay.min_groups": 600}, "replay.min_groups = 600"),
    ],
)
def test_rules_between_settings_are_checked(values: dict[str, object], named: str) -> None:
    assert any(problem.startswith(named) for problem in problems_of(config_files.build_config, values))


def test_later_sources_win(tmp_path: Path) -> None:
    first = written(tmp_path / "a.toml", "[search]\nnum_simulations = 16\nvalue_scale = 1\n[run]\nseed = 1\n")
    second = written(tmp_path / "b.toml", "[search]\nnum_simulations = 32\n[run]\nseed = 2\n")
    made = config_files.load_config([first, second], ["run.seed=4"], {"run.seed": 3, "learner.batch_groups": 9})
    assert made.search.num_simulations == 32
    assert made.search.value_scale == 1.0
    assert isinstance(made.search.value_scale, float)
    assert made.learner.batch_groups == 9
    assert made.run.seed == 4


def test_problems_of_every_source_are_named_at_once(tmp_path: Path) -> None:
    good = written(tmp_path / "a.toml", "top = 1\n[search]\nnum_simulation = 3\nmask_interior = 1\ndiscount = true\n")
    bad = written(tmp_path / "b.toml", "[search\n")
    missing = tmp_path / "c.toml"
    problems = problems_of(config_files.load_config, [good, bad, missing], ["nonsense", "search.num_simulations=many"])
    assert problems[0] == f"{good}: top: settings stand in sections, such as [search]"
    assert problems[1].startswith(f"{good}: search.num_simulation: unknown setting; did you mean search.num_simulation")
    assert "search.mask_interior = 1: must be of type bool, not int" in problems[2]
    assert "search.discount = True: must be of type float, not bool" in problems[3]
    assert problems[4].startswith(f"{bad}: not a TOML file")
    assert problems[5] == f"{missing}: cannot be read: No such file or directory"
    assert problems[6] == "--set nonsense: must read key=value"
    assert problems[7].endswith("search.num_simulations = 'many': must be a whole number")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("search.num_simulations", "50", 50),
        ("learner.learning_rate", "3e-4", 3e-4),
        ("search.mask_interior", "No", False),
        ("search.mask_interior", "true", True),
        ("run.shm_dir", "/a=b", "/a=b"),
    ],
)
def test_texts_are_read_by_the_type_of_the_key(key: str, text: str, value: object) -> None:
    assert config_files.collect_values(overrides=[f" {key} = {text} "]) == {key: value}


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("search.num_simulations", "8.5", "must be a whole number"),
        ("learner.learning_rate", "fast", "must be a number"),
        ("search.mask_interior", "maybe", "must be true or false"),
    ],
)
def test_texts_of_another_type_are_refused(key: str, text: str, problem: str) -> None:
    assert problems_of(config_files.parse_value, key, text) == [f"{key} = {text!r}: {problem}"]


@pytest.mark.parametrize(
    ("wrong", "suggested"),
    [
        ("search.num_simulation", "search.num_simulations"),
        ("learner.learning-rate", "learner.learning_rate"),
        ("num_cities", "problem.num_cities"),
    ],
)
def test_unknown_keys_get_a_suggestion(wrong: str, suggested: str) -> None:
    assert suggested in config_files.unknown_key_message(wrong)


def test_hopeless_unknown_keys_get_the_way_to_the_list() -> None:
    assert "--list-settings" in config_files.unknown_key_message("xyzzy")


@given(key=st.sampled_from(KEYS) | st.text(max_size=10), value=st.text(max_size=10) | st.floats().map(str))
def test_any_override_text_is_a_setting_or_a_config_error(key: str, value: str) -> None:
    with contextlib.suppress(ConfigError):
        config_files.load_config(overrides=[f"{key}={value}"]).validate()


def test_config_survives_json(tmp_path: Path) -> None:
    made = config_files.build_config({"search.num_simulations": 50, "learner.learning_rate": 0.1, "run.shm_dir": "/x"})
    content = json.dumps({"config": made.to_dict(), "run_id": "abc"}).encode()
    assert config_files.parse_config_json(content, "config.json") == made


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a JSON file"),
        ("[]", "not a tspmz run"),
        ('{"config": 3}', "not a tspmz run"),
        ('{"config": {"search": 3}}', "settings stand in sections"),
        ('{"config": {"search": {"num_simulations": "8"}}}', "must be of type int, not str"),
        ('{"config": {"search": {"num_simulations": -1}}}', "must be at least 0"),
        ('{"config": {"serch": {"num_simulations": 1}}}', "unknown setting"),
    ],
)
def test_wrong_config_files_are_explained(text: str, problem: str, tmp_path: Path) -> None:
    (line,) = problems_of(config_files.parse_config_json, text.encode(), "config.json")
    assert problem in line


@pytest.mark.parametrize(("num_cities", "group_size"), [(3, 3), (5, 5), (16, 16), (100, 16)])
def test_default_group_fits_the_number_of_cities(num_cities: int, group_size: int) -> None:
    made = config_files.build_config({"problem.num_cities": num_cities})
    assert made.selfplay.group_size == group_size
    assert config_files.config_from_dict(made.to_dict(), "a file") == made


def test_group_size_that_is_given_is_kept() -> None:
    assert config_files.build_config({"selfplay.group_size": 4}).selfplay.group_size == 4


def test_differences_name_old_new_and_whether_fixed() -> None:
    new = config_files.build_config({"network.num_layers": 4, "learner.learning_rate": 0.5})
    assert config_files.differences(Config(), new) == [
        ("network.num_layers", 3, 4, True),
        ("learner.learning_rate", 0.001, 0.5, False),
    ]
    assert config_files.differences(new, new) == []


def test_hash_follows_the_fixed_settings_only() -> None:
    base = config_files.config_hash(Config())
    other = config_files.build_config({"learner.learning_rate": 0.5, "selfplay.num_actors": 3})
    assert config_files.config_hash(other) == base
    assert config_files.config_hash(config_files.build_config({"network.num_layers": 4})) != base
    assert len(base) == 16
    assert int(base, 16) >= 0


def test_sizes_are_listed_with_commas_or_as_a_list_in_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.toml", '[network]\nfc_value_layers = [8, 16]\nfc_reward_layers = []\n')
    network = config_files.load_config([path], ["network.fc_policy_layers=4, 5"]).network
    assert (network.fc_value_layers, network.fc_reward_layers) == ("8,16", "")
    assert [config.parse_sizes(text) for text in ("8,16", "", " 4, 5")] == [(8, 16), (), (4, 5)]


@pytest.mark.parametrize("text", ["8,", "0", "8 16", "x", "-1"])
def test_sizes_that_are_none_are_named(text: str) -> None:
    (problem,) = problems_of(config_files.load_config, (), [f"network.fc_value_layers={text}"])
    assert problem == (
        f"network.fc_value_layers = {text!r}: must be whole numbers above 0, separated by commas, or empty"
    )


def test_schedules_are_pairs_of_steps_and_values() -> None:
    assert config.parse_schedule("") == ()
    assert config.parse_schedule("100:0.5, 200:0") == ((100, 0.5), (200, 0.0))


@pytest.mark.parametrize("text", ["5", "5:", "5:x", "5:1,5:2", "6:1,5:2", "-1:1", "5:11", "5:nan", "5:1,", "5:1:2"])
def test_schedules_that_are_none_are_named(text: str) -> None:
    (problem,) = problems_of(config_files.load_config, (), [f"selfplay.temperature_schedule={text}"])
    assert problem.startswith(f"selfplay.temperature_schedule = {text!r}: must be pairs of train steps, increasing")


@pytest.mark.parametrize(
    ("text", "largest", "sizes"),
    [
        ("20", 20, None),
        ("20..50", 50, "20,30,40,50"),
        ("20..21", 21, "20,21"),
        ("10..100", 100, "10,40,70,100"),
        ("50,20", 50, "20,50"),
    ],
)
def test_cities_may_be_a_number_a_range_or_a_list(text: str, largest: int, sizes: str | None) -> None:
    values = parse_cities(text)
    assert values == {"problem.num_cities": largest, **({"problem.mixed_sizes": sizes} if sizes else {})}
    config = build_config(values)
    assert config.problem.sizes == (tuple(map(int, sizes.split(","))) if sizes else (20,))
    assert config.selfplay.group_size == min(16, config.problem.sizes[0])
    assert config.problem.mean_moves == pytest.approx(np.mean(config.problem.sizes) - 1)


@pytest.mark.parametrize("text", ["50..20", "20..", "..50", "20..20", "a..b", "20...50", "20,", "1e3,5", "0..5"])
def test_cities_that_are_none_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"must be a number of cities, a range such as 20\.\.50, or a list"):
        parse_cities(text)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"problem.mixed_sizes": "10,30"}, "the last one must be problem.num_cities = 20"),
        ({"problem.mixed_sizes": "20,10"}, "in increasing order"),
        ({"problem.mixed_sizes": "2,20"}, "at least 3"),
        ({"problem.mixed_sizes": "x"}, "whole numbers"),
        ({"problem.mixed_sizes": "10,20", "network.kind": "fullyconnected"}, "is made for one size"),
        ({"problem.mixed_sizes": "10,20", "problem.fixed_graph": True}, "is one graph"),
        ({"problem.mixed_sizes": "10,20", "selfplay.group_size": 12}, "at most the smallest of problem.mixed_sizes"),
        (
            {"problem.mixed_sizes": "10,20", "replay.position_sampling": "prioritized", "learner.positions": 4},
            "episodes of one length",
        ),
    ],
)
def test_rules_of_mixed_sizes(values: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        build_config(values)


def test_runs_from_before_a_setting_keep_their_hash_and_what_they_did() -> None:
    tree = Config().to_dict()
    del tree["problem"]["mixed_sizes"], tree["network"]["encoder_norm"]
    old = config_files.config_from_dict(tree, "a run")
    assert config_hash(old) == "72e93b80df7f045b"
    assert old.network.encoder_norm == "layer"
    assert config_hash(build_config({})) != config_hash(old)
    assert config_hash(build_config(parse_cities("10..20"))) != config_hash(build_config({}))
