"""The learner's loop: batches from the replay, steps, priorities and weights back, checkpoints."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tspmz.channels import Channels, draws_per_position, window_per_actor
from tspmz.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from tspmz.config import Config
from tspmz.config_files import config_from_dict
from tspmz.control import Phase
from tspmz.errors import RunError, TspmzError, UsageError
from tspmz.fitting import is_out_of_memory, reason_of
from tspmz.learner import Learner, StepReport
from tspmz.network.build import AnyNetwork, build_network, flatten_weights, num_weights
from tspmz.process import enter_child
from tspmz.replay.buffer import ReplayBuffer
from tspmz.replay.files import FileSystem
from tspmz.rng import generator_for
from tspmz.rollback import Rollbacks
from tspmz.rundir import CHECKPOINTS
from tspmz.settings import learner_settings, network_settings, replay_settings
from tspmz.trained import load_weights, read_agent_state
from tspmz.types import Batch

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
_SAME_SHAPES = ("encoder_norm", "support_step", "tanh_clipping", "action_input")
"""Settings of the network that change what weights mean, and not their shapes."""
_SHOWN = (
    "total_loss", "policy_loss", "value_loss", "reward_loss", "policy_entropy", "value_error", "reward_error",
    "gradient_norm", "learning_rate",
)  # fmt: skip


class TrainingLoop:
    """One learner with its replay buffer; `train_once` is one turn of the loop.

    Args:
        config: the run's settings.
        channels: what the processes share; the ring already holds what was restored.
        run_dir: the run directory.
        run_id: the run's identity.
        device: where to train.
        resumed: state of a checkpoint to go on from; None for a new run.
        files: the file operations of checkpoints.

    Attributes:
        learner: network and optimizer.
        buffer: the replay.
        before_save: called before each checkpoint, after its weights are published.

    Raises:
        RunError: the checkpoint is of another network.
    """

    def __init__(
        self,
        config: Config,
        channels: Channels,
        run_dir: Path,
        run_id: str,
        device: str,
        resumed: dict[str, Any] | None = None,
        files: FileSystem | None = None,
    ) -> None:
        self._config = config
        self._channels = channels
        self._directory = run_dir / CHECKPOINTS
        self._run_id = run_id
        self._files = files
        self._row = channels.stats.row("learner")
        self._draws_per_position = draws_per_position(config)
        network = build_network(0, **network_settings(config)) if resumed else initial_network(config)
        self._flat = np.empty(num_weights(network), np.float32)
        largest_value = config.problem.num_cities * config.problem.edge_reward
        if largest_value > network.support.largest:
            _LOG.warning(
                "learner: values can come close to %g, and those above %.1f count as that, since the network's support "
                "ends there: raise network.support_size in a new run", largest_value, network.support.largest,
            )  # fmt: skip
        self.learner = Learner(network, device, config.run.seed, **learner_settings(config))
        self.buffer = ReplayBuffer(
            channels.ring,
            window_per_actor=window_per_actor(config),
            reanalyzed=channels.reanalyzed,
            **replay_settings(config),
        )
        self.buffer.ingest()
        self._rollbacks = Rollbacks(
            run_dir, config.learner.max_rollbacks, config.learner.rollback_rate_factor, files
        )
        self._batch: Batch | None = None
        self._sound = True
        self._sealed_before = 0
        if resumed is not None:
            self._load(resumed)
        self._row.set("train_steps", self.train_steps)
        self.before_save: Callable[[], object] | None = None
        self._next_checkpoint = time.monotonic() + config.learner.checkpoint_seconds
        self.refresh()
        self.publish()

    def _load(self, state: dict[str, Any]) -> None:
        try:
            self.learner.load_state(state["learner"])
            self.buffer.load_state({name: value.numpy() for name, value in state["replay"].items()})
            self._sealed_before = int(state["groups_sealed"])
        except Exception as error:  # torch and numpy raise many types for what was made by somebody else
            raise RunError(f"the checkpoint does not fit the network of this run: {error}") from None

    @property
    def train_steps(self) -> int:
        """Updates so far, earlier parts of the run included."""
        return self.learner.train_steps

    @property
    def progress(self) -> float:
        """Share of the run's bound that is done; 0 where there is none."""
        run = self._config.run
        shares = [0.0]
        if run.minutes:
            shares.append(self._channels.control.elapsed() / (60 * run.minutes))
        if run.train_steps:
            shares.append(self.train_steps / run.train_steps)
        return min(max(shares), 1.0)

    @property
    def finished(self) -> bool:
        """The bound is reached."""
        run = self._config.run
        late = run.minutes > 0 and self._channels.control.elapsed() >= 60 * run.minutes
        return late or (run.train_steps > 0 and self.train_steps >= run.train_steps)

    def train_once(self) -> bool:
        """Sample, step, write back; publish and save when due. False where the step was skipped as not finite.

        Raises:
            RunError: too many skipped steps in a row, and rolling back has not helped.
        """
        rng = generator_for(self._config.run.seed, "sampler", 0, self.learner.attempts)
        with self._row.timed("sample_seconds"):
            batch = self._batch = self.buffer.sample(rng)
        with self._row.timed("step_seconds"):
            report = self._step(batch)
        with self._row.timed("sample_seconds"):
            if report.finite:
                self.buffer.update_priorities(
                    batch.slots, batch.actors, batch.group_ids, report.priorities, report.position_errors
                )
            self._channels.limiter.record_sample(len(batch.slots))
        self._account(batch, report.metrics, report.finite)
        self._sound = report.finite
        if not report.finite:
            self._check_bad_steps()
            return False
        every = self._config.learner.checkpoint_every
        if self.train_steps % self._config.learner.publish_every == 0:
            self.publish()
        if every and self.train_steps % every == 0:
            self.save()
        return True

    def _step(self, batch: Batch) -> StepReport:
        try:
            return self.learner.step(batch, self.progress)
        except (RuntimeError, MemoryError) as error:
            reason = reason_of(error)
            if is_out_of_memory(error):
                raise RunError(
                    f"not enough memory on {self.learner.device} for a batch of learner.batch_groups = "
                    f"{len(batch.slots)}, not even for one group at a time: lower learner.positions or "
                    f"selfplay.group_size, or take a smaller network ({reason})"
                ) from None
            if "CUDA error" in str(error):  # the device is lost: nothing can be computed or saved any more
                raise RunError(
                    f"{self.learner.device} failed ({reason}); the last checkpoint is kept, go on with --resume"
                ) from None
            raise

    def _account(self, batch: Batch, metrics: dict[str, float], finite: bool) -> None:
        row = self._row
        row.set("train_steps", self.train_steps)
        row.add("samples", batch.policy_weights.size)
        row.add("bad_steps", 0 if finite else 1)
        for name in _SHOWN:
            row.set(name, metrics[name])
        limiter, counters = self._channels.limiter, self.buffer.counters
        row.set("mean_weights_lag", float(self._channels.weights.version - batch.weights_versions.mean()))
        row.set("mean_tour_length", float(batch.lengths.mean()))
        row.set("ring_groups", self.buffer.size)
        row.set("samples_per_insert", limiter.sampled / max(limiter.inserted, 1) / self._draws_per_position)
        row.set("groups_ingested", counters.ingested)
        row.set("groups_rejected", counters.rejected_torn + counters.rejected_checksum + counters.rejected_invalid)
        row.set("reanalyzed_share", self.buffer.reanalyzed_share)
        row.set("stale_priorities", counters.stale_priorities)

    def _check_bad_steps(self) -> None:
        bad, limit = self.learner.bad_steps_in_a_row, self._config.learner.max_bad_steps
        _LOG.warning("learner: step %d skipped, loss or gradient not finite (%d in a row)", self.train_steps, bad)
        if bad >= limit:
            self._roll_back(f"{bad} train steps in a row had a loss or gradient that is not finite")
            self.publish()

    def _roll_back(self, why: str) -> None:
        self._rollbacks.roll_back(self.learner, self._batch, why)
        self._sound = False
        self._row.set("rollbacks", self._rollbacks.count)

    def publish(self) -> None:
        """Hand the weights to the actors. Where one is not finite, roll back first: nobody gets such weights.

        Raises:
            RunError: a weight is not finite, and rolling back has not helped.
        """
        with self._row.timed("publish_seconds"):
            flatten_weights(self.learner.module, self._flat)
            while not np.isfinite(self._flat).all():
                self._roll_back(f"a weight of the network is not finite after step {self.train_steps}")
                flatten_weights(self.learner.module, self._flat)
            self._row.set("weights_version", self._channels.weights.publish(self._flat))

    def save_if_due(self) -> None:
        """Write a checkpoint when `learner.checkpoint_seconds` have passed since the last one.

        None is written within a row of skipped steps.
        """
        if time.monotonic() >= self._next_checkpoint and self._sound:
            self.save()

    def save(self, final: bool = False) -> None:
        """Publish, then write a checkpoint: a resumed run starts with exactly the weights that actors then play with.

        A disk that refuses costs the checkpoint, not the run, unless it is the final one. None is written after a
        rollback before the first good step, unless it is the final one: it would push out a good one.

        Raises:
            RunError: the final checkpoint could not be written, or a weight is not finite.
        """
        self.publish()
        if not self._sound and not final:
            return
        if self.before_save is not None:
            self.before_save()
        self._next_checkpoint = time.monotonic() + self._config.learner.checkpoint_seconds
        with self._row.timed("checkpoint_seconds"):
            try:
                save_checkpoint(
                    self._directory, self.state(), self.train_steps, self._config.learner.keep_checkpoints, self._files
                )
            except (OSError, CheckpointError) as error:
                self._row.add("checkpoint_failures", 1)
                _LOG.warning("learner: checkpoint at step %d not written: %s", self.train_steps, error)
                if final:
                    raise RunError(f"the final checkpoint could not be written: {error}") from None
                return
        self._row.add("checkpoints", 1)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        channels = self._channels
        return {
            "run_id": self._run_id,
            "config": self._config.to_dict(),
            "learner": self.learner.state(),
            "replay": self.buffer.state(),
            "limiter": channels.limiter.state(),
            "weights_version": channels.weights.version,
            "elapsed_seconds": channels.control.elapsed(),
            "next_group_ids": [
                *(int(count) for count in channels.ring.all_written()),
                *channels.first_group_ids[channels.ring.num_actors :],  # those who do not play keep their numbers
            ],
            "groups_sealed": self._sealed_before + int(channels.stats.row("recorder").get("groups_sealed")),
        }

    def run(self) -> None:
        """Train until the bound is reached or the run stops; ends with a checkpoint."""
        control = self._channels.control
        self._row.beat()  # not before: who still loads its libraries is given more time
        self.save()
        waited = 0.0
        while control.phase == Phase.RUN and not self.finished:
            wait = self._channels.limiter.wait_to_sample(self._refresh, _WAIT_SECONDS)
            self._row.add("wait_seconds", wait.seconds)
            waited = 0.0 if wait.granted else waited + wait.seconds
            if waited >= _PATIENCE_SECONDS:
                _LOG.warning("learner: %.0f s without a batch: %s", waited, wait.reason)
                waited = 0.0
            if wait.granted:
                with self._row.timed("busy_seconds"):
                    self.train_once()
                    self.save_if_due()
                with self._row.timed("wait_seconds"):
                    control.pause(self._config.learner.delay_seconds, self._row.beat)
            self._row.beat()
        self.save(final=True)

    def _refresh(self) -> int:
        self.buffer.ingest()
        return self.buffer.size

    def refresh(self) -> None:
        """Take in what was played, and tell the limiter."""
        seen = self._channels.limiter.inserted
        self._channels.limiter.record_window(self._refresh(), seen)


