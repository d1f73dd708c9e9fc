"""The one table of what is stored of a group; ring, HDF5 segments and batches derive from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.types import Group, Reanalysis

Records = NDArray[np.void]

RECORD_ALIGNMENT = 128
MAX_VISITS = int(np.iinfo(np.uint16).max)


class Field(NamedTuple):
    """One row of the table.

    Attributes:
        name: name of the field; also the HDF5 data set's.
        dtype: numpy type as stored.
        shape: axis letters (G episodes, T moves, N cities) or digits, one character an axis.
        fill: poison of memory that holds no group: NaN for floats, -1 (or the largest value) for integers.
        policy_target: the field is stored for this policy target only; empty = always.
    """

    name: str
    dtype: str
    shape: str
    fill: float
    policy_target: str = ""


class FieldSpec(NamedTuple):
    """A field of one run, its axes resolved.

    Attributes:
        name: name of the field.
        dtype: numpy type as stored.
        shape: shape within one group; `()` for scalars.
        fill: poison value.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fill: float


FIELDS = (
    Field("coordinates", "<f4", "N2", np.nan),
    Field("tours", "<i2", "GN", -1),
    Field("rewards", "<f4", "GT", np.nan),
    Field("root_values", "<f4", "GT", np.nan),
    Field("prior_log_probs", "<f4", "GT", np.nan),
    Field("visit_counts", "<u2", "GTN", MAX_VISITS, "visit_counts"),
    Field("action_weights", "<f4", "GTN", np.nan, "gumbel"),
    Field("actor", "<i8", "", -1),
    Field("group_id", "<i8", "", -1),
    Field("seed", "<i8", "", -1),
    Field("weights_version", "<i8", "", -1),
    Field("num_cities", "<i8", "", -1),
    Field("group_size", "<i8", "", -1),
)


REANALYZED_FIELDS = (
    Field("source_actor", "<i8", "", -1),
    Field("source_group_id", "<i8", "", -1),
    Field("root_values", "<f4", "GT", np.nan),
    Field("visit_counts", "<u2", "GTN", MAX_VISITS, "visit_counts"),
    Field("action_weights", "<f4", "GTN", np.nan, "gumbel"),
    Field("actor", "<i8", "", -1),
    Field("group_id", "<i8", "", -1),
    Field("weights_version", "<i8", "", -1),
)
"""What replaces the fields of the same names in a group when it is reanalyzed, and whose they are."""


def reanalyzed_fields_for(num_cities: int, group_size: int, policy_target: str) -> tuple[FieldSpec, ...]:
    """The fields of a reanalysis; `policy_target` as for `fields_for`, `advantage` where values alone are made.

    Raises:
        ValueError: as `fields_for`.
    """
    return _resolved(REANALYZED_FIELDS, num_cities, group_size, policy_target)


def fields_for(num_cities: int, group_size: int, policy_target: str) -> tuple[FieldSpec, ...]:
    """The fields that a run stores.

    Args:
        num_cities: cities N of an instance; there are T = N - 1 moves.
        group_size: episodes G of a group.
        policy_target: `visit_counts`, `gumbel` or `advantage`; the first two store their target.

    Raises:
        ValueError: sizes out of range, unknown policy target.
    """
    return _resolved(FIELDS, num_cities, group_size, policy_target)


def _resolved(
    fields: Sequence[Field], num_cities: int, group_size: int, policy_target: str
) -> tuple[FieldSpec, ...]:
    if not 2 <= num_cities <= np.iinfo(np.int16).max or group_size < 1:
        raise ValueError(f"cannot store groups of {group_size} episodes on {num_cities} cities")
    if policy_target not in ("visit_counts", "gumbel", "advantage"):
        raise ValueError(f"unknown policy target {policy_target!r}")
    sizes = {"N": num_cities, "G": group_size, "T": num_cities - 1, "2": 2}
    return tuple(
        FieldSpec(field.name, np.dtype(field.dtype), tuple(sizes[letter] for letter in field.shape), field.fill)
        for field in fields
        if field.policy_target in ("", policy_target)
    )


def record_dtype(specs: Sequence[FieldSpec]) -> np.dtype[Any]:
    """Structured type of one stored group: every field starts on 8 bytes, the size is a multiple of 128."""
    offsets = []
    end = 0
    for spec in specs:
        offsets.append(end)
        size = spec.dtype.itemsize * int(np.prod(spec.shape, dtype=np.int64))
        end += -(-size // 8) * 8
    return np.dtype(
        {
            "names": [spec.name for spec in specs],
            "formats": [(spec.dtype, spec.shape) for spec in specs],
            "offsets": offsets,
            "itemsize": -(-end // RECORD_ALIGNMENT) * RECORD_ALIGNMENT,
        }
    )


def empty_records(specs: Sequence[FieldSpec], count: int) -> Records:
    """`[count]` records, zeroed and then poisoned."""
    records = np.zeros(count, record_dtype(specs))
    poison(records, specs)
    return records


def poison(records: Records, specs: Sequence[FieldSpec]) -> None:
    """Fill every field of `records` with its poison."""
    for spec in specs:
        records[spec.name] = spec.fill


def store_group(group: Group | Reanalysis, record: Records, specs: Sequence[FieldSpec]) -> None:
    """Write the stored fields of `group` into `record`, a view of shape `[]`.

    Raises:
        ValueError: the shapes are not those of the run, or a visit count needs more than 16 bits.
    """
    for spec in specs:
        value = _field_value(group, spec.name)
        shape = getattr(value, "shape", ())  # np.shape would make an array of each number first
        if shape != spec.shape:
            raise ValueError(
                f"group {group.group_id} of actor {group.actor}: {spec.name} has shape {shape}, "
                f"the replay stores {spec.shape}"
            )
        if spec.name == "visit_counts" and np.max(value) > MAX_VISITS:
            raise ValueError(f"visit counts above {MAX_VISITS} cannot be stored: lower search.num_simulations")
        record[spec.name] = value


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


def _field_value(group: Group | Reanalysis, name: str) -> Any:
    if isinstance(group, Group) and name == "num_cities":
        return group.coordinates.shape[0]
    if isinstance(group, Group) and name == "group_size":
        return group.tours.shape[0]
    return getattr(group, name)
