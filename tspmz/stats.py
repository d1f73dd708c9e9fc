"""Running statistics of every process in one shared table: each process writes its row, the parent reads all."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import NamedTuple

import numpy as np

from tspmz.shared import SharedBlock
from tspmz.types import Float64


class Column(NamedTuple):
    """One number that a process of some role keeps.

    Attributes:
        name: as used in code.
        unit: of the number; empty for a plain count or fraction.
        meaning: one line.
        counter: True for a total that only grows (rates make sense), False for a value of the moment.
    """

    name: str
    unit: str
    meaning: str
    counter: bool


def _total(name: str, unit: str, meaning: str) -> Column:
    return Column(name, unit, meaning, True)


def _level(name: str, unit: str, meaning: str) -> Column:
    return Column(name, unit, meaning, False)


_PROCESS = (
    _level("heartbeat", "s", "monotonic clock at the last sign of life; 0 before the first"),
    _level("rss_bytes", "bytes", "resident memory of the process"),
    _total("busy_seconds", "s", "time spent working"),
    _total("wait_seconds", "s", "time spent waiting for another process"),
)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "actor": (
        *_PROCESS,
        _level("weights_lag", "versions", "versions published while its last batch was played"),
        _total("groups_dropped", "groups", "groups not written because their weights had got too old"),
        _total("groups_played", "groups", "groups finished and written into the ring"),
        _total("env_steps", "steps", "moves made in all episodes"),
        _total("simulations", "simulations", "search simulations run"),
        _total("tree_seconds", "s", "time spent in the search tree"),
        _total("network_seconds", "s", "time spent in the network"),
        _total("env_seconds", "s", "time spent in the environment and on instances"),
        _total("write_seconds", "s", "time spent writing groups into the ring"),
        _total("tour_length_sum", "length", "sum over the groups played of the group's mean tour length"),
        _total("root_depth_sum", "nodes", "sum over the groups played of the mean depth of expanded leaves"),
        _total("weights_pulls", "", "times that newer weights were taken over"),
        _level("weights_version", "", "version of the weights it plays with"),
    ),
    "learner": (
        *_PROCESS,
        _total("train_steps", "steps", "updates of the network"),
        _total("samples", "episodes", "episodes drawn for training"),
        _total("bad_steps", "steps", "updates skipped because a loss or gradient was not finite"),
        _total("rollbacks", "", "times that weights and optimizer were taken back to a checkpoint"),
        _total("sample_seconds", "s", "time spent drawing batches and writing priorities back"),
        _total("step_seconds", "s", "time spent in forward pass, backward pass and optimizer"),
        _total("publish_seconds", "s", "time spent publishing weights"),
        _total("checkpoint_seconds", "s", "time spent writing checkpoints"),
        _total("checkpoints", "", "checkpoints written"),
        _total("checkpoint_failures", "", "checkpoints that could not be written"),
        _level("total_loss", "", "weighted sum of the losses"),
        _level("policy_loss", "nats", "cross-entropy of the policy"),
        _level("value_loss", "nats", "cross-entropy of the value"),
        _level("reward_loss", "nats", "cross-entropy of the reward"),
        _level(
            "policy_entropy", "nats",
            "entropy of the policy over legal cities; without entropy bonus, of the states only that teach the value",
        ),
        _level("value_error", "length", "root mean square of value minus target"),
        _level("reward_error", "length", "root mean square of reward minus target"),
    _level("gradient_norm", "", "norm of the gradient before clipping"),
        _level("learning_rate", "", "learning rate of the last update"),
        _level("weights_version", "", "version last published"),
        _level("mean_weights_lag", "versions", "published version minus the version a sampled group was played with"),
        _level("mean_tour_length", "length", "mean tour length of the sampled episodes"),
        _level("ring_groups", "groups", "groups in the replay window"),
        _level("samples_per_insert", "", "positions sampled per env step played, so far"),
        _total("groups_ingested", "groups", "groups taken over from the ring"),
        _total("groups_rejected", "groups", "groups not used because a check failed"),
        _level("reanalyzed_share", "", "share of the last batch's groups that had newer targets from the reanalyzer"),
        _total("stale_priorities", "groups", "priorities not written back because the group was overwritten"),
    ),
    "reanalyzer": (
        *_PROCESS,
        _total("groups_reanalyzed", "groups", "groups given newer targets"),
        _total("groups_skipped", "groups", "groups chosen that were overwritten or damaged when they were read"),
        _total("simulations", "simulations", "search simulations run"),
        _total("tree_seconds", "s", "time spent in the search tree"),
        _total("network_seconds", "s", "time spent in the network"),
        _total("env_seconds", "s", "time spent in the environment"),
        _total("write_seconds", "s", "time spent writing newer targets into the ring"),
        _level("weights_version", "", "version of the weights it works with"),
    ),
    "recorder": (
        *_PROCESS,
        _total("groups_sealed", "groups", "groups written into sealed segments"),
        _total("groups_lost", "groups", "groups overwritten in the ring before they could be sealed"),
        _total("segments", "", "segments sealed"),
        _total("bytes", "bytes", "bytes of sealed segments"),
        _total("failures", "", "segments that could not be written at the first try"),
    ),
    "evaluator": (
        *_PROCESS,
        _total("evaluations", "", "evaluations finished"),
        _level("train_steps", "steps", "train steps of the weights last evaluated"),
        _level("gap_greedy", "", "gap of one greedy tour per instance, fraction"),
        _level("gap_multi", "", "gap of the best greedy tour over several starts, fraction"),
        _level("best_gap_greedy", "", "lowest gap_greedy of the run"),
        _level("best_gap_multi", "", "lowest gap_multi of the run"),
        _level("tour_length_greedy", "length", "mean length of one greedy tour per instance"),
        _level("evaluation_seconds", "s", "duration of the last evaluation"),
        _level("optimum_found", "", "1 where the last greedy tour of the fixed graph was a shortest one, else 0"),
        _total("picture_seconds", "s", "time spent drawing pictures"),
    ),
}

_INDEX = {role: {column.name: i for i, column in enumerate(columns)} for role, columns in COLUMNS.items()}
_WIDTH = -(-max(len(columns) for columns in COLUMNS.values()) // 8) * 8  # whole cache lines: rows never share one
_PAGE_BYTES = 4096
_MEMORY_SECONDS = 1.0


class StatsRow:
    """The row of one process, which alone may write it.

    Args:
        cells: `[columns]` float64 view into the shared table.
        role: key of `COLUMNS`.
    """

    def __init__(self, cells: Float64, role: str) -> None:
        self._cells = cells
        self._index = _INDEX[role]
        self._next_memory = 0.0

    def add(self, name: str, amount: float) -> None:
        """Add to a total.

        Raises:
            KeyError: the role has no such column.
        """
        self._cells[self._index[name]] += amount

    def set(self, name: str, value: float) -> None:
        """Set a value.

        Raises:
            KeyError: the role has no such column.
        """
        self._cells[self._index[name]] = value

    def get(self, name: str) -> float:
        """The value of one column.

        Raises:
            KeyError: the role has no such column.
        """
        return float(self._cells[self._index[name]])

    def beat(self) -> None:
        """Give a sign of life; the memory used is measured at most once a second."""
        now = time.monotonic()
        self.set("heartbeat", now)
        if now >= self._next_memory:
            self._next_memory = now + _MEMORY_SECONDS
            self.set("rss_bytes", _resident_bytes())

    def timed(self, name: str) -> Timing:
        """Context that adds the time spent in it to the column `name` (seconds).

        Raises:
            KeyError: the role has no such column.
        """
        return Timing(self._cells, self._index[name])


class BeatingClock:
    """Stage times of self-play into a row; each is also a sign of life: one batch of games can take minutes."""

    def __init__(self, row: StatsRow) -> None:
        self._row = row
        self._one_at_a_time = threading.Lock()  # two halves of a batch may be played by two threads

    def add(self, name: str, value: float) -> None:
        """Add seconds to a column, and beat."""
        with self._one_at_a_time:
            self._row.add(name, value)
            self._row.beat()


class Timing:
    """Context that adds its duration, in seconds, to one cell. Made by `StatsRow.timed`; may be entered again."""

    __slots__ = ("_cells", "_position", "_start", "seconds")

    def __init__(self, cells: Float64, position: int) -> None:
        self._cells = cells
        self._position = position
        self._start = 0.0
        self.seconds = 0.0  # duration of the last pass

    def __enter__(self) -> Timing:
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        self._cells[self._position] += self.seconds


class StatsBoard:
    """The shared table: one row per process. Made by the parent; pickles into a spawned child only.

    Every cell is one aligned float64 with a single writer, so no reader sees half a number. Two cells of a row need
    not belong to the same instant. Totals go on where they were when a process is restarted.

    Args:
        num_actors: rows of the role "actor"; the other roles have one row each.
        shm_dir: as for `SharedBlock`.

    Raises:
        SharedMemoryError: not enough shared memory.
    """

    def __init__(self, num_actors: int, shm_dir: str = "") -> None:
        self._first_rows, self._counts, rows = {}, {}, 0
        for role in COLUMNS:
            self._first_rows[role] = rows
            self._counts[role] = num_actors if role == "actor" else 1
            rows += self._counts[role]
        size = -(-rows * _WIDTH * 8 // _PAGE_BYTES) * _PAGE_BYTES
        self._block = SharedBlock(size, "the statistics table", shm_dir)

    def _cells(self, role: str, index: int) -> Float64:
        if not 0 <= index < self._counts[role]:
            raise IndexError(f"no {role} {index}: the table has {self._counts[role]}")
        offset = (self._first_rows[role] + index) * _WIDTH * 8
        return self._block.array(offset, (len(COLUMNS[role]),), np.float64)

    def row(self, role: str, index: int = 0) -> StatsRow:
        """The row that process `index` of `role` writes (the parent may set it before that process starts).

        Raises:
            KeyError: unknown role.
            IndexError: no such process.
        """
        return StatsRow(self._cells(role, index), role)

    def snapshot(self) -> Snapshot:
        """A copy of the whole table at this moment."""
        rows = {
            role: np.stack([self._cells(role, index) for index in range(count)]) for role, count in self._counts.items()
        }
        return Snapshot(time.monotonic(), rows)


class Snapshot(NamedTuple):
    """What every process had written at one moment.

    Attributes:
        time: monotonic clock, s.
        rows: role -> `[processes, columns]` float64, columns as in `COLUMNS`.
    """

    time: float
    rows: dict[str, Float64]

    def values(self, role: str, name: str) -> Float64:
        """`[processes]` float64, one column of one role.

        Raises:
            KeyError: unknown role or column.
        """
        return self.rows[role][:, _INDEX[role][name]]

    def value(self, role: str, name: str) -> float:
        """One column of a role, summed over its processes.

        Raises:
            KeyError: unknown role or column.
        """
        return float(self.values(role, name).sum())

    def silence(self, role: str) -> Float64:
        """`[processes]` float64, seconds since each process's last sign of life; NaN before the first."""
        beats = self.values(role, "heartbeat")
        return np.where(beats > 0, self.time - beats, np.nan)


