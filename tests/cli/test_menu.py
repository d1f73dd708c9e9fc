"""tspmz: the menu on a real terminal and in this process, with a real small run."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from process_helpers import TinyRun
from rich.console import Console

from tspmz.cli.menu import Menu
from tspmz.config_files import build_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with a checkpoint of five cities."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    TinyRun(folder, played=0).loop.save()
    return folder


def session(*answers: str) -> tuple[str, list[str]]:
    """What is printed when these answers are given, and what was asked; the input ends after them."""
    console = Console(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115
    given = iter(answers)
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    with contextlib.suppress(EOFError):
        Menu(console, ask).run()
    assert next(given, None) is None, "not everything was asked for"
    return console.export_text(), asked


def test_bad_answers_are_asked_again() -> None:
    text, asked = session("", "train", "0", "6", "-1", "5")
    assert text.count("please answer with a whole number from 1 to 5") == 5
    assert asked == ["choose (1-5): "] * 6


def test_end_of_the_input_leaves() -> None:
    assert session()[1] == ["choose (1-5): "]


def test_model_is_loaded_rendered_and_played_against(run_dir: Path) -> None:
    text, asked = session("2", str(run_dir), "3", "2", "7", "4", "7", "9", "1", "2", "3", "5")
    assert f"loaded {run_dir}" in text
    assert "5 cities, 0 train steps" in text
    assert text.count("the model: total reward") == 3
    assert text.count("root value") >= 2 * 3
    assert "tree depth" in text
    assert "visits" in text
    assert "there is no city 9" in " ".join(asked)
    assert "you: total reward" in text
    assert "tour 0-1-2-3-4-0, length" in text
    assert any(outcome in text for outcome in ("you win", "it wins", "a draw"))


def test_games_need_a_model() -> None:
    text, _ = session("3", "", "", "4", "1", "5")
    assert text.count("error: no model is loaded") == 2


def test_what_cannot_be_loaded_is_said_and_the_menu_stays(tmp_path: Path) -> None:
    text, asked = session("2", str(tmp_path), "2", "", "5")
    assert f"error: {tmp_path}: holds no checkpoint" in text
    assert "nothing loaded" in text
    assert asked.count("choose (1-5): ") == 3


class Terminal:
    """The command on a pseudo terminal; `expect` waits for a text and `send` types a line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "120"}
        command = [sys.executable, str(ROOT / "bin" / "tspmz"), *arguments]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment, start_new_session=True,
            # whoever runs the tests in the background has SIGINT ignored, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def expect(self, text: str, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        start = len(self.seen)
        while text not in self.seen[start:]:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen!r}"
            if select.select([self._master], [], [], left)[0]:
                try:
                    self.seen += os.read(self._master, 65536).decode("utf-8", "replace")
                except OSError:  # the other side is closed
                    assert text in self.seen[start:], self.seen
                    return

    def send(self, text: str) -> None:
        os.write(self._master, text.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    started = Terminal(tmp_path)
    yield started
    started.close()


def test_ctrl_d_on_a_terminal_leaves_with_0(terminal: Terminal) -> None:
    terminal.expect("choose (1-5): ")
    terminal.send("nonsense\n")
    terminal.expect("choose (1-5): ")
    terminal.send("\x04")
    assert terminal.process.wait(timeout=30) == 0
    assert "Traceback" not in terminal.seen


def test_ctrl_c_at_the_menu_leaves_with_130(terminal: Terminal) -> None:
    terminal.expect("choose (1-5): ")
    for _ in range(30):
        # a signal between the prompt and the wait for an answer is seen only with the next one (Python's readline)
        terminal.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            terminal.process.wait(timeout=1)
            break
    assert terminal.process.wait(timeout=1) == 130
    assert "Traceback" not in terminal.seen


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_training_from_the_menu_ends_with_a_loaded_model(terminal: Terminal) -> None:
    terminal.expect("choose (1-5): ")
    terminal.send("1\n5\n1\n")
    terminal.expect("the run is in runs/5-1", timeout=300)
    terminal.expect("choose (1-5): ")
    assert "model: runs/5-1, 5 cities" in terminal.seen
    terminal.send("5\n")
    assert terminal.process.wait(timeout=30) == 0


def test_training_from_the_menu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from process_helpers import TINY

    from tspmz import muzero

    monkeypatch.chdir(tmp_path)

    def tiny_serial(values: dict[str, object]) -> object:
        assert (values["problem.num_cities"], values["run.minutes"]) == (5, 1.0)
        return build_config({**TINY, "run.mode": "serial", "run.train_steps": 2, "evaluation.interval_seconds": 0.0})

    menu_text = ("1", "5", "1", "3", "1", "0", "5")
    real = muzero.config_of
    monkeypatch.setattr(muzero, "config_of", lambda values: tiny_serial(values) if values else real(values))
    text, _ = session(*menu_text)
    assert "done; the run is in runs/5-1" in text
    assert "5 cities, 2 train steps" in text
    assert "the model: total reward" in text
