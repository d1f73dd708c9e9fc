"""What makes settings wrong: values out of range, and rules that tie settings to one another."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tspmz.config.model import Config

_MAX_STORED_VISITS = 2**16 - 1
"""`replay.fields.MAX_VISITS`: self-play writes counts into records without looking at them again."""


def check_range(key: str, field: dataclasses.Field[Any], value: Any) -> list[str]:
    """A line on what is wrong with one value, if anything is."""
    low, high, choices = (field.metadata[name] for name in ("low", "high", "choices"))
    if choices is not None and value not in choices:
        return [f"{key} = {value!r}: must be one of {', '.join(choices)}"]
    if field.metadata["parse"] is not None:
        try:
            field.metadata["parse"](value)
        except ValueError as error:
            return [f"{key} = {value!r}: must be {error}"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{key} = {value}: must be a finite number"]
    if low is not None and value < low:
        return [f"{key} = {value}: must be at least {low}"]
    if high is not None and value > high:
        return [f"{key} = {value}: must be at most {high}"]
    return []


def check_rules(config: Config) -> list[str]:
    """A line for each broken rule that ties settings to one another."""
    return [*_size_rules(config), *_network_rules(config), *_play_rules(config), *_replay_rules(config)]


def _size_rules(config: Config) -> list[str]:
    problem, sizes = config.problem, config.problem.sizes
    given = f"problem.mixed_sizes = {problem.mixed_sizes}"
    problems = []
    if list(sizes) != sorted(set(sizes)) or sizes[0] < 3:
        problems.append(f"{given}: must be different numbers of at least 3 in increasing order")
    elif sizes[-1] != problem.num_cities:
        problems.append(f"{given}: the last one must be problem.num_cities = {problem.num_cities}")
    if len(sizes) > 1 and problem.fixed_graph:
        problems.append(f"{given}: problem.fixed_graph = true is one graph, of one size")
    if len(sizes) > 1 and config.network.kind != "attention":
        problems.append(f"{given}: network.kind = {config.network.kind} is made for one size; attention takes any")
    if len(sizes) > 1 and config.replay.position_sampling == "prioritized":
        problems.append(f"{given}: replay.position_sampling = prioritized needs episodes of one length")
    return problems


def _network_rules(config: Config) -> list[str]:
    problems = []
    network = config.network
    if network.kind == "attention" and network.embedding_dim % network.num_heads:
        problems.append(
            f"network.num_heads = {network.num_heads}: must divide network.embedding_dim = {network.embedding_dim}"
        )
    if network.kind == "attention" and network.stacked_observations:
        problems.append(
            f"network.stacked_observations = {network.stacked_observations}: network.kind = attention takes none; "
            f"resnet and fullyconnected do"
        )
    by_position = network.kind == "fullyconnected" or (network.kind == "resnet" and network.resnet_board == "cities")
    if network.observation == "visits" and not by_position:
        problems.append(
            "network.observation = visits: tells no city from another without their order, so it needs network.kind = "
            "fullyconnected, or resnet with network.resnet_board = cities"
        )
    if network.observation == "visits" and not (
        config.problem.fixed_graph and config.selfplay.starts == "first_city"
    ):
        problems.append(
            "network.observation = visits: shows neither coordinates nor the first city, so it needs "
            "problem.fixed_graph = true and selfplay.starts = first_city"
        )
    if network.downsample and not (network.kind == "resnet" and network.resnet_board == "cities"):
        problems.append("network.downsample = true: needs network.kind = resnet and network.resnet_board = cities")
    return problems


def _play_rules(config: Config) -> list[str]:
    problems = []
    smallest = config.problem.sizes[0]
    if config.selfplay.starts == "different" and config.selfplay.group_size > smallest:
        least = "problem.num_cities" if smallest == config.problem.num_cities else "the smallest of problem.mixed_sizes"
        problems.append(
            f"selfplay.group_size = {config.selfplay.group_size}: must be at most {least} = "
            f"{smallest} (each episode of a group starts at another city), or selfplay.starts = "
            f"first_city"
        )
    if config.replay.policy_target == "advantage" and config.selfplay.group_size < 2:
        problems.append("selfplay.group_size = 1: replay.policy_target = advantage needs a group of at least 2")
    if config.selfplay.overlap and config.selfplay.groups_in_parallel < 2:
        problems.append("selfplay.overlap = true: needs selfplay.groups_in_parallel of at least 2, to halve them")
    if config.selfplay.overlap and config.selfplay.compile:
        problems.append("selfplay.overlap = true: excludes selfplay.compile = true (CUDA graphs belong to one thread)")
    return problems


def _replay_rules(config: Config) -> list[str]:
    problems = []
    if config.replay.position_sampling == "prioritized" and not config.learner.positions:
        problems.append(
            "replay.position_sampling = prioritized: learner.positions = 0 trains on all of them; say how many to draw"
        )
    if config.replay.position_sampling == "prioritized" and config.replay.sampling != "prioritized":
        problems.append("replay.position_sampling = prioritized: needs replay.sampling = prioritized")
    searches_again = config.replay.reanalyze_fraction > 0 and config.replay.reanalyze_policy
    if searches_again and config.replay.policy_target == "advantage":
        problems.append(
            "replay.reanalyze_fraction: replay.policy_target = advantage learns the moves that were played, which no "
            "search changes; set replay.reanalyze_policy = false, or take visit_counts or gumbel"
        )
    if config.replay.reanalyze_fraction and config.run.mode == "serial":
        problems.append("replay.reanalyze_fraction: is work of a process of its own, which run.mode = serial has not")
    if config.selfplay.num_actors > 1 and config.run.mode == "serial":
        problems.append(
            f"selfplay.num_actors = {config.selfplay.num_actors}: run.mode = serial plays with one, use --actors 1"
        )
    if config.replay.policy_target == "visit_counts" and config.search.num_simulations > _MAX_STORED_VISITS:
        problems.append(
            f"search.num_simulations = {config.search.num_simulations}: must be at most {_MAX_STORED_VISITS} with "
            f"replay.policy_target = visit_counts, which are stored in 16 bits"
        )
    if config.search.num_simulations == 0 and config.search.algorithm == "puct":
        problems.append(
            "search.num_simulations = 0: needs search.algorithm = gumbel, whose noise draws the moves; choose that, or "
            "at least 1 simulation"
        )
    if config.search.num_simulations == 0 and config.replay.policy_target != "advantage":
        problems.append(
            f"search.num_simulations = 0: replay.policy_target = {config.replay.policy_target} learns what a search "
            f"finds; choose at least 1 simulation, or advantage"
        )
    if config.replay.policy_target == "gumbel" and config.search.algorithm != "gumbel":
        problems.append("replay.policy_target = gumbel: needs search.algorithm = gumbel")
    if config.replay.max_samples_per_insert < config.replay.samples_per_insert:
        problems.append(
            f"replay.max_samples_per_insert = {config.replay.max_samples_per_insert}: must be at least "
            f"replay.samples_per_insert = {config.replay.samples_per_insert}"
        )
    if config.replay.min_groups > config.replay.capacity_groups:
        problems.append(
            f"replay.min_groups = {config.replay.min_groups}: must be at most replay.capacity_groups = "
            f"{config.replay.capacity_groups}"
        )
    if config.replay.capacity_groups < config.selfplay.num_actors:
        problems.append(
            f"replay.capacity_groups = {config.replay.capacity_groups}: must be at least selfplay.num_actors = "
            f"{config.selfplay.num_actors} (one shard of the ring for each actor)"
        )
    return problems
