"""The one model of every setting: default, meaning, range, source, and the rules between settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, get_type_hints

LARGEST_DEFAULT_GROUP = 16


class ConfigError(ValueError):
    """All that is wrong with a configuration, one line a problem.

    Attributes:
        problems: the lines.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def _setting(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    source: str = "",
    fixed: bool = False,
) -> Any:
    """A field with its documentation.

    Args:
        default: value when nothing is said.
        meaning: one line, the unit in brackets first where there is one.
        low: smallest allowed value (inclusive).
        high: largest allowed value (inclusive).
        choices: the allowed strings.
        source: paper section the setting comes from.
        fixed: cannot change when a run is resumed (weights or stored episodes depend on it).
    """
    metadata = {"meaning": meaning, "low": low, "high": high, "choices": choices, "source": source, "fixed": fixed}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ProblemConfig:
    """What is solved."""

    num_cities: int = _setting(20, "cities of an instance", low=3, high=1000, fixed=True)
    distribution: str = _setting(
        "uniform", "how instances are drawn", choices=("uniform", "clustered"), fixed=True
    )
    num_clusters: int = _setting(3, "clusters of a clustered instance", low=1, high=1000, fixed=True)


@dataclass(frozen=True)
class NetworkConfig:
    """Representation, dynamics and prediction."""

    kind: str = _setting(
        "attention", "the network; resnet and fullyconnected work for the number of cities they are made for only",
        choices=("attention", "resnet", "fullyconnected"), source="MuZero, appendix F (the latter two)", fixed=True,
    )
    embedding_dim: int = _setting(64, "width D of city embeddings and latents", low=8, high=1024, fixed=True)
    num_layers: int = _setting(3, "attention layers of the instance encoder", low=1, high=24, fixed=True)
    num_heads: int = _setting(4, "attention heads; must divide embedding_dim", low=1, high=64, fixed=True)
    feedforward_dim: int = _setting(
        256, "hidden width of the encoder's feed-forward layers", low=8, high=8192, fixed=True
    )
    resnet_blocks: int = _setting(2, "residual blocks of each tower (resnet)", low=1, high=64, fixed=True)
    resnet_channels: int = _setting(16, "channels of the residual blocks (resnet)", low=1, high=1024, fixed=True)
    fc_hidden: int = _setting(64, "width of the hidden layers (fullyconnected)", low=1, high=8192, fixed=True)
    tanh_clipping: float = _setting(
        10.0, "policy logits are clipping * tanh(score)", low=0.1, high=1000.0,
        source="Bello et al. 2016, appendix; Kool et al. 2019, eq. 7", fixed=True,
    )
    support_size: int = _setting(
        32, "the categorical value and reward have 2 * support_size + 1 atoms", low=1, high=1000,
        source="MuZero, appendix F", fixed=True,
    )
    support_step: float = _setting(
        0.2, "distance between two atoms after the transform h", low=0.001, high=10.0,
        source="MuZero, appendix F (there 1)", fixed=True,
    )


@dataclass(frozen=True)
class SearchConfig:
    """The tree search."""

    algorithm: str = _setting("gumbel", "search algorithm", choices=("gumbel", "puct"))
    num_simulations: int = _setting(8, "simulations per move", low=1, high=100_000)
    max_considered_actions: int = _setting(
        4, "root actions that sequential halving starts from", low=1, high=1000, source="Gumbel MuZero, section 2"
    )
    mask_interior: bool = _setting(True, "visited cities are illegal everywhere in the tree, not only at the root")
    discount: float = _setting(1.0, "per-step factor of future rewards", low=0.0, high=1.0)
    gumbel_scale: float = _setting(1.0, "scale of the Gumbel noise at the root", low=0.0, high=10.0)
    value_scale: float = _setting(
        0.03, "c_scale of the completed Q values", low=0.0, high=100.0, source="Gumbel MuZero, eq. 8"
    )
    maxvisit_init: float = _setting(
        50.0, "c_visit of the completed Q values", low=0.0, high=10_000.0, source="Gumbel MuZero, eq. 8"
    )
    rescale_values: bool = _setting(False, "completed Q values are min-max scaled to [0, 1] before value_scale")
    pb_c_init: float = _setting(1.25, "PUCT exploration c1", low=0.0, high=100.0, source="MuZero, appendix B, eq. 2")
    pb_c_base: float = _setting(19652.0, "PUCT exploration c2", low=1.0, high=1e9, source="MuZero, appendix B, eq. 2")
    dirichlet_alpha: float = _setting(
        0.3, "concentration of the root noise (PUCT)", low=1e-3, high=100.0, source="AlphaZero, methods"
    )
    dirichlet_fraction: float = _setting(
        0.25, "share of the root noise in the prior (PUCT)", low=0.0, high=1.0, source="AlphaZero, methods"
    )


