"""The one model of every setting: default, meaning, range, source, and the rules between settings."""

from tspmz.config.evaluation import EvaluationConfig
from tspmz.config.learner import LearnerConfig
from tspmz.config.model import LARGEST_DEFAULT_GROUP, Config, section_types, setting_type, settings, walk
from tspmz.config.network import NetworkConfig
from tspmz.config.problem import ProblemConfig
from tspmz.config.replay import ReplayConfig
from tspmz.config.run import RunConfig
from tspmz.config.search import SearchConfig
from tspmz.config.selfplay import SelfPlayConfig
from tspmz.config.setting import ConfigError, parse_schedule, parse_sizes

__all__ = [
    "LARGEST_DEFAULT_GROUP",
    "Config",
    "ConfigError",
    "EvaluationConfig",
    "LearnerConfig",
    "NetworkConfig",
    "ProblemConfig",
    "ReplayConfig",
    "RunConfig",
    "SearchConfig",
    "SelfPlayConfig",
    "parse_schedule",
    "parse_sizes",
    "section_types",
    "setting_type",
    "settings",
    "walk",
]
