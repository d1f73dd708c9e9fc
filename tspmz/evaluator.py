"""The evaluator: measures the gap of the newest weights on held-out instances while the training runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tspmz.best import BestModel
from tspmz.channels import Channels
from tspmz.config import Config
from tspmz.control import Phase
from tspmz.decode import Decoded, Decoding, SearchFactory, decode
from tspmz.games import play_test_games
from tspmz.network.build import build_network, load_flat_weights, num_weights
from tspmz.network.inference import SearchModel
from tspmz.pictures import write_pictures
from tspmz.process import enter_child
from tspmz.rng import generator_for
from tspmz.rundir import BEST_MODEL, CHECKPOINTS, TENSORBOARD
from tspmz.search import BatchedSearch
from tspmz.settings import network_settings, planning_settings, search_settings
from tspmz.stats import StatsRow
from tspmz.tensorboard import EventWriter
from tspmz.tsp import generators, reference
from tspmz.tsp.reference import SOLVED_TOLERANCE
from tspmz.tsp.tours import farthest_insertion, nearest_neighbor, tour_lengths
from tspmz.types import Float32

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
_MULTI_STARTS = 20
_INSTANCES_AT_ONCE = 32


class Evaluation(NamedTuple):
    """Greedy policy on the held-out instances.

    Attributes:
        train_steps: of the weights.
        greedy: from one start.
        multi: the best of several starts.
        gap_greedy: mean length / mean reference length - 1.
        gap_multi: the same, best of several starts.
        seconds: duration.
    """

    train_steps: int
    greedy: Decoded
    multi: Decoded
    gap_greedy: float
    gap_multi: float
    seconds: float


class HeldOut(NamedTuple):
    """The instances of all evaluations of a run.

    Attributes:
        coordinates: `[I, N, 2]` float32.
        lengths: `[I]` float64 reference lengths.
        tours: `[I, N]` int64 reference tours.
        source: what made them: `exact`, `lkh` or `farthest insertion`.
    """

    coordinates: Float32
    lengths: np.ndarray
    tours: np.ndarray
    source: str

    def gap(self, found: Decoded) -> float:
        """Mean length of the tours found / mean reference length - 1."""
        return float(found.lengths.mean() / self.lengths.mean() - 1)


def held_out_instances(config: Config, beat: Callable[[], None], num_cities: int | None = None) -> HeldOut:
    """Draw and solve the held-out instances; with LKH where elkai is installed, else by farthest insertion.

    What LKH finds is kept in the cache of reference tours: the next run of that size, or a restart, need not wait.

    With `problem.fixed_graph` it is the one graph of the run, solved exactly where it is small enough.

    Args:
        config: the run's settings.
        beat: called after each instance: many large ones take minutes.
        num_cities: N; None = `problem.num_cities`, the largest where sizes are mixed.
    """
    problem = config.problem
    if problem.fixed_graph:
        graph = generators.fixed_graph(
            problem.distribution, config.run.seed, problem.num_cities, problem.num_clusters
        )
        coordinates = graph[None]
        if problem.num_cities <= reference.MAX_EXACT_CITIES:
            found, lengths = reference.solve_exact(coordinates)
            return HeldOut(coordinates, lengths, found, "exact")
    else:
        rng = generator_for(config.evaluation.instance_seed, "evaluation")
        coordinates = generators.generate(
            problem.distribution, rng, config.evaluation.num_instances, num_cities or problem.num_cities,
            problem.num_clusters,
        )  # fmt: skip
    try:
        solved = reference.solve_reference(coordinates, "lkh", reference.default_cache_dir(), beat)
        assert solved.tours is not None
        return HeldOut(coordinates, solved.lengths, solved.tours, "lkh")
    except reference.ReferenceSolverError as error:
        _LOG.warning("evaluator: gaps are against farthest insertion: %s", error)
        found = farthest_insertion(coordinates)
        return HeldOut(coordinates, tour_lengths(coordinates, found[:, None])[:, 0], found, "farthest insertion")


class _Beats:
    """A clock that takes every stage for a sign of life."""

    def __init__(self, row: StatsRow) -> None:
        self._row = row

    def add(self, name: str, value: float) -> None:
        self._row.beat()


class Evaluator:
    """Network and held-out instances; `evaluate` measures the newest published weights.

    Args:
        config: the run's settings.
        channels: what the processes share.
        events: where pictures and scalars go.
        best: keeps the model with the smallest gap; None = none is kept.
    """

    def __init__(
        self, config: Config, channels: Channels, events: EventWriter, best: BestModel | None = None
    ) -> None:
        self._best = best
        self._test_games = config.evaluation.test_games
        self._instance_seed = config.evaluation.instance_seed
        self._channels = channels
        self._row = channels.stats.row("evaluator")
        self._events = events
        self._starts = min(_MULTI_STARTS, config.problem.num_cities) if config.selfplay.starts == "different" else 1
        self._network = build_network(0, **network_settings(config)).eval()
        self._flat = np.empty(num_weights(self._network), np.float32)
        self._make_search: SearchFactory = partial(BatchedSearch, **search_settings(config))
        self._make_planner: SearchFactory = partial(BatchedSearch, **planning_settings(config))
        self._returns = {"edge_reward": config.problem.edge_reward, "discount": config.search.discount}
        self._undrawn: Evaluation | None = None
        self._version = -1
        self._held_out = held_out_instances(config, self._row.beat)
        self._smaller = [held_out_instances(config, self._row.beat, size) for size in config.problem.sizes[:-1]]
        self._pictures = min(config.evaluation.num_pictures, len(self._held_out.coordinates))
        self._knows_optimum = config.problem.fixed_graph and self._held_out.source == "exact"
        self._found = False
        self._log_baselines()

    def _log_baselines(self) -> None:
        points, lengths = self._held_out.coordinates, self._held_out.lengths
        starts = np.zeros((len(points), 1), np.int64)
        baselines = {
            "nearest neighbor": tour_lengths(points, nearest_neighbor(points, starts)).mean(),
            "farthest insertion": tour_lengths(points, farthest_insertion(points)[:, None]).mean(),
        }
        gaps = {name: length / lengths.mean() - 1 for name, length in baselines.items()}
        _LOG.info(
            "evaluator: %d instances, reference %s with mean length %.4f; gaps of %s",
            len(points), self._held_out.source, lengths.mean(),
            ", ".join(f"{name} {100 * gap:.2f} %" for name, gap in gaps.items()),
        )  # fmt: skip

    def evaluate(self) -> Evaluation | None:
        """Measure the newest weights; None where there are no newer ones."""
        version = self._channels.weights.pull(self._flat, self._version)
        if version is None:
            return None
        started = time.perf_counter()
        self._version = version
        load_flat_weights(self._network, self._flat)
        train_steps = int(self._channels.stats.row("learner").get("train_steps"))
        points = self._held_out.coordinates
        greedy = self._decode(points, 1)
        multi = self._decode(points, self._starts)
        result = Evaluation(
            train_steps,
            greedy,
            multi,
            self._held_out.gap(greedy),
            self._held_out.gap(multi),
            time.perf_counter() - started,
        )
        self._report(result)
        self._report_smaller(train_steps)
        self._play_test_games(train_steps)
        self._offer(result)
        self._undrawn = result
        return result

    def _decode(self, points: Float32, num_starts: int) -> Decoded:
        """As `decode`, with signs of life between a few instances."""
        parts = []
        for start in range(0, len(points), _INSTANCES_AT_ONCE):
            parts.append(decode(self._network, points[start : start + _INSTANCES_AT_ONCE], Decoding(starts=num_starts)))
            self._row.beat()
        return Decoded(np.concatenate([p.tours for p in parts]), np.concatenate([p.lengths for p in parts]))

    def _report(self, result: Evaluation) -> None:
        row = self._row
        for name, gap in (("gap_greedy", result.gap_greedy), ("gap_multi", result.gap_multi)):
            best = row.get(f"best_{name}") if row.get("evaluations") else np.inf
            row.set(name, gap)
            row.set(f"best_{name}", min(best, gap))
        row.set("train_steps", result.train_steps)
        row.set("tour_length_greedy", float(result.greedy.lengths.mean()))
        row.set("evaluation_seconds", result.seconds)
        row.add("busy_seconds", result.seconds)
        row.add("evaluations", 1)
        ratios = result.greedy.lengths / self._held_out.lengths - 1
        solved = result.multi.lengths <= self._held_out.lengths * (1 + SOLVED_TOLERANCE)
        self._events.scalars(
            {
                "evaluation/gap_greedy": result.gap_greedy,
                "evaluation/gap_multi": result.gap_multi,
                "evaluation/tour_length_greedy": float(result.greedy.lengths.mean()),
                "evaluation/solved_share": float(solved.mean()),
                "evaluation/seconds": result.seconds,
            },
            result.train_steps,
        )
        self._events.histogram("evaluation/gap_greedy_by_instance", ratios, result.train_steps)
        if self._knows_optimum:
            self._report_optimum(result)
        _LOG.info(
            "evaluation at step %d: gap %.3f %% greedy, %.3f %% best of %d starts",
            result.train_steps, 100 * result.gap_greedy, 100 * result.gap_multi, self._starts,
        )  # fmt: skip

    def _report_smaller(self, train_steps: int) -> None:
        """Where sizes are mixed: gaps on the others, beside those on the largest, which all else is about."""
        for held_out in self._smaller:
            num_cities = held_out.coordinates.shape[1]
            starts = min(self._starts, num_cities)
            greedy, multi = (held_out.gap(self._decode(held_out.coordinates, count)) for count in (1, starts))
            self._events.scalars(
                {f"evaluation/gap_greedy_{num_cities}": greedy, f"evaluation/gap_multi_{num_cities}": multi},
                train_steps,
            )
            _LOG.info(
                "evaluation at step %d, %d cities: gap %.3f %% greedy, %.3f %% best of %d starts",
                train_steps, num_cities, 100 * greedy, 100 * multi, starts,
            )  # fmt: skip

    def _play_test_games(self, train_steps: int) -> None:
        """Games with the search of self-play, without noise, on the first held-out instances."""
        points = self._held_out.coordinates[: self._test_games]
        if not len(points):
            return
        search = self._make_search(len(points), points.shape[1])
        model = SearchModel(self._network, search.num_simulations + 1)
        totals = play_test_games(model, search, points, self._returns["edge_reward"], _Beats(self._row))
        self._events.scalars(
            {
                "evaluation/total_reward": float(totals.total_rewards.mean()),
                "evaluation/episode_length": float(totals.episode_length),
            },
            train_steps,
        )

    def _offer(self, result: Evaluation) -> None:
        if self._best is None:
            return
        figures = {
            "gap_greedy": result.gap_greedy,
            "gap_multi": result.gap_multi,
            "starts": self._starts,
            "tour_length_greedy": float(result.greedy.lengths.mean()),
            "instances": len(self._held_out.lengths),
            "instance_seed": self._instance_seed,
            "reference": self._held_out.source,
        }
        self._best.offer(self._network, result.train_steps, figures)

    def _report_optimum(self, result: Evaluation) -> None:
        """Say whether the greedy tour of the fixed graph is a shortest one; the first time in words."""
        length, optimum = float(result.greedy.lengths[0]), float(self._held_out.lengths[0])
        found = length <= optimum * (1 + SOLVED_TOLERANCE)
        self._row.set("optimum_found", found)
        self._events.scalars({"evaluation/optimum_found": float(found)}, result.train_steps)
        if found and not self._found:
            tour = "-".join(str(city) for city in result.greedy.tours[0])
            text = f"optimal tour of the fixed graph found at step {result.train_steps}: {tour}, length {length:.6f}"
            self._events.text("evaluation/optimum", f"{text} (exact optimum {optimum:.6f})", result.train_steps)
            _LOG.info("%s (exact optimum %.6f)", text, optimum)
        self._found |= found

    def draw(self) -> None:
        """Pictures of the last evaluation, unless they are there already or not wanted."""
        result, self._undrawn = self._undrawn, None
        if result is None or not self._pictures:
            return
        held_out = self._held_out
        with self._row.timed("picture_seconds"):
            write_pictures(
                self._events, result.train_steps, self._network, self._make_planner,
                held_out.coordinates, result.greedy, held_out.tours, held_out.lengths, self._pictures,
                **self._returns,
            )  # fmt: skip
        self._row.beat()

    def run(self, interval_seconds: float, picture_seconds: float) -> None:
        """Evaluate and draw at the intervals while the run lasts, and the final weights once."""
        control = self._channels.control
        due = pictures_due = time.monotonic()
        while control.phase < Phase.FINISH:
            self._row.beat()
            if time.monotonic() >= due and self.evaluate() is not None:
                due = time.monotonic() + interval_seconds
                if time.monotonic() >= pictures_due:
                    self.draw()
                    pictures_due = time.monotonic() + picture_seconds
            time.sleep(_POLL_SECONDS)  # nobody waits for the evaluator
        self.evaluate()
        self.draw()


def evaluator_main(config: Config, channels: Channels, run_dir: Path, parent_pid: int) -> None:
    """Main function of the evaluator process."""
    enter_child(run_dir, "evaluator", parent_pid)
    os.nice(5)  # measuring must not slow what it measures
    _LOG.info("evaluator starts (pid %d)", os.getpid())
    events = EventWriter(run_dir / TENSORBOARD / "evaluation", config.run.tensorboard)
    try:
        best = BestModel(run_dir / CHECKPOINTS / BEST_MODEL, config)
        Evaluator(config, channels, events, best).run(
            config.evaluation.interval_seconds, config.evaluation.picture_seconds
        )
    finally:
        events.close()