@dataclass(frozen=True)
class SelfPlayConfig:
    """How actors play."""

    num_actors: int = _setting(1, "actor processes", low=1, high=1024)
    group_size: int = _setting(
        0, "episodes G on one instance, each from another start; at most num_cities; 0 = min(16, num_cities)",
        low=0, high=1000, fixed=True,
    )
    groups_in_parallel: int = _setting(16, "groups that one actor plays in lock-step", low=1, high=4096)
    temperature: float = _setting(
        1.0, "exponent 1/temperature on visit counts (PUCT), factor of the Gumbel noise (Gumbel)", low=0.0, high=10.0
    )
    temperature_threshold: int = _setting(
        0, "temperature falls to 0 after that many moves; 0 = never", low=0, high=1000, source="AlphaZero, methods"
    )
    device: str = _setting("cpu", "where actors evaluate the network", choices=("cpu", "cuda"))


@dataclass(frozen=True)
class ReplayConfig:
    """Ring, sampling, targets and sealed segments."""

    capacity_groups: int = _setting(128, "groups the replay window holds", low=1, high=10_000_000)
    min_groups: int = _setting(64, "groups in the window before the first train step", low=1, high=10_000_000)
    samples_per_insert: float = _setting(
        3.0, "positions sampled for training per env step played, at least", low=0.01, high=1000.0,
        source="Reverb, SampleToInsertRatio"
    )
    max_samples_per_insert: float = _setting(
        8.0, "positions sampled for training per env step played, at most; between the two nobody waits",
        low=0.01, high=1000.0,
    )  # fmt: skip
    error_buffer_groups: int = _setting(
        48, "(groups) how far play and training may run ahead of that ratio", low=1, high=1_000_000
    )
    sampling: str = _setting("prioritized", "how groups are drawn", choices=("prioritized", "uniform"))
    priority_exponent: float = _setting(0.2, "alpha of prioritized sampling", low=0.0, high=2.0, source="PER, eq. 1")
    importance_exponent: float = _setting(
        1.0, "beta of importance weights", low=0.0, high=1.0, source="PER, section 3.4"
    )
    policy_target: str = _setting(
        "advantage", "what the policy learns: visit counts, Gumbel's improved policy, or the moves played, weighted "
        "by exp(advantage within the group / advantage_temperature)",
        choices=("visit_counts", "gumbel", "advantage"), fixed=True,
        source="MuZero, section 3; Gumbel MuZero, section 4; AWR, algorithm 1",
    )
    advantage_temperature: float = _setting(
        0.02, "temperature of the advantage weight, at least the group's spread (in shares of the group's mean length)",
        low=1e-4, high=100.0,
        source="AWR, eq. 8",
    )
    advantage_weight_cap: float = _setting(20.0, "largest advantage weight", low=1.0, high=1e6, source="AWR, section 5")
    advantage_baseline: float = _setting(
        0.5, "share of the group's mean advantage weight taken off: above 0, worse episodes are learned to be avoided",
        low=0.0, high=1.0,
    )  # fmt: skip
    td_steps: int = _setting(
        0, "n of the n-step value target; 0 = Monte-Carlo return", low=0, high=1000, source="MuZero, appendix G"
    )
    segment_groups: int = _setting(
        2048, "a segment is sealed after that many groups of an actor", low=1, high=1_000_000
    )
    segment_seconds: float = _setting(30.0, "(s) a segment is sealed after that time", low=0.1, high=86_400.0)
    keep_groups: int = _setting(
        0, "groups kept on disk; older segments are removed; 0 = twice capacity_groups", low=0, high=10**9
    )


