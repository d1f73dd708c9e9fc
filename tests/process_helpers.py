"""A tiny run without processes: settings, channels, an actor that plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tspmz.actor import Actor
from tspmz.channels import Channels, open_channels
from tspmz.config import Config
from tspmz.config_files import build_config
from tspmz.network.build import build_network, num_weights
from tspmz.replay.files import FileSystem
from tspmz.settings import network_settings
from tspmz.training import TrainingLoop

TINY = {
    "problem.num_cities": 5,
    "network.embedding_dim": 16,
    "network.num_layers": 1,
    "network.num_heads": 2,
    "network.feedforward_dim": 16,
    "network.support_size": 8,
    "search.num_simulations": 2,
    "search.max_considered_actions": 2,
    "selfplay.group_size": 4,
    "selfplay.groups_in_parallel": 2,
    "replay.capacity_groups": 16,
    "replay.min_groups": 4,
    "replay.error_buffer_groups": 8,
    "learner.batch_groups": 2,
    "evaluation.num_instances": 3,
    "evaluation.num_pictures": 1,
    "run.tensorboard": False,
}


def tiny_config(**values: Any) -> Config:
    """Tiny settings; `section__key=value` changes one."""
    return build_config({**TINY, **{key.replace("__", "."): value for key, value in values.items()}})


def tiny_channels(config: Config) -> Channels:
    """What the processes of such a run share."""
    return open_channels(config, num_weights(build_network(0, **network_settings(config))))


class TinyRun:
    """Learner and actor of a run in this process; `played` groups are in the ring.

    Attributes:
        config, channels, actor, loop: of the run.
    """

    def __init__(self, directory: Path, played: int = 4, files: FileSystem | None = None, **values: Any) -> None:
        self.config = tiny_config(**values)
        self.channels = tiny_channels(self.config)
        self.loop = TrainingLoop(self.config, self.channels, directory, "a run", "cpu", files=files)
        self.actor = Actor(0, self.config, self.channels)
        self.play(played)

    def play(self, groups: int) -> None:
        """Play at least so many more groups."""
        self.actor.pull_weights()
        wanted = self.channels.ring.written(0) + groups
        while self.channels.ring.written(0) < wanted:
            self.actor.play_once()
        self.loop.refresh()
