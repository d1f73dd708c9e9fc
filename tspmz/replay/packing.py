"""Groups in the stored form and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tspmz.replay.compiled import kernel
from tspmz.replay.fields import MAX_VISITS, FieldSpec, Records, part, poison
from tspmz.types import Group, Int32, Reanalysis

_SHORT_BITS = 16


@kernel
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
        self._records, self._specs = records, specs
        self._moves = next(spec.shape[1] for spec in specs if spec.name == "root_values")
        self._arrays = [(spec.name, spec.shape, records[spec.name]) for spec in specs if spec.shape]
        self._numbers = [(spec.name, records[spec.name]) for spec in specs if not spec.shape]

    def store(self, group: Group | Reanalysis, index: int) -> None:
        """Write the stored fields of `group` into record `index`; one on fewer cities fills a part of it.

        Raises:
            ValueError: the shapes are not those of the run, or a visit count needs more than 16 bits.
        """
        if 0 < group.root_values.shape[-1] < self._moves:
            self._store_part(group, index)
        else:
            for name, shape, stored in self._arrays:
                value = getattr(group, name)
                if value.shape != shape:
                    raise _misshapen(group, name, shape)
                if name != "visit_counts":
                    stored[index] = value
                else:
                    _store_visits(value, stored[index])
        for name, numbers in self._numbers:
            numbers[index] = _number(group, name)

    def _store_part(self, group: Group | Reanalysis, index: int) -> None:
        num_cities = group.root_values.shape[-1] + 1
        poison(self._records[index : index + 1], self._specs)
        for name, _, _ in self._arrays:
            stored = part(self._records[index], name, num_cities)
            value = getattr(group, name)
            if value.shape != stored.shape:
                raise _misshapen(group, name, stored.shape)
            if name == "visit_counts":
                counts = np.empty(stored.shape, stored.dtype)
                _store_visits(value, counts)
                value = counts
            stored[...] = value


def _misshapen(group: Group | Reanalysis, name: str, shape: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"group {group.group_id} of actor {group.actor}: {name} has shape {getattr(group, name).shape}, the replay "
        f"stores {shape}"
    )


def _store_visits(counts: Int32, out: NDArray[np.uint16]) -> None:
    """Copy visit counts to `out`, which is contiguous."""
    if not _narrow(np.ascontiguousarray(counts).reshape(-1), out.reshape(-1)):
        raise ValueError(f"visit counts above {MAX_VISITS} cannot be stored: lower search.num_simulations")


def load_group(record: Records) -> Group:
    """The group of a record `[]`, copied; a target that is not stored comes back with a last axis of 0."""
    names = record.dtype.names or ()
    group_size, most_moves = record["rewards"].shape
    num_cities = min(max(int(record["num_cities"]), 2), most_moves + 1)  # a damaged number is found by the checks
    absent = (group_size, num_cities - 1, 0)

    def own(name: str) -> NDArray[Any]:
        return part(record, name, num_cities)

    visits = own("visit_counts").astype(np.int32) if "visit_counts" in names else np.zeros(absent, np.int32)
    weights = own("action_weights").copy() if "action_weights" in names else np.zeros(absent, np.float32)
    return Group(
        coordinates=own("coordinates").copy(),
        tours=own("tours").astype(np.int64),
        rewards=own("rewards").copy(),
        root_values=own("root_values").copy(),
        prior_log_probs=own("prior_log_probs").copy(),
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
