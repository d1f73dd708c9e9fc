"""The one table of what is stored of a group; ring, HDF5 segments and batches derive from it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tspmz.types import Int64

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


_AXES = {field.name: field.shape for field in (*FIELDS, *REANALYZED_FIELDS)}


def reanalyzed_fields_for(num_cities: int, group_size: int, policy_target: str) -> tuple[FieldSpec, ...]:
    """The fields of a reanalysis; `policy_target` as for `fields_for`, `advantage` where values alone are made.

    Raises:
        ValueError: as `fields_for`.
    """
    return _resolved(REANALYZED_FIELDS, num_cities, group_size, policy_target)


def fields_for(num_cities: int, group_size: int, policy_target: str) -> tuple[FieldSpec, ...]:
    """The fields that a run stores.

    Args:
        num_cities: cities N of an instance, of the largest one where sizes are mixed; there are T = N - 1 moves.
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
    return _record_dtype(tuple(specs))


@functools.cache  # equal types are compared in no time where they are one
def _record_dtype(specs: tuple[FieldSpec, ...]) -> np.dtype[Any]:
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


def words_of(records: Records) -> NDArray[np.uint64]:
    """`[M, itemsize / 8]` view of contiguous records `[M]`: compiled code would be made anew for each type of them."""
    return records.view(np.uint64).reshape(len(records), -1)


def part(records: Records, name: str, num_cities: int) -> NDArray[Any]:
    """View of what groups on `num_cities` cities fill of a field; where a slot has room for more, the rest is poison.

    Args:
        records: `[M]` records, or one `[]`.
        name: of the field.
        num_cities: N of these groups, at most that of the records.
    """
    field: NDArray[Any] = records[name]
    return field[_filled(name, num_cities)]


@functools.cache
def _filled(name: str, num_cities: int) -> tuple[Any, ...]:
    of_letter = {"N": slice(num_cities), "T": slice(num_cities - 1)}
    return (..., *(of_letter.get(letter, slice(None)) for letter in _AXES[name]))


def by_size(records: Records) -> Iterator[tuple[int, Int64 | slice]]:
    """Numbers of cities that occur in `records [M]`, and the rows with each; what cannot be a number is left out."""
    sizes = records["num_cities"]
    for size in np.unique(sizes):
        if 2 <= size <= records["tours"].shape[-1]:
            rows = np.flatnonzero(sizes == size)
            yield int(size), slice(None) if len(rows) == len(records) else rows


def poison(records: Records, specs: Sequence[FieldSpec]) -> None:
    """Fill every field of `records` with its poison."""
    for spec in specs:
        records[spec.name] = spec.fill
