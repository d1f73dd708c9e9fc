"""F26: a run directory that cannot be written is an error before anything starts; evaluation and a look still work."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from process_helpers import TinyRun

from tspmz.recorder import Recorder
from tspmz.replay.manifest import Manifest
from tspmz.rundir import REPLAY, RunDirectory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A run with stored groups and a checkpoint, all of it read-only."""
    tiny = TinyRun(tmp_path / "run", played=0)
    directory = RunDirectory.create(tmp_path / "run", tiny.config)
    tiny.loop._run_id = directory.run_id
    tiny.play(4)
    manifest = Manifest(directory.path / REPLAY, directory.run_id)
    Recorder(tiny.config, tiny.channels, manifest.directory, directory.run_id, {}, manifest).finish()
    tiny.loop.save()
    directory.close()
    everything = [directory.path, *directory.path.rglob("*")]
    for path in everything:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    yield directory.path
    for path in everything:
        path.chmod(0o700 if path.is_dir() else 0o600)


def test_f26_read_only_run_can_be_looked_at_and_evaluated_but_not_resumed(run: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in run.rglob("*")}
    commands = [
        ("train", "--resume", str(run)),
        ("train", "--run-dir", str(run / "new")),
        ("replay", "prune", str(run), "--keep-groups", "0"),
        ("replay", "verify", str(run)),
        ("eval", str(run), "--instances", "uniform:5:4:1", "--reference", "none"),
    ]
    child = [sys.executable, str(Path(__file__).with_name("read_only.py")), json.dumps(commands)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(child, capture_output=True, text=True, cwd=run.parent, env=environment, check=True)
    resumed, inside, pruned, verified, evaluated = json.loads(done.stdout.splitlines()[-1])
    assert resumed == [2, f"error: {run}: cannot be written: Permission denied\n"]
    assert inside[0] == 2
    assert f"error: {run / 'new'}: the run directory cannot be made: Permission denied" in inside[1]
    assert pruned == resumed
    assert verified == [0, ""]
    assert evaluated[0] == 0, evaluated
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in run.rglob("*")} == before
