"""Children: tied to their parent, deaf to Ctrl-C from the first moment, their last words found again."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from tspmz.children import Child, Interrupts, end_all, reserve_open_files
from tspmz.console import ChildLines, log_to_console
from tspmz.process import describe_exit, enter_child, log_path, log_tail, log_to_file, stop_signals_blocked

WaitUntil = Callable[..., None]


def play_dead(run_dir: Path, orderly: bool, parent_pid: int) -> None:
    enter_child(run_dir, "actor 0", parent_pid, orderly=orderly)
    logging.getLogger("tspmz.test").info("here")
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    time.sleep(600)


def child_of(run_dir: Path, orderly: bool = False) -> Child:
    return Child("actor", 0, play_dead, (run_dir, orderly))


@pytest.mark.parametrize("orderly", [False, True])
def test_child_ignores_ctrl_c_and_ends_at_sigterm_unless_orderly(
    orderly: bool, tmp_path: Path, wait_until: WaitUntil
) -> None:
    child = child_of(tmp_path, orderly)
    child.start()
    assert child.process is not None
    assert child.process.pid is not None
    os.kill(child.process.pid, signal.SIGINT)  # long before it has set up anything
    wait_until(lambda: log_tail(tmp_path, "actor 0") == "last words")
    os.kill(child.process.pid, signal.SIGINT)
    assert child.alive
    assert (log_path(tmp_path, "actor 0").stat().st_mode & 0o777) == 0o600
    end_all([child], 0.0)
    assert child.exit_code == (-signal.SIGKILL if orderly else -signal.SIGTERM)
    assert "actor 0 INFO here" in (tmp_path / "train.log").read_text()
    child.forget()
    assert not child.alive


def test_f25_open_files_of_a_parent_are_within_what_it_reserves(tmp_path: Path) -> None:
    parent = psutil.Process()
    children = [child_of(tmp_path) for _ in range(3)]
    with stop_signals_blocked():  # starts the resource tracker, which keeps a pipe
        before = parent.num_fds()
    for child in children:
        child.start()
    taken = parent.num_fds() - before
    end_all(children, 0.0)
    for child in children:
        child.forget()
    assert 0 < taken <= 2 * len(children)  # the third of each child is its wake-up, in the rate limiter
    assert parent.num_fds() <= before


@pytest.mark.parametrize(("soft", "hard", "raised"), [(256, 512, 0), (100, 512, 249), (256, -1, 0)])
def test_f25_limit_of_open_files_is_raised_where_it_can_be(
    soft: int, hard: int, raised: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: calls.append(limits))
    reserve_open_files(67)
    assert calls == ([(raised, hard)] if raised else [])


def test_orphan_ends_itself(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tspmz.process import enter_child; enter_child(Path('.'), 'x', 1)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, timeout=60, check=False, env=environment)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_child_that_still_loads_its_libraries_ends_with_its_parent(
    tmp_path: Path, wait_until: WaitUntil
) -> None:
    note, here = tmp_path / "note", Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(here.parent), str(here)))}
    code = (
        "import time; import slow_import; from tspmz.children import Child; "
        "Child('late', 0, slow_import.main, ()).start(); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(note)], env=environment)
    try:
        wait_until(lambda: note.exists() and note.read_text())
        child = psutil.Process(int(note.read_text()))
        assert child.is_running()
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, timeout=5.0)


def test_last_words_are_those_since_the_last_start(tmp_path: Path) -> None:
    assert log_tail(tmp_path, "learner") == ""
    path = log_path(tmp_path, "learner")
    path.parent.mkdir()
    path.write_text("--- process 1\nold\n--- process 2\n")
    assert log_tail(tmp_path, "learner") == ""
    path.write_text("--- process 1\nold\n--- process 2\na\nb\nc\n")
    assert log_tail(tmp_path, "learner", lines=2) == "b\nc"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (None, "is still running"),
        (3, "ended with exit code 3"),
        (-9, "was killed by signal 9 (SIGKILL, likely for lack of memory)"),
        (-11, "was killed by signal 11 (SIGSEGV)"),
        (-99, "was killed by signal 99 (an unknown signal)"),
    ],
)
def test_endings_are_described(code: int | None, text: str) -> None:
    assert describe_exit(code) == text


def test_first_signal_is_noted_and_the_second_interrupts_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        assert interrupts.exit_code == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.exit_code == 143
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.exit_code == 143
    assert signal.getsignal(signal.SIGINT) is before


def test_signal_while_children_are_started_arrives_afterwards() -> None:
    with Interrupts() as interrupts:
        with stop_signals_blocked():
            signal.raise_signal(signal.SIGINT)  # to this thread: another one may not have it blocked
            assert interrupts.signal is None
        assert interrupts.signal == signal.SIGINT


def test_full_disk_costs_a_log_line_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.log").symlink_to("/dev/full")
    handler = log_to_file(tmp_path)
    logging.getLogger("tspmz").warning("lost")
    logging.getLogger("tspmz").removeHandler(handler)
    assert capsys.readouterr().err == ""


def test_what_matters_of_the_children_reaches_the_parents_console_once(tmp_path: Path) -> None:
    (tmp_path / "train.log").write_text("2026-01-01 00:00:00,000 actor 0 WARNING old\n")
    lines = ChildLines(tmp_path)
    handler = log_to_file(tmp_path)
    with open(tmp_path / "out", "w+", encoding="utf-8") as file, log_to_console(Console(file=file)):
        logging.getLogger("tspmz.runner").info("from the parent")
        logging.getLogger("tspmz.runner").error("an error ends the command, which prints it")
        with open(tmp_path / "train.log", "a", encoding="utf-8") as log:
            log.write("2026-01-01 00:00:00,000 actor 0 INFO quiet\n2026-01-01 00:00:00,000 actor 0 WARNING a ")
            log.flush()
            lines.relay()
            log.write("gap\nTraceback\n2026-01-01 00:00:00,000 evaluator INFO evaluation at step 3\n")
        lines.relay()
        lines.relay()
        file.seek(0)
        shown = [line.split(" ", 1)[1] for line in file.read().splitlines()]
    logging.getLogger("tspmz").removeHandler(handler)
    assert shown == ["from the parent", "a gap", "evaluation at step 3"]
    assert (tmp_path / "train.log").read_text().count("a gap") == 1
