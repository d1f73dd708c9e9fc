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
    precision: str = setting(
        "float32", "of the loss and its gradients: float32, tf32 (matrix products on a GPU), or bf16 (torch's "
        "autocast); weights and optimizer stay float32", choices=("float32", "tf32", "bf16"),
    )  # fmt: skip
    compile: bool = setting(
        False, "the loss is compiled by torch.compile, on a GPU with CUDA graphs; where that fails it runs as it is"
    )
    threads: int = setting(1, "compute threads of the learner on the CPU", low=1, high=1024)
    initial_weights: str = setting(
        "", "run folder, checkpoint or pretrained model whose weights a new run starts from, also of another number of "
        "cities; empty = random ones"
    )
    batch_groups: int = setting(
        16, "groups in a batch; where memory is not enough for all, parts are added up", low=1, high=65_536
    )
    unroll_steps: int = setting(
        1, "dynamics steps K in the training unroll; those past the end of an episode are left out",
        low=0, high=100, source="MuZero, section 3"
    )
    positions: int = setting(0, "positions trained per episode of a batch; 0 = all", low=0, high=1000)
    unroll_positions: int = setting(
        5, "positions per episode of a batch that teach the value and are unrolled in the learned model; 0 = all",
        low=0, high=1000,
    )
    learning_rate: float = setting(1e-3, "peak learning rate", low=0.0, high=10.0)
    warmup_steps: int = setting(200, "train steps of linear warm-up", low=0, high=10**9)
    decay: str = setting(
        "cosine", "how the rate falls: by half a cosine at the end of the run, or exponentially all the time",
        choices=("cosine", "exponential"), source="MuZero, appendix G (the latter)",
    )  # fmt: skip
    decay_fraction: float = setting(
        0.4, "share of the run over which the rate falls to final_rate_fraction (cosine)", low=0.0, high=1.0
    )
    final_rate_fraction: float = setting(0.05, "last learning rate / peak learning rate (cosine)", low=0.0, high=1.0)
    decay_rate: float = setting(
        0.1, "factor on the rate in every decay_steps train steps (exponential)", low=1e-6, high=1.0
    )
    decay_steps: int = setting(
        400_000, "train steps over which the rate falls by decay_rate (exponential)", low=1, high=10**9,
        source="MuZero, appendix G",
    )
    optimizer: str = setting(
        "adamw", "adamw takes weight decay off the weights; adam and sgd add it to the gradient",
        choices=("adamw", "adam", "sgd"), source="Loshchilov and Hutter 2019", fixed=True,
    )
    momentum: float = setting(0.9, "momentum (sgd)", low=0.0, high=1.0, source="MuZero, appendix G")
    weight_decay: float = setting(1e-4, "weight decay of matrices; biases and norms have none", low=0.0, high=10.0)
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
    delay_seconds: float = setting(
        0.0, "(s) rest after each train step, to slow training down against play (parallel mode)", low=0.0, high=3600.0
    )
    checkpoint_seconds: float = setting(60.0, "(s) between two checkpoints", low=0.1, high=86_400.0)
    checkpoint_every: int = setting(0, "train steps between two checkpoints; 0 = by time only", low=0, high=10**9)
    keep_checkpoints: int = setting(3, "checkpoints kept", low=2, high=1000)
    max_bad_steps: int = setting(
        20, "train steps in a row with a non-finite loss or gradient before a rollback to a checkpoint",
        low=1, high=10**6,
    )  # fmt: skip
    max_rollbacks: int = setting(3, "rollbacks in one part of a run before it stops", low=0, high=1000)
    rollback_rate_factor: float = setting(
        0.5, "factor on the learning rate at each rollback, kept when the run is resumed", low=0.0, high=1.0
    )
