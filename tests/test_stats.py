"""The statistics table: columns, rows, snapshots and rates."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import pytest

from tspmz import stats
from tspmz.stats import COLUMNS, Rates, Snapshot, StatsBoard

SPAWN = multiprocessing.get_context("spawn")


@pytest.mark.parametrize("role", COLUMNS)
def test_columns_of_a_role_have_distinct_names_and_meanings(role: str) -> None:
    names = [column.name for column in COLUMNS[role]]
    assert len(set(names)) == len(names)
    assert all(column.meaning for column in COLUMNS[role])


def test_seconds_columns_are_in_seconds() -> None:
    columns = [column for columns in COLUMNS.values() for column in columns if column.name.endswith("_seconds")]
    assert {column.unit for column in columns} == {"s"}


def test_rows_do_not_overlap() -> None:
    board = StatsBoard(3)
    places = [("actor", 0), ("actor", 1), ("actor", 2), ("learner", 0), ("recorder", 0), ("evaluator", 0)]
    for number, (role, index) in enumerate(places, start=1):
        for column in COLUMNS[role]:
            board.row(role, index).add(column.name, number)
    snapshot = board.snapshot()
    for number, (role, index) in enumerate(places, start=1):
        np.testing.assert_array_equal(snapshot.rows[role][index], np.full(len(COLUMNS[role]), number))


def test_snapshot_is_a_copy() -> None:
    board = StatsBoard(1)
    before = board.snapshot()
    board.row("learner").set("train_steps", 5)
    assert before.value("learner", "train_steps") == 0
    assert board.snapshot().value("learner", "train_steps") == 5


def test_value_sums_over_the_processes_of_a_role() -> None:
    board = StatsBoard(2)
    board.row("actor", 0).add("env_steps", 3)
    board.row("actor", 1).add("env_steps", 4)
    board.row("actor", 1).add("env_steps", 10)
    snapshot = board.snapshot()
    assert snapshot.value("actor", "env_steps") == 17
    np.testing.assert_array_equal(snapshot.values("actor", "env_steps"), [3, 14])


def test_unknown_columns_roles_and_rows_are_refused() -> None:
    board = StatsBoard(2)
    with pytest.raises(KeyError):
        board.row("actor").add("train_steps", 1)
    with pytest.raises(KeyError):
        board.row("learner").timed("nothing")
    with pytest.raises(KeyError):
        board.row("driver")
    with pytest.raises(IndexError, match="no actor 2: the table has 2"):
        board.row("actor", 2)


def test_rates_by_hand() -> None:
    def snapshot(seconds: float, games: list[float], waited: list[float], lengths: list[float]) -> Snapshot:
        board = StatsBoard(2)
        for index in range(2):
            row = board.row("actor", index)
            row.set("groups_played", games[index])
            row.set("wait_seconds", waited[index])
            row.set("tour_length_sum", lengths[index])
        return Snapshot(seconds, board.snapshot().rows)

    rates = Rates(snapshot(100.0, [10, 20], [1.0, 0.0], [40.0, 80.0]), snapshot(104.0, [14, 28], [3.0, 1.0], [56, 112]))
    assert rates.seconds == 4.0
    assert rates.per_second("actor", "groups_played") == pytest.approx(12 / 4)
    assert rates.share("actor", "wait_seconds") == pytest.approx((2 + 1) / 4 / 2)
    assert rates.mean("actor", "tour_length_sum", "groups_played") == pytest.approx((16 + 32) / 12)


def test_rates_without_time_or_counts_are_zero_and_nan() -> None:
    snapshot = StatsBoard(1).snapshot()
    rates = Rates(snapshot, snapshot)
    assert rates.per_second("learner", "train_steps") == 0.0
    assert np.isnan(rates.mean("actor", "tour_length_sum", "groups_played"))


def test_timed_adds_the_time_spent_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5, 20.0, 22.0])
    monkeypatch.setattr(stats.time, "perf_counter", lambda: next(clock))
    row = StatsBoard(1).row("learner")
    with row.timed("step_seconds") as timing:
        pass
    assert timing.seconds == 0.5
    with pytest.raises(ZeroDivisionError), row.timed("step_seconds"):
        _ = 1 // 0
    assert row.get("step_seconds") == 2.5


def test_beat_sets_heartbeat_and_memory() -> None:
    board = StatsBoard(1)
    assert np.isnan(board.snapshot().silence("recorder")[0])
    before = time.monotonic()
    board.row("recorder").beat()
    snapshot = board.snapshot()
    assert before <= snapshot.value("recorder", "heartbeat") <= snapshot.time
    assert 0.0 <= snapshot.silence("recorder")[0] <= snapshot.time - before
    assert snapshot.value("recorder", "rss_bytes") > 2**20


def work(board: StatsBoard, index: int) -> None:
    row = board.row("actor", index)
    row.beat()
    for _ in range(1000):
        row.add("simulations", 1)


def test_rows_are_shared_with_spawned_processes() -> None:
    board = StatsBoard(2)
    children = [SPAWN.Process(target=work, args=(board, index)) for index in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    snapshot = board.snapshot()
    np.testing.assert_array_equal(snapshot.values("actor", "simulations"), [1000, 1000])
    assert (snapshot.silence("actor") < 60).all()
