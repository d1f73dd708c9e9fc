"""Checkpoints: whole or refused, at least one good one whatever the disk does, and no code in them runs."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faulty_files import FaultyFiles

from tspmz import checkpoint
from tspmz.checkpoint import (
    CheckpointError,
    NewerCheckpointError,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    load_latest,
    save_checkpoint,
    tidy,
)


def state(number: int) -> dict[str, Any]:
    return {"number": number, "weights": torch.full((3, 2), float(number)), "array": np.arange(3), "list": [1.5, "x"]}


def save(directory: Path, *steps: int, keep: int = 9) -> list[Path]:
    return [save_checkpoint(directory, state(step), step, keep) for step in steps]


def sealed(data: bytes) -> bytes:
    return b"tspmz-checkpoint\n" + hashlib.sha256(data).digest() + data


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    (path,) = save(tmp_path, 7)
    loaded = load_checkpoint(path)
    assert loaded["number"] == 7
    assert torch.equal(loaded["weights"], torch.full((3, 2), 7.0))
    assert torch.equal(loaded["array"], torch.arange(3))
    assert loaded["list"] == [1.5, "x"]


def test_newest_are_kept(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 10, 11, keep=2)
    assert list_checkpoints(tmp_path) == [checkpoint_path(tmp_path, 10), checkpoint_path(tmp_path, 11)]


def test_full_disk_at_any_operation_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    """F10."""
    counter = FaultyFiles()
    directory = tmp_path / "count"
    save(directory, 1, 2)
    save_checkpoint(directory, state(3), 3, 2, counter)
    assert counter.operations >= 7
    for number in range(counter.operations):
        directory = tmp_path / str(number)
        save(directory, 1, 2)
        with contextlib.suppress(OSError, CheckpointError):
            save_checkpoint(directory, state(3), 3, 2, FaultyFiles(number))
        loaded, path, refused = load_latest(directory)
        assert refused == []
        assert loaded["number"] in (2, 3)
        assert path == checkpoint_path(directory, loaded["number"])
        assert not [name for name in directory.iterdir() if name.name.startswith(".tmp")] or loaded["number"] == 2


def test_every_truncation_and_flip_is_refused(tmp_path: Path) -> None:
    (path,) = save(tmp_path, 1)
    content = path.read_bytes()
    damaged = [content[:length] for length in range(0, len(content), 97)]
    for position in range(0, len(content), 61):
        flipped = bytearray(content)
        flipped[position] ^= 1
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"damaged|not a checkpoint"):
            load_checkpoint(path)


def test_damaged_newest_falls_back_and_is_set_aside(tmp_path: Path) -> None:
    _, good, bad = save(tmp_path, 1, 2, 3)
    bad.write_bytes(bad.read_bytes()[:-1])
    loaded, path, refused = load_latest(tmp_path)
    assert loaded["number"] == 2
    assert path == good
    (line,) = refused
    assert str(bad) in line
    (tmp_path / ".tmp-checkpoint-0000000004.pt").write_bytes(b"half")
    tidy(tmp_path, good)
    assert list_checkpoints(tmp_path) == [checkpoint_path(tmp_path, 1), good]
    assert sorted(path.name for path in tmp_path.iterdir())[-1] == "checkpoint-0000000003.pt.refused"
    assert not list(tmp_path.glob(".tmp*"))


def test_all_damaged_is_an_error_that_names_each(tmp_path: Path) -> None:
    paths = save(tmp_path, 1, 2)
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        load_latest(tmp_path)
    assert all(str(path) in str(caught.value) for path in paths)


def test_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds none"):
        load_latest(tmp_path / "missing")


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self._target,)


@pytest.mark.parametrize("packed", [True, False])
def test_pickle_bomb_is_refused_and_does_not_run(packed: bool, tmp_path: Path) -> None:
    target, path = tmp_path / "exploded", tmp_path / "checkpoint-0000000001.pt"
    if packed:
        torch.save({"schema_version": 1, "bomb": Bomb(target)}, path)
        path.write_bytes(sealed(path.read_bytes()))
    else:
        path.write_bytes(sealed(pickle.dumps(Bomb(target), protocol=2)))
    with pytest.raises(CheckpointError, match="more than tensors and plain values"):
        load_checkpoint(path)
    assert not target.exists()


PACKAGE = Path(checkpoint.__file__).parent
UNSAFE_CALLS = {"eval", "exec", "__import__", "os.system", "os.popen", "torch.jit.load", "torch.hub.load"}
UNSAFE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "code", "runpy"}


def calls_and_imports(path: Path) -> tuple[list[ast.Call], set[str]]:
    """Every call in a file, and every module that it imports anywhere."""
    calls, modules = [], set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            calls.append(node)
        elif isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").split(".")[0])
    return calls, modules


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_load_of_the_package_is_restricted(path: Path) -> None:
    """F16: tensors and plain values only, no pickles of numpy, and nothing that runs text as code."""
    calls, modules = calls_and_imports(path)
    assert not modules & UNSAFE_MODULES
    for call in calls:
        name = ast.unparse(call.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name not in UNSAFE_CALLS, f"{path}:{call.lineno}"
        if name.endswith("torch.load"):
            assert given.get("weights_only") == "True", f"{path}:{call.lineno}"
        if name in ("np.load", "numpy.load", "np.lib.format.read_array"):
            assert given.get("allow_pickle") == "False", f"{path}:{call.lineno}"
        assert given.get("shell", "False") == "False", f"{path}:{call.lineno}"


def test_loads_are_found_where_they_are() -> None:
    """The test above looks at what it means to look at."""
    calls, _ = calls_and_imports(Path(checkpoint.__file__))
    assert "torch.load" in {ast.unparse(call.func) for call in calls}


def test_newer_checkpoint_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)
    monkeypatch.setattr(checkpoint, "SCHEMA_VERSION", 2)
    save(tmp_path, 2)
    monkeypatch.undo()
    with pytest.raises(NewerCheckpointError, match="update tspmz"):
        load_latest(tmp_path)


def test_f15_stored_checkpoint_of_schema_version_1_is_read() -> None:
    loaded = load_checkpoint(Path(__file__).parent / "data" / "checkpoint_schema_1.pt")
    assert (loaded["schema_version"], loaded["number"], loaded["list"]) == (1, 7, [1.5, "x"])
    assert torch.equal(loaded["weights"], torch.full((3, 2), 7.0))
