"""Models to give away: the same network in a smaller file, and a card with what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from process_helpers import TinyRun

from tspmz import export as export_module
from tspmz import rundir
from tspmz.agent import load_agent
from tspmz.checkpoint import list_checkpoints
from tspmz.cli.command import run_command
from tspmz.cli.export import export
from tspmz.config_files import config_of
from tspmz.decode import Decoding
from tspmz.errors import RunError
from tspmz.rundir import write_config
from tspmz.tsp.generators import published_uniform


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of an agent for 6 cities, after one train step."""
    pytest.importorskip("elkai")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    played = TinyRun(tmp_path / "run", problem__num_cities=6)
    played.loop.train_once()
    played.loop.save()
    monkeypatch.setattr(rundir, "machine", lambda: "a machine")
    write_config(tmp_path / "run", "a run", played.config)
    return tmp_path / "run"


def code_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        run_command(export, [str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def test_exported_agent_plays_as_the_run_does(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.pt"
    assert code_of(run, target, "--count", 3) == 0
    ours, theirs = load_agent(run, "cpu"), load_agent(target, "cpu")
    points = published_uniform(6, 5, 1)
    assert np.array_equal(ours.decode(points, Decoding()).tours, theirs.decode(points, Decoding()).tours)
    assert theirs.config == ours.config
    (checkpoint,) = list_checkpoints(run / "checkpoints")
    assert target.stat().st_size < checkpoint.stat().st_size / 2
    assert target.stat().st_mode & 0o777 == 0o644


def test_card_says_what_was_trained_and_measured(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(run, tmp_path / "small.pt", "--count", 3) == 0
    card = json.loads((tmp_path / "small.json").read_text())
    assert card["train_steps"] == 1
    assert card["games"] == 4 * 4
    assert card["machine"] == "a machine"
    assert card["cities"] == 6
    assert card["sizes"] == [6]
    assert "problem.num_cities" not in card["settings"]
    assert [row["instances"] for row in card["results"]] == [3] * 4
    assert [row["instance_set"] for row in card["small_results"]] == ["uniform:6:100:1234"] * 2
    every = card["results"][1]
    assert every["gap_mean"] == every["tour_length_mean"] / every["reference_length_mean"] - 1
    text = (tmp_path / "small.md").read_text()
    assert "| trained on | a machine |" in text
    assert text in capsys.readouterr().out
    assert "`bin/tspmz-train --cities 6 --set " in text
    assert code_of(run, tmp_path / "other.pt", "--count", 2, "--trained-on", "another") == 0
    assert json.loads((tmp_path / "other.json").read_text())["machine"] == "another"


def test_command_on_the_card_gives_the_settings_of_the_run(run: Path, tmp_path: Path) -> None:
    assert code_of(run, tmp_path / "small.pt", "--count", 2) == 0
    card = json.loads((tmp_path / "small.json").read_text())
    assert config_of({"problem.num_cities": card["cities"], **card["settings"]}) == load_agent(run, "cpu").config


def test_exported_model_is_exported_again_without_what_it_does_not_say(run: Path, tmp_path: Path) -> None:
    assert code_of(run, tmp_path / "small.pt", "--count", 2) == 0
    assert code_of(tmp_path / "small.pt", tmp_path / "again.pt", "--count", 2) == 0
    card = json.loads((tmp_path / "again.json").read_text())
    assert (card["minutes"], card["games"], card["train_steps"]) == (None, None, 1)
    assert "| training | not recorded, 1 train steps |" in (tmp_path / "again.md").read_text()


@pytest.mark.parametrize("name", ["small.pt", "small.json", "small.md"])
def test_nothing_is_overwritten(run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    assert code_of(run, tmp_path / "small.pt", "--count", 2) == 2
    assert f"{name}: is there already" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"


def test_model_that_cannot_be_measured_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **settings: object) -> None:
        raise RunError("no reference")

    monkeypatch.setattr(export_module, "evaluate", fail)
    assert code_of(run, tmp_path / "small.pt", "--count", 2) == 1
    assert list(tmp_path.glob("small*")) == []


def test_one_checkpoint_is_enough(run: Path, tmp_path: Path) -> None:
    (checkpoint,) = list_checkpoints(run / "checkpoints")
    assert code_of(checkpoint, tmp_path / "small.pt", "--count", 2) == 0
    assert json.loads((tmp_path / "small.json").read_text())["machine"] == "not recorded"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "a.pt"], "nowhere: no such run folder or checkpoint"),
        (["run", "a.bin"], "a.bin: must end in .pt"),
        (["run", "no/a.pt"], "the folder no does not exist"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], message: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parent)
    assert code_of(*arguments) == 2
    assert message in capsys.readouterr().err
