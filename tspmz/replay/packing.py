"""Groups in the stored form and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from tspmz.replay.fields import MAX_VISITS, FieldSpec, Records
from tspmz.types import Group, Reanalysis

_SHORT_BITS = 16


@njit(cache=True, nogil=True)
def _narrow(counts, out):  # type: ignore[no-untyped-def]
    """Copy whole numbers `[K]` to uint16; False where one does not fit."""
    seen = counts.dtype.type(0)
    for i in range(counts.shape[0]):
        count = counts[i]
        seen |= count
        out[i] = np.uint16(count)
    return (seen >> _SHORT_BITS) == 0


class GroupPacker:
    """Writes groups into records; the views it needs are made once, since a write takes only microseconds.

    Args:
        records: `[M]` contiguous records of `fields.record_dtype`.
        specs: their fields.
    """

    def __init__(self, records: Records, specs: Sequence[FieldSpec]) -> None:
        self._arrays = [(spec.name, spec.shape, records[spec.name]) for spec in specs if spec.shape]
        self._numbers = [(spec.name, records[spec.name]) for spec in specs if not spec.shape]

    def store(self, group: Group | Reanalysis, index: int) -> None:
        """Write the stored fields of `group` into record `index`.

        Raises:
            ValueError: the shapes are not those of the run, or a visit count needs more than 16 bits.
        """
        for name, shape, stored in self._arrays:
            value = getattr(group, name)
            if value.shape != shape:
                raise ValueError(
                    f"group {group.group_id} of actor {group.actor}: {name} has shape {value.shape}, "
                    f"the replay stores {shape}"
                )
            if name != "visit_counts":
                stored[index] = value
            elif not _narrow(np.ascontiguousarray(value).reshape(-1), stored[index].reshape(-1)):
                raise ValueError(f"visit counts above {MAX_VISITS} cannot be stored: lower search.num_simulations")
        for name, numbers in self._numbers:
            numbers[index] = _number(group, name)


def load_group(record: Records) -> Group:
    """The group of a record `[]`, copied; a target that is not stored comes back with a last axis of 0."""
    names = record.dtype.names or ()
    group_size, num_moves = record["rewards"].shape
    absent = (group_size, num_moves, 0)
    visits = record["visit_counts"].astype(np.int32) if "visit_counts" in names else np.zeros(absent, np.int32)
    weights = record["action_weights"].copy() if "action_weights" in names else np.zeros(absent, np.float32)
    return Group(
        coordinates=record["coordinates"].copy(),
        tours=record["tours"].astype(np.int64),
        rewards=record["rewards"].copy(),
        root_values=record["root_values"].copy(),
        prior_log_probs=record["prior_log_probs"].copy(),
        visit_counts=visits,
        action_weights=weights,
        actor=int(record["actor"]),
        group_id=int(record["group_id"]),
        seed=int(record["seed"]),
        weights_version=int(record["weights_version"]),
    )


def _number(group: Group | Reanalysis, name: str) -> int:
    if isinstance(group, Group) and name == "num_cities":
        return int(group.coordinates.shape[0])
    if isinstance(group, Group) and name == "group_size":
        return int(group.tours.shape[0])
    return int(getattr(group, name))
