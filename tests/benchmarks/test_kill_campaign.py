"""A short kill campaign: every role is killed once; the slow one also stops processes and removes segments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kills", "per_run"), [(5, 5), pytest.param(24, 12, marks=pytest.mark.slow)])
def test_campaign_breaks_no_promise(kills: int, per_run: int, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    numbers = ["--kills", str(kills), "--kills-per-run", str(per_run)]
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.faults", *numbers, "--json", str(report),
            "--folder", str(tmp_path / "runs"),
        ],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=880, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert set(found["kills"]) == {"actor", "learner", "recorder", "evaluator", "parent"}
    assert found["resumes"] >= 2
    assert min(found[name] for name in ("groups_checked", "groups_drawn", "weights_pulled")) > 0
    assert found["sealed_lost"] == found["torn_groups_accepted"] == found["orphans"] == 0
