"""tspmz-eval: arguments, table, JSON, and errors."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tspmz.cli.command import run_command
from tspmz.cli.eval import evaluate
from tspmz.tsp.instances import InstanceError

RESULT = {
    "instances": 1000,
    "cities": 20,
    "decode": "search",
    "simulations": 16,
    "starts": 8,
    "augment": 8,
    "tour_length_mean": 3.8432,
    "reference_length_mean": 3.8395,
    "gap_mean": 0.00096,
    "gap_mean_of_ratios": 0.00097,
    "seconds": 4.0,
    "device": "cpu",
}


class FakeEvaluate(types.ModuleType):
    """Stands for tspmz.evaluate: remembers how it was called and answers as told."""

    def __init__(self) -> None:
        super().__init__("tspmz.evaluate")
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.answer: dict[str, Any] | Exception = dict(RESULT)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self.calls.append((args, kwargs))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEvaluate:
    module = FakeEvaluate()
    monkeypatch.setitem(sys.modules, "tspmz.evaluate", module)
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
            (Path("run"), "uniform:20:1000:1234"),
            {
                "decode": "search", "simulations": 16, "starts": 8, "augment": 8, "reference": "none", "device": "cpu",
            },
        )
    ]  # fmt: skip


def test_defaults_are_one_greedy_tour_against_lkh(fake: FakeEvaluate) -> None:
    assert code_of("run", "--instances", "uniform:20:10:1") == 0
    assert fake.calls[0][1] == {
        "decode": "greedy", "simulations": None, "starts": 1, "augment": 1, "reference": "lkh", "device": "auto",
    }  # fmt: skip


def test_table_shows_the_result(fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("run", "--instances", "uniform:20:1000:1234") == 0
    text = capsys.readouterr().out
    for piece in ("1,000", "search, 16 simulations", "3.84320", "3.83950", "0.096 %", "4.00", "250.0", "cpu"):
        assert piece in text


def test_result_without_a_reference_shows_dashes_and_stores_null(
    fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(fake.answer, dict)
    fake.answer |= {"reference_length_mean": None, "gap_mean": float("nan"), "gap_mean_of_ratios": None}
    assert code_of("run", "--instances", "uniform:20:10:1", "--reference", "none", "--json", "out.json") == 0
    assert "nan" not in capsys.readouterr().out
    stored = json.loads(Path("out.json").read_text())
    assert stored["gap_mean"] is None
    assert list(stored) == list(RESULT)


def test_json_holds_the_result(fake: FakeEvaluate) -> None:
    assert code_of("run", "--instances", "uniform:20:10:1", "--json", "out.json") == 0
    assert json.loads(Path("out.json").read_text()) == RESULT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--instances", "x"], "nowhere: no such run folder or checkpoint"),
        (["run", "--instances", "x", "--json", "no/out.json"], "the folder no does not exist"),
        (["run", "--instances", "x", "--simulations", "9"], "--simulations needs --decode search"),
        (["run"], "--instances"),
        (["run", "--instances", "x", "--augment", "4"], "--augment"),
        (["run", "--instances", "x", "--starts", "0"], "--starts"),
    ],
)
def test_wrong_use_is_refused_before_any_work(
    arguments: list[str], message: str, fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*arguments) == 2
    assert message in capsys.readouterr().err
    assert fake.calls == []


def test_bad_instances_are_one_line(fake: FakeEvaluate, capsys: pytest.CaptureFixture[str]) -> None:
    fake.answer = InstanceError("uniform:20: must read uniform:N:COUNT:SEED")
    assert code_of("run", "--instances", "uniform:20") == 2
    assert capsys.readouterr().err == "error: uniform:20: must read uniform:N:COUNT:SEED\n"
