"""Every setting by role: sections, validation, and access by dotted key."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, get_type_hints

from tspmz.config.evaluation import EvaluationConfig
from tspmz.config.learner import LearnerConfig
from tspmz.config.network import NetworkConfig
from tspmz.config.problem import ProblemConfig
from tspmz.config.replay import ReplayConfig
from tspmz.config.rules import check_range, check_rules
from tspmz.config.run import RunConfig
from tspmz.config.search import SearchConfig
from tspmz.config.selfplay import SelfPlayConfig
from tspmz.config.setting import ConfigError

LARGEST_DEFAULT_GROUP = 16


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
            try:
                smallest = self.problem.sizes[0]
            except ValueError:  # `validate` will say so
                smallest = self.problem.num_cities
            size = min(LARGEST_DEFAULT_GROUP, smallest)
            object.__setattr__(self, "selfplay", dataclasses.replace(self.selfplay, group_size=size))

    @property
    def reanalyzes(self) -> bool:
        """Whether a process gives stored groups newer targets; not where those would be the old ones.

        Values alone change only targets that hold a value: n-step ones with n below the number of moves.
        """
        bootstraps = 0 < self.replay.td_steps < self.problem.num_cities - 1
        return self.replay.reanalyze_fraction > 0 and (self.replay.reanalyze_policy or bootstraps)

    def validate(self) -> None:
        """Check every range and every rule between settings.

        Raises:
            ConfigError: names all problems at once.
        """
        problems = [problem for key, field, value in walk(self) for problem in check_range(key, field, value)]
        if not problems:
            problems = check_rules(self)
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
