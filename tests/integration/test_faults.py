"""Real runs with a fault each: signals from a terminal, a bad clock, bad numbers, too few files, process 1."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from running import ROOT, TINY, TRAIN, Starter, is_gone

from tspmz.checkpoint import list_checkpoints, load_latest
from tspmz.replay.manifest import MANIFEST_NAME
from tspmz.replay.verify import scan_folder

WaitUntil = Callable[..., None]

pytestmark = pytest.mark.timeout(400)


def check_files(directory: Path) -> None:
    """Every checkpoint and segment of a run is whole; a run that was stopped very early may have none."""
    if list_checkpoints(directory / "checkpoints"):
        load_latest(directory / "checkpoints")
    if (directory / "replay" / MANIFEST_NAME).exists():
        assert [one.problem for one in scan_folder(directory / "replay") if one.listed and one.problem] == []


class Terminal:
    """tspmz-train in the foreground of a terminal of its own: Ctrl-C reaches it and all of its children."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        settings = directory.with_suffix(".toml")
        settings.write_text(TINY, encoding="utf-8")
        self._master, slave = pty.openpty()
        command = [sys.executable, str(TRAIN), "--config", str(settings), "--run-dir", str(directory)]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        )  # fmt: skip
        os.close(slave)
        self.output = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while chunk := os.read(self._master, 65536):
                self.output += chunk

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def end(self) -> int:
        try:
            return self.process.wait(100.0)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.output.decode("utf-8", "replace")) from None

    def destroy(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5.0)
        os.close(self._master)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[[str], Terminal]]:
    opened: list[Terminal] = []

    def start(name: str) -> Terminal:
        opened.append(Terminal(tmp_path / name))
        return opened[-1]

    yield start
    for one in opened:
        one.destroy()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_f22_ctrl_c_at_a_terminal_at_random_moments(
    seed: int, terminal: Callable[[str], Terminal], wait_until: WaitUntil
) -> None:
    rng = random.Random(seed)
    once, twice = terminal("once"), terminal("twice")
    wait_until(lambda: all((one.directory / "train.log").exists() for one in (once, twice)), timeout=100.0)
    families = [psutil.Process(one.process.pid).children(recursive=True) for one in (once, twice)]
    for one in rng.sample([once, twice], 2):
        with contextlib.suppress(subprocess.TimeoutExpired):  # somewhere between the first import and a steady run
            one.process.wait(rng.uniform(0.0, 6.0))
        families.append(psutil.Process(one.process.pid).children(recursive=True))
        one.press_ctrl_c()
    with contextlib.suppress(subprocess.TimeoutExpired):
        twice.process.wait(rng.uniform(0.0, 0.5))
    twice.press_ctrl_c()
    assert [once.end(), twice.end()] == [130, 130], (once.output, twice.output)
    wait_until(lambda: all(is_gone(process) for family in families for process in family), timeout=5.0)
    for one in (once, twice):
        assert b"Traceback" not in one.output
        check_files(one.directory)


def test_f18_spoiled_weights_are_rolled_back_and_training_goes_on(start: Starter) -> None:
    run = start("run", "--steps", "60", "--set", "learner.max_bad_steps=5", "--set", "learner.checkpoint_every=10",
                sabotage="weights spoiled at step 25")  # fmt: skip
    assert run.end() == 0, run.output
    assert run.steps() == 60
    assert re.search(r"5 train steps in a row had .* not finite: rolled back to checkpoint-00000000[12]\d\.pt", run.log)
    (stored,) = (run.directory / "bad-batches").iterdir()
    assert str(stored) in run.log
    check_files(run.directory)


def test_f21_f24_jumps_of_the_clock_and_a_global_start_method_change_nothing(start: Starter) -> None:
    run = start("run", "--steps", "30", sabotage="clock jumps; start method fork")
    assert run.end() == 0, run.output
    assert run.steps() == 30
    assert "gave no sign of life" not in run.output
    check_files(run.directory)


def test_f21_no_rule_depends_on_the_time_of_day() -> None:
    named = {"tensorboard.py"}  # events carry the time of day for people; no rule reads it
    for path in sorted((ROOT / "tspmz").rglob("*.py")):
        if path.name not in named:
            assert not re.search(r"time\.time\(|datetime", path.read_text(encoding="utf-8")), path


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
sys.argv = sys.argv[3:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def limited(soft: int, hard: int, *arguments: str) -> list[str]:
    """A command that trains with so many open files allowed."""
    return [sys.executable, "-c", LIMITED, str(soft), str(hard), str(TRAIN), *arguments]


def test_f25_too_few_open_files_are_one_line_with_the_number_needed(tmp_path: Path) -> None:
    done = subprocess.run(
        limited(100, 100, "--actors", "64", "--run-dir", str(tmp_path / "run")),
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert re.fullmatch(r"error: 68 child processes need 252 open files, the limit is 100: raise it .*", line)
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_f25_64_actors_run_with_256_open_files(tmp_path: Path) -> None:
    settings = tmp_path / "tiny.toml"
    settings.write_text(TINY, encoding="utf-8")
    command = limited(
        64, 256, "--config", str(settings), "--actors", "64", "--steps", "20", "--run-dir", str(tmp_path / "run"),
        "--set", "replay.capacity_groups=256", "--set", "run.heartbeat_seconds=300",
    )  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] != 256  # the limit was the run's own
    check_files(tmp_path / "run")


def can_be_process_one() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_be_process_one(), reason="no right to make a process namespace")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_f6_run_as_process_one_of_a_container_leaves_no_orphans(
    number: signal.Signals, tmp_path: Path, wait_until: WaitUntil
) -> None:
    settings, directory = tmp_path / "tiny.toml", tmp_path / "run"
    settings.write_text(TINY, encoding="utf-8")
    train = [sys.executable, str(TRAIN), "--config", str(settings), "--run-dir", str(directory)]
    outer = subprocess.Popen(
        ["unshare", "--pid", "--fork", *train], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: len(list_checkpoints(directory / "checkpoints")) > 1, timeout=150.0)
        (first,) = psutil.Process(outer.pid).children()
        family = [first, *first.children(recursive=True)]
        assert len(family) >= 4
        first.send_signal(number)
        code = outer.wait(100.0)
        assert code == 143 if number == signal.SIGTERM else code != 0  # what unshare makes of SIGKILL is its own
        wait_until(lambda: all(is_gone(process) for process in family), timeout=5.0)
        check_files(directory)
    finally:
        for process in psutil.Process(outer.pid).children(recursive=True) if outer.poll() is None else []:
            process.kill()
        outer.kill()
        outer.wait()
