"""Settings of the run as a whole: bounds, seed, supervision."""

from __future__ import annotations

from dataclasses import dataclass

from tspmz.config.setting import setting


@dataclass(frozen=True)
class RunConfig:
    """The run as a whole."""

    seed: int = setting(0, "seed of every random stream of the run", low=0, high=2**63 - 1, fixed=True)
    minutes: float = setting(
        0.0, "(min) training time, earlier parts of a resumed run included; 0 = no bound", low=0.0, high=1e7
    )
    train_steps: int = setting(
        0, "train steps, earlier parts of a resumed run included; 0 = no bound", low=0, high=10**12
    )
    mode: str = setting(
        "parallel", "processes, or everything in turn in one (reproducible)", choices=("parallel", "serial")
    )
    shm_dir: str = setting("", "directory for shared memory; empty = anonymous memory without a size limit")
    heartbeat_seconds: float = setting(
        60.0, "(s) a process silent for longer is ended and restarted", low=1.0, high=86_400.0
    )
    max_restarts: int = setting(
        5, "restarts of a process within restart_window_seconds before the run stops, or does without it",
        low=0, high=10_000,
    )
    restart_window_seconds: float = setting(60.0, "(s) window in which restarts are counted", low=1.0, high=86_400.0)
    log_seconds: float = setting(5.0, "(s) between two points of the TensorBoard curves", low=0.1, high=3600.0)
    tensorboard: bool = setting(True, "write TensorBoard events")
