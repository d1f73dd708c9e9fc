"""Every question can be measured, as a trial of the code; peers that are not installed are said to be so."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.peers import client
from benchmarks.questions import QUESTIONS
from benchmarks.results import load


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_can_be_measured(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSPMZ_PEERS", str(tmp_path / "none"))
    done = CliRunner().invoke(main, [name, "--short", "--json", str(tmp_path / "results.json")])
    assert done.exit_code == 0, done.output
    (result,) = load(tmp_path / "results.json")
    assert result.name == name
    assert result.short
    assert result.tables
    assert all(len(row) == len(table.columns) for table in result.tables for row in table.rows)


def test_unknown_question_is_wrong_use() -> None:
    done = CliRunner().invoke(main, ["sarch"])
    assert done.exit_code == 2
    assert "sarch: no such question; there are " in done.output


ECHO = """
from benchmarks.peers.worker import serve

def load():
    print("a library says hello on stdout")
    return "1.0", {"double": lambda number: 2 * number + 0, "slow": lambda calls, seconds: calls * seconds}

serve(load)
"""
BROKEN = """
from benchmarks.peers.worker import serve

def load():
    import no_such_package

serve(load)
"""


@pytest.fixture
def fake_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers of peers, in an environment that is this one."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("TSPMZ_PEERS", str(tmp_path))
    folder = tmp_path / "benchmarks" / "peers"
    folder.mkdir(parents=True)
    shutil.copy(client.ROOT / "benchmarks" / "peers" / "worker.py", folder)
    (folder / "echo.py").write_text(ECHO)
    (folder / "broken.py").write_text(BROKEN)
    monkeypatch.setattr(client, "ROOT", tmp_path)


def test_peer_answers_and_lives_on_after_an_error(fake_workers: None) -> None:
    with client.Peer("echo") as peer:
        assert peer.version == "1.0"
        assert peer.ask("double", number=4) == 8
        with pytest.raises(RuntimeError, match="echo: TypeError"):
            peer.ask("double", number=None)
        assert peer.timed("slow", seconds=0.5)(4) == 2.0


def test_peer_that_is_missing_says_what_installs_it(fake_workers: None) -> None:
    with client.Peers("echo", "broken") as peers:
        assert list(peers.found) == ["echo"]
        assert peers.notes[0] == "echo 1.0"
        assert "broken: not installed (python -m benchmarks.peers): ModuleNotFoundError" in peers.notes[1]
