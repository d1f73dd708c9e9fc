"""Settings of self-play."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import parse_schedule, setting


@dataclass(frozen=True)
class SelfPlayConfig:
    """How actors play."""

    num_actors: int = setting(1, "actor processes", low=1, high=1024)
    group_size: int = setting(
        0, "episodes G on one instance; at most num_cities where each starts elsewhere; 0 = min(16, num_cities)",
        low=0, high=1000, fixed=True,
    )
    starts: str = setting(
        "different", "where the episodes of a group start: each in another city, drawn at random, or all in city 0 "
        "(only noise and temperature then make them differ)", choices=("different", "first_city"), fixed=True,
    )  # fmt: skip
    groups_in_parallel: int = setting(
        16, "groups that one actor plays in lock-step; in parts where memory is not enough for all", low=1, high=4096
    )
    temperature: float = setting(
        1.0, "exponent 1/temperature on visit counts (PUCT), factor of the Gumbel noise (Gumbel)", low=0.0, high=10.0
    )
    temperature_threshold: int = setting(
        0, "temperature falls to 0 after that many moves; 0 = never", low=0, high=1000, source="AlphaZero, methods"
    )
    temperature_schedule: str = setting(
        "", "other temperatures from given train steps on, such as 50000:0.5,75000:0.25", parse=parse_schedule,
        source="MuZero, appendix D",
    )
    delay_seconds: float = setting(
        0.0, "(s) rest after each batch of games, to slow play down against training (parallel mode)", low=0.0,
        high=3600.0,
    )
    max_weights_lag: int = setting(
        0, "(versions) a batch of games whose weights got older than that while it was played is dropped and played "
        "again with newer ones; 0 = no limit", low=0, high=10**9,
    )  # fmt: skip
    device: str = setting("cpu", "where actors evaluate the network", choices=("cpu", "cuda"))
    overlap: bool = setting(
        False, "an actor plays its groups in two halves: while a GPU evaluates the states of one, the trees of the "
        "other grow on the CPU",
    )  # fmt: skip
    compile: bool = setting(
        False, "what a simulation asks of the network is compiled by torch.compile, on a GPU with CUDA graphs; where "
        "that fails, or nothing is searched, it runs as it is",
    )  # fmt: skip
