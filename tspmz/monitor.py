"""From the shared statistics to what is shown and drawn: rates, the live view, TensorBoard curves, the summary."""

from __future__ import annotations

import json
import logging
from collections import deque
from pathlib import Path
from types import TracebackType

from tspmz.channels import Channels, window_per_actor
from tspmz.config import Config
from tspmz.config_files import flat_values
from tspmz.display import ProcessView, RunView
from tspmz.rundir import TENSORBOARD
from tspmz.stats import Rates, Snapshot
from tspmz.tensorboard import EventWriter

_LOG = logging.getLogger(__name__)
_RATE_SECONDS = 10.0
_NAN = float("nan")
_LEARNER_LEVELS = {
    "loss/total": "total_loss",
    "loss/policy": "policy_loss",
    "loss/value": "value_loss",
    "loss/reward": "reward_loss",
    "policy/entropy": "policy_entropy",
    "value/error": "value_error",
    "reward/error": "reward_error",
    "learner/gradient_norm": "gradient_norm",
    "learner/learning_rate": "learning_rate",
    "learner/bad_steps": "bad_steps",
    "learner/rollbacks": "rollbacks",
    "replay/weights_lag": "mean_weights_lag",
    "replay/tour_length": "mean_tour_length",
    "replay/groups": "ring_groups",
    "replay/samples_per_insert": "samples_per_insert",
    "replay/rejected_groups": "groups_rejected",
    "replay/stale_priorities": "stale_priorities",
}


