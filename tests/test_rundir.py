"""The run directory: private, one run at a time, other people's folders left as they are."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from pathlib import Path

import pytest
from process_helpers import tiny_config

from tspmz.errors import UsageError
from tspmz.rundir import RunDirectory, read_config, versions


def test_new_run_is_private_and_says_what_it_is(tmp_path: Path) -> None:
    config = tiny_config(search__num_simulations=3)
    run = RunDirectory.create(tmp_path / "deep" / "run", config)
    for path in (run.path, *run.path.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    tree = json.loads((run.path / "config.json").read_text())
    assert tree["run_id"] == run.run_id
    assert tree["versions"] == versions()
    assert read_config(run.path) == config
    run.close()


def test_reopened_run_keeps_its_identity(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", tiny_config())
    run.close()
    (run.path / ".tmp-config.json").write_text("half")
    again = RunDirectory.open(run.path)
    assert again.run_id == run.run_id
    assert not (run.path / ".tmp-config.json").exists()
    again.close()


def test_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", tiny_config())
    for attempt in (lambda: RunDirectory.open(run.path), lambda: RunDirectory.create(run.path, tiny_config())):
        with pytest.raises(UsageError, match=f"in use by process {os.getpid()} on "):
            attempt()
    run.close()
    RunDirectory.open(run.path).close()


def test_folder_with_content_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    tmp_path.chmod(0o755)
    with pytest.raises(UsageError, match=r"not empty \(holds notes.txt\)"):
        RunDirectory.create(tmp_path, tiny_config())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_discarded_run_leaves_only_what_is_not_its_own(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", tiny_config())
    (run.path / "notes.txt").write_text("")
    run.discard()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    for attempt in (RunDirectory.open, read_config):
        with pytest.raises(UsageError, match="nothing to resume"):
            attempt(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"run_id": 3}'])
def test_damaged_config_is_explained_and_the_lock_given_back(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    for _ in range(2):
        with pytest.raises(UsageError, match="damaged"):
            RunDirectory.open(tmp_path)


def test_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(UsageError, match="cannot be locked"):
        RunDirectory.create(tmp_path / "run", tiny_config())
