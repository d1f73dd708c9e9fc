"""The tutorials do what they say: their commands, run in order as written, with small budgets."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))

ELSEWHERE = (("python3", "-m", "venv"), (".", ".venv/bin/activate"), ("pip", "install"), ("tensorboard", "--logdir"))
"""Commands of which tests take care already, or that never end."""

SMALLER = (
    (r"--minutes 5\b", "--minutes 0.2"),
    (r"--minutes 6\b", "--minutes 0.3"),
    (r"uniform:20:1000:1234", "uniform:20:10:1234"),
    (r"(bin/tspmz-export .*)", r"\1 --count 10"),
)

pytestmark = pytest.mark.skipif(not PAGES, reason="the documentation is not beside the tests")


def steps(page: Path) -> list[tuple[str, str]]:
    """Language and text of the page's blocks, in order."""
    found = re.findall(r"^```(sh|python)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [(language, text.replace("\\\n", " ")) for language, text in found]


def commands(page: Path) -> list[str]:
    lines = [line for language, text in steps(page) if language == "sh" for line in text.splitlines()]
    return [line for line in lines if not any(tuple(shlex.split(line)[: len(one)]) == one for one in ELSEWHERE)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_one_of_the_project(page: Path) -> None:
    assert commands(page)
    for line in commands(page):
        program = ROOT / shlex.split(line)[0]
        assert program.parent == ROOT / "bin"
        assert os.access(program, os.X_OK), line


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("elkai")
    (tmp_path / "bin").symlink_to(ROOT / "bin")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for language, text in steps(page):
        if language == "python":
            calls = [[sys.executable, "-c", text]]
        else:
            calls = [shlex.split(smaller(line)) for line in text.splitlines() if line in commands(page)]
        for call in calls:
            done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, f"{call}\n{done.stdout}\n{done.stderr}"


def smaller(line: str) -> str:
    """The command with a small budget; nothing else of it changes."""
    for pattern, replacement in SMALLER:
        line = re.sub(pattern, replacement, line)
    return line
