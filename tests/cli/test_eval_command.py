"""tspmz-eval: arguments, table, JSON, and errors."""

from __future__ import annotations

import csv
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tspmz.cli.command import run_command
from tspmz.cli.eval import evaluate
from tspmz.cli.measuring import measuring_progress
from tspmz.decode import Decoding
from tspmz.evaluation import EvaluationResult, InstanceResult
from tspmz.tsp.instances import InstanceError


def instance(name: str, length: float, reference: float | None, cities: int = 3) -> InstanceResult:
    points = np.zeros((cities, 2))
    return InstanceResult(name, points, np.arange(cities), length, reference, None, 1.0)


def a_result(*instances: InstanceResult, **values: Any) -> EvaluationResult:
    """A result of an agent that was searched with."""
    plain: dict[str, Any] = {
        "source": "run", "train_steps": 7, "device": "cpu", "decoding": Decoding("search", 16, 8, 8),
        "simulations": 16, "reference": "lkh", "seconds": 4.0,
    }  # fmt: skip
    return EvaluationResult(**{**plain, **values, "instances": instances})


RESULT = a_result(instance("a", 12.12, 12.0), instance("b", 12.0, 12.0))


class FakeEvaluate(types.ModuleType):
    """Stands for tspmz.evaluation: remembers how it was called and answers as told."""

    def __init__(self) -> None:
        super().__init__("tspmz.evaluation")
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.answer: EvaluationResult | Exception = RESULT

    def evaluate(self, *args: Any, on_progress: None, **kwargs: Any) -> EvaluationResult:
        self.calls.append((args, kwargs))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEvaluate:
    module = FakeEvaluate()
    monkeypatch.setitem(sys.modules, "tspmz.evaluation", module)
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    return module


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        run_command(evaluate, list(arguments))
    return int(caught.value.code or 0)


def test_arguments_reach_the_evaluation(fake: FakeEvaluate) -> None:
    arguments = "run --instances uniform:20:1000:1234 --decode search --simulations 16 --starts 8 --augment 8"
    assert code_of(*arguments.split(), "--reference", "none", "--device", "cpu") == 0
    assert fake.calls == [
        (
            (Path("run"), ["uniform:20:1000:1234"]),
            {
                "decode": "search", "simulations": 16, "starts": 8, "augment": 8, "samples": 1, "seed": 0,
                "dynamics": "learned", "prior": "network", "leaf_values": None, "backup": None,
                "reference": "none", "device": "cpu",
            },
        )
    ]  # fmt: skip


def test_defaults_are_one_greedy_tour_against_lkh(fake: FakeEvaluate) -> None:
    assert code_of("run", "--instances", "uniform:20:10:1") == 0
    assert fake.calls[0][1] == {
        "decode": "greedy", "simulations": None, "starts": 1, "augment": 1, "samples": 1, "seed": 0,
        "dynamics": "learned", "prior": "network", "leaf_values": None, "backup": None,
        "reference": "lkh", "device": "auto",
    }  # fmt: skip


def test_search_with_the_true_rules_and_uniform_priors_needs_no_run(fake: FakeEvaluate) -> None:
    words = "--instances uniform:20:10:1 --decode search --dynamics true --prior uniform --simulations 5 --backup mean"
    assert code_of(*words.split(), "--leaf-values", "zero") == 0
    ((source, _), settings) = fake.calls[0]
    assert source is None
    assert [settings[name] for name in ("dynamics", "prior", "leaf_values", "backup")] == [
        "true", "uniform", "zero", "mean",
    ]  # fmt: skip


def test_several_files_may_follow_as_a_shell_makes_them(fake: FakeEvaluate) -> None:
    assert code_of("run", "--instances", "a.tsp", "b.tsp", "c.tsp", "--starts", "all") == 0
    assert code_of("run", "--instances", "a.tsp", "--instances", "folder") == 0
    assert [call[0][1] for call in fake.calls] == [["a.tsp", "b.tsp", "c.tsp"], ["a.tsp", "folder"]]
    assert fake.calls[0][1]["starts"] is None


def test_files_need_no_option(fake: FakeEvaluate) -> None:
    assert code_of("run", "a.tsp", "b.npy") == 0
    assert code_of("a.tsp") == 0
    assert [call[0] for call in fake.calls] == [(Path("run"), ["a.tsp", "b.npy"]), (None, ["a.tsp"])]


def test_agent_may_be_left_out(fake: FakeEvaluate) -> None:
    assert code_of("--instances", "a.tsp") == 0
    assert code_of("--instances", "a.tsp", "b.tsp", "c.npy") == 0
    assert [call[0] for call in fake.calls] == [(None, ["a.tsp"]), (None, ["a.tsp", "b.tsp", "c.npy"])]


def test_progress_is_shown_at_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with measuring_progress() as show:
        assert show is None
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # which makes rich take anything for a terminal
    with measuring_progress(agents=2) as show:
        assert show is not None
        show(10, 10)
        show(3, 10)
    assert "13/20" in capsys.readouterr().err


