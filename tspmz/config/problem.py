"""Settings of the problem: what is solved."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import setting


@dataclass(frozen=True)
class ProblemConfig:
    """What is solved."""

    num_cities: int = setting(20, "cities of an instance", low=3, high=1000, fixed=True)
    distribution: str = setting(
        "uniform", "how instances are drawn", choices=("uniform", "clustered"), fixed=True
    )
    fixed_graph: bool = setting(
        False, "one instance, drawn from run.seed, is played and evaluated for the whole run", fixed=True
    )
    reward: str = setting(
        "edge", "reward of a move: minus the length of each edge that it adds, or 1 - length of each (the last move "
        "adds two)", choices=("edge", "one_minus_edge"), fixed=True,
    )  # fmt: skip
    num_clusters: int = setting(3, "clusters of a clustered instance", low=1, high=1000, fixed=True)

    @property
    def edge_reward(self) -> float:
        """What an edge is worth before its length is taken off."""
        return 1.0 if self.reward == "one_minus_edge" else 0.0
