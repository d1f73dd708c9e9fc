"""The one place that touches the disk: file operations that can be made to fail in tests, and atomic replacement."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

_TEMPORARY_PREFIX = ".tmp-"


class IrregularFileError(OSError):
    """Something else than a regular file of a sensible size has the name of one."""


class NotEnoughMemoryError(OSError):
    """A whole file does not fit into memory: nothing is wrong with it."""


class FileSystem:
    """The file operations that persistence is made of; a subclass may count, record, delay or fail any of them.

    Every method raises OSError as the operating system gives it.
    """

    def make_directory(self, path: Path) -> None:
        """Create a directory (mode 0700) and its parents; nothing happens where it exists."""
        if path.is_dir():
            return
        if not path.parent.is_dir():
            self.make_directory(path.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, DIRECTORY_MODE)
        self.fsync_directory(path.parent)

    def create(self, path: Path) -> int:
        """Open a new or emptied file (mode 0600) for writing; symbolic links are refused. Returns a descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)

    def append(self, path: Path) -> int:
        """Open a file (mode 0600) for writing at its end. Returns a descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write some of `data`; returns how many bytes."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Force a file's bytes to the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Rename `source` to `target` in one step, whatever was there."""
        os.replace(source, target)

    def fsync_directory(self, path: Path) -> None:
        """Force a directory's entries (created, renamed, removed names) to the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        os.unlink(path)

    def read(self, path: Path, most: int | None = None) -> bytes:
        """All bytes of a regular file.

        Args:
            path: the file.
            most: a larger file is refused before memory is taken for it.

        Raises:
            IrregularFileError: a symbolic link, directory, device or pipe, or more than `most` bytes.
            NotEnoughMemoryError: it does not fit into memory.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise IrregularFileError(f"{path} is a symbolic link; links are not followed") from None
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise IrregularFileError(f"{path} is not a regular file")
            if most is not None and status.st_size > most:
                raise IrregularFileError(f"{path} has {status.st_size:,} bytes, more than {most:,}")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
        except MemoryError:
            raise NotEnoughMemoryError(f"{path}: not enough memory for its {status.st_size:,} bytes") from None
        finally:
            os.close(descriptor)

    def names(self, directory: Path) -> list[str]:
        """Names in a directory, sorted; none where there is no directory."""
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []


class _Sink(io.RawIOBase):
    """A descriptor as a Python file whose writes go through a FileSystem; unbuffered, so nothing is written late."""

    def __init__(self, files: FileSystem, descriptor: int) -> None:
        self._files = files
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        write_all(self._files, self._descriptor, view)
        return len(view)


def write_all(files: FileSystem, descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`, in as many writes as it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[files.write(descriptor, rest) :]


def temporary_name(name: str) -> str:
    """Name under which `name` is written before it is renamed; no pattern that loads files matches it."""
    return f"{_TEMPORARY_PREFIX}{name}"


def atomic_write(files: FileSystem, path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Replace a file so that after any crash there is the old one or the new one, whole.

    Temporary file in the same directory, write, fsync, rename, fsync of the directory (Pillai et al., OSDI 2014).

    Args:
        files: the file operations.
        path: file to replace or create.
        content: its bytes, or a function that writes them to the binary file it is given (no seeking).

    Raises:
        OSError: a step failed. The old file is untouched and the temporary one removed, unless only the last step
            (fsync of the directory) failed: then the new file is in place but may not survive a power cut.
    """
    temporary = path.with_name(temporary_name(path.name))
    try:
        descriptor = files.create(temporary)
        try:
            if isinstance(content, bytes):
                write_all(files, descriptor, content)
            else:
                content(cast(BinaryIO, _Sink(files, descriptor)))
            files.fsync(descriptor)
        finally:
            files.close(descriptor)
        files.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            files.unlink(temporary)
        raise
    files.fsync_directory(path.parent)


def remove_temporaries(files: FileSystem, directory: Path) -> list[str]:
    """Remove what writers that were killed left behind; returns the names."""
    names = [name for name in files.names(directory) if name.startswith(_TEMPORARY_PREFIX)]
    for name in names:
        files.unlink(directory / name)
    return names
