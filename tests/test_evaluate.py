"""Evaluation of a checkpoint: keys, numbers that can be checked, and errors for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_helpers import KINDS
from process_helpers import TinyRun, tiny_config

from tspmz.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from tspmz.decode import decode
from tspmz.errors import RunError, UsageError
from tspmz.evaluate import evaluate, load_agent, reference_lengths, search_factory
from tspmz.tsp.instances import InstanceError, load_instances
from tspmz.tsp.reference import solve_exact

N, COUNT = 5, 12
SPEC = f"uniform:{N}:{COUNT}:1234"
KEYS = [
    "instances", "cities", "decode", "simulations", "starts", "augment", "tour_length_mean", "reference_length_mean",
    "gap_mean", "gap_mean_of_ratios", "seconds", "device", "source", "train_steps", "reference",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_cache_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def saved_run(directory: Path, **values: Any) -> Path:
    """A run directory with one checkpoint of an untrained network."""
    run = TinyRun(directory, played=0, **values)
    run.loop.save()
    return directory


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_run(tmp_path_factory.mktemp("run"))


def checkpoint_of(run_dir: Path) -> Path:
    (path,) = (run_dir / "checkpoints").iterdir()
    return path


def test_result_has_the_documented_keys_and_adds_up(run_dir: Path) -> None:
    result = evaluate(run_dir, SPEC, reference="exact", device="cpu")
    assert list(result) == KEYS
    assert (result["instances"], result["cities"], result["decode"], result["simulations"]) == (COUNT, N, "greedy", 0)
    assert (result["device"], result["train_steps"], result["reference"]) == ("cpu", 0, "exact")
    lengths = solve_exact(load_instances(SPEC).coordinates)[1]
    assert result["reference_length_mean"] == pytest.approx(lengths.mean())
    assert result["gap_mean"] == pytest.approx(result["tour_length_mean"] / lengths.mean() - 1)
    assert result["gap_mean"] > 0.01  # an untrained policy
    assert result["gap_mean_of_ratios"] > 0.01


def test_run_directory_and_checkpoint_file_are_the_same_agent(run_dir: Path) -> None:
    results = [evaluate(path, SPEC, reference="none") for path in (run_dir, checkpoint_of(run_dir))]
    assert results[0]["tour_length_mean"] == results[1]["tour_length_mean"]


def test_all_starts_and_symmetries_with_search_find_the_best_tours(run_dir: Path) -> None:
    settings: dict[str, Any] = {"reference": "exact", "starts": N, "augment": 8}
    greedy = evaluate(run_dir, SPEC, **settings)
    searched = evaluate(run_dir, SPEC, decode="search", simulations=6, **settings)
    assert searched["simulations"] == 6
    for result in (greedy, searched):
        assert -1e-9 <= result["gap_mean"] < evaluate(run_dir, SPEC, reference="exact")["gap_mean"]


def test_search_without_a_number_uses_that_of_the_run(run_dir: Path) -> None:
    result = evaluate(run_dir, SPEC, decode="search", reference="none")
    assert result["simulations"] == tiny_config().search.num_simulations


def test_without_a_reference_the_gaps_are_unknown(run_dir: Path) -> None:
    result = evaluate(run_dir, SPEC, reference="none")
    assert [result[key] for key in KEYS if result[key] is None] == [None] * 3
    assert result["gap_mean"] is None


def test_reference_file_is_used(run_dir: Path, tmp_path: Path) -> None:
    references = np.arange(1.0, COUNT + 1)
    np.save(tmp_path / "lengths.npy", references)
    result = evaluate(run_dir, SPEC, reference=str(tmp_path / "lengths.npy"))
    lengths = decode(load_agent(run_dir).network, load_instances(SPEC).coordinates).lengths
    assert result["tour_length_mean"] == pytest.approx(lengths.mean())
    assert result["reference_length_mean"] == pytest.approx(references.mean())
    assert result["gap_mean"] == pytest.approx(lengths.mean() / references.mean() - 1)
    assert result["gap_mean_of_ratios"] == pytest.approx((lengths / references - 1).mean())


def test_network_for_any_size_is_evaluated_on_other_sizes(run_dir: Path) -> None:
    result = evaluate(run_dir, "uniform:9:4:1234", decode="search", starts=9, reference="exact")
    assert result["cities"] == 9
    assert result["gap_mean"] > 0


@pytest.mark.parametrize("kind", KINDS[1:])
def test_network_for_one_size_is_evaluated_on_it_and_refuses_others(kind: str, tmp_path: Path) -> None:
    run = saved_run(tmp_path, network__kind=kind)
    assert evaluate(run, SPEC, decode="search", reference="exact")["gap_mean"] > 0
    with pytest.raises(UsageError, match="made for 5 cities, the instances have 9"):
        evaluate(run, "uniform:9:4:1234", reference="none")


def test_more_starts_than_cities_are_refused(run_dir: Path) -> None:
    with pytest.raises(UsageError, match="--starts 6: the instances have only 5 cities"):
        evaluate(run_dir, SPEC, starts=6, reference="none")


def test_bad_instances_are_refused(run_dir: Path) -> None:
    with pytest.raises(InstanceError):
        evaluate(run_dir, "uniform:5", reference="none")


def test_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        load_agent(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_device_is_named(run_dir: Path) -> None:
    with pytest.raises(RunError, match="no CUDA device"):
        load_agent(run_dir, "cuda")


def test_weights_of_another_network_are_refused(run_dir: Path, tmp_path: Path) -> None:
    state = load_checkpoint(checkpoint_of(run_dir))
    state["config"]["network"]["embedding_dim"] = 32
    save_checkpoint(tmp_path, state, 0, 2)
    with pytest.raises(UsageError, match="the weights do not fit the settings beside them"):
        load_agent(tmp_path)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (np.ones(3), r"has shape \(3,\), want \(12,\)"),
        (np.zeros(COUNT), "must be finite and above 0"),
        (np.full(COUNT, np.nan), "must be finite and above 0"),
        (np.full(COUNT, "x"), "want numbers"),
        (np.full(COUNT, None, object), "cannot be read"),
    ],
)
def test_unfit_reference_files_are_refused(lengths: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "lengths.npy", lengths)
    with pytest.raises(UsageError, match=message):
        reference_lengths(np.zeros((COUNT, N, 2), np.float32), str(tmp_path / "lengths.npy"))


@pytest.mark.parametrize(
    ("source", "message"), [("best", "must be lkh, exact, none or a .npy file"), ("no.npy", "cannot be read")]
)
def test_unknown_references_are_refused(source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        reference_lengths(np.zeros((COUNT, N, 2), np.float32), source)


def test_search_factory_takes_the_settings_of_the_run() -> None:
    config = tiny_config(search__num_simulations=9)
    assert search_factory(config)(4, 7).num_simulations == 9
    search = search_factory(config, 3)(4, 7)
    assert (search.num_simulations, search.batch_size, search.num_actions) == (3, 4, 7)
