"""Groups in the stored form: what does not fit is refused, and every number arrives."""

from __future__ import annotations

import numpy as np
import pytest
from replay_helpers import make_group

from tspmz.config import rules
from tspmz.replay.fields import MAX_VISITS, empty_records, fields_for
from tspmz.replay.packing import GroupPacker


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_visit_counts_of_any_type_are_stored_up_to_sixteen_bits(dtype: type) -> None:
    specs = fields_for(6, 3, "visit_counts")
    records = empty_records(specs, 2)
    group = make_group(0, 4)
    counts = np.arange(group.visit_counts.size).reshape(group.visit_counts.shape).astype(dtype)
    counts[-1, -1, -1] = 65535
    GroupPacker(records, specs).store(group._replace(visit_counts=counts), 1)
    np.testing.assert_array_equal(records["visit_counts"][1], counts)
    assert records["group_id"].tolist() == [-1, 4]


@pytest.mark.parametrize("count", [65536, -1])
def test_visit_count_that_does_not_fit_is_refused(count: int) -> None:
    specs = fields_for(6, 3, "visit_counts")
    group = make_group(0, 0)
    counts = group.visit_counts.copy()
    counts[1, 2, 3] = count
    with pytest.raises(ValueError, match="cannot be stored: lower"):
        GroupPacker(empty_records(specs, 1), specs).store(group._replace(visit_counts=counts), 0)


def test_target_that_is_not_contiguous_arrives_as_it_is() -> None:
    specs = fields_for(6, 3, "visit_counts")
    records = empty_records(specs, 1)
    group = make_group(0, 0)
    counts = np.asfortranarray(np.arange(group.visit_counts.size, dtype=np.int32).reshape(group.visit_counts.shape))
    GroupPacker(records, specs).store(group._replace(visit_counts=counts), 0)
    np.testing.assert_array_equal(records["visit_counts"][0], counts)


def test_settings_allow_as_many_visits_as_fit() -> None:
    assert rules._MAX_STORED_VISITS == MAX_VISITS
