"""The actor: plays groups with the newest weights and writes them into its shard of the ring, for ever."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tspmz.channels import Channels
from tspmz.config import Config, parse_schedule
from tspmz.control import Phase
from tspmz.errors import RunError, TspmzError
from tspmz.fitting import Parts, is_out_of_memory, reason_of
from tspmz.network.build import Network, build_network, load_flat_weights, num_weights
from tspmz.network.inference import SearchModel
from tspmz.process import enter_child
from tspmz.replay.fields import Records, part
from tspmz.search import BatchedSearch
from tspmz.selfplay import GroupSource, play_groups
from tspmz.settings import group_settings, network_settings, reads_root_values, search_settings
from tspmz.stats import BeatingClock

_LOG = logging.getLogger(__name__)
_WAIT_SECONDS = 0.5
_CROWD_NICENESS = 10
_POLL_SECONDS = 0.02
_COMPLAINT_SECONDS = 60.0


class _Player(NamedTuple):
    """What plays so many groups at a time."""

    groups: int
    model: SearchModel
    search: BatchedSearch


class Actor:
    """One actor: its network, its search, its shard.

    Args:
        index: number of the actor.
        config: the run's settings.
        channels: what the processes share.
    """

    def __init__(self, index: int, config: Config, channels: Channels) -> None:
        selfplay = config.selfplay
        self.index = index
        self.weights_version = -1
        self._channels = channels
        self._row = channels.stats.row("actor", index)
        self._clock = BeatingClock(self._row)
        self._writer = channels.ring.writer(index)
        self._count = selfplay.groups_in_parallel
        self._parts = Parts("selfplay.groups_in_parallel")
        self._max_weights_lag = selfplay.max_weights_lag
        self._next_complaint = 0.0
        self._temperature = selfplay.temperature
        self._temperature_threshold = selfplay.temperature_threshold
        self._temperature_schedule = parse_schedule(selfplay.temperature_schedule)
        self._delay = selfplay.delay_seconds
        self._device, self._compile = selfplay.device, selfplay.compile
        self._learner_row = channels.stats.row("learner")
        self._source = GroupSource(**group_settings(config, index))
        network = build_network(0, **network_settings(config)).to(selfplay.device).eval()
        self._network: Network = network
        self._flat = np.empty(num_weights(network), np.float32)
        self._search_settings = search_settings(config)
        self._with_values = reads_root_values(config)
        self._players: dict[tuple[int, ...], _Player] = {}
        self._simulations = config.search.num_simulations
        self._threads = ThreadPoolExecutor(2) if selfplay.overlap else None

    def _player(self, half: int, count: int, num_cities: int) -> _Player:
        """What plays so many groups of a size, as one of the halves that a batch may have; kept."""
        key = (half, count, num_cities)
        if key not in self._players:
            search = BatchedSearch(count * self._source.group_size, num_cities, **self._search_settings)
            nodes = search.num_simulations + 1
            compiled = self._compile and search.num_simulations > 0
            model = SearchModel(self._network, nodes, self._device, self._with_values, compiled)
            self._players[key] = _Player(count, model, search)
        return self._players[key]

    def pull_weights(self) -> bool:
        """Take over newer weights; True once there are any."""
        version = self._channels.weights.pull(self._flat, self.weights_version)
        if version is not None:
            load_flat_weights(self._network, self._flat)  # type: ignore[arg-type]
            self.weights_version = version
            self._row.add("weights_pulls", 1)
            self._row.set("weights_version", version)
        return self.weights_version >= 0

    @property
    def temperature(self) -> float:
        """The one that the schedule gives for the train steps done so far."""
        train_steps = self._learner_row.get("train_steps")
        reached = [value for step, value in self._temperature_schedule if train_steps >= step]
        return reached[-1] if reached else self._temperature

    def play_once(self) -> None:
        """Play one batch of groups to the end and write them, unless their weights have got too old meanwhile."""
        started = time.perf_counter()
        first = self._channels.ring.next_group_id(self.index)
        played = self._play(first)
        count = sum(map(len, played))
        if self._too_old(count):
            return
        with self._row.timed("write_seconds"):
            for records in played:
                self._writer.write_stored(records)
                # killed between the two, the run counts these groups as not inserted, and plays as many more
                self._channels.limiter.record_insert(self.index, len(records))
        num_cities = self._source.size_of(first)
        episodes, moves = self._source.group_size, num_cities - 1
        self._row.add("groups_played", count)
        self._row.add("env_steps", count * episodes * moves)
        # the last move is forced and not searched
        self._row.add("simulations", count * episodes * (moves - 1) * self._simulations)
        lengths = -sum(float(part(records, "rewards", num_cities).sum(dtype=np.float64)) for records in played)
        self._row.add("tour_length_sum", lengths / episodes)
        self._row.add("busy_seconds", time.perf_counter() - started)

    def _play(self, first: int) -> list[Records]:
        """The next groups in the stored form, from number `first` on, in as many parts as memory needs.

        Raises:
            RunError: there is none for a single group.
        """
        count = self._source.batch_size(first, self._count)

        def play(parts: list[slice]) -> list[Records]:
            return [records for one in parts for records in self._play_part(first + one.start, one.stop - one.start)]

        try:
            return self._parts.run(count, play, tidy=self._players.clear)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise RunError(
                f"actor {self.index}: not enough memory on {self._device} to play one group: lower "
                f"selfplay.group_size or search.num_simulations ({reason_of(error)})"
            ) from None

    def _play_part(self, first: int, count: int) -> list[Records]:
        """So many groups from number `first` on, in lock-step; of two halves each is played by a thread of its own.

        Python runs one thread at a time, but not the one that waits for a GPU.
        """
        temperature, num_cities = self.temperature, self._source.size_of(first)

        def play(player: _Player, first: int) -> Records:
            return play_groups(
                player.model, player.search, self._source, first, player.groups, self.weights_version,
                self._writer.specs, temperature=temperature, temperature_threshold=self._temperature_threshold,
                with_values=self._with_values, clock=self._clock,
            )  # fmt: skip

        if self._threads is None or count == 1:
            return [play(self._player(0, count, num_cities), first)]
        players = [self._player(0, count - count // 2, num_cities), self._player(1, count // 2, num_cities)]
        firsts = [first, first + players[0].groups]
        halves = [self._threads.submit(play, player, first) for player, first in zip(players, firsts, strict=True)]
        wait_for_all(halves)  # should one fail, the other ends, too
        return [half.result() for half in halves]

    def _too_old(self, groups: int) -> bool:
        """Whether too many versions were published since the batch began; its groups are then played again.

        That cannot go on for ever: without new groups the rate limiter holds the learner, which then publishes nothing.
        """
        lag = self._channels.weights.version - self.weights_version
        self._row.set("weights_lag", lag)
        if not 0 < self._max_weights_lag < lag:
            return False
        self._row.add("groups_dropped", groups)
        if time.monotonic() >= self._next_complaint:
            self._next_complaint = time.monotonic() + _COMPLAINT_SECONDS
            _LOG.warning(
                "actor %d: %d versions of the weights were published while a batch was played, more than "
                "selfplay.max_weights_lag = %d: its %d groups are played again (%d so far); fewer "
                "selfplay.groups_in_parallel or a larger learner.publish_every help",
                self.index, lag, self._max_weights_lag, groups, self._row.get("groups_dropped"),
            )  # fmt: skip
        return True

    def run(self) -> None:
        """Play until the run stops."""
        control = self._channels.control
        while control.phase == Phase.RUN:
            if not self.pull_weights():
                time.sleep(_POLL_SECONDS)  # once, at the start, until the learner publishes its first weights
                self._row.beat()
                continue
            wait = self._channels.limiter.wait_to_insert(self.index, _WAIT_SECONDS)
            self._row.add("wait_seconds", wait.seconds)
            if wait.granted:
                self.play_once()
                with self._row.timed("wait_seconds"):
                    self._channels.control.pause(self._delay, self._row.beat)
            self._row.beat()


def actor_main(index: int, config: Config, channels: Channels, run_dir: Path, parent_pid: int) -> None:
    """Main function of an actor process."""
    enter_child(run_dir, f"actor {index}", parent_pid)
    if config.selfplay.num_actors >= len(os.sched_getaffinity(0)):
        os.nice(_CROWD_NICENESS)  # all of them wait for the learner: it must not get one share among many
    actor = Actor(index, config, channels)
    channels.stats.row("actor", index).beat()
    _LOG.info("actor %d starts at group %d (pid %d)", index, channels.ring.next_group_id(index), os.getpid())
    try:
        actor.run()
    except TspmzError as error:
        raise SystemExit(str(error)) from None  # the parent shows what its children print last
