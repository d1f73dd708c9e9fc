"""Disks that fail: the N-th file operation raises, or all from there on, or the process ends there; or all is recorded.

`FileSystem` is the only way to the disk for segments, manifest, checkpoints, `config.json` and the quarantine, so
counting its operations reaches every point at which a run can be hurt.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tspmz.replay.files import FileSystem

Mode = Literal["once", "on", "crash"]
MODES: tuple[Mode, ...] = ("once", "on", "crash")


class Crash(BaseException):
    """The process ends here: no handler of errors runs on the disk after it."""


class FaultyFiles(FileSystem):
    """Counts the operations and fails some of them.

    Args:
        fail_at: number of the operation that fails, counted from 0; -1 = none.
        mode: `once`: only that one fails; `on`: so do all after it; `crash`: the process ends in it, half-done where
            it can be.
        error: number of the error.
        short_writes: every write takes only some of the bytes, as a disk may.

    Attributes:
        log: names of the operations so far.
        full: set it and everything that changes the disk fails.
    """

    def __init__(
        self, fail_at: int = -1, mode: Mode = "once", error: int = errno.ENOSPC, short_writes: bool = False
    ) -> None:
        self.log: list[str] = []
        self.full = False
        self._fail_at = fail_at
        self._mode = mode
        self._error = error
        self._short = short_writes

    @property
    def operations(self) -> int:
        """Operations so far."""
        return len(self.log)

    def _fails(self, name: str) -> bool:
        number = len(self.log)
        self.log.append(name)
        if self.full and name not in ("read", "names", "close"):
            return True
        return self._fail_at >= 0 and (number == self._fail_at or (number > self._fail_at and self._mode != "once"))

    def _step(self, name: str, half_done: Callable[[], object] = lambda: None) -> None:
        if self._fails(name):
            if len(self.log) - 1 == self._fail_at:
                half_done()
            if self._mode == "crash" and not self.full:
                raise Crash
            raise OSError(self._error, os.strerror(self._error))

    def make_directory(self, path: Path) -> None:
        self._step("make_directory")
        super().make_directory(path)

    def create(self, path: Path) -> int:
        self._step("create", lambda: os.close(super(FaultyFiles, self).create(path)))
        return super().create(path)

    def append(self, path: Path) -> int:
        self._step("append")
        return super().append(path)

    def write(self, descriptor: int, data: Any) -> int:
        self._step("write", lambda: os.write(descriptor, data[: len(data) // 2]))
        return super().write(descriptor, data[: 1 + len(data) // 2] if self._short else data)

    def fsync(self, descriptor: int) -> None:
        self._step("fsync")

    def close(self, descriptor: int) -> None:
        super().close(descriptor)  # the kernel does it in any case
        self._step("close")

    def replace(self, source: Path, target: Path) -> None:
        self._step("replace")
        super().replace(source, target)

    def fsync_directory(self, path: Path) -> None:
        self._step("fsync_directory")

    def unlink(self, path: Path) -> None:
        self._step("unlink")
        super().unlink(path)

    def read(self, path: Path, most: int | None = None) -> bytes:
        self._step("read")
        return super().read(path, most)

    def names(self, directory: Path) -> list[str]:
        self._step("names")
        return super().names(directory)


class Operation(NamedTuple):
    """One recorded operation.

    Attributes:
        name: of the operation.
        path: what it is about.
        target: of a rename.
        data: bytes written.
    """

    name: str
    path: Path
    target: Path | None = None
    data: bytes = b""


class RecordingFiles(FileSystem):
    """Does everything and records it, for `PowerCut` to replay."""

    def __init__(self) -> None:
        self.log: list[Operation] = []
        self._paths: dict[int, Path] = {}

    def make_directory(self, path: Path) -> None:
        new = [folder for folder in (*reversed(path.parents), path) if not folder.is_dir()]
        super().make_directory(path)
        # recorded as durable at once: `FileSystem.make_directory` syncs the parent before it returns
        self.log += [Operation("make_directory", folder) for folder in new]

    def create(self, path: Path) -> int:
        return self._opened("create", path, super().create(path))

    def append(self, path: Path) -> int:
        return self._opened("append", path, super().append(path))

    def _opened(self, name: str, path: Path, descriptor: int) -> int:
        self._paths[descriptor] = path
        self.log.append(Operation(name, path))
        return descriptor

    def write(self, descriptor: int, data: Any) -> int:
        count = super().write(descriptor, data)
        self.log.append(Operation("write", self._paths[descriptor], data=bytes(data[:count])))
        return count

    def fsync(self, descriptor: int) -> None:
        self.log.append(Operation("fsync", self._paths[descriptor]))

    def replace(self, source: Path, target: Path) -> None:
        super().replace(source, target)
        self.log.append(Operation("replace", source, target))

    def fsync_directory(self, path: Path) -> None:
        self.log.append(Operation("fsync_directory", path))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.log.append(Operation("unlink", path))


class _Inode:
    """A file: its bytes, and those of them that the disk has."""

    def __init__(self) -> None:
        self.data = b""
        self.durable = b""


class _Change(NamedTuple):
    """A change of a directory's names that the disk may not have yet: each name with its file, None = gone."""

    directory: Path
    names: dict[Path, _Inode | None]


