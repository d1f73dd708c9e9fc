"""The best model: only better ones replace it, also after a resume, and it can be evaluated."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
from faulty_files import FaultyFiles
from model_helpers import tiny_network
from process_helpers import TinyRun, tiny_config

from tspmz.agent import load_agent
from tspmz.best import BestModel
from tspmz.checkpoint import list_checkpoints, load_checkpoint
from tspmz.evaluation import evaluate
from tspmz.evaluator import Evaluator
from tspmz.rundir import BEST_MODEL
from tspmz.tensorboard import EventWriter


def figures(gap: float) -> dict[str, Any]:
    return {"gap_greedy": gap, "gap_multi": gap / 2}


def test_only_better_models_are_kept(tmp_path: Path) -> None:
    path = tmp_path / BEST_MODEL
    best = BestModel(path, tiny_config())
    network = tiny_network(num_cities=5)
    written = [best.offer(network, step, figures(gap)) for step, gap in enumerate((0.3, 0.4, 0.2, 0.2, float("nan")))]
    assert written == [True, False, True, False, False]
    state = load_checkpoint(path)
    assert state["learner"]["train_steps"] == 2
    assert state["figures"] == figures(0.2)
    assert set(state["learner"]) == {"network", "train_steps"}
    assert [file.name for file in tmp_path.iterdir()] == [BEST_MODEL]
    assert list_checkpoints(tmp_path) == []  # nothing that a run would go on from


def test_resumed_run_keeps_the_best_of_before(tmp_path: Path) -> None:
    path, network = tmp_path / BEST_MODEL, tiny_network(num_cities=5)
    BestModel(path, tiny_config()).offer(network, 7, figures(0.2))
    again = BestModel(path, tiny_config())
    assert again.gap == 0.2
    assert not again.offer(network, 8, figures(0.3))
    assert load_checkpoint(path)["learner"]["train_steps"] == 7


@pytest.mark.parametrize("changed", [{"instances": 9}, {"instance_seed": 5}])
def test_gaps_of_other_instances_are_not_compared(changed: dict[str, Any], tmp_path: Path) -> None:
    path, network = tmp_path / BEST_MODEL, tiny_network(num_cities=5)
    measured_on = {"instances": 3, "instance_seed": 1, "reference": "farthest insertion"}
    BestModel(path, tiny_config()).offer(network, 7, figures(0.2) | measured_on)
    again = BestModel(path, tiny_config())
    assert not again.offer(network, 8, figures(0.3) | measured_on)
    assert again.offer(network, 9, figures(0.3) | measured_on | changed)
    assert not again.offer(network, 10, figures(0.35) | measured_on | changed)
    assert load_checkpoint(path)["learner"]["train_steps"] == 9


def test_lengths_count_where_the_reference_has_changed(tmp_path: Path) -> None:
    path, network = tmp_path / BEST_MODEL, tiny_network(num_cities=5)
    by_insertion = {"reference": "farthest insertion", "tour_length_greedy": 2.0}
    BestModel(path, tiny_config()).offer(network, 7, figures(0.1) | by_insertion)
    again = BestModel(path, tiny_config())  # LKH was installed meanwhile: its tours are shorter, the gaps larger
    assert not again.offer(network, 8, figures(0.3) | {"reference": "lkh", "tour_length_greedy": 2.1})
    assert again.offer(network, 9, figures(0.2) | {"reference": "lkh", "tour_length_greedy": 1.9})
    assert not again.offer(network, 10, figures(0.2) | {"reference": "lkh", "tour_length_greedy": 1.9})


def test_damaged_file_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / BEST_MODEL
    path.write_bytes(b"rubbish")
    best = BestModel(path, tiny_config())
    assert "cannot be read" in caplog.text
    assert best.offer(tiny_network(num_cities=5), 1, figures(0.9))
    assert load_checkpoint(path)["figures"] == figures(0.9)


@pytest.mark.parametrize("fail_at", range(12))
def test_disk_that_refuses_costs_no_run_and_no_older_model(fail_at: int, tmp_path: Path) -> None:
    path, network = tmp_path / BEST_MODEL, tiny_network(num_cities=5)
    BestModel(path, tiny_config()).offer(network, 1, figures(0.5))
    best = BestModel(path, tiny_config(), FaultyFiles(fail_at))
    written = best.offer(network, 2, figures(0.4))
    assert load_checkpoint(path)["learner"]["train_steps"] in ((2,) if written else (1, 2))
    assert best.gap in ((0.4,) if written else (0.5, math.inf))


def test_evaluator_keeps_it_and_it_is_an_agent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tspmz")
    run = TinyRun(tmp_path)
    path = tmp_path / BEST_MODEL
    tested = Evaluator(run.config, run.channels, EventWriter(tmp_path, enabled=False), BestModel(path, run.config))
    result = tested.evaluate()
    assert result is not None
    kept = load_checkpoint(path)["figures"]
    assert kept["gap_greedy"] == result.gap_greedy
    assert kept["instances"] == 3
    agent = load_agent(path, "cpu")
    assert agent.train_steps == result.train_steps
    evaluate(agent, "uniform:5:3:1", reference="none")
