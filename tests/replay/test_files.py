"""Atomic replacement: the old file or the new one, whichever operation fails."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from faulty_files import FaultyFiles

from tspmz.replay.files import FileSystem, atomic_write, remove_temporaries, temporary_name


def test_atomic_write_syncs_before_and_after_the_rename(tmp_path: Path) -> None:
    files = FaultyFiles()
    atomic_write(files, tmp_path / "a", b"new")
    assert files.log == ["create", "write", "fsync", "close", "replace", "fsync_directory"]
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("fail_at", range(6))
def test_atomic_write_leaves_the_old_or_the_new_file_at_any_failure(tmp_path: Path, fail_at: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        atomic_write(FaultyFiles(fail_at), path, b"new")
    assert path.read_bytes() == (b"new" if fail_at == 5 else b"old")
    assert os.listdir(tmp_path) == ["a"]


def test_atomic_write_goes_on_after_short_writes(tmp_path: Path) -> None:
    atomic_write(FaultyFiles(short_writes=True), tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_atomic_write_takes_a_function(tmp_path: Path) -> None:
    def content(file: Any) -> None:
        assert file.write(b"12") == 2
        file.write(bytearray(b"345"))

    files = FaultyFiles(short_writes=True)
    atomic_write(files, tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == b"12345"


def test_atomic_write_whose_function_fails_keeps_the_old_file(tmp_path: Path) -> None:
    def content(file: Any) -> None:
        file.write(b"half")
        raise RuntimeError("stop")

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"):
        atomic_write(FileSystem(), tmp_path / "a", content)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_leftover_temporary_is_replaced_and_can_be_removed(tmp_path: Path) -> None:
    leftover = tmp_path / temporary_name("a.h5")
    leftover.write_bytes(b"a longer leftover")
    atomic_write(FileSystem(), tmp_path / "a.h5", b"new")
    assert (tmp_path / "a.h5").read_bytes() == b"new"
    leftover.write_bytes(b"x")
    assert remove_temporaries(FileSystem(), tmp_path) == [leftover.name]
    assert os.listdir(tmp_path) == ["a.h5"]


def test_create_and_read_refuse_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"keep")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        FileSystem().create(tmp_path / "link")
    with pytest.raises(OSError, match="symbolic"):
        FileSystem().read(tmp_path / "link")
    assert (tmp_path / "target").read_bytes() == b"keep"


def test_read_refuses_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        FileSystem().read(tmp_path / "pipe")


def test_make_directory_is_private_and_repeatable(tmp_path: Path) -> None:
    FileSystem().make_directory(tmp_path / "a" / "b")
    FileSystem().make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
