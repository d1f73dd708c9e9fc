"""Settings of the evaluator."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import setting


@dataclass(frozen=True)
class EvaluationConfig:
    """The evaluator of a running training."""

    num_instances: int = setting(256, "held-out instances", low=1, high=10_000)
    interval_seconds: float = setting(30.0, "(s) between two evaluations; 0 = no evaluator", low=0.0, high=86_400.0)
    instance_seed: int = setting(
        4321, "seed of the held-out instances (never drawn in self-play)", low=0, high=2**32 - 1
    )
    test_games: int = setting(
        8, "games played at each evaluation with the search of self-play (or the policy alone, where there is none), "
        "without noise; their total reward and length are reported; 0 = none", low=0, high=10_000,
    )  # fmt: skip
    num_pictures: int = setting(4, "tours in the picture of tours; 0 = no pictures at all", low=0, high=64)
    picture_seconds: float = setting(
        60.0, "(s) between two sets of pictures; the last weights are drawn in any case", low=0.0, high=86_400.0
    )
