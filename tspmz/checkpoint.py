"""Checkpoints: everything a run needs to go on, in files that are whole or refused, and can run no code."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tspmz.errors import TspmzError
from tspmz.replay.files import FileSystem, atomic_write, remove_temporaries

SCHEMA_VERSION = 1
_MAGIC = b"tspmz-checkpoint\n"
_NAME = re.compile(r"checkpoint-(\d{10})\.pt")
_DIGEST_BYTES = 32
_AGENT_PARTS: dict[str, type | tuple[type, ...]] = {
    "config": dict,
    "learner": dict,
    "learner.network": dict,
    "learner.train_steps": int,
}
_RUN_PARTS: dict[str, type | tuple[type, ...]] = {
    **_AGENT_PARTS,
    "run_id": str,
    "replay": dict,
    "limiter": dict,
    "weights_version": int,
    "elapsed_seconds": (int, float),
    "next_group_ids": list,
    "groups_sealed": int,
}


class CheckpointError(TspmzError):
    """A checkpoint is missing, damaged, or of another kind; the message says which file and why."""


class NewerCheckpointError(CheckpointError):
    """A checkpoint was written by a newer version of the program: whole, but not for this one."""


def checkpoint_path(directory: Path, train_steps: int) -> Path:
    """File of the checkpoint at a train step."""
    return directory / f"checkpoint-{train_steps:010d}.pt"


def list_checkpoints(directory: Path, files: FileSystem | None = None) -> list[Path]:
    """Checkpoints of a directory, oldest first; temporary names never match."""
    names = (files or FileSystem()).names(directory)
    return [directory / name for name in names if _NAME.fullmatch(name)]


def save_checkpoint(
    directory: Path, state: dict[str, Any], train_steps: int, keep: int, files: FileSystem | None = None
) -> Path:
    """Write a checkpoint, read it back, and only then remove all but the newest `keep`.

    Args:
        directory: created if need be.
        state: nested dictionaries and lists of tensors, numpy arrays, numbers and strings.
        train_steps: in the file's name.
        keep: checkpoints that stay, the new one included.
        files: the file operations.

    Raises:
        OSError: the disk refused; older checkpoints are as they were.
        CheckpointError: what was read back is not what was written; older checkpoints are as they were.
    """
    files = files or FileSystem()
    files.make_directory(directory)
    path = checkpoint_path(directory, train_steps)
    write_state(path, state, files)
    for old in list_checkpoints(directory, files)[:-keep]:
        if old != path:
            files.unlink(old)
    return path


def write_state(path: Path, state: dict[str, Any], files: FileSystem | None = None) -> None:
    """Write or replace one file that `load_checkpoint` reads, and read it back.

    Args:
        path: its folder exists.
        state: nested dictionaries and lists of tensors, numpy arrays, numbers and strings.
        files: the file operations.

    Raises:
        OSError: the disk refused; an older file of that name is as it was.
        CheckpointError: what was read back is not what was written.
    """
    files = files or FileSystem()
    payload = io.BytesIO()
    torch.save(_plain({"schema_version": SCHEMA_VERSION, **state}), payload)
    data = payload.getvalue()
    atomic_write(files, path, _MAGIC + hashlib.sha256(data).digest() + data)
    _payload(path, files)


def load_checkpoint(path: Path, files: FileSystem | None = None) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote, tensors on the CPU, arrays as tensors.

    Raises:
        CheckpointError: no such file, damaged, not a checkpoint, or from a newer version.
    """
    data = _payload(path, files or FileSystem())
    _check_archive(path, data)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for what is not a plain archive of tensors
        raise CheckpointError(f"{path}: refused, holds more than tensors and plain values ({error})") from None
    if not isinstance(state, dict) or not isinstance(state.get("schema_version"), int):
        raise CheckpointError(f"{path}: not a checkpoint of tspmz (no schema version)")
    if state["schema_version"] > SCHEMA_VERSION:
        raise NewerCheckpointError(
            f"{path}: checkpoint schema {state['schema_version']} is newer than this tspmz reads ({SCHEMA_VERSION}): "
            f"update tspmz"
        )
    return state


