"""tspmz-compare: table, JSON, picture and page of two agents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_helpers import PageReader, console_errors, tiny_run

from tspmz.cli.command import run_command
from tspmz.cli.compare import compare

HOW = ("--instances", "uniform:6:8:1234", "--reference", "exact", "--device", "cpu")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two runs and one that holds no evaluations."""
    tiny_run(tmp_path / "a")
    tiny_run(tmp_path / "b", run__seed=4)
    tiny_run(tmp_path / "c", curve=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        run_command(compare, list(arguments))
    return int(caught.value.code or 0)


def test_json_holds_every_agent_beside_the_first(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("a", "b", "c", *HOW, "--starts", "all", "--json", "out.json") == 0
    agents = json.loads(Path("out.json").read_text())["agents"]
    assert [agent["name"] for agent in agents] == ["a", "b", "c"]
    first, second, third = agents
    assert first["difference"] == 0.0
    assert second["difference"] == pytest.approx(
        (second["tour_length_mean"] - first["tour_length_mean"]) / first["reference_length_mean"]
    )
    assert second["difference_interval"][0] <= second["difference"] <= second["difference_interval"][1]
    assert 0 < second["shorter"] + second["longer"] <= 8
    assert third["difference"] == 0.0  # the weights of a, from the same seed
    assert first["learning_curve"]["games"] == [240.0]
    assert third["learning_curve"] is None
    assert "paired" in capsys.readouterr().out


def test_page_and_picture_in_a_browser(runs: Path, browser: Any) -> None:
    assert code_of("a", "b", "c", *HOW, "--plot", "curves.svg", "--report", "page") == 0
    assert Path("curves.svg").read_text().startswith("<svg")
    path = Path("page/index.html")
    page = PageReader(path.read_text(encoding="utf-8"))
    assert all(reference.startswith(("#", "data:")) for reference in page.references)
    ((_, *rows),) = page.tables.values()
    assert [row[0] for row in rows] == ["a", "b", "c"]
    assert all(cell for row in rows for cell in row)
    assert console_errors(browser, path) == []
    assert len(browser.find_elements("css selector", "figure svg")) == 3
    assert "hold no evaluations: c." in browser.find_element("id", "content").text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "a comparison needs two agents or more"),
        (["a", "nowhere"], "nowhere: no such run folder or checkpoint"),
        (["a", "b", "--plot", "curves.txt"], "must end in .png or .svg"),
        (["a", "b", "--simulations", "4"], "--simulations needs --decode search"),
        (["c", "c", "--plot", "curves.png"], "--plot: none of the agents is a run folder with evaluations"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], message: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*arguments, *HOW) == 2
    assert message in capsys.readouterr().err