class Monitor:
    """Keeps the last snapshots for rates; writes the curves. Use as a context manager.

    Args:
        config: the run's settings.
        run_dir: the run directory.
        channels: what the processes share.
    """

    def __init__(self, config: Config, run_dir: Path, channels: Channels) -> None:
        self._config = config
        self._run_dir = run_dir
        self._channels = channels
        self._capacity = config.selfplay.num_actors * window_per_actor(config)
        self._history: deque[Snapshot] = deque()
        self._last_point: Snapshot | None = None
        self._notes = _Notes()
        self._events = EventWriter(run_dir / TENSORBOARD / "train", config.run.tensorboard)
        self._events.text("config", f"```json\n{json.dumps(config.to_dict(), indent=1)}\n```")

    def __enter__(self) -> Monitor:
        logging.getLogger("tspmz").addHandler(self._notes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        logging.getLogger("tspmz").removeHandler(self._notes)
        self._events.close()

    def view(self, snapshot: Snapshot, processes: tuple[ProcessView, ...]) -> RunView:
        """What to show now; also adds a point to the curves every `run.log_seconds`."""
        self._history.append(snapshot)
        while len(self._history) > 2 and self._history[1].time < snapshot.time - _RATE_SECONDS:
            self._history.popleft()
        view = self._build(snapshot, Rates(self._history[0], snapshot), processes)
        if self._last_point is None or snapshot.time - self._last_point.time >= self._config.run.log_seconds:
            self._add_point(view, Rates(self._last_point or snapshot, snapshot), snapshot)
            self._last_point = snapshot
        return view

    def _build(self, snapshot: Snapshot, rates: Rates, processes: tuple[ProcessView, ...]) -> RunView:
        config = self._config
        evaluated = snapshot.value("evaluator", "evaluations") > 0
        trained = snapshot.value("learner", "samples") > 0

        def learner(name: str) -> float:
            return snapshot.value("learner", name) if trained else _NAN

        def evaluator(name: str) -> float:
            return snapshot.value("evaluator", name) if evaluated else _NAN

        cities = ", ".join(map(str, config.problem.sizes))
        return RunView(
            title=f"tspmz: TSP{cities}, {config.selfplay.num_actors} actors, {self._run_dir}",
            elapsed_seconds=self._channels.control.elapsed(),
            seconds_bound=60 * config.run.minutes,
            train_steps=int(snapshot.value("learner", "train_steps")),
            train_steps_bound=config.run.train_steps,
            games_per_second=rates.per_second("actor", "groups_played") * config.selfplay.group_size,
            simulations_per_second=rates.per_second("actor", "simulations"),
            actor_wait_share=rates.share("actor", "wait_seconds"),
            ring_groups=int(snapshot.value("learner", "ring_groups")),
            ring_capacity=self._capacity,
            train_steps_per_second=rates.per_second("learner", "train_steps"),
            learner_wait_share=rates.share("learner", "wait_seconds"),
            samples_per_insert=learner("samples_per_insert"),
            weights_version=int(snapshot.value("learner", "weights_version")),
            weights_lag=learner("mean_weights_lag"),
            total_loss=learner("total_loss"),
            policy_loss=learner("policy_loss"),
            value_loss=learner("value_loss"),
            reward_loss=learner("reward_loss"),
            policy_entropy=learner("policy_entropy"),
            learning_rate=learner("learning_rate"),
            mean_tour_length=learner("mean_tour_length"),
            gap_greedy=evaluator("gap_greedy"),
            gap_multi=evaluator("gap_multi"),
            best_gap_greedy=evaluator("best_gap_greedy"),
            best_gap_multi=evaluator("best_gap_multi"),
            processes=processes,
            notes=tuple(self._notes.lines),
        )

    def _add_point(self, view: RunView, rates: Rates, snapshot: Snapshot) -> None:
        config = self._config
        values = {
            "throughput/games_per_second": rates.per_second("actor", "groups_played") * config.selfplay.group_size,
            "throughput/simulations_per_second": rates.per_second("actor", "simulations"),
            "throughput/train_steps_per_second": rates.per_second("learner", "train_steps"),
            "throughput/actor_wait_share": rates.share("actor", "wait_seconds"),
            "throughput/learner_wait_share": rates.share("learner", "wait_seconds"),
            "run/elapsed_minutes": view.elapsed_seconds / 60,
            "run/env_steps": snapshot.value("actor", "env_steps"),
            "run/groups_sealed": snapshot.value("recorder", "groups_sealed"),
            "run/groups_lost": snapshot.value("recorder", "groups_lost"),
            "selfplay/tour_length": rates.mean("actor", "tour_length_sum", "groups_played"),
            "selfplay/weights_lag": float(snapshot.values("actor", "weights_lag").max()),
            "selfplay/groups_dropped": snapshot.value("actor", "groups_dropped"),
            "selfplay/tree_depth": rates.mean("actor", "root_depth_sum", "groups_played"),
        }
        if config.reanalyzes:
            values["throughput/reanalyzed_groups_per_second"] = rates.per_second("reanalyzer", "groups_reanalyzed")
            values["replay/reanalyzed_share"] = snapshot.value("learner", "reanalyzed_share")
        for role in ("actor", "learner", "recorder", "evaluator", *(["reanalyzer"] if config.reanalyzes else [])):
            values[f"memory/{role}_mib"] = snapshot.values(role, "rss_bytes").mean() / 2**20
        if snapshot.value("learner", "samples") > 0:
            values |= {tag: snapshot.value("learner", name) for tag, name in _LEARNER_LEVELS.items()}
        finite = {tag: value for tag, value in values.items() if value == value}
        self._events.scalars(finite, view.train_steps)

    def finish(self) -> None:
        """Write the last point, the hyper-parameters with what came of them, and the summary line."""
        snapshot = self._channels.stats.snapshot()
        view = self.view(snapshot, ())
        self._add_point(view, Rates(self._last_point or snapshot, snapshot), snapshot)
        metrics = {"result/gap_greedy": view.gap_greedy, "result/gap_multi": view.gap_multi}
        self._events.hparams(flat_values(self._config), {name: gap for name, gap in metrics.items() if gap == gap})
        games = snapshot.value("actor", "groups_played") * self._config.selfplay.group_size
        gaps = "not evaluated"
        if view.gap_greedy == view.gap_greedy:
            gaps = f"gap {100 * view.gap_greedy:.3f} % greedy, {100 * view.gap_multi:.3f} % best of several starts"
        if snapshot.value("evaluator", "optimum_found"):
            gaps += ", which is the optimal tour of the fixed graph"
        _LOG.info(
            "done: %d train steps, %d games here, %.1f minutes in all, %s; run in %s",
            view.train_steps, games, view.elapsed_seconds / 60, gaps, self._run_dir,
        )  # fmt: skip


class _Notes(logging.Handler):
    """The last warnings, for the live view."""

    def __init__(self, keep: int = 4) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque(maxlen=keep)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().splitlines()[0])
