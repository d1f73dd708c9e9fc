"""The run directory: private, locked while in use, self-describing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import socket
import subprocess
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from tspmz.config import Config, ConfigError
from tspmz.config_files import parse_config_json
from tspmz.errors import UsageError
from tspmz.process import TRAIN_LOG
from tspmz.replay.files import DIRECTORY_MODE, FileSystem, atomic_write, remove_temporaries

CHECKPOINTS = "checkpoints"
BEST_MODEL = "best.pt"
"""Among the checkpoints: the model with the smallest gap so far, weights and figures only."""
REPLAY = "replay"
TENSORBOARD = "tensorboard"
CONFIG = "config.json"
LOCK = "run.lock"
LOGS = "logs"
BAD_BATCHES = "bad-batches"
_SCHEMA_VERSION = 1
_LARGEST_CONFIG_BYTES = 2**20
_LIBRARIES = ("torch", "numpy", "numba", "h5py")


class RunDirectory:
    """An opened and locked run directory.

    The lock is the kernel's (`flock`): it ends with the process that holds it, however that ends.

    Attributes:
        path: the directory.
        run_id: the run's identity, in every file that belongs to it.
    """

    def __init__(self, path: Path, run_id: str, lock: int) -> None:
        self.path = path
        self.run_id = run_id
        self._lock = lock

    @classmethod
    def create(cls, path: Path, config: Config, files: FileSystem | None = None) -> RunDirectory:
        """Start a new run in an empty or missing directory; all directories of a run are private (0700).

        Raises:
            UsageError: the directory holds something, is in use, or cannot be written.
        """
        files = files or FileSystem()
        try:
            if LOCK not in files.names(path):
                _refuse_content(path, files)  # somebody's folder gets no lock file and keeps its permissions
            files.make_directory(path)
        except OSError as error:
            raise UsageError(f"{path}: the run directory cannot be made: {error.strerror}") from None
        lock = _lock(path)
        try:
            _refuse_content(path, files)
            os.chmod(path, DIRECTORY_MODE)
            for part in (CHECKPOINTS, REPLAY, LOGS, TENSORBOARD, f"{TENSORBOARD}/train", f"{TENSORBOARD}/evaluation"):
                files.make_directory(path / part)
            run_id = uuid.uuid4().hex
            write_config(path, run_id, config, files)
        except OSError as error:
            os.close(lock)
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
        except UsageError:
            os.close(lock)
            raise
        return cls(path, run_id, lock)

    @classmethod
    def open(cls, path: Path, files: FileSystem | None = None) -> RunDirectory:
        """Open an existing run to go on with it.

        Raises:
            UsageError: no run there, damaged, in use, or not to be written.
        """
        files = files or FileSystem()
        if not (path / CONFIG).is_file():
            raise UsageError(f"{path}: nothing to resume, there is no {CONFIG}")
        lock = _lock(path)
        try:
            run_id = read_run_id(path, files)
            remove_temporaries(files, path)
        except OSError as error:
            os.close(lock)
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None
        except BaseException:
            os.close(lock)
            raise
        return cls(path, run_id, lock)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._lock)

    def discard(self) -> None:
        """Empty the directory of a run that never began, so that it can be used for the next try; gives the lock back.

        What is not the run's stays.
        """
        for part in (CHECKPOINTS, REPLAY, LOGS, TENSORBOARD):
            shutil.rmtree(self.path / part, ignore_errors=True)
        for name in (CONFIG, TRAIN_LOG, LOCK):
            with contextlib.suppress(OSError):
                os.unlink(self.path / name)
        self.close()


def _refuse_content(path: Path, files: FileSystem) -> None:
    others = [name for name in files.names(path) if name != LOCK]
    if others:
        raise UsageError(
            f"{path}: not empty (holds {others[0]}); name another --run-dir, or go on with --resume {path}"
        )


def _lock(path: Path) -> int:
    """Descriptor of the locked lock file."""
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 200).decode("utf-8", "replace").strip() or "another process"
        os.close(lock)
        raise UsageError(f"{path}: in use by {holder}") from None
    except OSError as error:
        os.close(lock)
        raise UsageError(f"{path / LOCK}: cannot be locked ({error.strerror}): use a local disk") from None
    with contextlib.suppress(OSError):  # who holds it is a courtesy; the lock holds on a full disk, too
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return lock


def write_config(path: Path, run_id: str, config: Config, files: FileSystem | None = None) -> None:
    """Write `config.json`: settings, identity, and what the run was started with.

    Raises:
        OSError: the disk refused.
    """
    tree: dict[str, Any] = {
        "schema_version": _SCHEMA_VERSION,
        "run_id": run_id,
        "versions": versions(),
        "machine": machine(),
        "git": _git_commit(),
        "config": config.to_dict(),
    }
    atomic_write(files or FileSystem(), path / CONFIG, json.dumps(tree, indent=1).encode())


def read_config(path: Path, files: FileSystem | None = None) -> Config:
    """The settings of the run in `path`.

    Raises:
        UsageError: there is no run.
        ConfigError: damaged, or settings that this version does not know.
    """
    if not (path / CONFIG).is_file():
        raise UsageError(f"{path}: nothing to resume, there is no {CONFIG}")
    try:
        content = (files or FileSystem()).read(path / CONFIG, _LARGEST_CONFIG_BYTES)
    except OSError as error:
        raise ConfigError([f"{path / CONFIG}: cannot be read: {error.strerror or error}"]) from None
    return parse_config_json(content, str(path / CONFIG))


def read_run_id(path: Path, files: FileSystem | None = None) -> str:
    """The identity of the run in `path`.

    Raises:
        UsageError: `config.json` is missing or damaged.
    """
    try:
        run_id = json.loads((files or FileSystem()).read(path / CONFIG, _LARGEST_CONFIG_BYTES))["run_id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path / CONFIG}: damaged: {error}") from None
    if not isinstance(run_id, str):
        raise UsageError(f"{path / CONFIG}: damaged: run_id is not a text")
    return run_id


def read_started(path: Path) -> dict[str, Any]:
    """What `config.json` says of how the run was started: machine, versions, git; empty where there is none."""
    try:
        tree = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: tree[key] for key in ("machine", "versions", "git") if key in tree} if isinstance(tree, dict) else {}


def machine() -> str:
    """Processor, cores that this process may use, and GPUs, in words."""
    processor = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    gpus = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with contextlib.suppress(OSError):
            words = path.read_text(encoding="utf-8", errors="replace").partition("Model:")[2].splitlines()
            gpus.append(words[0].strip() if words else "GPU")
    cores = len(os.sched_getaffinity(0))
    return ", ".join([f"{cores} core{'s' if cores > 1 else ''} of {processor}", *(gpus or ["no GPU"])])


def versions() -> dict[str, str]:
    """Versions of Python, tspmz and the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in ("tspmz", *_LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _git_commit() -> str:
    """Commit of the checkout that this module lies in, with `-dirty` where files differ; empty where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def next_run_dir(num_cities: int, parent: Path = Path("runs")) -> Path:
    """A new folder, the next free `<parent>/<cities>-<number>`.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        taken = [path.name.rpartition("-")[2] for path in parent.glob(f"{num_cities}-*")]
        number = 1 + max((int(word) for word in taken if word.isdecimal()), default=0)
        while True:
            folder = parent / f"{num_cities}-{number}"
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:  # another run was faster
                number += 1
            else:
                return folder
    except OSError as error:
        raise UsageError(f"{error.filename}: the run folder cannot be made: {error.strerror}") from None