def check_run_state(state: dict[str, Any], path: Path) -> None:
    """Refuse what is a checkpoint, but not of a run: every part must be there, and of its type.

    Raises:
        CheckpointError: names the parts that are missing or wrong.
    """
    wrong = _wrong_parts(state, _RUN_PARTS)
    if not wrong and not all(isinstance(array, torch.Tensor) for array in state["replay"].values()):
        wrong.append("replay")
    if not wrong and not all(isinstance(number, int) for number in state["next_group_ids"]):
        wrong.append("next_group_ids")
    if wrong:
        raise CheckpointError(f"{path}: whole, but no checkpoint of a run: {', '.join(wrong)} missing or wrong")


def check_agent_state(state: dict[str, Any], path: Path) -> None:
    """Refuse what holds no network with its settings; an exported model holds no more than that.

    Raises:
        CheckpointError: names the parts that are missing or wrong.
    """
    wrong = _wrong_parts(state, _AGENT_PARTS)
    if wrong:
        raise CheckpointError(f"{path}: whole, but no checkpoint of a run: {', '.join(wrong)} missing or wrong")


def _wrong_parts(state: dict[str, Any], kinds: dict[str, type | tuple[type, ...]]) -> list[str]:
    learner = state.get("learner")
    inner = {f"learner.{key}": part for key, part in learner.items()} if isinstance(learner, dict) else {}
    parts = {**state, **inner}
    return [key for key, kind in kinds.items() if not isinstance(parts.get(key), kind)]


def load_latest(directory: Path, files: FileSystem | None = None) -> tuple[dict[str, Any], Path, list[str]]:
    """The newest checkpoint that is whole.

    Returns:
        Its state, its file, and a line for each newer one that was refused.

    Raises:
        NewerCheckpointError: a newer version of the program wrote one; going back behind it would lose work.
        CheckpointError: there is none; names every file that was refused.
    """
    refused: list[str] = []
    for path in reversed(list_checkpoints(directory, files)):
        try:
            return load_checkpoint(path, files), path, refused
        except NewerCheckpointError:
            raise
        except CheckpointError as error:
            refused.append(str(error))
    reason = "; ".join(refused) if refused else "the directory holds none"
    raise CheckpointError(f"no checkpoint in {directory} can be used: {reason}")


def tidy(directory: Path, newest_good: Path, files: FileSystem | None = None) -> None:
    """Make the checkpoint that a run goes on from the newest one: refused ones get another name, none is removed.

    Else a damaged file would count among the newest that `save_checkpoint` keeps. Temporary files of writers that
    were killed go.
    """
    files = files or FileSystem()
    for path in list_checkpoints(directory, files):
        if path.name > newest_good.name:
            files.replace(path, path.with_name(f"{path.name}.refused"))
    remove_temporaries(files, directory)


def _check_archive(path: Path, data: bytes) -> None:
    """An archive of torch.save holds its parts unpacked: one that says otherwise is refused before memory is taken."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except Exception as error:  # zipfile raises many types for what is not an archive
        raise CheckpointError(f"{path}: refused, holds more than tensors and plain values ({error})") from None
    packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if packed or sum(part.file_size for part in parts) > len(data):
        raise CheckpointError(f"{path}: refused, its parts unpack to more than its {len(data):,} bytes")


def _payload(path: Path, files: FileSystem) -> bytes:
    """The verified bytes behind magic and digest."""
    try:
        content = files.read(path)
    except (OSError, MemoryError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else "larger than the memory"
        raise CheckpointError(f"{path}: cannot be read: {reason}") from None
    if not content.startswith(_MAGIC):
        raise CheckpointError(f"{path}: not a checkpoint of tspmz")
    start = len(_MAGIC) + _DIGEST_BYTES
    if hashlib.sha256(memoryview(content)[start:]).digest() != content[len(_MAGIC) : start]:
        raise CheckpointError(f"{path}: damaged (its digest does not match its {len(content):,} bytes)")
    return content[start:]


def _plain(tree: Any) -> Any:
    """`tree` with numpy arrays as tensors, and numpy scalars as Python's."""
    if isinstance(tree, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(tree))
    if isinstance(tree, np.generic):
        return tree.item()
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value) for value in tree]
    return tree
