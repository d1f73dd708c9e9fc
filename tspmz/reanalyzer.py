"""The reanalyzer: gives stored groups the targets that the newest weights would have given them, for ever."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import numpy as np

from tspmz.channels import Channels, window_per_actor
from tspmz.config import Config
from tspmz.control import Phase
from tspmz.fitting import Parts
from tspmz.network.build import Network, build_network, load_flat_weights, num_weights
from tspmz.network.inference import SearchModel
from tspmz.process import enter_child
from tspmz.replay.checks import valid_groups
from tspmz.replay.fields import Records, by_size, part
from tspmz.replay.slots import ReadStatus
from tspmz.rng import generator_for
from tspmz.search import BatchedSearch
from tspmz.selfplay import forced_value, play
from tspmz.settings import network_settings, search_settings
from tspmz.stats import BeatingClock
from tspmz.tsp import env
from tspmz.tsp.tours import past_cities
from tspmz.types import Float32, Int64, Reanalysis

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 0.05


class Reanalyzer:
    """Reads groups of the learner's window, looks at their states again, writes what it found into its own ring.

    Of the newer targets each is used as often as its group is drawn, so it makes no more of them than
    `replay.reanalyze_fraction` of the groups drawn, and as many as fill its ring once.

    Args:
        config: the run's settings; `config.reanalyzes`.
        channels: what the processes share.

    Raises:
        ValueError: the channels have no ring for it.
    """

    def __init__(self, config: Config, channels: Channels) -> None:
        if channels.reanalyzed is None:
            raise ValueError("these channels are of a run that does not reanalyze")
        self.weights_version = -1
        self._channels = channels
        self._results = channels.reanalyzed
        self._writer = channels.reanalyzed.writer(0)
        self._row = channels.stats.row("reanalyzer")
        self._clock = BeatingClock(self._row)
        self._seed = config.run.seed
        self._edge_reward = config.problem.edge_reward
        self._fraction = config.replay.reanalyze_fraction
        self._window = min(window_per_actor(config), channels.ring.slots_per_actor)
        self._count = config.selfplay.groups_in_parallel
        self._parts = Parts("selfplay.groups_in_parallel")
        self._group_size = config.selfplay.group_size
        self._search_settings = search_settings(config) if config.replay.reanalyze_policy else None
        self._searches: dict[tuple[int, int], BatchedSearch] = {}
        network = build_network(0, **network_settings(config)).to(config.selfplay.device).eval()
        self._network: Network = network
        self._flat = np.empty(num_weights(network), np.float32)
        nodes = config.search.num_simulations + 1 if config.replay.reanalyze_policy else 1
        self._model = SearchModel(network, nodes, config.selfplay.device)
        self._records = channels.ring.empty_records(self._count)
        self._made_before = self._results.written(0)
        self._sampled_before = channels.limiter.sampled

    def pull_weights(self) -> bool:
        """Take over newer weights; True once there are any."""
        version = self._channels.weights.pull(self._flat, self.weights_version)
        if version is not None:
            load_flat_weights(self._network, self._flat)  # type: ignore[arg-type]
            self.weights_version = version
            self._row.set("weights_version", version)
        return self.weights_version >= 0

    @property
    def due(self) -> bool:
        """Whether the learner has use for more."""
        made = self._results.written(0) - self._made_before
        drawn = self._channels.limiter.sampled - self._sampled_before
        return made < self._fraction * drawn + self._results.slots_per_actor

    def work_once(self) -> int:
        """Reanalyze one batch of groups.

        Returns:
            Groups done: 0 where the window is empty, or all that were chosen had been overwritten.
        """
        started = time.perf_counter()
        rng = generator_for(self._seed, "reanalyze", 0, self._results.written(0))
        actors, group_ids = self._choose(rng)
        if not len(actors):
            return 0
        records = self._read(actors, group_ids)
        self._row.add("groups_skipped", len(actors) - len(records))
        if len(records):
            for num_cities, rows in by_size(records):
                self._reanalyze_in_parts(records[rows], num_cities, rng)
            self._row.add("groups_reanalyzed", len(records))
        self._row.add("busy_seconds", time.perf_counter() - started)
        return len(records)

    def _choose(self, rng: np.random.Generator) -> tuple[Int64, Int64]:
        """Actors and numbers of up to `groups_in_parallel` different groups of the window, all equally likely."""
        written = self._channels.ring.all_written()
        sizes = np.minimum(written, self._window)
        picks = rng.permutation(int(sizes.sum()))[: self._count]
        ends = np.cumsum(sizes)
        actors = np.searchsorted(ends, picks, side="right")
        return actors, written[actors] - 1 - (picks - (ends - sizes)[actors])

    def _read(self, actors: Int64, group_ids: Int64) -> Records:
        """Those of the groups that could be read whole and can be learned from."""
        ring = self._channels.ring
        slots = actors * ring.slots_per_actor + group_ids % ring.slots_per_actor
        status = ring.read_many(slots, group_ids, self._records)
        records = self._records[: len(slots)]
        return records[(status == ReadStatus.OK) & valid_groups(records)]

    def _reanalyze_in_parts(self, records: Records, num_cities: int, rng: np.random.Generator) -> None:
        """In as many parts as memory needs."""

        def work(parts: list[slice]) -> None:
            for one in parts:
                self._reanalyze(records[one], num_cities, rng)

        self._parts.run(len(records), work, tidy=self._searches.clear)

    def _reanalyze(self, records: Records, num_cities: int, rng: np.random.Generator) -> None:
        coordinates = np.ascontiguousarray(part(records, "coordinates", num_cities))
        tours = part(records, "tours", num_cities).astype(np.int64)
        last_rewards = part(records, "rewards", num_cities)[..., -1]
        shape = (*tours.shape[:2], num_cities - 1, num_cities)
        if self._search_settings is None:
            with self._row.timed("network_seconds"):
                root_values = values_along(self._model, coordinates, tours)
            root_values[..., -1] = forced_value(last_rewards, self._edge_reward)
            visit_counts, action_weights = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
        else:
            search = self._search(len(records), num_cities)
            found = play(
                self._model, search, coordinates, tours[:, :, 0], rng,
                edge_reward=self._edge_reward, follow=tours, clock=self._clock,
            )  # fmt: skip
            root_values, visit_counts, action_weights = found.root_values, found.visit_counts, found.action_weights
            # the last move is forced and not searched
            self._row.add("simulations", root_values[..., 1:].size * search.num_simulations)
        with self._row.timed("write_seconds"):
            for i, record in enumerate(records):
                self._writer.write(
                    Reanalysis(
                        source_actor=int(record["actor"]),
                        source_group_id=int(record["group_id"]),
                        root_values=root_values[i],
                        visit_counts=visit_counts[i],
                        action_weights=action_weights[i],
                        weights_version=self.weights_version,
                        group_id=self._results.next_group_id(0),
                    )
                )

    def _search(self, groups: int, num_cities: int) -> BatchedSearch:
        """A search for so many groups at once; kept, for there are few such numbers."""
        if (groups, num_cities) not in self._searches:
            self._searches[groups, num_cities] = BatchedSearch(
                groups * self._group_size, num_cities, **(self._search_settings or {})
            )
        return self._searches[groups, num_cities]

    def run(self) -> None:
        """Reanalyze until the run stops."""
        while self._channels.control.phase == Phase.RUN:
            self._row.beat()
            if not (self.pull_weights() and self.due and self.work_once()):
                with self._row.timed("wait_seconds"):
                    self._channels.control.pause(_POLL_SECONDS, self._row.beat)


def values_along(model: SearchModel, coordinates: Float32, tours: Int64) -> Float32:
    """The network's values `[I, G, T]` of the states before each move of `tours [I, G, N]`, without search."""
    num_cities = tours.shape[2]
    model.encode(coordinates)
    values = np.empty((*tours.shape[:2], num_cities - 1), np.float32)
    state = env.reset(coordinates, tours[:, :, 0])
    for t in range(num_cities - 1):
        past = past_cities(tours, t, model.stacked_observations)
        root = model.initial(state.first, state.current, env.legal_actions(state), past)
        values[:, :, t] = root.values.reshape(values.shape[:2])
        state, _ = env.step(state, tours[:, :, t + 1])
    return values


def reanalyzer_main(config: Config, channels: Channels, run_dir: Path, parent_pid: int) -> None:
    """Main function of the reanalyzer process; it goes on with the number that its ring expects."""
    enter_child(run_dir, "reanalyzer", parent_pid)
    os.nice(5)  # newer targets are worth less than new episodes
    channels.stats.row("reanalyzer").beat()
    _LOG.info("reanalyzer starts (pid %d)", os.getpid())
    Reanalyzer(config, channels).run()
