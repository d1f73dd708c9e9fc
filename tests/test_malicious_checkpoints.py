"""F16 and F17: checkpoints by somebody who can make the digest fit. Nothing runs, nothing crashes, little memory."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
LARGEST_GROWTH_MIB = 500.0
GOOD = {"schema_version": 1, "weights": torch.arange(6.0).reshape(3, 2), "text": "x"}


class Call:
    """Calls a function with arguments when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def saved(tree: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return buffer.getvalue()


def repacked(change: Callable[[str, bytes], bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    """The good archive with its parts changed or packed otherwise."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(GOOD))) as old, zipfile.ZipFile(buffer, "w", kind) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return buffer.getvalue()


def in_archive(pickled: bytes) -> bytes:
    return repacked(lambda name, data: pickled if name.endswith("data.pkl") else data)


def absurd_tensor(name: str, data: bytes) -> bytes:
    """Sizes (3, 2) become (3, 2**40), far outside the storage."""
    if not name.endswith("data.pkl"):
        return data
    assert b"K\x03K\x02\x86" in data
    return data.replace(b"K\x03K\x02\x86", b"K\x03\x8a\x06\x00\x00\x00\x00\x00\x01\x86")


def absurd_storage(name: str, data: bytes) -> bytes:
    """A storage of 6 numbers says that it has 2**40."""
    if not name.endswith("data.pkl"):
        return data
    assert data.count(b"K\x06t") == 1
    return data.replace(b"K\x06t", b"\x8a\x06\x00\x00\x00\x00\x00\x01t")


def short_storage(name: str, data: bytes) -> bytes:
    """The numbers of a storage are not there."""
    return data[:4] if name.endswith("data/0") else data


def old_format() -> bytes:
    """What torch.save wrote once: a tar archive with pickles."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        content = pickle.dumps(Call(os.mkdir, "exploded"), protocol=2)
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    """Lists in lists, as a pickle makes them without recursion."""
    pickled = b"\x80\x02}X\x01\x00\x00\x00a" + b"]" * depth + b"a" * (depth - 1) + b"s."
    return in_archive(pickled)


CODE = "__import__('os').mkdir('exploded')"
CORPUS: dict[str, Callable[[], bytes]] = {
    "os.mkdir": lambda: saved({"schema_version": 1, "x": Call(os.mkdir, "exploded")}),
    "os.system": lambda: saved([Call(os.system, "mkdir exploded")]),
    "eval": lambda: saved({"schema_version": Call(eval, CODE)}),
    "exec": lambda: saved({"schema_version": Call(exec, CODE)}),
    "as a key": lambda: in_archive(b"\x80\x02}cos\nmkdir\nX\x08\x00\x00\x00exploded\x85RK\x01s."),
    "global": lambda: in_archive(b"\x80\x02cos\nmkdir\nX\x08\x00\x00\x00exploded\x85R."),
    "inst": lambda: in_archive(b"(X\x08\x00\x00\x00explodedios\nmkdir\n."),
    "persistent id": lambda: in_archive(b"\x80\x02cos\nmkdir\nX\x08\x00\x00\x00exploded\x85RQ."),
    "build": lambda: in_archive(b"\x80\x02ctorch\nTensor\n)\x81}X\x03\x00\x00\x00sizK\x01sb."),
    "set items of no dictionary": lambda: in_archive(b"\x80\x02]K\x00K\x01s."),
    "numpy array": lambda: saved({"schema_version": 1, "x": np.arange(3)}),
    "array of objects": lambda: saved({"schema_version": 1, "x": np.array([Call(os.mkdir, "exploded")], object)}),
    "bare pickle": lambda: pickle.dumps(Call(os.mkdir, "exploded"), protocol=2),
    "old tar format": old_format,
    "old torch format": lambda: pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + pickle.dumps(1001, protocol=2),
    "packed": lambda: repacked(lambda name, data: data, zipfile.ZIP_DEFLATED),
    "bomb": lambda: repacked(
        lambda name, data: bytes(2**28) if name.endswith("data/0") else data, zipfile.ZIP_DEFLATED
    ),
    "absurd tensor": lambda: repacked(absurd_tensor),
    "absurd storage": lambda: repacked(absurd_storage),
    "short storage": lambda: repacked(short_storage),
    "no dictionary": lambda: saved([1, 2]),
    "no version": lambda: saved({"weights": torch.zeros(2)}),
    "text as version": lambda: saved({"schema_version": "1"}),
    "deep": lambda: nested(100_000),
    "empty": lambda: b"",
    "empty archive": lambda: b"PK\x05\x06" + bytes(18),
}  # fmt: skip


def write(path: Path, data: bytes) -> None:
    path.write_bytes(b"tspmz-checkpoint\n" + hashlib.sha256(data).digest() + data)


def load_all(tmp_path: Path) -> dict[str, str]:
    note = tmp_path / "note"
    command = [sys.executable, str(ROOT / "tests" / "checkpoint_probe.py"), str(tmp_path / "checkpoints"), str(note)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    if done.returncode < 0:
        pytest.fail(f"killed by {signal.Signals(-done.returncode).name} while loading {note.read_text()}")
    assert done.returncode == 0, f"{note.read_text()}: {done.stderr}"
    tree = json.loads(done.stdout)
    assert tree["grown_mib"] < LARGEST_GROWTH_MIB
    assert not (tmp_path / "exploded").exists()
    return dict(tree["results"])


def test_f16_no_checkpoint_runs_code_or_takes_absurd_memory(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name, make in CORPUS.items():
        write(tmp_path / "checkpoints" / name, make())
    write(tmp_path / "checkpoints" / "good", saved(GOOD))
    results = load_all(tmp_path)
    assert results.pop("good").startswith("loaded")
    assert set(results) == set(CORPUS)
    for name, result in results.items():
        assert result.startswith(f"{tmp_path / 'checkpoints' / name}: "), (name, result)


def test_f17_flips_below_a_digest_that_fits_crash_nothing(tmp_path: Path) -> None:
    """Whoever damages a file and makes the digest again may change numbers, but nothing crashes."""
    (tmp_path / "checkpoints").mkdir()
    data = saved(GOOD)
    for position in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[position] ^= 0xFF
        write(tmp_path / "checkpoints" / f"{position:06d}", bytes(flipped))
    results = load_all(tmp_path)
    assert len(results) == len(range(0, len(data), 7))
    assert any(not result.startswith("loaded") for result in results.values())
