"""The learner's window on the ring: notices new groups, draws batches by priority, takes priorities back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.batches import Lessons, Teacher
from tspmz.replay.checks import valid_groups
from tspmz.replay.fields import Records, by_size, part
from tspmz.replay.positions import PositionPriorities
from tspmz.replay.reanalyzed import NewerTargets
from tspmz.replay.ring import Ring
from tspmz.replay.sized_trees import SizedTrees
from tspmz.replay.slots import ReadStatus
from tspmz.replay.sumtree import SMALLEST_PRIORITY
from tspmz.replay.targets import importance_weights, policy_targets, shaped_rewards, value_targets
from tspmz.types import Batch, Float32, Float64, Int64

_INGEST_BYTES = 2**24
_EMPTY = -1
_STORED_TARGETS = {"visit_counts": "visit_counts", "gumbel": "action_weights"}


class ReplayCounters(NamedTuple):
    """What happened to groups and priorities, in groups, since the start of the run.

    Attributes:
        ingested: taken into the window.
        sampled: put into batches.
        rejected_torn: found half-written at ingest.
        rejected_checksum: damaged in memory.
        rejected_invalid: with numbers that are not finite, or tours that are no permutations.
        stale_priorities: priorities that came back after their group was overwritten.
        redrawn: drawn again because the group was overwritten while being copied.
        missed: overwritten before the window noticed them.
    """

    ingested: int = 0
    sampled: int = 0
    rejected_torn: int = 0
    rejected_checksum: int = 0
    rejected_invalid: int = 0
    stale_priorities: int = 0
    redrawn: int = 0
    missed: int = 0


class ReplayBuffer:
    """Prioritized sampling (PER) over the groups in the ring; owned by the learner's process, by one thread.

    Given the generator and the ring's contents, the groups drawn are determined: the window and the sum tree depend
    on what is in the slots and on the priorities, not on the order in which groups came in.

    Args:
        ring: where the actors write.
        batch_groups: groups M of a batch.
        window_per_actor: newest groups of each actor that are drawn from; None = all that the ring holds.
        sampling: `prioritized` or `uniform`.
        priority_exponent: alpha; the stored priority is `(priority + 1e-6) ** alpha` (PER, eq. 1).
        importance_exponent: beta of the importance weights.
        initial_priority: of a new group: `max`, the largest so far, or `search`, its mean |root value - value target|.
        position_sampling: `prioritized` draws `positions` of each group's T positions by the errors that they had;
            `uniform` leaves the choice to the learner.
        positions: P, > 0 for `prioritized`.
        policy_target: `visit_counts`, `gumbel` or `advantage`; the ring must store the first two.
        advantage_temperature: temperature of the policy weights (`advantage` only).
        advantage_weight_cap: largest policy weight (`advantage` only).
        advantage_baseline: share of a group's mean policy weight that is taken off (`advantage` only).
        rerooted_episodes: worst episodes of a drawn group that become walks of its best tour (`advantage` only, and
            Monte-Carlo values).
        td_steps: n of the value targets; 0 = Monte-Carlo.
        reanalyzed: where the reanalyzer writes newer targets; None = there is none.
        reanalyze_fraction: share of drawn groups that get them.
        edge_reward: what an edge is worth before its length is taken off (`targets.shaped_rewards`).
        discount: factor per move.
        sizes: numbers of cities that groups may have; None = as many as the ring has room for. A batch has one of them.

    Attributes:
        reanalyzed_share: share of the last batch's groups that got newer targets.

    Raises:
        ValueError: unknown sampling or policy target, or a target that the ring does not store.
    """

    def __init__(
        self,
        ring: Ring,
        *,
        batch_groups: int,
        window_per_actor: int | None = None,
        sampling: str = "prioritized",
        priority_exponent: float = 0.6,
        importance_exponent: float = 0.4,
        initial_priority: str = "max",
        position_sampling: str = "uniform",
        positions: int = 0,
        policy_target: str = "advantage",
        advantage_temperature: float = 0.02,
        advantage_weight_cap: float = 20.0,
        advantage_baseline: float = 0.0,
        rerooted_episodes: int = 0,
        td_steps: int = 0,
        reanalyzed: Ring | None = None,
        reanalyze_fraction: float = 0.0,
        edge_reward: float = 0.0,
        discount: float = 1.0,
        sizes: Sequence[int] | None = None,
    ) -> None:
        if sampling not in ("prioritized", "uniform"):
            raise ValueError(f"unknown sampling {sampling!r}")
        self._stored_target = _STORED_TARGETS.get(policy_target)
        stored = {spec.name for spec in ring.field_specs}
        if policy_target != "advantage" and self._stored_target not in stored:
            raise ValueError(f"the ring does not store what policy target {policy_target!r} needs")
        self._ring = ring
        self._batch_groups = batch_groups
        self._window = min(window_per_actor or ring.slots_per_actor, ring.slots_per_actor)
        # exponent 0 gives every group the same priority, whatever comes back
        self._priority_exponent = priority_exponent if sampling == "prioritized" else 0.0
        self._importance_exponent = importance_exponent
        self._td_steps = td_steps
        self._newer = NewerTargets(reanalyzed, ring, reanalyze_fraction) if reanalyzed is not None else None
        self._edge_reward = edge_reward
        self._discount = discount
        (most_moves,) = {spec.shape[1] for spec in ring.field_specs if spec.name == "rewards"}
        self._trees = SizedTrees(ring.num_slots, sizes or (most_moves + 1,))
        self._group_ids = np.full(ring.num_slots, _EMPTY, np.int64)
        self._size = 0
        self._priorities = np.zeros(ring.num_slots, np.float64)
        self._from_search = initial_priority == "search"
        self._position_priorities = None
        if position_sampling == "prioritized":
            exponents = (self._priority_exponent, importance_exponent)
            self._position_priorities = PositionPriorities(ring.num_slots, most_moves, positions, *exponents)
        self._max_priority = 1.0
        self._seen = np.zeros(ring.num_actors, np.int64)
        # what a batch keeps of its records is needed only where more than its lessons comes of them
        keeps_records = self._stored_target is not None or self._newer is not None
        self._records = ring.empty_records(batch_groups if keeps_records else 1)
        self._all_rows = np.arange(batch_groups)
        self._teacher = Teacher(
            self._records.dtype, by_advantage=self._stored_target is None, temperature=advantage_temperature,
            cap=advantage_weight_cap, baseline=advantage_baseline, rerooted_episodes=rerooted_episodes,
            td_steps=td_steps, discount=discount, edge_reward=edge_reward,
        )  # fmt: skip
        self._incoming = ring.empty_records(max(1, min(256, _INGEST_BYTES // self._records.dtype.itemsize)))
        self.reanalyzed_share = 0.0
        self._counts = dict.fromkeys(ReplayCounters._fields, 0)

    @property
    def size(self) -> int:
        """Groups in the window."""
        return self._size

    @property
    def counters(self) -> ReplayCounters:
        """What happened so far."""
        return ReplayCounters(**self._counts)

    def ingest(self) -> int:
        """Take in the groups written since the last call; new ones get the largest priority seen so far.

        Returns:
            Groups taken in; those refused are counted.
        """
        before = self._counts["ingested"]
        for actor, written in enumerate(self._ring.all_written()):
            if written == self._seen[actor]:
                continue
            first = max(int(self._seen[actor]), int(written) - self._window)
            if first > self._seen[actor] and self._seen[actor] > 0:
                self._counts["missed"] += first - int(self._seen[actor])
            for start in range(first, int(written), len(self._incoming)):
                stop = min(start + len(self._incoming), int(written))
                self._take_in(actor, np.arange(start, stop, dtype=np.int64))
            self._seen[actor] = written
            self._forget_before(actor, int(written) - self._window)
        return self._counts["ingested"] - before

    def _forget_before(self, actor: int, group_id: int) -> None:
        """Forget the groups of an actor that have left the window."""
        start = actor * self._ring.slots_per_actor
        held = self._group_ids[start : start + self._ring.slots_per_actor]
        self._forget(start + np.flatnonzero((held != _EMPTY) & (held < group_id)))

    def _take_in(self, actor: int, group_ids: Int64) -> None:
        slots = actor * self._ring.slots_per_actor + group_ids % self._ring.slots_per_actor
        status = self._ring.read_many(slots, group_ids, self._incoming)
        readable = status == ReadStatus.OK
        incoming = self._incoming[: len(slots)]
        sizes = np.array(incoming["num_cities"])
        accepted = readable & valid_groups(incoming) & self._trees.known(sizes)
        self._counts["rejected_torn"] += int(np.count_nonzero(status == ReadStatus.TORN))
        self._counts["rejected_checksum"] += int(np.count_nonzero(status == ReadStatus.CHECKSUM))
        self._counts["missed"] += int(np.count_nonzero(status == ReadStatus.OVERWRITTEN))
        self._counts["rejected_invalid"] += int(np.count_nonzero(readable & ~accepted))
        self._counts["ingested"] += int(np.count_nonzero(accepted))
        self._forget(slots[~accepted])
        self._group_ids[slots[accepted]] = group_ids[accepted]
        self._recount()
        self._trees.place(slots[accepted], sizes[accepted])
        errors = self._first_errors(incoming[accepted])
        self._store(slots[accepted], np.nanmean(errors, axis=1) if self._from_search else errors[:, 0])
        if self._position_priorities is not None:
            self._position_priorities.set(slots[accepted], errors)

    def _first_errors(self, records: Records) -> Float64:
        """Priorities `[M, T]` of the positions of new groups; NaN where a smaller one has none."""
        shape = (len(records), records["rewards"].shape[2])
        if not self._from_search:
            return np.full(shape, self._max_priority)
        errors = np.full(shape, np.nan)
        for num_cities, rows in by_size(records):
            root_values = part(records[rows], "root_values", num_cities)
            played = np.ascontiguousarray(part(records[rows], "rewards", num_cities))
            rewards = shaped_rewards(played, self._edge_reward)
            targets = value_targets(rewards, root_values, self._td_steps, self._discount)
            errors[rows, : num_cities - 1] = np.abs(root_values - targets[..., :-1]).mean(axis=1, dtype=np.float64)
        return errors

    def _store(self, slots: Int64, priorities: Float64) -> None:
        self._priorities[slots] = priorities
        self._trees.set(slots, (priorities + SMALLEST_PRIORITY) ** self._priority_exponent)

    def _forget(self, slots: Int64) -> None:
        self._group_ids[slots] = _EMPTY
        self._priorities[slots] = 0.0
        self._trees.clear(slots)
        self._recount()

    def _recount(self) -> None:
        self._size = int(np.count_nonzero(self._group_ids != _EMPTY))

    def sample(self, rng: np.random.Generator) -> Batch:
        """Draw a batch; the caller sees to it that the window is not empty.

        Groups that were overwritten since they were taken in are forgotten, counted, and others drawn for them.

        Args:
            rng: source of all randomness.

        Raises:
            ValueError: no group in the window can be read.
        """
        num_cities = self._trees.draw_size(rng)
        slots, probabilities = self._trees.sample(rng, num_cities, self._batch_groups)
        lessons = self._teacher.blank(self._batch_groups, num_cities)
        coins = self._teacher.coins(self._batch_groups, rng)
        size = self.size
        status = self._learn_from(slots, self._all_rows, coins, lessons)
        bad = np.flatnonzero(status)
        while len(bad):
            self._counts["redrawn"] += len(bad)
            self._counts["rejected_checksum"] += int(np.count_nonzero(status == ReadStatus.CHECKSUM))
            self._forget(np.unique(slots[bad]))
            size = self.size
            if size and not self._trees.holds(num_cities):
                return self.sample(rng)  # with another number of cities: there is no such group any more
            slots[bad], probabilities[bad] = self._trees.sample(rng, num_cities, len(bad), stratified=False)
            status = self._learn_from(slots[bad], bad, coins, lessons)
            bad = bad[status != ReadStatus.OK]
        self._counts["sampled"] += self._batch_groups
        if self._newer is not None:
            self._newer.ingest()
            self.reanalyzed_share = self._newer.substitute(self._records, slots, rng) / self._batch_groups
            if self.reanalyzed_share:
                self._teacher.teach(self._records, coins, lessons)
        return self._batch(lessons, slots, probabilities, size, num_cities, rng)

    def _learn_from(self, slots: Int64, rows: Int64, coins: Float64, lessons: Lessons) -> Int64:
        return self._teacher.load_and_teach(
            self._ring, slots, self._group_ids[slots], rows, self._records, coins, lessons
        )

    def _batch(
        self, lessons: Lessons, slots: Int64, probabilities: Float64, size: int, num_cities: int,
        rng: np.random.Generator,
    ) -> Batch:  # fmt: skip
        targets: Float32 | None = None
        if self._stored_target:
            targets = policy_targets(part(self._records, self._stored_target, num_cities), lessons.tours)
        of_groups = importance_weights(probabilities, size, self._importance_exponent)
        positions: Int64 | None = None
        position_weights: Float32 | None = None
        if self._position_priorities is not None:
            positions, weights = self._position_priorities.sample(rng, slots)
            position_weights = (weights / (of_groups[:, None] * weights).max()).astype(np.float32)
        return Batch(
            **lessons._asdict(),
            policy_targets=targets,
            importance_weights=of_groups,
            positions=positions,
            position_weights=position_weights,
            probabilities=probabilities,
            slots=slots,
        )

    def update_priorities(
        self,
        slots: Int64,
        actors: Int64,
        group_ids: Int64,
        priorities: NDArray[np.floating[Any]],
        position_errors: NDArray[np.floating[Any]] | None = None,
    ) -> int:
        """Write priorities back; those of groups that were overwritten meanwhile are skipped and counted.

        Args:
            slots: `[M]` int64, from the batch.
            actors: `[M]` int64, from the batch.
            group_ids: `[M]` int64, from the batch.
            priorities: `[M]`, before the exponent, finite, >= 0.
            position_errors: `[M, T]`, those of the positions; NaN leaves a position's as it was.

        Returns:
            Priorities written.

        Raises:
            ValueError: a priority is negative or not finite; nothing is written.
        """
        values = np.asarray(priorities, np.float64)
        if not np.all((values >= 0.0) & np.isfinite(values)):
            raise ValueError(f"priorities must be finite and >= 0, not {values}")
        current = (self._group_ids[slots] == group_ids) & (slots // self._ring.slots_per_actor == actors)
        self._counts["stale_priorities"] += int(np.count_nonzero(~current))
        if not current.any():
            return 0
        self._store(slots[current], values[current])
        self._max_priority = max(self._max_priority, float(values[current].max()))
        if self._position_priorities is not None and position_errors is not None:
            self._position_priorities.set(slots[current], position_errors[current])
        return int(np.count_nonzero(current))

    def state(self) -> dict[str, NDArray[Any]]:
        """Plain arrays for a checkpoint: identity and priority of each group in the window, and the counters."""
        slots = np.flatnonzero(self._group_ids != _EMPTY)
        state = {
            "actor": slots // self._ring.slots_per_actor,
            "group_id": self._group_ids[slots],
            "priority": self._priorities[slots],
            "max_priority": np.array([self._max_priority]),
            "counters": np.array(list(self._counts.values()), np.int64),
        }
        if self._position_priorities is not None:
            state["position_priority"] = self._position_priorities.get(slots)
        return state

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> int:
        """Give the groups in the window the priorities of a checkpoint; call after `Ring.restore` and `ingest`.

        Groups that the checkpoint does not know start with its largest priority; what it knows of groups that are
        not in the window is dropped.

        Returns:
            Groups whose priority was found.

        Raises:
            ValueError: the arrays do not fit together, or hold priorities that are not finite.
        """
        actors, group_ids, priorities = (np.asarray(state[name]) for name in ("actor", "group_id", "priority"))
        if not (actors.shape == group_ids.shape == priorities.shape) or not np.isfinite(priorities).all():
            raise ValueError("the priorities of the checkpoint are damaged")
        self._max_priority = float(state["max_priority"][0])
        filled = np.flatnonzero(self._group_ids != _EMPTY)
        self._store(filled, np.full(len(filled), self._max_priority))
        of_positions = state.get("position_priority")
        inside = (actors >= 0) & (actors < self._ring.num_actors)
        actors, group_ids, priorities = actors[inside], group_ids[inside], priorities[inside]
        slots = actors * self._ring.slots_per_actor + group_ids % self._ring.slots_per_actor
        current = self._group_ids[slots] == group_ids
        self._store(slots[current], priorities[current])
        if self._position_priorities is not None and of_positions is not None:
            self._position_priorities.set(slots[current], np.asarray(of_positions)[inside][current])
        self._counts = dict(zip(self._counts, (int(count) for count in state["counters"]), strict=True))
        return int(np.count_nonzero(current))
