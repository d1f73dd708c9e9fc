"""Settings of the tree search."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import setting


@dataclass(frozen=True)
class SearchConfig:
    """The tree search."""

    algorithm: str = setting("gumbel", "search algorithm", choices=("gumbel", "puct"))
    num_simulations: int = setting(
        8, "simulations per move; 0 = none: moves of self-play are drawn from the policy", low=0, high=100_000
    )
    max_considered_actions: int = setting(
        4, "root actions that sequential halving starts from", low=1, high=1000, source="Gumbel MuZero, section 2"
    )
    mask_interior: bool = setting(True, "visited cities are illegal everywhere in the tree, not only at the root")
    discount: float = setting(1.0, "per-step factor of future rewards", low=0.0, high=1.0)
    gumbel_scale: float = setting(1.0, "scale of the Gumbel noise at the root", low=0.0, high=10.0)
    value_scale: float = setting(
        0.03, "c_scale of the completed Q values", low=0.0, high=100.0, source="Gumbel MuZero, eq. 8"
    )
    maxvisit_init: float = setting(
        50.0, "c_visit of the completed Q values", low=0.0, high=10_000.0, source="Gumbel MuZero, eq. 8"
    )
    rescale_values: bool = setting(False, "completed Q values are min-max scaled to [0, 1] before value_scale")
    pb_c_init: float = setting(1.25, "PUCT exploration c1", low=0.0, high=100.0, source="MuZero, appendix B, eq. 2")
    pb_c_base: float = setting(19652.0, "PUCT exploration c2", low=1.0, high=1e9, source="MuZero, appendix B, eq. 2")
    backup: str = setting(
        "mean", "what a tree node is worth: the mean of all values backed up through it, or its largest Q value, with "
        "its own value for the actions not tried yet",
        choices=("mean", "max"), source="MuZero, appendix B, eq. 4 (mean)",
    )  # fmt: skip
    q_normalization: str = setting(
        "tree", "range that brings Q values to [0, 1] (PUCT): of the whole tree, or of a node and its children",
        choices=("tree", "siblings"), source="MuZero, appendix B, eq. 5 (tree)",
    )  # fmt: skip
    dirichlet_alpha: float = setting(
        0.3, "concentration of the root noise (PUCT)", low=1e-3, high=100.0, source="AlphaZero, methods"
    )
    dirichlet_fraction: float = setting(
        0.25, "share of the root noise in the prior (PUCT)", low=0.0, high=1.0, source="AlphaZero, methods"
    )
