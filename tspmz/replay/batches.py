"""A batch for the learner out of stored groups: one compiled loop, since a call of numpy takes as long as a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tspmz.checksum import LANES
from tspmz.replay.compiled import kernel
from tspmz.replay.fields import Records, words_of
from tspmz.replay.rerooting import walk_best
from tspmz.replay.ring import Ring
from tspmz.replay.slots import ReadStatus, load_row
from tspmz.replay.targets import fill_advantages, fill_lengths, fill_policy_weights, fill_value_targets, shape_rewards
from tspmz.types import Float32, Float64, Int64

_TEACHING = np.dtype(
    [
        ("by_advantage", "i8"), ("temperature", "f8"), ("cap", "f8"), ("baseline", "f8"), ("td_steps", "i8"),
        ("discount", "f8"), ("edge_reward", "f8"),
    ]
)  # fmt: skip
_FIELDS = (
    "coordinates", "tours", "rewards", "root_values", "prior_log_probs", "actor", "group_id", "weights_version",
)  # fmt: skip
_COORDINATES, _TOURS, _REWARDS, _ROOT_VALUES, _PRIOR_LOG_PROBS, _ACTOR, _GROUP_ID, _VERSION = range(len(_FIELDS))
_OK = int(ReadStatus.OK)
_NO_HEADS, _NO_WORDS, _NO_SLOTS = np.empty((3, 0), np.int64), np.empty((0, 0), np.uint64), np.empty(0, np.int64)


class Lessons(NamedTuple):
    """What is learned from M groups, and which they are; arrays as in `types.Batch`."""

    coordinates: Float32
    tours: Int64
    rewards: Float32
    prior_log_probs: Float32
    value_targets: Float32
    policy_weights: Float32
    lengths: Float32
    actors: Int64
    group_ids: Int64
    weights_versions: Int64


class Teacher:
    """Turns stored groups into what is learned from them.

    Args:
        dtype: of the records, from `fields.record_dtype`.
        by_advantage: policy weights are those of the advantages; else all are 1.
        temperature, cap, baseline: as for `targets.fill_policy_weights`.
        rerooted_episodes: worst episodes of each group that become walks of its best tour, with a policy weight of 1.
        td_steps, discount: as for `targets.value_targets`.
        edge_reward: as for `targets.shaped_rewards`.

    Raises:
        ValueError: as many walks as episodes, or more.
    """

    def __init__(
        self, dtype: np.dtype[Any], *, by_advantage: bool, temperature: float, cap: float, baseline: float,
        rerooted_episodes: int, td_steps: int, discount: float, edge_reward: float,
    ) -> None:  # fmt: skip
        fields: Mapping[str, Any] = dtype.fields or {}
        self._group_size, self._most_cities = fields["tours"][0].shape
        if not 0 <= rerooted_episodes < self._group_size:
            raise ValueError(f"rerooted_episodes = {rerooted_episodes}: must be 0 to {self._group_size - 1}")
        self._offsets = np.array([fields[name][1] for name in _FIELDS])
        self._rerooted_episodes = rerooted_episodes
        self._teaching = np.array(
            [(by_advantage, temperature, cap, baseline, td_steps, discount, edge_reward)], _TEACHING
        )

    def coins(self, count: int, rng: np.random.Generator) -> Float64:
        """`[count, rerooted_episodes]` in [0, 1): which way the walks of `count` groups go."""
        return rng.random((count, self._rerooted_episodes))

    def blank(self, count: int, num_cities: int) -> Lessons:
        """Room for what `count` groups on `num_cities` cities teach."""
        group_size, moves = self._group_size, num_cities - 1
        return Lessons(
            coordinates=np.empty((count, num_cities, 2), np.float32),
            tours=np.empty((count, group_size, num_cities), np.int64),
            rewards=np.empty((count, group_size, moves), np.float32),
            prior_log_probs=np.empty((count, group_size, moves), np.float32),
            value_targets=np.empty((count, group_size, num_cities), np.float32),
            policy_weights=np.empty((count, group_size), np.float32),
            lengths=np.empty((count, group_size), np.float32),
            actors=np.empty(count, np.int64),
            group_ids=np.empty(count, np.int64),
            weights_versions=np.empty(count, np.int64),
        )

    def teach(self, records: Records, coins: Float64, lessons: Lessons) -> None:
        """Fill `lessons` with what contiguous `records [M]` teach."""
        _teach(
            _NO_HEADS, _NO_WORDS, _NO_SLOTS, _NO_SLOTS, np.arange(len(records)), words_of(records), self._offsets,
            self._most_cities, coins, self._teaching, _NO_SLOTS, *lessons,
        )  # fmt: skip

    def load_and_teach(
        self, ring: Ring, slots: Int64, group_ids: Int64, rows: Int64, records: Records, coins: Float64,
        lessons: Lessons,
    ) -> Int64:  # fmt: skip
        """Read groups from the ring, and fill rows of `lessons` while each is in the cache.

        Copies are validated as by `Ring.read_many`; slots and shapes are not looked at, and what is refused stays in
        `records` as it was copied.

        Args:
            ring: of groups with this teacher's fields.
            slots: `[K]` int64, of those that the ring has.
            group_ids: `[K]` int64, what the slots must hold.
            rows: `[K]` int64, of `lessons`, that they fill.
            records: `[C]` private ones; row i is copied to `records[i % C]`, so they hold all where there is room.
            coins: as from `coins`, for all rows of `lessons`.
            lessons: rows of refused groups are not filled.

        Returns:
            `[K]` int64 of `ReadStatus`.
        """
        status = np.empty(len(slots), np.int64)
        heads, words = ring.heads_and_words
        refused = _teach(
            heads, words, slots, group_ids, rows, words_of(records), self._offsets, self._most_cities, coins,
            self._teaching, status, *lessons,
        )  # fmt: skip
        if refused:
            ring.count_refused(status)
        return status


@kernel
def _teach(  # type: ignore[no-untyped-def]
    heads, words, slots, numbers, rows, records, offsets, most_cities, coins, teaching, status,
    coordinates, tours, rewards, prior_log_probs, value_targets, policy_weights, lengths, actors, group_ids,
    weights_versions,
):  # fmt: skip
    """Fill rows of the arrays of `Lessons`.

    Args:
        heads, words: as for `slots.load_row`.
        slots, numbers: `[K]` int64, as for `slots.load_rows`; or `[0]`: nothing is loaded, and all are in `records`.
        rows: `[K]` int64, to fill.
        records: `[C, W]` uint64; row i has `records[i % C]`.
        offsets: of `_FIELDS`, in bytes.
        most_cities: cities that a record has room for.
        coins: `[M, R]` in [0, 1), as for `walk_best`; R = 0 for no walks.
        teaching: `[1]` of `_TEACHING`.
        status: as for `slots.load_rows`.

    Returns:
        How many are refused.
    """
    how = teaching[0]
    group_size, num_cities = tours.shape[1], tours.shape[2]
    measured, advantages, walks = np.empty(group_size), np.empty(group_size, np.float32), np.empty(group_size, np.bool_)
    root_values = np.zeros((group_size, num_cities - 1 if how.td_steps > 0 else 0), np.float32)
    lanes, refused = np.empty(LANES, np.uint64), 0
    for k in range(rows.shape[0]):
        i = rows[k]
        record = records[i % records.shape[0]]
        if slots.shape[0] > 0:
            status[k] = load_row(heads, words, slots[k], numbers[k], record, lanes)
            if status[k] != _OK:
                refused += 1
                continue
        singles, shorts, longs = record.view(np.float32), record.view(np.int16), record.view(np.int64)
        actors[i], group_ids[i] = longs[offsets[_ACTOR] // 8], longs[offsets[_GROUP_ID] // 8]
        weights_versions[i] = longs[offsets[_VERSION] // 8]
        _copy(singles, offsets[_COORDINATES] // 4, 2, coordinates[i])
        _copy(shorts, offsets[_TOURS] // 2, most_cities, tours[i])
        _copy(singles, offsets[_REWARDS] // 4, most_cities - 1, rewards[i])
        _copy(singles, offsets[_ROOT_VALUES] // 4, most_cities - 1, root_values)
        _copy(singles, offsets[_PRIOR_LOG_PROBS] // 4, most_cities - 1, prior_log_probs[i])
        fill_lengths(rewards[i], measured)
        for g in range(group_size):
            lengths[i, g] = measured[g]
        policy_weights[i] = 1.0
        if how.by_advantage:
            fill_advantages(measured, advantages)
            fill_policy_weights(advantages, how.temperature, how.cap, how.baseline, policy_weights[i])
        if coins.shape[1] > 0:
            walk_best(coordinates[i], measured, coins[i], tours[i], rewards[i], walks)
            for g in range(group_size):
                if walks[g]:
                    policy_weights[i, g] = 1.0
        if how.edge_reward != 0.0:
            shape_rewards(rewards[i], how.edge_reward)
        fill_value_targets(rewards[i], root_values, how.td_steps, how.discount, value_targets[i])
    return refused


@kernel
def _copy(stored, start, stride, out):  # type: ignore[no-untyped-def]
    """Copy rows to `out` `[R, K]` from `stored`, where they are `stride` apart from `start` on."""
    rows, columns = out.shape
    if stride == columns:  # no gaps: as one row
        _copy_row(stored[start : start + rows * columns], out.reshape(rows * columns))
    else:
        for r in range(rows):
            _copy_row(stored[start + r * stride : start + r * stride + columns], out[r])


@kernel
def _copy_row(row, target):  # type: ignore[no-untyped-def]
    for k in range(target.shape[0]):
        target[k] = row[k]
