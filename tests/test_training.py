"""The learner's loop: bad steps, bad weights, bad disks; what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from faulty_files import FaultyFiles
from process_helpers import TinyRun

from tspmz import learner
from tspmz.checkpoint import list_checkpoints, load_latest
from tspmz.errors import RunError
from tspmz.training import TrainingLoop, learner_device


def weights(run: TinyRun) -> list[torch.Tensor]:
    return [value.clone() for value in run.loop.learner.module.state_dict().values()]


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Losses are NaN while `spoil["on"]`."""
    switch = {"on": False}
    sound = learner.unroll_loss

    def spoiled(*args: Any, **settings: Any) -> Any:
        losses = sound(*args, **settings)
        return losses._replace(total=losses.total * float("nan")) if switch["on"] else losses

    monkeypatch.setattr(learner, "unroll_loss", spoiled)
    return switch


def test_step_that_is_not_finite_is_skipped(tmp_path: Path, spoil: dict[str, bool]) -> None:
    run = TinyRun(tmp_path)
    assert run.loop.train_once()
    before = weights(run)
    spoil["on"] = True
    assert not run.loop.train_once()
    assert run.loop.train_steps == 1
    assert all(torch.equal(one, other) for one, other in zip(before, weights(run), strict=True))
    assert run.channels.stats.row("learner").get("bad_steps") == 1
    spoil["on"] = False
    assert run.loop.train_once()
    assert run.loop.learner.bad_steps_in_a_row == 0


def test_too_many_bad_steps_in_a_row_end_the_run(tmp_path: Path, spoil: dict[str, bool]) -> None:
    run = TinyRun(tmp_path, learner__max_bad_steps=3, learner__checkpoint_seconds=0.1)
    run.loop.save()
    spoil["on"] = True
    for _ in range(2):
        assert not run.loop.train_once()
        run.loop._next_checkpoint = 0.0
        run.loop.save_if_due()
    with pytest.raises(RunError, match="3 train steps in a row"):
        run.loop.train_once()
    assert run.channels.stats.row("learner").get("checkpoints") == 1


def test_weights_that_are_not_finite_reach_nobody(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    run.loop.save()
    version = run.channels.weights.version
    with torch.no_grad():
        next(iter(run.loop.learner.module.parameters())).view(-1)[0] = float("inf")
    with pytest.raises(RunError, match="not finite"):
        run.loop.save(final=True)
    assert run.channels.weights.version == version
    state, _, _ = load_latest(tmp_path / "checkpoints")
    assert all(torch.isfinite(value).all() for value in state["learner"]["network"].values())


def test_full_disk_costs_a_checkpoint_but_not_the_run_unless_it_is_the_last(tmp_path: Path) -> None:
    disk = FaultyFiles()
    run = TinyRun(tmp_path, files=disk)
    run.loop.save()
    run.loop.train_once()
    disk.full = True
    run.loop.save()
    assert run.channels.stats.row("learner").get("checkpoint_failures") == 1
    assert [path.stem[-1] for path in list_checkpoints(tmp_path / "checkpoints")] == ["0"]
    with pytest.raises(RunError, match="the final checkpoint could not be written"):
        run.loop.save(final=True)


def test_out_of_memory_names_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **settings: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    run = TinyRun(tmp_path)
    monkeypatch.setattr(learner, "unroll_loss", fail)
    with pytest.raises(RunError, match=r"a batch of learner\.batch_groups = 2"):
        run.loop.train_once()
    assert run.loop.train_steps == 0


def test_resumed_loop_has_weights_optimizer_priorities_and_counters(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    for _ in range(3):
        run.loop.train_once()
    run.channels.stats.row("recorder").set("groups_sealed", 5)
    run.loop.save()
    state, _, _ = load_latest(tmp_path / "checkpoints")
    resumed = TrainingLoop(run.config, run.channels, tmp_path, "a run", "cpu", state)
    assert resumed.train_steps == 3
    for one, other in zip(weights(run), resumed.learner.module.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert str(resumed.learner.state()["optimizer"]) == str(run.loop.learner.state()["optimizer"])
    assert (resumed.buffer.state()["priority"] == run.loop.buffer.state()["priority"]).all()
    assert resumed.buffer.counters == run.loop.buffer.counters
    assert resumed.state()["groups_sealed"] == 10


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    run.loop.save()
    state, _, _ = load_latest(tmp_path / "checkpoints")
    wider = TinyRun(tmp_path / "wider", network__embedding_dim=32)
    with pytest.raises(RunError, match="does not fit the network"):
        TrainingLoop(wider.config, wider.channels, tmp_path, "a run", "cpu", state)


def test_progress_follows_the_nearer_bound(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, run__train_steps=4, run__minutes=100.0)
    assert run.loop.progress < 0.01
    run.loop.train_once()
    assert run.loop.progress == 0.25
    assert not run.loop.finished
    for _ in range(3):
        run.loop.train_once()
    assert run.loop.finished


def test_missing_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert learner_device("auto") == "cpu"
    with pytest.raises(RunError, match="no CUDA device here"):
        learner_device("cuda")
