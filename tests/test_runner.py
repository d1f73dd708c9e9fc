"""The runner's rules: who is restarted, who is given up, who ends the run; no real processes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from process_helpers import tiny_channels, tiny_config

from tspmz import children
from tspmz.children import Child
from tspmz.errors import RunError
from tspmz.rundir import RunDirectory
from tspmz.runner import Runner


class FakeProcess:
    """Runs until `exitcode` is set."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], name: str) -> None:
        self.name = name
        self.exitcode: int | None = None

    def start(self) -> None:
        if self.name == "unlucky":
            raise OSError(24, "Too many open files")

    def is_alive(self) -> bool:
        return self.exitcode is None

    def kill(self) -> None:
        self.exitcode = -9

    def join(self, timeout: float) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr(
        children, "multiprocessing", SimpleNamespace(get_context=lambda method: SimpleNamespace(Process=FakeProcess))
    )
    config = tiny_config(selfplay__num_actors=2, run__max_restarts=2)
    run = RunDirectory.create(tmp_path / "run", config)
    made = Runner(config, run, tiny_channels(config), None)
    for child in made.children:
        child.start()
    return made


def child_named(runner: Runner, name: str) -> Child:
    (child,) = [child for child in runner.children if child.name == name]
    return child


def end(child: Child, code: int) -> None:
    assert child.process is not None
    child.process.exitcode = code  # type: ignore[misc]


def test_all_roles_are_started(runner: Runner) -> None:
    assert [child.name for child in runner.children] == ["learner", "actor 0", "actor 1", "recorder", "evaluator"]
    assert runner._watch()


def test_run_that_stores_nothing_has_no_recorder(tmp_path: Path) -> None:
    config = tiny_config(replay__persist=False)
    made = Runner(config, RunDirectory.create(tmp_path / "run", config), tiny_channels(config), None)
    assert [child.name for child in made.children] == ["learner", "actor 0", "evaluator"]


def test_reanalyzer_is_started_where_it_is_wanted_and_given_up_if_it_ends_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        children, "multiprocessing", SimpleNamespace(get_context=lambda method: SimpleNamespace(Process=FakeProcess))
    )
    config = tiny_config(
        replay__reanalyze_fraction=0.5, replay__policy_target="visit_counts", run__max_restarts=0
    )
    made = Runner(config, RunDirectory.create(tmp_path / "run", config), tiny_channels(config), None)
    assert [child.name for child in made.children] == ["learner", "actor 0", "reanalyzer", "recorder", "evaluator"]
    for child in made.children:
        child.start()
    end(child_named(made, "reanalyzer"), 1)
    assert made._watch()
    assert math.isinf(child_named(made, "reanalyzer").not_before)


def test_learner_that_ends_well_ends_the_watch(runner: Runner) -> None:
    end(child_named(runner, "learner"), 0)
    assert not runner._watch()


def test_learner_that_ends_badly_ends_the_run_with_its_last_words(runner: Runner) -> None:
    (runner._path / "logs" / "learner.log").write_text("--- process 1\nwhy it ended\n")
    end(child_named(runner, "learner"), 1)
    with pytest.raises(RunError, match=r"learner ended with exit code 1 .*\nwhy it ended"):
        runner._watch()


@pytest.mark.parametrize("name", ["actor 1", "recorder"])
def test_others_are_restarted_after_a_growing_pause_until_it_is_too_often(runner: Runner, name: str) -> None:
    child = child_named(runner, name)
    pauses = []
    for restart in (1, 2):
        end(child, 1)
        before = time.monotonic()
        assert runner._watch()
        assert child.process is None
        pauses.append(child.not_before - before)
        child.not_before = 0.0
        assert runner._watch()
        assert child.alive
        assert child.restarts == restart
    assert pauses == pytest.approx([0.5, 1.0], abs=0.2)
    end(child, 1)
    with pytest.raises(RunError, match=f"{name} ended 3 times in 60 s"):
        runner._watch()


def test_ends_long_ago_do_not_count(runner: Runner) -> None:
    child = child_named(runner, "actor 0")
    child.ends.extend([time.monotonic() - 61.0] * 9)
    end(child, 1)
    assert runner._watch()
    assert len(child.ends) == 1


def test_evaluator_that_always_fails_is_given_up(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    child = child_named(runner, "evaluator")
    for _ in range(3):
        child.start()
        end(child, 1)
        assert runner._watch()
    assert math.isinf(child.not_before)
    assert runner._watch()
    assert not child.alive
    assert "evaluator ended 3 times in 60 s and is given up, training goes on" in caplog.text


def test_silent_process_is_killed_but_gets_time_to_start(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    child = child_named(runner, "actor 0")
    child.started = time.monotonic() - 100.0
    assert runner._watch()
    assert child.alive  # no sign yet, but it may still be loading
    runner._awake_since -= 100.0
    runner._channels.stats.row("actor", 0).set("heartbeat", child.started + 30.0)
    assert runner._watch()
    assert child.process is None
    assert "actor 0 was killed: it gave no sign of life for 70 s" in caplog.text


def test_process_that_compiles_gets_more_time(runner: Runner) -> None:
    runner._compiles["learner"] = True
    assert runner._watch()
    runner._awake_since -= 10_000.0
    for name in ("learner", "actor 0"):
        child = child_named(runner, name)
        child.started = time.monotonic() - 500.0
        runner._channels.stats.row(child.role).set("heartbeat", child.started + 1.0)
    assert runner._watch()
    assert child_named(runner, "learner").alive
    assert child_named(runner, "actor 0").process is None
    child_named(runner, "learner").started -= 500.0
    runner._channels.stats.row("learner").set("heartbeat", time.monotonic() - 950.0)
    with pytest.raises(RunError, match="learner was killed: it gave no sign of life for"):
        runner._watch()


def test_f4_processes_that_were_suspended_together_with_the_parent_are_not_taken_for_hung(runner: Runner) -> None:
    child = child_named(runner, "actor 0")
    assert runner._watch()
    runner._last_look -= 100.0  # Ctrl-Z, and fg after 100 s
    child.started -= 200.0
    runner._channels.stats.row("actor", 0).set("heartbeat", time.monotonic() - 100.0)
    assert runner._watch()
    assert child.alive
    runner._awake_since -= 61.0  # still silent a minute later
    assert runner._watch()
    assert child.process is None


def test_sign_of_life_of_an_earlier_process_does_not_count(runner: Runner) -> None:
    child = child_named(runner, "actor 0")
    runner._channels.stats.row("actor", 0).set("heartbeat", child.started - 500.0)
    assert runner._watch()
    assert child.alive


def test_system_that_refuses_a_process_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    context = SimpleNamespace(get_context=lambda method: SimpleNamespace(Process=FakeProcess))
    monkeypatch.setattr(children, "multiprocessing", context)
    child = Child("unlucky", 0, print, ())
    with pytest.raises(RunError, match=r"unlucky could not be started: .*; fewer actors, or higher limits"):
        child.start()
    assert child.process is None
