"""The learner's loop: bad steps, bad weights, bad disks; what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faulty_files import FaultyFiles
from process_helpers import TinyRun

from tspmz import learner
from tspmz.checkpoint import list_checkpoints, load_latest
from tspmz.errors import RunError
from tspmz.loss import Losses, LossInputs
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


def test_f18_bad_steps_in_a_row_store_the_batch_and_roll_back(tmp_path: Path, spoil: dict[str, bool]) -> None:
    run = TinyRun(tmp_path, learner__max_bad_steps=3, learner__rollback_rate_factor=0.25)
    run.loop.train_once()
    run.loop.save()
    good, version = weights(run), run.channels.weights.version
    run.loop.train_once()
    spoil["on"] = True
    for _ in range(3):
        assert not run.loop.train_once()
        run.loop._next_checkpoint = 0.0
        run.loop.save_if_due()  # not within a row of bad steps
    row = run.channels.stats.row("learner")
    assert row.get("checkpoints") == 1
    assert row.get("rollbacks") == 1
    assert run.channels.weights.version == version + 1  # actors get the earlier weights at once
    assert all(torch.equal(one, other) for one, other in zip(good, weights(run), strict=True))
    state = run.loop.learner.state()
    assert [state[name] for name in ("train_steps", "attempts", "bad_steps_in_a_row", "rate_factor")] == [2, 5, 0, 0.25]
    (path,) = (tmp_path / "bad-batches").iterdir()
    with np.load(path, allow_pickle=False) as stored:
        assert stored["tours"].shape == (2, 4, 5)
        assert stored["attempts"] == 5
        assert sum(name.startswith("network/") for name in stored) == len(good)
    spoil["on"] = False
    assert run.loop.train_once()
    rate = row.get("learning_rate")
    assert rate == pytest.approx(0.25 * 1e-3 * 3 / 200)  # the third step of the warm-up


def test_f18_rollbacks_that_do_not_help_go_further_back_and_end_the_run(
    tmp_path: Path, spoil: dict[str, bool], caplog: pytest.LogCaptureFixture
) -> None:
    run = TinyRun(tmp_path, learner__max_bad_steps=2, learner__max_rollbacks=2)
    run.loop.save()
    run.loop.train_once()
    run.loop.save()
    spoil["on"] = True
    for _ in range(5):
        assert not run.loop.train_once()
    with pytest.raises(RunError, match=r"2 train steps in a row had .* after 2 rollbacks"):
        run.loop.train_once()
    assert "rolled back to checkpoint-0000000001.pt" in caplog.text
    assert "rolled back to checkpoint-0000000000.pt" in caplog.text
    assert [path.stem[-1] for path in list_checkpoints(tmp_path / "checkpoints")] == ["0"]
    assert (tmp_path / "checkpoints" / "checkpoint-0000000001.pt.refused").exists()
    assert len(list((tmp_path / "bad-batches").iterdir())) == 3


def test_f18_weights_that_went_bad_are_rolled_back_before_anybody_gets_them(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    run.loop.train_once()
    run.loop.save()
    good = weights(run)
    run.loop.train_once()
    with torch.no_grad():
        next(iter(run.loop.learner.module.parameters())).view(-1)[0] = float("nan")
    run.loop.save(final=True)
    state, _, _ = load_latest(tmp_path / "checkpoints")
    assert state["learner"]["train_steps"] == 2
    assert all(torch.equal(one, other) for one, other in zip(good, state["learner"]["network"].values(), strict=True))
    pulled = np.empty(run.channels.weights.num_elements, np.float32)
    run.channels.weights.pull(pulled, -1)
    assert np.isfinite(pulled).all()


def test_full_disk_costs_the_stored_batch_but_not_the_rollback(tmp_path: Path, spoil: dict[str, bool]) -> None:
    disk = FaultyFiles()
    run = TinyRun(tmp_path, files=disk, learner__max_bad_steps=1)
    run.loop.save()
    run.loop.train_once()
    spoil["on"] = disk.full = True
    assert not run.loop.train_once()
    assert run.channels.stats.row("learner").get("rollbacks") == 1
    assert not (tmp_path / "bad-batches").exists()


def test_weights_that_are_not_finite_reach_nobody(tmp_path: Path) -> None:
    run = TinyRun(tmp_path, learner__max_rollbacks=0)
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


def test_f30_out_of_memory_names_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **settings: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    run = TinyRun(tmp_path)
    monkeypatch.setattr(learner, "unroll_loss", fail)
    with pytest.raises(RunError, match=r"a batch of learner\.batch_groups = 2, not even for one group at a time"):
        run.loop.train_once()
    assert run.loop.train_steps == 0


def test_f30_batch_that_does_not_fit_is_trained_on_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = learner.unroll_loss
    tried = []

    def cramped(network: Any, inputs: LossInputs, **settings: Any) -> Losses:
        tried.append(len(inputs.coordinates))
        if tried[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(network, inputs, **settings)

    run = TinyRun(tmp_path)
    monkeypatch.setattr(learner, "unroll_loss", cramped)
    assert run.loop.train_once()
    assert run.loop.train_once()
    assert tried == [2, 1, 1, 1, 1]
    assert run.loop.train_steps == 2


def test_f18_no_checkpoint_is_written_between_a_rollback_and_the_next_good_step(tmp_path: Path) -> None:
    run = TinyRun(tmp_path)
    run.loop.save()
    run.loop.train_once()
    with torch.no_grad():
        next(iter(run.loop.learner.module.parameters())).view(-1)[0] = float("inf")
    run.loop.save()  # publishes first, and that rolls back
    assert run.channels.stats.row("learner").get("rollbacks") == 1
    assert len(list_checkpoints(tmp_path / "checkpoints")) == 1
    run.loop.train_once()
    run.loop.save()
    assert len(list_checkpoints(tmp_path / "checkpoints")) == 2


def test_f30_failed_device_ends_the_run_in_one_line_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **settings: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be ...")

    run = TinyRun(tmp_path)
    run.loop.save()
    monkeypatch.setattr(learner, "unroll_loss", fail)
    with pytest.raises(RunError, match=r"\(CUDA error: unspecified launch failure\); the last checkpoint is kept"):
        run.loop.train_once()
    state, _, _ = load_latest(tmp_path / "checkpoints")
    assert state["learner"]["train_steps"] == run.loop.train_steps == 0


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


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("optimizer", None), ("optimizer", {"state": 1}), ("optimizer", {"state": {}, "param_groups": [7]}),
        ("network", 5), ("train_steps", "many"), ("attempts", []),
    ],
)  # fmt: skip
def test_checkpoint_that_somebody_made_is_refused_in_one_line(tmp_path: Path, part: str, value: object) -> None:
    run = TinyRun(tmp_path)
    run.loop.save()
    state, _, _ = load_latest(tmp_path / "checkpoints")
    state["learner"][part] = value
    with pytest.raises(RunError, match="does not fit the network"):
        TrainingLoop(run.config, run.channels, tmp_path, "a run", "cpu", state)


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


@pytest.mark.parametrize(("support_size", "warned"), [(7, True), (8, False)])
def test_values_beyond_the_support_are_said(
    support_size: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Five edges are worth 5 at most; eight atoms of 0.2 end at h^-1(1.6) = 5.7, seven at h^-1(1.4) = 4.7."""
    TinyRun(tmp_path, played=0, problem__reward="one_minus_edge", network__support_size=support_size)
    assert ("raise network.support_size" in caplog.text) is warned
