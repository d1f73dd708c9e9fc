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
    num_clusters: int = setting(3, "clusters of a clustered instance", low=1, high=1000, fixed=True)