class PowerCut:
    """What a disk may hold when the power fails: synced data and names, and any part of the rest.

    The model is the weakest that POSIX allows short of garbage in synced sectors: data of a file survives only if it
    was synced, names of a directory only if the directory was, and each change that was not synced survives or not by
    itself, whatever was done before or after it.
    """

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._live: dict[Path, _Inode] = {}
        self._durable: dict[Path, _Inode] = {}
        self._pending: list[_Change] = []

    def apply(self, operation: Operation) -> None:
        """Do one more of the recorded operations."""
        path, live = operation.path, self._live
        if operation.name == "make_directory":
            self._folders.append(path)
        elif operation.name in ("create", "append"):
            if path not in live:
                self._change(path.parent, {path: _Inode()})
            elif operation.name == "create":
                live[path].data = b""
        elif operation.name == "write":
            live[path].data += operation.data
        elif operation.name == "fsync":
            live[path].durable = live[path].data
        elif operation.name == "unlink":
            self._change(path.parent, {path: None})
        elif operation.name == "replace":
            assert operation.target is not None
            if path.parent == operation.target.parent:
                self._change(path.parent, {path: None, operation.target: live[path]})
            else:  # not atomic between two directories
                inode = live[path]
                self._change(operation.target.parent, {operation.target: inode})
                self._change(path.parent, {path: None})
        elif operation.name == "fsync_directory":
            for change in [change for change in self._pending if change.directory == path]:
                _update(self._durable, change.names)
                self._pending.remove(change)

    def _change(self, directory: Path, names: dict[Path, _Inode | None]) -> None:
        _update(self._live, names)
        self._pending.append(_Change(directory, names))

    def states(self) -> list[dict[Path, bytes]]:
        """Disks that may be found: nothing unsynced, all of it, names without data, each change alone or left out."""
        count = len(self._pending)
        every = set(range(count))
        kept = [set(), every, *({i} for i in range(count)), *(every - {i} for i in range(count))]
        found: list[dict[Path, bytes]] = []
        for which in kept:
            names = dict(self._durable)
            for index, change in enumerate(self._pending):
                if index in which:
                    _update(names, change.names)
            for torn in (True, False):
                state = {path: inode.durable if torn else inode.data for path, inode in names.items()}
                if state not in found:
                    found.append(state)
        return found

    def write_state(self, state: dict[Path, bytes], source: Path, target: Path) -> None:
        """Make one of `states`, of files below `source`, in the folder `target`."""
        for folder in self._folders:
            if folder.is_relative_to(source):
                (target / folder.relative_to(source)).mkdir(parents=True, exist_ok=True)
        for path, data in state.items():
            (target / path.relative_to(source)).write_bytes(data)


def _update(names: dict[Path, _Inode], changes: dict[Path, _Inode | None]) -> None:
    for path, inode in changes.items():
        if inode is None:
            names.pop(path, None)
        else:
            names[path] = inode