def initial_network(config: Config) -> AnyNetwork:
    """What a new run begins with.

    Raises:
        CheckpointError, UsageError: there are no weights where the settings say, or they are of another network.
    """
    network = build_network(config.run.seed, **network_settings(config))
    if config.learner.initial_weights:
        state, path = read_agent_state(config.learner.initial_weights)
        theirs = config_from_dict(state["config"], str(path)).network
        for name in _SAME_SHAPES:
            if name == "action_input" and config.network.kind == "attention":
                continue  # which takes none
            wanted, given = getattr(theirs, name), getattr(config.network, name)
            if wanted != given:
                raise UsageError(
                    f"{path}: its weights are made for network.{name} = {wanted}, the settings say {given}: add "
                    f"--set network.{name}={wanted}"
                )
        load_weights(network, state, path)
    return network


def learner_device(name: str) -> str:
    """`cuda` or `cpu` for the setting `auto | cpu | cuda`.

    Raises:
        RunError: cuda was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("cuda was asked for, but torch sees no CUDA device here; use --device cpu or auto")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def learner_main(
    config: Config, channels: Channels, run_dir: Path, run_id: str, resume_from: Path | None, parent_pid: int
) -> None:
    """Main function of the learner process."""
    enter_child(run_dir, "learner", parent_pid, threads=config.learner.threads, orderly=True)
    try:
        device = learner_device(config.learner.device)
        resumed = load_checkpoint(resume_from) if resume_from else None
        loop = TrainingLoop(config, channels, run_dir, run_id, device, resumed)
        del resumed  # as large as network and optimizer together
        _LOG.info("learner starts at step %d on %s (pid %d)", loop.train_steps, device, os.getpid())
        loop.run()
    except TspmzError as error:
        raise SystemExit(str(error)) from None  # the parent shows what its children print last
    _LOG.info("learner ends at step %d", loop.train_steps)
