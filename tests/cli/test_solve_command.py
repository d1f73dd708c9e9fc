"""tspmz-solve: what is printed and written, errors, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_helpers import TinyRun

from tspmz.cli.command import run_command
from tspmz.cli.solve import solve
from tspmz.tsp import tsplib

ROOT = Path(__file__).parent.parent.parent
# The corners of a 30 by 40 rectangle, under the name of a published instance, whose optimum is 2085.
CORNERS = "NAME: gr17\nDIMENSION: 4\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n1 0 0\n2 30 40\n3 30 0\n4 0 40\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an untrained agent, and files to solve."""
    folder = tmp_path_factory.mktemp("solve")
    TinyRun(folder / "run", played=0).loop.save()
    (folder / "corners.tsp").write_text(CORNERS)
    (folder / "line.tsp").write_text(
        "DIMENSION: 4\nEDGE_WEIGHT_TYPE: EXPLICIT\nEDGE_WEIGHT_FORMAT: UPPER_ROW\nEDGE_WEIGHT_SECTION\n1 2 3 1 2 1\n"
    )
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        run_command(solve, list(arguments))
    return int(caught.value.code or 0)


def test_length_gap_tour_and_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--out", "best.tour", "--plot", "best.png", "--curve", "curve.svg"]
    assert code_of("run", "corners.tsp", "--polish", "--decode", "search", *files) == 0
    text = capsys.readouterr().out
    # the best tour of four cities is found among all starts, or by 2-opt: 140 around
    for piece in ("gr17", "140 (EUC_2D)", "2,085", "-93.285 %", "then 2-opt and Or-opt", "before 2-opt", "simulations"):
        assert piece in text
    tour = tsplib.read_tour(Path("best.tour"), 4)
    assert tsplib.tour_lengths(tsplib.read_problem(Path("corners.tsp")), tour) == 140
    assert "length 140, found by tspmz" in Path("best.tour").read_text()
    assert "then 2-opt and Or-opt" in Path("best.tour").read_text()
    assert Path("best.png").read_bytes().startswith(b"\x89PNG")
    assert Path("curve.svg").read_text().startswith("<svg")


def test_what_the_network_sees_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("run", "line.tsp") == 0
    text = capsys.readouterr().out
    assert "multidimensional scaling" in text
    assert "6 (EXPLICIT)" in text
    assert "published" not in text


def test_array_of_one_instance_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    np.save("corners.npy", np.array([[0, 0], [30, 40], [30, 0], [0, 40]]))
    assert code_of("run", "corners.npy", "--polish") == 0
    assert "140" in capsys.readouterr().out


def test_without_an_agent_it_is_the_one_that_comes_along(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("corners.tsp") == 0
    text = capsys.readouterr().out
    assert "tsp20" in text
    assert "140 (EUC_2D)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "FILE is missing"),
        (["run", "corners.tsp", "line.tsp"], "corners.tsp line.tsp: want one FILE"),
        (["corners.tsp", "line.tsp"], "corners.tsp line.tsp: want one FILE"),
        (["run"], "instances 'run': want uniform"),
        (["nowhere", "corners.tsp"], "nowhere: no such run folder or checkpoint"),
        (["run", "none.tsp"], "none.tsp: cannot be read"),
        (["run", "corners.tsp", "--plot", "a.gif"], "--plot a.gif: must end in .png or .svg"),
        (["run", "corners.tsp", "--out", "no/a.tour"], "the folder no does not exist"),
        (["run", "corners.tsp", "--out", "run"], "--out run: is a folder"),
        (["run", "corners.tsp", "--seconds", "nan"], "--seconds nan: must be a number"),
        (["run", "corners.tsp", "--seconds", "inf"], "--seconds inf: must be a number"),
        (["run", "corners.tsp", "--dynamics", "true"], "--dynamics true needs --decode search"),
        (["run", "corners.tsp", "--leaf-values", "zero"], "--leaf-values needs --decode search --dynamics true"),
        (["run", "corners.tsp", "--simulations", "9"], "--simulations needs --decode search"),
        (["run", "corners.tsp", "--seconds", "9", "--decode", "greedy"], "--seconds needs --decode sample or search"),
        (["run", "uniform:5:2:1"], "holds 2 instances, want one"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_interrupted_command_keeps_its_best_tour(folder: Path) -> None:
    """A real process that would look for an hour; its first line says that it has begun."""
    command = [sys.executable, str(ROOT / "bin" / "tspmz-solve"), "run", "corners.tsp", "--seconds", "3600"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--out", "kept.tour"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "4 cities" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "found by" in out
    assert sorted(tsplib.read_tour(folder / "kept.tour", 4)) == [0, 1, 2, 3]
