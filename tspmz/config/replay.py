"""Settings of replay: ring, sampling, targets, files."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import setting


@dataclass(frozen=True)
class ReplayConfig:
    """Ring, sampling, targets and sealed segments."""

    capacity_groups: int = setting(128, "groups the replay window holds", low=1, high=10_000_000)
    min_groups: int = setting(64, "groups in the window before the first train step", low=1, high=10_000_000)
    samples_per_insert: float = setting(
        3.0, "positions sampled for training per env step played, at least", low=0.01, high=1000.0,
        source="Reverb, SampleToInsertRatio"
    )
    max_samples_per_insert: float = setting(
        8.0, "positions sampled for training per env step played, at most; between the two nobody waits",
        low=0.01, high=1000.0,
    )  # fmt: skip
    error_buffer_groups: int = setting(
        48, "(groups) how far play and training may run ahead of that ratio", low=1, high=1_000_000
    )
    sampling: str = setting("prioritized", "how groups are drawn", choices=("prioritized", "uniform"))
    priority_exponent: float = setting(0.2, "alpha of prioritized sampling", low=0.0, high=2.0, source="PER, eq. 1")
    importance_exponent: float = setting(
        1.0, "beta of importance weights", low=0.0, high=1.0, source="PER, section 3.4"
    )
    initial_priority: str = setting(
        "max", "priority of a new group: the largest so far, or its mean |root value - value target| from the search",
        choices=("max", "search"), source="PER, algorithm 1; MuZero, appendix G",
    )  # fmt: skip
    position_sampling: str = setting(
        "uniform", "how learner.positions of a drawn group are drawn: all equally likely, or by their last errors",
        choices=("uniform", "prioritized"), source="MuZero, appendix G",
    )  # fmt: skip
    policy_target: str = setting(
        "advantage", "what the policy learns: visit counts, Gumbel's improved policy, or the moves played, weighted "
        "by exp(advantage within the group / advantage_temperature)",
        choices=("visit_counts", "gumbel", "advantage"), fixed=True,
        source="MuZero, section 3; Gumbel MuZero, section 4; AWR, algorithm 1",
    )
    advantage_temperature: float = setting(
        0.02, "temperature of the advantage weight, at least the group's spread (in shares of the group's mean length)",
        low=1e-4, high=100.0,
        source="AWR, eq. 8",
    )
    advantage_weight_cap: float = setting(20.0, "largest advantage weight", low=1.0, high=1e6, source="AWR, section 5")
    advantage_baseline: float = setting(
        0.5, "share of the group's mean advantage weight taken off: above 0, worse episodes are learned to be avoided "
        "(of those that rerooted_share leaves)",
        low=0.0, high=1.0,
    )  # fmt: skip
    rerooted_share: float = setting(
        0.5, "share of a drawn group's episodes, its worst, that give way to its best tour, walked from their own "
        "starts and imitated with weight 1 (with policy_target = advantage and Monte-Carlo values; else none)",
        low=0.0, high=0.9,
    )  # fmt: skip
    td_steps: int = setting(
        0, "n of the n-step value target; 0 = Monte-Carlo return", low=0, high=1000, source="MuZero, appendix G"
    )
    persist: bool = setting(True, "groups are stored on disk; false: a resumed run starts with an empty window")
    reanalyze_fraction: float = setting(
        0.0, "share of the drawn groups whose targets come from newer weights, made by a process of its own; 0 = no "
        "such process", low=0.0, high=1.0, source="MuZero Reanalyze, appendix H",
    )  # fmt: skip
    reanalyze_policy: bool = setting(
        True, "it searches stored positions again, for policy and value targets; off: the newest weights' values only, "
        "without search, for the n-step value target",
    )  # fmt: skip
    segment_groups: int = setting(
        2048, "a segment is sealed after that many groups of an actor", low=1, high=1_000_000
    )
    segment_seconds: float = setting(30.0, "(s) a segment is sealed after that time", low=0.1, high=86_400.0)
    keep_groups: int = setting(
        0, "groups kept on disk, at least what a resume needs of each actor; older segments are removed; "
        "0 = twice capacity_groups", low=0, high=10**9,
    )  # fmt: skip
