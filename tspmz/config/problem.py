"""Settings of the problem: what is solved."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import parse_sizes, setting


@dataclass(frozen=True)
class ProblemConfig:
    """What is solved."""

    num_cities: int = setting(20, "cities of an instance", low=3, high=1000, fixed=True)
    mixed_sizes: str = setting(
        "", "numbers of cities that are played in turn, such as 20,30,40,50, the largest being num_cities; empty = "
        "that one alone", parse=parse_sizes, fixed=True,
    )  # fmt: skip
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
    def sizes(self) -> tuple[int, ...]:
        """Every number of cities that is played, in increasing order."""
        return parse_sizes(self.mixed_sizes) or (self.num_cities,)

    @property
    def mean_moves(self) -> float:
        """Moves of an episode, T = N - 1, as a mean over the sizes: of each as many groups are played."""
        return sum(self.sizes) / len(self.sizes) - 1.0

    @property
    def edge_reward(self) -> float:
        """What an edge is worth before its length is taken off."""
        return 1.0 if self.reward == "one_minus_edge" else 0.0