class Rates:
    """What happened between two snapshots, `before` and `after`."""

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self._before = before
        self._after = after
        self.seconds = after.time - before.time

    def change(self, role: str, name: str) -> float:
        """Growth of a total, summed over the role's processes.

        Raises:
            KeyError: unknown role or column.
        """
        return self._after.value(role, name) - self._before.value(role, name)

    def per_second(self, role: str, name: str) -> float:
        """Growth of a total per second, summed over the role's processes; 0 where no time has passed.

        Raises:
            KeyError: unknown role or column.
        """
        return self.change(role, name) / self.seconds if self.seconds > 0 else 0.0

    def share(self, role: str, name: str) -> float:
        """Share of the time that a role's processes spent in the stage `name` (seconds column), mean over them.

        Raises:
            KeyError: unknown role or column.
        """
        return self.per_second(role, name) / len(self._after.rows[role])

    def mean(self, role: str, sum_name: str, count_name: str) -> float:
        """Mean of what was summed: growth of `sum_name` over growth of `count_name`; NaN where nothing was counted.

        Raises:
            KeyError: unknown role or column.
        """
        count = self.change(role, count_name)
        return self.change(role, sum_name) / count if count else float("nan")


def _resident_bytes() -> float:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return float(int(file.read().split()[1]) * _PAGE_BYTES)
    except OSError:
        return 0.0
