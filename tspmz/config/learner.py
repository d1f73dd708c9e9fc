"""Settings of training."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import setting


@dataclass(frozen=True)
class LearnerConfig:
    """Training."""

    device: str = setting(
        "auto", "where the learner runs; auto = cuda when there is one", choices=("auto", "cpu", "cuda")
    )
    threads: int = setting(1, "compute threads of the learner on the CPU", low=1, high=1024)
    batch_groups: int = setting(16, "groups in a batch", low=1, high=65_536)
    unroll_steps: int = setting(
        1, "dynamics steps K in the training unroll", low=0, high=100, source="MuZero, section 3"
    )
    positions: int = setting(0, "positions trained per episode of a batch; 0 = all", low=0, high=1000)
    unroll_positions: int = setting(
        5, "positions per episode of a batch that are unrolled in the learned model; 0 = all", low=0, high=1000
    )
    learning_rate: float = setting(1e-3, "peak learning rate", low=0.0, high=10.0)
    warmup_steps: int = setting(200, "train steps of linear warm-up", low=0, high=10**9)
    decay_fraction: float = setting(
        0.4, "share of the run over which the rate falls to final_rate_fraction", low=0.0, high=1.0
    )
    final_rate_fraction: float = setting(0.05, "last learning rate / peak learning rate", low=0.0, high=1.0)
    weight_decay: float = setting(1e-4, "AdamW weight decay", low=0.0, high=10.0, source="Loshchilov and Hutter 2019")
    max_grad_norm: float = setting(1.0, "gradients are scaled down to this norm", low=1e-6, high=1e6)
    value_loss_weight: float = setting(
        0.1, "weight of the value loss", low=0.0, high=1000.0, source="MuZero Reanalyze, appendix"
    )
    reward_loss_weight: float = setting(0.3, "weight of the reward loss", low=0.0, high=1000.0)
    entropy_bonus: float = setting(0.0, "weight of the policy's entropy", low=0.0, high=100.0)
    dynamics_gradient_scale: float = setting(
        0.5, "factor on the gradient that enters each dynamics step", low=0.0, high=1.0, source="MuZero, appendix G"
    )
    augment: bool = setting(True, "each instance of a batch is mapped by a random symmetry of the square")
    publish_every: int = setting(5, "train steps between two published versions of the weights", low=1, high=10**6)
    checkpoint_seconds: float = setting(60.0, "(s) between two checkpoints", low=0.1, high=86_400.0)
    checkpoint_every: int = setting(0, "train steps between two checkpoints; 0 = by time only", low=0, high=10**9)
    keep_checkpoints: int = setting(3, "checkpoints kept", low=2, high=1000)
    max_bad_steps: int = setting(
        20, "train steps in a row with a non-finite loss or gradient before a rollback to a checkpoint",
        low=1, high=10**6,
    )  # fmt: skip
    max_rollbacks: int = setting(3, "rollbacks in one part of a run before it stops", low=0, high=1000)
    rollback_rate_factor: float = setting(0.5, "factor on the learning rate at each rollback", low=0.0, high=1.0)