@dataclass(frozen=True)
class LearnerConfig:
    """Training."""

    device: str = _setting(
        "auto", "where the learner runs; auto = cuda when there is one", choices=("auto", "cpu", "cuda")
    )
    threads: int = _setting(1, "compute threads of the learner on the CPU", low=1, high=1024)
    batch_groups: int = _setting(16, "groups in a batch", low=1, high=65_536)
    unroll_steps: int = _setting(
        1, "dynamics steps K in the training unroll", low=0, high=100, source="MuZero, section 3"
    )
    positions: int = _setting(0, "positions trained per episode of a batch; 0 = all", low=0, high=1000)
    unroll_positions: int = _setting(
        5, "positions per episode of a batch that are unrolled in the learned model; 0 = all", low=0, high=1000
    )
    learning_rate: float = _setting(1e-3, "peak learning rate", low=0.0, high=10.0)
    warmup_steps: int = _setting(200, "train steps of linear warm-up", low=0, high=10**9)
    decay_fraction: float = _setting(
        0.4, "share of the run over which the rate falls to final_rate_fraction", low=0.0, high=1.0
    )
    final_rate_fraction: float = _setting(0.05, "last learning rate / peak learning rate", low=0.0, high=1.0)
    weight_decay: float = _setting(1e-4, "AdamW weight decay", low=0.0, high=10.0, source="Loshchilov and Hutter 2019")
    max_grad_norm: float = _setting(1.0, "gradients are scaled down to this norm", low=1e-6, high=1e6)
    value_loss_weight: float = _setting(
        0.1, "weight of the value loss", low=0.0, high=1000.0, source="MuZero Reanalyze, appendix"
    )
    reward_loss_weight: float = _setting(0.3, "weight of the reward loss", low=0.0, high=1000.0)
    entropy_bonus: float = _setting(0.0, "weight of the policy's entropy", low=0.0, high=100.0)
    dynamics_gradient_scale: float = _setting(
        0.5, "factor on the gradient that enters each dynamics step", low=0.0, high=1.0, source="MuZero, appendix G"
    )
    augment: bool = _setting(True, "each instance of a batch is mapped by a random symmetry of the square")
    publish_every: int = _setting(5, "train steps between two published versions of the weights", low=1, high=10**6)
    checkpoint_seconds: float = _setting(60.0, "(s) between two checkpoints", low=0.1, high=86_400.0)
    checkpoint_every: int = _setting(0, "train steps between two checkpoints; 0 = by time only", low=0, high=10**9)
    keep_checkpoints: int = _setting(3, "checkpoints kept", low=2, high=1000)
    max_bad_steps: int = _setting(
        20, "train steps in a row with a non-finite loss or gradient before the run stops", low=1, high=10**6
    )


@dataclass(frozen=True)
class EvaluationConfig:
    """The evaluator of a running training."""

    num_instances: int = _setting(256, "held-out instances", low=1, high=10_000)
    interval_seconds: float = _setting(30.0, "(s) between two evaluations; 0 = no evaluator", low=0.0, high=86_400.0)
    instance_seed: int = _setting(
        4321, "seed of the held-out instances (never drawn in self-play)", low=0, high=2**32 - 1
    )
    num_pictures: int = _setting(4, "tours drawn at each evaluation", low=0, high=64)


@dataclass(frozen=True)
class RunConfig:
    """The run as a whole."""

    seed: int = _setting(0, "seed of every random stream of the run", low=0, high=2**63 - 1, fixed=True)
    minutes: float = _setting(
        0.0, "(min) training time, earlier parts of a resumed run included; 0 = no bound", low=0.0, high=1e7
    )
    train_steps: int = _setting(
        0, "train steps, earlier parts of a resumed run included; 0 = no bound", low=0, high=10**12
    )
    mode: str = _setting(
        "parallel", "processes, or everything in turn in one (reproducible)", choices=("parallel", "serial")
    )
    shm_dir: str = _setting("", "directory for shared memory; empty = anonymous memory without a size limit")
    heartbeat_seconds: float = _setting(
        60.0, "(s) a process silent for longer is ended and restarted", low=1.0, high=86_400.0
    )
    max_restarts: int = _setting(
        5, "restarts of actors within restart_window_seconds before the run stops", low=0, high=10_000
    )
    restart_window_seconds: float = _setting(60.0, "(s) window in which restarts are counted", low=1.0, high=86_400.0)
    log_seconds: float = _setting(5.0, "(s) between two points of the TensorBoard curves", low=0.1, high=3600.0)
    tensorboard: bool = _setting(True, "write TensorBoard events")


