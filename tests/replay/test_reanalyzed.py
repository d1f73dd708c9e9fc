"""Newer targets through the reanalyzer's ring: used for their group only, whole or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from replay_helpers import make_group

from tspmz.replay.buffer import ReplayBuffer
from tspmz.replay.fields import fields_for, reanalyzed_fields_for
from tspmz.replay.ring import Ring
from tspmz.types import Batch, Reanalysis

N, G, T = 6, 3, 5
SLOTS, RESULT_SLOTS = 4, 4
STEPS = ("begin", "payload", "checksum", "end", "published")


class Setup:
    """Four groups of actor 0 in the ring, one of actor 1, and the buffer that draws them with a ring of results."""

    def __init__(self, target: str = "visit_counts", fraction: float = 1.0, **settings: Any) -> None:
        self.ring = Ring(2, SLOTS, fields_for(N, G, target))
        self.results = Ring(1, RESULT_SLOTS, reanalyzed_fields_for(N, G, target))
        for number in range(4):
            self.ring.writer(0).write(make_group(0, number))
        self.ring.writer(1).write(make_group(1, 0))
        keywords: dict[str, Any] = {"batch_groups": 32, "td_steps": 1, "policy_target": target, **settings}
        self.buffer = ReplayBuffer(
            self.ring, reanalyzed=self.results, reanalyze_fraction=fraction, sampling="uniform", **keywords
        )
        self.buffer.ingest()

    def result(self, group_id: int, actor: int = 0, value: float = 7.0) -> Reanalysis:
        """Values of `value` everywhere, all visits on city `group_id`."""
        visits = np.zeros((G, T, N), np.int32)
        visits[:, :, group_id] = 5
        return Reanalysis(
            actor, group_id, np.full((G, T), value, np.float32), visits, visits / np.float32(5), 9,
            self.results.next_group_id(0),
        )  # fmt: skip

    def write(self, *args: Any, **settings: Any) -> None:
        self.results.writer(0).write(self.result(*args, **settings))

    def drawn(self, seed: int = 0) -> Batch:
        return self.buffer.sample(np.random.default_rng(seed))


def has_value(batch: Batch, value: float = 7.0) -> np.ndarray:
    """Which rows' one-step targets were made with root values of `value`."""
    return np.isclose(batch.value_targets[:, :, :-2], batch.rewards[:, :, :-1] + value, atol=1e-5).all(axis=(1, 2))


@pytest.mark.parametrize("target", ["visit_counts", "gumbel"])
def test_newer_values_and_policies_replace_those_of_their_group_only(target: str) -> None:
    setup = Setup(target)
    before = setup.drawn()
    assert not has_value(before).any()
    setup.write(2)
    batch = setup.drawn()
    of_group = (batch.group_ids == 2) & (batch.actors == 0)
    assert of_group.any()
    assert np.array_equal(has_value(batch), of_group)
    assert setup.buffer.reanalyzed_share == pytest.approx(of_group.mean())
    assert batch.policy_targets is not None
    assert before.policy_targets is not None
    assert (batch.policy_targets[of_group, :, :, 2] == 1.0).all()
    assert np.array_equal(batch.policy_targets[~of_group], before.policy_targets[~of_group])
    assert np.array_equal(batch.rewards, before.rewards)


def test_values_alone_leave_the_moves_that_advantage_learns() -> None:
    setup = Setup("advantage")
    assert {spec.name for spec in setup.results.field_specs} & {"visit_counts", "action_weights"} == set()
    before = setup.drawn()
    setup.write(0, actor=1)
    batch = setup.drawn()
    assert np.array_equal(has_value(batch), batch.actors == 1)
    assert np.array_equal(batch.policy_weights, before.policy_weights)


def test_later_result_for_a_group_counts() -> None:
    setup = Setup()
    setup.write(1, value=7.0)
    setup.drawn()
    setup.write(1, value=8.0)
    batch = setup.drawn()
    assert np.array_equal(has_value(batch, 8.0), (batch.group_ids == 1) & (batch.actors == 0))
    assert not has_value(batch, 7.0).any()


def test_result_of_a_group_that_was_overwritten_is_not_given_to_its_successor() -> None:
    setup = Setup()
    setup.write(0)
    setup.ring.writer(0).write(make_group(0, 4))  # into the slot of group 0
    setup.buffer.ingest()
    batch = setup.drawn()
    assert 4 in batch.group_ids
    assert not has_value(batch).any()


def test_result_that_was_overwritten_counts_as_none() -> None:
    setup = Setup()
    setup.write(0)
    setup.drawn()  # noted in the index
    for _ in range(RESULT_SLOTS):
        setup.write(1, value=8.0)
    batch = setup.drawn()
    assert not has_value(batch, 7.0).any()


@pytest.mark.parametrize("step", STEPS)
def test_writer_killed_at_any_store_leaves_old_targets_or_new_ones(step: str) -> None:
    setup = Setup()
    for _ in range(RESULT_SLOTS):
        setup.write(1, value=6.0)
    for done in setup.results.writer(0).write_steps(setup.result(1, value=7.0)):
        if done == step:
            break
    batch = setup.drawn()
    of_group = (batch.group_ids == 1) & (batch.actors == 0)
    newest = 7.0 if step == "published" else 6.0
    assert np.array_equal(has_value(batch, newest), of_group)
    setup.write(1, value=9.0)  # the writer that is started next
    assert np.array_equal(has_value(setup.drawn(), 9.0), of_group)


def test_damaged_and_wrong_results_are_refused() -> None:
    setup = Setup()
    setup.write(1)
    setup.results._records["root_values"][0] += 1.0
    assert not has_value(setup.drawn(), 8.0).any()
    spoiled = setup.result(2)
    spoiled.root_values[0, 0] = np.nan
    setup.results.writer(0).write(spoiled)
    setup.results.writer(0).write(setup.result(1, actor=5))  # of no actor
    batch = setup.drawn()
    assert np.isfinite(batch.value_targets).all()
    assert setup.buffer.reanalyzed_share == 0.0


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_share_of_draws_that_get_newer_targets_is_the_fraction(fraction: float) -> None:
    setup = Setup(fraction=fraction)
    for group_id in range(4):
        setup.write(group_id)
    shares = []
    for seed in range(60):
        batch = setup.drawn(seed)
        shares.append(has_value(batch)[batch.actors == 0].mean())
    assert np.mean(shares) == pytest.approx(fraction, abs=0.04)
