"""Runs that start from trained weights, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from process_helpers import TinyRun, tiny_channels, tiny_config

from tspmz.checkpoint import load_latest
from tspmz.errors import UsageError
from tspmz.runner import train
from tspmz.training import TrainingLoop, initial_network


def trained(directory: Path) -> TinyRun:
    run = TinyRun(directory)
    for _ in range(3):
        run.loop.train_once()
    run.loop.save()
    return run


def test_new_run_on_more_cities_starts_from_the_weights_of_another_one(tmp_path: Path) -> None:
    first = trained(tmp_path)
    config = tiny_config(problem__num_cities=7, learner__initial_weights=str(tmp_path))
    loop = TrainingLoop(config, tiny_channels(config), tmp_path / "second", "another run", "cpu")
    weights = first.loop.learner.module.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loop.learner.module.state_dict().items())
    assert loop.train_steps == 0
    loop.save()

    state, _, _ = load_latest(tmp_path / "second" / "checkpoints")
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()  # a resumed run has its own weights, and does not look for those that it began with
    resumed = TrainingLoop(config, tiny_channels(config), tmp_path / "second", "another run", "cpu", state)
    assert all(torch.equal(value, weights[name]) for name, value in resumed.learner.module.state_dict().items())


def test_weights_that_are_not_there_or_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run folder or checkpoint"):
        initial_network(tiny_config(learner__initial_weights=str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: holds no checkpoint"):
        initial_network(tiny_config(learner__initial_weights=str(tmp_path / "empty")))
    trained(tmp_path)
    with pytest.raises(UsageError, match="the weights do not fit the network of the settings: size mismatch for"):
        initial_network(tiny_config(learner__initial_weights=str(tmp_path), network__embedding_dim=32))


@pytest.mark.parametrize(
    "setting",
    [{"network__encoder_norm": "layer"}, {"network__support_step": 0.5}, {"network__tanh_clipping": 5.0}],
)
def test_initial_weights_that_mean_something_else_are_refused(tmp_path: Path, setting: dict[str, Any]) -> None:
    TinyRun(tmp_path, played=0).loop.save()
    ((key, value),) = setting.items()
    name = key.replace("__", ".")
    with pytest.raises(UsageError, match=rf"made for {name} = \S+, the settings say {value}: add --set {name}="):
        initial_network(tiny_config(learner__initial_weights=str(tmp_path), **setting))


def test_what_actions_look_like_matters_where_the_network_is_told(tmp_path: Path) -> None:
    plane = {"network__action_input": "plane"}
    TinyRun(tmp_path / "attention", played=0).loop.save()
    initial_network(tiny_config(learner__initial_weights=str(tmp_path / "attention"), **plane))
    TinyRun(tmp_path / "told", played=0, network__kind="fullyconnected").loop.save()
    told = {"learner__initial_weights": str(tmp_path / "told"), "network__kind": "fullyconnected"}
    with pytest.raises(UsageError, match=r"made for network.action_input = one_hot, the settings say plane"):
        initial_network(tiny_config(**told, **plane))


def test_wrong_initial_weights_are_refused_before_a_run_begins(tmp_path: Path) -> None:
    config = tiny_config(learner__initial_weights=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="nowhere"):
        train(config, tmp_path / "run")
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "run"])
    assert not any((tmp_path / "run").glob("*"))
