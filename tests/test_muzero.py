"""The object: train a real run, load what came of it, play with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from process_helpers import TINY, TinyRun

import tspmz
from tspmz.checkpoint import CheckpointError
from tspmz.config import Config, ConfigError
from tspmz.config_files import differences, load_config
from tspmz.errors import UsageError
from tspmz.rundir import read_config

SERIAL = {**TINY, "run.mode": "serial", "run.train_steps": 3, "evaluation.interval_seconds": 30.0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of three train steps, in this process."""
    muzero = tspmz.MuZero(SERIAL)
    assert muzero.train(tmp_path_factory.mktemp("runs") / "run") == 0
    return muzero


def test_training_ends_with_a_model(trained: Any) -> None:
    assert trained.agent.train_steps == 3
    assert trained.config.problem.num_cities == 5
    assert (trained.run_dir / "checkpoints" / "best.pt").is_file()


def test_model_is_loaded_from_run_checkpoint_and_best(trained: Any) -> None:
    other = tspmz.MuZero()
    folder = trained.run_dir
    paths = [folder, *(folder / "checkpoints").iterdir()]
    assert len(paths) >= 3
    for path in paths:
        agent = other.load_model(path, device="cpu")
        assert other.config.problem.num_cities == 5
        assert agent.train_steps in (0, 3)
    assert trained.load_model().source.endswith("best.pt")


def test_games_report_reward_and_length(trained: Any) -> None:
    results = trained.test(2)
    assert [result.episode_length for result in results] == [4, 4]
    assert results[0].tour.tolist() == trained.test()[0].tour.tolist()
    for result in results:
        assert result.total_reward == pytest.approx(-result.tour_length, rel=1e-5)
    rewards = [result.total_reward for result in trained.test(2, opponent="random")]
    assert rewards == [result.total_reward for result in trained.test(2, opponent="random")]
    (human,) = trained.test(opponent="human", ask=lambda prompt: prompt.partition("(")[2][0])
    assert human.tour.tolist() == [0, 1, 2, 3, 4]


def test_opponents_play_the_same_graphs(trained: Any) -> None:
    graphs = [trained.test(opponent=opponent, seed=5)[0].coordinates for opponent in ("self", "random")]
    assert (graphs[0] == graphs[1]).all()
    assert (graphs[0] != trained.new_game(6).coordinates).any()


def test_fixed_graph_is_that_of_the_run() -> None:
    muzero = tspmz.MuZero({"problem.num_cities": 5, "problem.fixed_graph": True, "run.seed": 3})
    assert (muzero.new_game(0).coordinates == muzero.new_game(1).coordinates).all()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    muzero = tspmz.MuZero()
    with pytest.raises(UsageError, match="no model is loaded"):
        muzero.test()
    with pytest.raises(UsageError, match="must be self, random or human"):
        muzero.test(opponent="expert")
    with pytest.raises(UsageError, match="no run was trained yet"):
        muzero.load_model()
    with pytest.raises(UsageError, match="holds no checkpoint"):
        muzero.load_model(tmp_path)
    with pytest.raises(UsageError, match="name the run"):
        muzero.train(resume=True)
    with pytest.raises(ConfigError, match="at least 3"):
        tspmz.MuZero({"problem.num_cities": 2})


def test_resume_takes_the_stored_settings_and_refuses_those_that_cannot_change(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(trained.run_dir, tmp_path / "run"))
    stored, before = read_config(folder), sorted(path.name for path in folder.rglob("*"))
    for changed in ({"problem.num_cities": 30}, load_config(values={"run.seed": 99})):
        with pytest.raises(UsageError, match=r"cannot change when a run is resumed: .*(num_cities = 30|seed = 99), st"):
            tspmz.MuZero(changed).train(folder, resume=True)
    assert sorted(path.name for path in folder.rglob("*")) == before
    configs: list[Config] = []
    monkeypatch.setattr("tspmz.runner.train", lambda config, folder, resume: configs.append(config) or 0)
    tspmz.MuZero({"learner.learning_rate": 0.5}).train(folder, resume=True)
    assert [(key, new) for key, _, new, _ in differences(stored, configs[0])] == [("learner.learning_rate", 0.5)]


def test_failed_load_keeps_the_model(tmp_path: Path) -> None:
    run = TinyRun(tmp_path / "run", played=0)
    run.loop.save()
    muzero = tspmz.MuZero()
    agent = muzero.load_model(tmp_path / "run")
    with pytest.raises(UsageError, match=r"nothing\.pt: no such run folder or checkpoint"):
        muzero.load_model(tmp_path / "nothing.pt")
    (tmp_path / "damaged.pt").write_bytes(b"tspmz")
    with pytest.raises(CheckpointError):
        muzero.load_model(tmp_path / "damaged.pt")
    assert muzero.agent is agent


def test_import_is_light() -> None:
    code = "import sys, tspmz; print(sorted({'torch', 'numpy', 'numba', 'rich', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_are_those_of_the_command_for_as_many_cities() -> None:
    assert tspmz.MuZero().config == load_config([Path("presets/tsp20.toml")])
    for cities, preset in ((20, "tsp20"), (50, "tsp50"), (74, "tsp50"), (75, "tsp100"), (200, "tsp100")):
        values = {"problem.num_cities": cities}
        assert tspmz.MuZero(values).config == load_config([Path(f"presets/{preset}.toml")], values=values)
    kinds = {name: load_config([Path(f"presets/{name}.toml")]) for name in ("tsp20", "tsp50", "tsp100")}
    assert kinds["tsp20"].search.num_simulations != kinds["tsp50"].search.num_simulations
    assert kinds["tsp50"].learner.warmup_steps != kinds["tsp100"].learner.warmup_steps


def test_all_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        tspmz.MuZero({"num_cities": 50, "problem.num_citie": 50, "run.minutes": "soon", "search.num_simulations": 4})
    assert len(caught.value.problems) == 3
    assert all(any(name in line for line in caught.value.problems) for name in ("num_cities", "num_citie", "soon"))
