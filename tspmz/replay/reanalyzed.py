"""Newer targets of stored groups, on the learner's side: which there are, and putting them in place of the old ones."""

from __future__ import annotations

import numpy as np

from tspmz.replay.checks import sound_targets
from tspmz.replay.fields import Records, by_size
from tspmz.replay.ring import Ring
from tspmz.replay.slots import ReadStatus

_NONE = -1
_REPLACED = ("root_values", "visit_counts", "action_weights")


class NewerTargets:
    """Index of the reanalyzer's ring by the slots of the groups; owned by the learner's process, by one thread.

    The reanalyzer writes its results one after the other into a ring of its own, which nobody else writes. What the
    index says is a hint; a result is used only if its copy is whole and names the group that it is for.

    Args:
        results: ring of `fields.reanalyzed_fields_for`.
        ring: of the groups.
        fraction: share of drawn groups that get newer targets, where there are any.
    """

    def __init__(self, results: Ring, ring: Ring, fraction: float) -> None:
        self._results = results
        self._slots_per_actor, self._num_actors = ring.slots_per_actor, ring.num_actors
        self._fraction = fraction
        self._sequences = np.full(ring.num_slots, _NONE, np.int64)
        self._group_ids = np.full(ring.num_slots, _NONE, np.int64)
        self._seen = 0

    def ingest(self) -> None:
        """Take note of the results written since the last call; of two for one group the later counts."""
        written = self._results.written(0)
        sequences = np.arange(max(self._seen, written - self._results.slots_per_actor), written, dtype=np.int64)
        self._seen = written
        places = sequences % self._results.slots_per_actor
        actors = self._results.peek("source_actor", places)
        group_ids = self._results.peek("source_group_id", places)
        sound = (actors >= 0) & (actors < self._num_actors) & (group_ids >= 0)
        slots = actors[sound] * self._slots_per_actor + group_ids[sound] % self._slots_per_actor
        self._sequences[slots] = sequences[sound]
        self._group_ids[slots] = group_ids[sound]

    def substitute(self, records: Records, slots: np.ndarray, rng: np.random.Generator) -> int:
        """Give a share of `records` `[M]`, drawn from `slots [M]`, the newest targets there are for them.

        Returns:
            Records that got some.
        """
        chosen = rng.random(len(slots)) < self._fraction
        known = (self._sequences[slots] != _NONE) & (self._group_ids[slots] == records["group_id"])
        rows = np.flatnonzero(chosen & known)
        if not len(rows):
            return 0
        sequences = self._sequences[slots[rows]]
        fresh = self._results.empty_records(len(rows))
        status = self._results.read_many(sequences % self._results.slots_per_actor, sequences, fresh)
        of_the_group = (fresh["source_actor"] == records["actor"][rows]) & (
            fresh["source_group_id"] == records["group_id"][rows]
        )
        sound = np.zeros(len(rows), np.bool_)
        for num_cities, of_size in by_size(records[rows]):
            sound[of_size] = sound_targets(fresh[of_size], num_cities)
        usable = (status == ReadStatus.OK) & of_the_group & sound
        for name in set(_REPLACED) & set(fresh.dtype.names or ()):
            records[name][rows[usable]] = fresh[name][usable]
        return int(np.count_nonzero(usable))
