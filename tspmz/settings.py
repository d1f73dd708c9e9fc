"""From the config's sections to the keyword arguments of what they describe."""

from __future__ import annotations

import dataclasses
from typing import Any

from tspmz.config import Config, SearchConfig


def network_settings(config: Config) -> dict[str, Any]:
    """Arguments of `network.build.build_network`."""
    values = dataclasses.asdict(config.network) | {"num_cities": config.problem.num_cities}
    for field in dataclasses.fields(config.network):
        if field.metadata["parse"] is not None:
            values[field.name] = field.metadata["parse"](values[field.name])
    return values


def group_settings(config: Config, actor: int) -> dict[str, Any]:
    """Arguments of `selfplay.GroupSource`."""
    problem = config.problem
    return {
        "seed": config.run.seed,
        "actor": actor,
        "distribution": problem.distribution,
        "num_cities": problem.num_cities,
        "mixed_sizes": problem.sizes if len(problem.sizes) > 1 else (),
        "num_clusters": problem.num_clusters,
        "group_size": config.selfplay.group_size,
        "fixed_graph": problem.fixed_graph,
        "first_city": config.selfplay.starts == "first_city",
        "edge_reward": problem.edge_reward,
    }


def search_settings(config: Config) -> dict[str, Any]:
    """Arguments of `search.BatchedSearch`, as in self-play."""
    return dataclasses.asdict(config.search)


def reads_root_values(config: Config) -> bool:
    """Whether anything is made of the root values of self-play; what a search backs up stands on them, too."""
    replay = config.replay
    return config.search.num_simulations > 0 or replay.td_steps > 0 or replay.initial_priority == "search"


def planning_settings(config: Config) -> dict[str, Any]:
    """Arguments of `search.BatchedSearch` where somebody asks for a search.

    Where self-play has none, it has as many simulations as there are by default.
    """
    settings = search_settings(config)
    return settings | {"num_simulations": settings["num_simulations"] or SearchConfig().num_simulations}


def learner_settings(config: Config) -> dict[str, Any]:
    """Arguments of `learner.Learner`."""
    names = (
        "optimizer", "momentum", "weight_decay", "max_grad_norm", "learning_rate", "warmup_steps", "decay",
        "decay_fraction", "final_rate_fraction", "decay_rate", "decay_steps", "positions", "unroll_positions",
        "value_loss_weight", "reward_loss_weight", "entropy_bonus", "dynamics_gradient_scale", "augment",
        "precision", "compile",
    )  # fmt: skip
    # states past the end of an episode count for nothing: not even the steps that would lead there are taken
    unroll_steps = min(config.learner.unroll_steps, config.problem.num_cities - 1)
    return {name: getattr(config.learner, name) for name in names} | {"unroll_steps": unroll_steps}


def replay_settings(config: Config) -> dict[str, Any]:
    """Arguments of `replay.buffer.ReplayBuffer`."""
    names = (
        "sampling", "priority_exponent", "importance_exponent", "policy_target", "advantage_temperature",
        "advantage_weight_cap", "advantage_baseline", "td_steps", "reanalyze_fraction",
        "initial_priority", "position_sampling",
    )  # fmt: skip
    return {name: getattr(config.replay, name) for name in names} | {
        "batch_groups": config.learner.batch_groups,
        "sizes": config.problem.sizes,
        "positions": config.learner.positions,
        "rerooted_episodes": _rerooted_episodes(config),
        "edge_reward": config.problem.edge_reward,
        "discount": config.search.discount,
    }


def _rerooted_episodes(config: Config) -> int:
    """Episodes of a group that become walks of its best tour: what a search found along others would not fit these."""
    replay, moves = config.replay, config.problem.num_cities - 1
    if replay.policy_target != "advantage" or 0 < replay.td_steps < moves:
        return 0
    return int(replay.rerooted_share * config.selfplay.group_size)