@dataclass(frozen=True)
class Config:
    """Every setting of a run, by role. Build with `config_files.build_config`; `validate` has then passed.

    A `selfplay.group_size` of 0 is replaced by the number it stands for, so that no user of a Config meets it.
    """

    problem: ProblemConfig = dataclasses.field(default_factory=ProblemConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
    selfplay: SelfPlayConfig = dataclasses.field(default_factory=SelfPlayConfig)
    replay: ReplayConfig = dataclasses.field(default_factory=ReplayConfig)
    learner: LearnerConfig = dataclasses.field(default_factory=LearnerConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    run: RunConfig = dataclasses.field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if self.selfplay.group_size == 0:
            size = min(LARGEST_DEFAULT_GROUP, self.problem.num_cities)
            object.__setattr__(self, "selfplay", dataclasses.replace(self.selfplay, group_size=size))

    def validate(self) -> None:
        """Check every range and every rule between settings.

        Raises:
            ConfigError: names all problems at once.
        """
        problems = [problem for key, field, value in walk(self) for problem in _check_range(key, field, value)]
        if not problems:
            problems = _check_rules(self)
        if problems:
            raise ConfigError(problems)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain nested dictionaries: section -> key -> value."""
        return dataclasses.asdict(self)


def walk(config: Config) -> list[tuple[str, dataclasses.Field[Any], Any]]:
    """Every setting as (dotted key, field, value)."""
    rows = []
    for section in dataclass_fields(config):
        part = getattr(config, section.name)
        rows += [(f"{section.name}.{field.name}", field, getattr(part, field.name)) for field in dataclass_fields(part)]
    return rows


def _check_range(key: str, field: dataclasses.Field[Any], value: Any) -> list[str]:
    low, high, choices = (field.metadata[name] for name in ("low", "high", "choices"))
    if choices is not None and value not in choices:
        return [f"{key} = {value!r}: must be one of {', '.join(choices)}"]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{key} = {value}: must be a finite number"]
    if low is not None and value < low:
        return [f"{key} = {value}: must be at least {low}"]
    if high is not None and value > high:
        return [f"{key} = {value}: must be at most {high}"]
    return []


def _check_rules(config: Config) -> list[str]:
    """Rules that tie settings to one another."""
    problems = []
    if config.network.kind == "attention" and config.network.embedding_dim % config.network.num_heads:
        problems.append(
            f"network.num_heads = {config.network.num_heads}: must divide network.embedding_dim = "
            f"{config.network.embedding_dim}"
        )
    if config.selfplay.group_size > config.problem.num_cities:
        problems.append(
            f"selfplay.group_size = {config.selfplay.group_size}: must be at most problem.num_cities = "
            f"{config.problem.num_cities} (each episode of a group starts at another city)"
        )
    if config.replay.policy_target == "advantage" and config.selfplay.group_size < 2:
        problems.append("selfplay.group_size = 1: replay.policy_target = advantage needs a group of at least 2")
    if config.replay.policy_target == "gumbel" and config.search.algorithm != "gumbel":
        problems.append("replay.policy_target = gumbel: needs search.algorithm = gumbel")
    if config.replay.max_samples_per_insert < config.replay.samples_per_insert:
        problems.append(
            f"replay.max_samples_per_insert = {config.replay.max_samples_per_insert}: must be at least "
            f"replay.samples_per_insert = {config.replay.samples_per_insert}"
        )
    if config.replay.min_groups > config.replay.capacity_groups:
        problems.append(
            f"replay.min_groups = {config.replay.min_groups}: must be at most replay.capacity_groups = "
            f"{config.replay.capacity_groups}"
        )
    if config.replay.capacity_groups < config.selfplay.num_actors:
        problems.append(
            f"replay.capacity_groups = {config.replay.capacity_groups}: must be at least selfplay.num_actors = "
            f"{config.selfplay.num_actors} (one shard of the ring for each actor)"
        )
    if config.learner.unroll_steps >= config.problem.num_cities:
        problems.append(
            f"learner.unroll_steps = {config.learner.unroll_steps}: must be below problem.num_cities = "
            f"{config.problem.num_cities}"
        )
    return problems


def settings() -> dict[str, dataclasses.Field[Any]]:
    """Every setting by its dotted key, in the order of the sections."""
    return {key: field for key, field, _ in walk(Config())}


def setting_type(key: str) -> type:
    """Python type (int, float, bool, str) of one dotted key.

    Raises:
        KeyError: no such key.
    """
    if key not in settings():
        raise KeyError(key)
    section, name = key.split(".")
    return get_type_hints(type(getattr(Config(), section)))[name]  # type: ignore[no-any-return]


def section_types() -> dict[str, type]:
    """The dataclass of each section by its name."""
    return get_type_hints(Config)
