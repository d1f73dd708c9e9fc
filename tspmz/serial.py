"""Serial mode: one actor, the learner and the recorder take turns in one process, so that a run is reproducible."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from tspmz.actor import Actor
from tspmz.best import BestModel
from tspmz.channels import Channels
from tspmz.config import Config
from tspmz.display import Display, ProcessView
from tspmz.evaluator import Evaluator
from tspmz.monitor import Monitor
from tspmz.recorder import Recorder
from tspmz.replay.manifest import Manifest
from tspmz.resume import Restored
from tspmz.rundir import BEST_MODEL, CHECKPOINTS, REPLAY, TENSORBOARD, RunDirectory
from tspmz.tensorboard import EventWriter
from tspmz.training import TrainingLoop, learner_device

_SHOW_SECONDS = 0.25


def run_serial(
    config: Config,
    run: RunDirectory,
    channels: Channels,
    restored: Restored | None,
    interrupted: Callable[[], bool],
    monitor: Monitor,
    display: Display,
) -> None:
    """Play and train in turn until the bound is reached.

    The same functions as in parallel mode, in a fixed order that depends on counters only: the actor plays whenever
    the rate limiter lets it, else the learner makes a step. Before a checkpoint is written, everything played is
    sealed. A run that is killed and resumed therefore ends with the same weights, bit by bit, as one that was not,
    if its bound is in train steps and `learner.checkpoint_every` is set.

    Raises:
        ValueError: more than one actor, which the rules of the settings refuse.
        RunError: as in parallel mode.
    """
    if config.selfplay.num_actors != 1:
        raise ValueError(f"a serial run plays with one actor, not {config.selfplay.num_actors}")
    replay = run.path / REPLAY
    manifest = restored.replay.manifest if restored else Manifest(replay, run.run_id)
    sealed = restored.replay.next_group_ids if restored else {}
    device = learner_device(config.learner.device)
    torch.set_num_threads(config.learner.threads)
    loop = TrainingLoop(config, channels, run.path, run.run_id, device, restored.state if restored else None)
    recorder = Recorder(config, channels, replay, run.run_id, sealed, manifest) if config.replay.persist else None
    actor = Actor(0, config, channels)
    if recorder is not None:
        loop.before_save = recorder.seal_all
    channels.control.start_clock()
    if restored is None:
        loop.save()
    show_next = 0.0
    while not interrupted() and not loop.finished:
        actor.pull_weights()
        if channels.limiter.actor_may_insert(0):
            actor.play_once()
            if recorder is not None:
                recorder.collect()
            loop.refresh()
        elif channels.limiter.learner_may_sample():
            loop.train_once()
        if time.monotonic() >= show_next:
            show_next = time.monotonic() + _SHOW_SECONDS
            display.update(monitor.view(channels.stats.snapshot(), (ProcessView("serial"),)))
    loop.save(final=True)
    if recorder is not None:
        recorder.finish()
    if config.evaluation.interval_seconds > 0 and not interrupted():
        events = EventWriter(run.path / TENSORBOARD / "evaluation", config.run.tensorboard)
        Evaluator(config, channels, events, BestModel(run.path / CHECKPOINTS / BEST_MODEL, config)).evaluate()
        events.close()
