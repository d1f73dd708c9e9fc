"""The display: what is shown, how numbers read, and how often."""

from __future__ import annotations

import io
import logging
import math

import pytest
from rich.console import Console

from tspmz.display import (
    Display,
    ProcessView,
    RunView,
    clock_text,
    number,
    percent,
    plain_line,
    progress,
    render,
    seconds_left,
)

VIEW = RunView(
    title="TSP20, 2 actors, learner on cpu",
    elapsed_seconds=3723.4,
    seconds_bound=7200.0,
    train_steps=12345,
    games_per_second=912.3,
    simulations_per_second=123_456.0,
    ring_groups=384,
    ring_capacity=512,
    train_steps_per_second=98.7,
    learner_wait_share=0.031,
    weights_version=1234,
    weights_lag=2.34,
    total_loss=1.234,
    mean_tour_length=3.93,
    gap_greedy=0.0312,
    best_gap_greedy=0.0301,
    gap_multi=0.0014,
    processes=(
        ProcessView("actor 0", rss_bytes=400 * 2**20, silence_seconds=0.2),
        ProcessView("actor 1", state="starting", restarts=3),
        ProcessView("learner", rss_bytes=2**30, silence_seconds=0.1),
    ),
    notes=("actor 1 was ended by signal 9",),
)


def shown(view: RunView, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(view))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_every_number_is_shown_whole(width: int) -> None:
    text = shown(VIEW, width)
    for piece in (
        "TSP20, 2 actors, learner on cpu", "1:02:03", "step 12,345", "left 0:57:56", "912", "123k", "75.0 %", "98.7",
        "3.10 %", "1234", "2.34", "1.23", "3.93", "3.12 %", "3.01 %", "0.140 %", "actor 0", "400 MiB", "starting",
        "1,024 MiB", "! actor 1 was ended by signal 9",
    ):  # fmt: skip
        assert piece in text
    assert max(len(line) for line in text.splitlines()) <= width


def test_unknown_numbers_are_dashes() -> None:
    text = shown(RunView("TSP20"))
    assert "nan" not in text
    assert "no bound: stop with Ctrl-C" in text


def test_many_calm_processes_share_a_line() -> None:
    actors = [ProcessView(f"actor {i}", rss_bytes=2**20, silence_seconds=i, restarts=1) for i in range(9)]
    text = shown(RunView("TSP20", processes=(*actors, ProcessView("actor 9", state="starting"))))
    assert "9 actors" in text
    assert "9 MiB" in text
    assert "8 s" in text
    assert "actor 9" in text
    assert "actor 3" not in text


def test_plain_line_holds_the_main_numbers() -> None:
    line = plain_line(VIEW)
    assert "\n" not in line
    for piece in ("step 12,345", "games 912/s", "3.12 % greedy", "ring 384/512", "learner waits 3.10 %"):
        assert piece in line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (912.3, "912"), (99.94, "99.9"), (1.0, "1"), (0.25, "0.250"), (9.3e-4, "9.3e-04"), (-2.5, "-2.5"),
        (1234, "1.23k"), (12_345, "12.3k"), (123_456, "123k"), (2.5e6, "2.50M"), (3e9, "3.00G"),
        (math.nan, "-"), (math.inf, "-"),
    ],
)  # fmt: skip
def test_numbers_read_well(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.00314, "0.314 %"), (0.0312, "3.12 %"), (0.5, "50.0 %"), (math.nan, "-")]
)
def test_fractions_are_shown_as_percent(fraction: float, text: str) -> None:
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "0:00:00"), (59, "0:00:59"), (90_061, "25:01:01"), (math.nan, "-")]
)
def test_durations_read_as_a_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_the_nearest_bound_counts() -> None:
    both = RunView("", elapsed_seconds=50, seconds_bound=100, train_steps=90, train_steps_bound=100)
    assert seconds_left(both) == 50.0  # no pace known yet
    assert seconds_left(both._replace(train_steps_per_second=2.0)) == 5.0
    assert progress(both) == 0.9
    assert math.isnan(seconds_left(RunView("")))
    assert math.isnan(progress(RunView("")))
    assert seconds_left(both._replace(elapsed_seconds=200)) == 0.0


def test_without_a_terminal_a_line_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), force_terminal=False)
    with caplog.at_level(logging.INFO, logger="tspmz"), Display(console, 10.0, clock=lambda: now[0]) as display:
        for _ in range(25):
            display.update(VIEW)
            now[0] += 1.0
        display.update(VIEW, force=True)
    assert len(caplog.records) == 4  # at 0, 10 and 20 s, and the last one
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_on_a_terminal_the_last_state_stays(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with caplog.at_level(logging.INFO, logger="tspmz"), Display(console, clock=lambda: now[0]) as display:
        display.update(VIEW)
        display.update(VIEW._replace(train_steps=55_555))  # too soon
        assert "55,555" not in console.file.getvalue()  # type: ignore[attr-defined]
        now[0] += 0.6
        display.update(VIEW._replace(train_steps=77_777))
    assert "77,777" in console.file.getvalue()  # type: ignore[attr-defined]
    assert caplog.records == []
