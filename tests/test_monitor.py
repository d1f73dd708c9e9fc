"""The monitor: rates from snapshots, notes from warnings, a last line that says how it went."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
from process_helpers import TinyRun

from tspmz.monitor import Monitor
from tspmz.tensorboard import event_files, read_events
from tspmz.warmup import compile_kernels


def test_view_has_rates_bounds_and_notes(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=0, run__train_steps=9)
    with Monitor(run.config, tmp_path, run.channels) as monitor:
        before = run.channels.stats.snapshot()
        monitor.view(before, ())
        run.play(4)
        run.loop.train_once()
        logging.getLogger("tspmz.test").warning("something\nwith more lines")
        after = run.channels.stats.snapshot()._replace(time=before.time + 2.0)
        view = monitor.view(after, ())
    assert view.games_per_second == 4 * 4 / 2.0
    assert view.train_steps == 1
    assert view.train_steps_bound == 9
    assert math.isfinite(view.total_loss)
    assert math.isnan(view.gap_greedy)
    assert view.ring_groups == 4
    assert view.notes == ("something",)


def test_rates_are_of_the_last_seconds_only(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, played=0)
    with Monitor(run.config, tmp_path, run.channels) as monitor:
        first = run.channels.stats.snapshot()
        run.play(4)
        later = run.channels.stats.snapshot()
        for seconds in range(0, 100, 5):
            view = monitor.view((later if seconds else first)._replace(time=first.time + seconds), ())
    assert view.games_per_second == 0.0


@pytest.mark.parametrize("evaluated", [False, True])
def test_last_line_says_how_it_went(evaluated: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tspmz")
    run = TinyRun(tmp_path, run__tensorboard=True)
    if evaluated:
        row = run.channels.stats.row("evaluator")
        for name, value in (("evaluations", 1), ("gap_greedy", 0.25), ("gap_multi", 0.125)):
            row.set(name, value)
    with Monitor(run.config, tmp_path, run.channels) as monitor:
        monitor.finish()
    assert "done: 0 train steps, 16 games here" in caplog.text
    assert ("gap 25.000 % greedy, 12.500 % best" in caplog.text) == evaluated
    assert ("not evaluated" in caplog.text) != evaluated
    assert list((tmp_path / "tensorboard" / "train").iterdir())


@pytest.mark.parametrize("found", [False, True])
def test_last_line_says_whether_the_optimum_was_found(
    found: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tspmz")
    run = TinyRun(tmp_path)
    row = run.channels.stats.row("evaluator")
    row.set("evaluations", 1)
    row.set("optimum_found", found)
    with Monitor(run.config, tmp_path, run.channels) as monitor:
        monitor.finish()
    assert ("which is the optimal tour of the fixed graph" in caplog.text) == found


def test_curves_of_the_reanalyzer_are_drawn_where_there_is_one(tmp_path: Path) -> None:
    for name, fraction in (("with", 1.0), ("without", 0.0)):
        folder = tmp_path / name
        run = TinyRun(
            folder, run__tensorboard=True, replay__policy_target="visit_counts", replay__reanalyze_fraction=fraction
        )
        with Monitor(run.config, folder, run.channels) as monitor:
            monitor.finish()
        (path,) = event_files(folder / "tensorboard" / "train")
        tags = {value.tag for event in read_events(path) for value in event.summary.value}
        wanted = {"throughput/reanalyzed_groups_per_second", "memory/reanalyzer_mib"}
        assert wanted & tags == (wanted if fraction else set())


def test_kernels_compile_alone() -> None:
    compile_kernels()
