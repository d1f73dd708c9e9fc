"""Real runs with real processes: how they end, what they survive, what they leave."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from running import TINY, TRAIN, Run, Starter, is_gone

from tspmz.checkpoint import load_latest
from tspmz.errors import UsageError
from tspmz.replay.verify import scan_folder
from tspmz.rundir import RunDirectory, read_config
from tspmz.runner import train
from tspmz.tensorboard import event_files, read_events

WaitUntil = Callable[..., None]

pytestmark = pytest.mark.timeout(180)


def check_files(run: Run) -> None:
    """What a run leaves is private, and every checkpoint and segment is whole."""
    problems = [file.problem for file in scan_folder(run.directory / "replay") if file.problem]
    assert problems == []
    load_latest(run.directory / "checkpoints")
    for path in (run.directory, *run.directory.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path}: {mode:o}"


def test_run_ends_at_its_bound_with_everything_stored(start: Starter) -> None:
    shared_before = set(os.listdir("/dev/shm"))
    run = start("run", "--steps", "30", "--set", "evaluation.interval_seconds=60", "--set", "run.tensorboard=true")
    assert run.end() == 0, run.output
    assert run.steps() == 30
    assert run.sealed()
    assert "done: 30 train steps" in run.output
    assert "evaluation at step 30: gap" in run.output
    check_files(run)
    assert set(os.listdir("/dev/shm")) <= shared_before
    assert list((run.directory / "tensorboard" / "evaluation").iterdir())

    assert train(read_config(run.directory), run.directory, resume=True) == 0
    assert "nothing to do, the bound of 30 train steps is reached (30 done)" in run.log
    with pytest.raises(UsageError, match="not empty"):
        train(read_config(run.directory), run.directory)


def reanalyzed_shares(run: Run) -> list[float]:
    """Points of the curve so far."""
    events = [event for path in event_files(run.directory / "tensorboard" / "train") for event in read_events(path)]
    values = [value for event in events for value in event.summary.value if value.tag == "replay/reanalyzed_share"]
    return [value.simple_value for value in values]


def test_reanalyzer_that_is_killed_or_hangs_is_restarted_and_its_targets_are_used(
    start: Starter, wait_until: WaitUntil
) -> None:
    settings = [
        "replay.reanalyze_fraction=1", "replay.policy_target=visit_counts", "run.heartbeat_seconds=20",
        "run.tensorboard=true", "run.log_seconds=0.2",
    ]  # fmt: skip
    run = start("run", *(word for setting in settings for word in ("--set", setting)))
    wait_until(lambda: run.pids("reanalyzer") and run.steps() > 0, 90.0)
    os.kill(run.pids("reanalyzer")[0], signal.SIGKILL)
    wait_until(lambda: "reanalyzer restarted" in run.log and len(run.pids("reanalyzer")) == 2, 90.0)
    os.kill(run.pids("reanalyzer")[-1], signal.SIGSTOP)
    wait_until(lambda: "reanalyzer was killed: it gave no sign of life" in run.log)
    wait_until(lambda: len(run.pids("reanalyzer")) == 3, 90.0)
    wait_until(lambda: max(reanalyzed_shares(run), default=0.0) > 0.0, 90.0)
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130, run.output
    check_files(run)
    assert "Traceback" not in run.output
    assert max(reanalyzed_shares(run)) <= 1.0


def test_f2_f4_f23_actor_that_is_killed_or_hangs_is_restarted(start: Starter, wait_until: WaitUntil) -> None:
    run = start("run", "--actors", "2", "--set", "run.heartbeat_seconds=20")
    wait_until(lambda: run.pids("actor 0") and run.pids("actor 1") and len(run.sealed()) == 2)
    with pytest.raises(UsageError, match=f"in use by process {run.process.pid} on "):
        RunDirectory.open(run.directory)

    parent = psutil.Process(run.process.pid)
    open_files = parent.num_fds()
    os.kill(run.pids("actor 0")[0], signal.SIGKILL)
    os.kill(run.pids("actor 1")[0], signal.SIGSTOP)
    wait_until(lambda: len(run.pids("actor 0")) == 2 and len(run.pids("actor 1")) == 2)
    sealed = run.sealed()
    wait_until(lambda: all(run.sealed().get(actor, -1) > sealed.get(actor, -1) for actor in (0, 1)))
    assert parent.num_fds() <= open_files
    assert "actor 0 was killed by signal 9 (SIGKILL" in run.output
    assert "actor 1 was killed: it gave no sign of life for" in run.output

    family = run.family()
    assert run.end(signal.SIGINT) == 130, run.output
    wait_until(lambda: all(is_gone(process) for process in family), timeout=5.0)
    assert "stopping:" in run.output
    check_files(run)


def test_f5_f8_killed_parent_leaves_nothing_behind_and_resumes(start: Starter, wait_until: WaitUntil) -> None:
    shared_before = set(os.listdir("/dev/shm"))
    run = start("run")
    wait_until(lambda: run.steps() > 0 and run.sealed())
    family = run.family()
    assert len(family) >= 4
    assert run.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: all(is_gone(process) for process in family), timeout=5.0)
    assert set(os.listdir("/dev/shm")) <= shared_before

    steps = run.steps()
    resumed = start("run", "--actors", "2", "--steps", str(steps + 20), resume=True)
    assert resumed.end() == 0, resumed.output
    assert f"resume: step {steps}, 0 groups" not in resumed.log
    assert f"resume: step {steps}," in resumed.log
    assert "note: selfplay.num_actors: 1 -> 2" in resumed.output
    assert resumed.steps() == steps + 20
    check_files(resumed)


def test_f22_sigterm_stops_in_order_and_a_second_signal_at_once(start: Starter, wait_until: WaitUntil) -> None:
    ordered, hasty = start("ordered"), start("hasty")
    wait_until(lambda: all(run.steps() > 0 and run.sealed() for run in (ordered, hasty)))
    for process in ordered.family()[1:]:  # a service manager signals every process of the run
        process.send_signal(signal.SIGTERM)
    assert ordered.end(signal.SIGTERM) == 143, ordered.output

    family = hasty.family()
    learner = psutil.Process(hasty.pids("learner")[0])
    learner.suspend()  # an orderly stop would wait for it for minutes
    hasty.process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping:" in hasty.output)
    assert hasty.end(signal.SIGINT) == 130, hasty.output
    wait_until(lambda: all(is_gone(process) for process in family), timeout=5.0)
    assert "stopped at once at the second signal" in hasty.output
    for run in (ordered, hasty):
        check_files(run)


def test_f3_actor_that_always_crashes_ends_the_run_with_its_traceback(start: Starter) -> None:
    run = start("run", "--set", "run.max_restarts=1", sabotage="actor crashes")
    assert run.end() == 1, run.output
    assert "error: actor 0 ended 2 times in 60 s: actor 0 ended with exit code 1" in run.output
    assert "RuntimeError: sabotaged play" in run.output
    load_latest(run.directory / "checkpoints")


def test_f5_f29_killed_learner_ends_the_run(start: Starter, wait_until: WaitUntil) -> None:
    run = start("run")
    wait_until(lambda: run.steps() > 0)
    family = run.family()
    os.kill(run.pids("learner")[0], signal.SIGKILL)
    assert run.end() == 1
    killed = r"learner was killed by signal 9 \(SIGKILL, likely for lack of memory\) \(with [1-9][\d,]* MiB of memory"
    assert re.search(killed, run.output)
    wait_until(lambda: all(is_gone(process) for process in family), timeout=5.0)
    check_files(run)


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_f7_too_little_shared_memory_is_one_line_and_leaves_the_folder_empty(tmp_path: Path) -> None:
    settings = tmp_path / "tiny.toml"
    settings.write_text(TINY, encoding="utf-8")
    folder = tmp_path / "run"
    done = subprocess.run(
        [
            sys.executable, "-c", LIMITED, str(TRAIN), "--config", str(settings), "--run-dir", str(folder),
            "--set", f"run.shm_dir={tmp_path}", "--set", "replay.capacity_groups=10000",
        ],
        capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PYTHONPATH": str(TRAIN.parents[1])},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("run folder:")]
    assert line.startswith("error: the replay ring needs ")
    assert list(folder.iterdir()) == []