def test_table_shows_the_result(fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("run", "--instances", "uniform:20:1000:1234") == 0
    text = capsys.readouterr().out
    # mean length 12.06, gap 12.06 / 12 - 1; a resample holds instance a 0, 1 or 2 times: 0 to 1 %
    for piece in (
        "run, 7 train steps", "search, 16 simulations", "12.06000", "12.00000", "0.500 %", "0.000 % to 1.000 %",
        "50.0 %", "4.00", "0.5", "cpu",
    ):  # fmt: skip
        assert piece in text


def test_instances_of_several_sizes_get_a_line_each(fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answer = a_result(
        instance("near", 1234, 1200), instance("far", 99.5, None, 5), notes=("near: so and so",)
    )  # fmt: skip
    assert code_of("run", "--instances", "x") == 0
    text = capsys.readouterr().out
    for piece in ("near", "1,234", "1,200", "2.833 %", "far", "99.5", "3 to 5", "near: so and so"):
        assert piece in text


def test_result_without_a_reference_shows_dashes_and_stores_null(
    fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answer = a_result(instance("a", 12.0, None), reference="none")
    arguments = ["--reference", "none", "--json", "out.json", "--csv", "out.csv"]
    assert code_of("run", "--instances", "uniform:20:10:1", *arguments) == 0
    text = capsys.readouterr().out
    assert "nan" not in text
    assert "None" not in text
    stored = json.loads(Path("out.json").read_text())
    assert stored["gap_mean"] is None
    assert list(stored) == list(RESULT.summary())
    assert Path("out.csv").read_text().splitlines()[1] == "a,3,12.0,,,1.0"


def test_json_holds_the_summary(fake: FakeEvaluate) -> None:
    assert code_of("run", "--instances", "uniform:20:10:1", "--json", "out.json") == 0
    assert json.loads(Path("out.json").read_text()) == RESULT.summary()


def test_csv_holds_a_line_per_instance(fake: FakeEvaluate) -> None:
    fake.answer = a_result(instance("a", 13.0, 8.0), instance("with, comma", 12.0, 12.0))
    assert code_of("run", "--instances", "uniform:20:10:1", "--csv", "out.csv") == 0
    assert list(csv.DictReader(Path("out.csv").read_text().splitlines())) == [
        {"name": "a", "cities": "3", "length": "13.0", "reference_length": "8.0", "gap": "0.625", "seconds": "1.0"},
        {"name": "with, comma", "cities": "3", "length": "12.0", "reference_length": "12.0", "gap": "0.0",
         "seconds": "1.0"},
    ]  # fmt: skip


RULES = ["--instances", "uniform:9:3:1", "--decode", "search", "--dynamics", "true"]


@pytest.mark.parametrize("reference", ["exact", "none"])
def test_record_of_a_real_search_is_drawn(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plot = tmp_path / "record.png"
    arguments = [*RULES, "--prior", "uniform", "--simulations", "20", "--reference", reference]
    assert code_of(*arguments, "--record-plot", str(plot)) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "search, true rules, uniform prior" in capsys.readouterr().out


def test_result_without_a_record_cannot_be_drawn(fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("run", *RULES, "--instances", "uniform:8:2:1", "--record-plot", "record.png") == 2
    assert fake.calls == []  # before any work is done
    assert "--record-plot: there is a record only for one set" in capsys.readouterr().err
    assert not Path("record.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--instances", "x"], "nowhere: no such run folder or checkpoint"),
        (["run", "--instances", "x", "--json", "no/out.json"], "the folder no does not exist"),
        (["run", "--instances", "x", "--simulations", "9"], "--simulations needs --decode search"),
        (["run"], "no instances: name --instances SPEC"),
        (["run", "--instances", "x", "--augment", "4"], "--augment"),
        (["run", "--instances", "x", "--starts", "0"], "--starts"),
        (["run", "--instances", "x", "--starts", "some"], "neither a whole number of at least 1 nor 'all'"),
        (["run", "--instances", "x", "--csv", "no/out.csv"], "the folder no does not exist"),
        (["run", "--instances", "x", "--json", "run"], "--json run: is a folder"),
        ([*RULES, "--record-plot", "record.pdf"], "must end in .png or .svg"),
        (["run", "--instances", "x", "--decode", "search", "--simulations", "1000000"], "--simulations"),
        (["run", "--instances", "x", "--samples", "9"], "--samples needs --decode sample"),
        (["run", "--instances", "x", "--dynamics", "true"], "--dynamics true needs --decode search"),
        (["run", "--instances", "x", "--backup", "max"], "--backup needs --decode search"),
        (["--instances", "x", "--prior", "uniform"], "--prior needs --decode search --dynamics true"),
        (["run", "--instances", "x", "--decode", "search", "--leaf-values", "zero"], "--leaf-values needs"),
        (["run", "--instances", "x", "--record-plot", "a.png"], "--record-plot needs"),
        (
            [*RULES, "--prior", "uniform", "--leaf-values", "network"],
            "--leaf-values network needs --prior network",
        ),
    ],
)
def test_wrong_use_is_refused_before_any_work(
    arguments: list[str], message: str, fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*arguments) == 2
    assert message in capsys.readouterr().err
    assert fake.calls == []


def test_report_that_cannot_be_made_is_refused_before_any_work(
    fake: FakeEvaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notes").touch()
    assert code_of("run", "--instances", "x", "--report", "notes/of/today") == 2
    assert f"--report notes/of/today: nothing can be made in {tmp_path / 'notes'}" in capsys.readouterr().err
    assert fake.calls == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("option", ["--json", "--report"])
def test_folder_that_may_not_be_written_to_is_refused_before_any_work(
    option: str, fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sealed").mkdir(mode=0o500)
    assert code_of("run", "--instances", "x", option, "sealed/result") == 2
    assert f"{option} sealed/result: " in capsys.readouterr().err
    assert fake.calls == []


def test_bad_instances_are_one_line(fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answer = InstanceError("uniform:20: must read uniform:N:COUNT:SEED")
    assert code_of("run", "--instances", "uniform:20") == 2
    assert capsys.readouterr().err == "error: uniform:20: must read uniform:N:COUNT:SEED\n"
