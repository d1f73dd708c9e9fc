"""TensorBoard event files: a writer that can never stop a training, and a reader."""

from __future__ import annotations

import contextlib
import logging
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)
_HISTOGRAM_BINS = 64
_RECORD_HEAD = struct.Struct("<QI")
_RECORD_TAIL = struct.Struct("<I")


class EventWriter:
    """Writes one event file; the x-axis (`step`) of every curve is `train_steps`.

    Any failure (full disk, unwritable directory, bad value) switches the writer off with one warning, and the caller
    goes on. Records are written at once by the calling thread: tensorboardX's own `SummaryWriter` hands them to a
    thread whose death would block the caller for ever. Files are numbered, not named by the clock, so that several
    writers and resumed runs share a directory and TensorBoard reads them in order.

    Args:
        directory: made if missing.
        enabled: False makes every method do nothing.
    """

    def __init__(self, directory: Path, enabled: bool = True) -> None:
        self._file: FileIO | None = None
        if enabled:
            self._guarded(lambda: self._open(directory))

    @property
    def enabled(self) -> bool:
        """Whether events are still written."""
        return self._file is not None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One point of each curve: tag -> value."""

        def summaries() -> list[Any]:
            from tensorboardX import summary

            return [summary.scalar(tag, float(value)) for tag, value in values.items()]

        self._write(summaries, step)

    def histogram(self, tag: str, values: NDArray[Any], step: int) -> None:
        """Distribution of the finite ones among `values` (any shape)."""

        def summaries() -> list[Any]:
            from tensorboardX import summary

            finite = np.asarray(values, dtype=np.float64).ravel()
            finite = finite[np.isfinite(finite)]
            return [summary.histogram(tag, finite, bins=_HISTOGRAM_BINS)] if finite.size else []

        self._write(summaries, step)

    def image(self, tag: str, image: NDArray[np.uint8], step: int) -> None:
        """A picture, `[H, W, 3]` uint8."""

        def summaries() -> list[Any]:
            from tensorboardX import summary

            return [summary.image(tag, image, dataformats="HWC")]

        self._write(summaries, step)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """A page of Markdown."""

        def summaries() -> list[Any]:
            from tensorboardX import summary

            return [summary.text(tag, markdown)]

        self._write(summaries, step)

    def hparams(self, settings: Mapping[str, bool | int | float | str], metrics: Mapping[str, float]) -> None:
        """The run's settings (dotted key -> value) and its final metrics, for TensorBoard's HPARAMS page."""

        def summaries() -> list[Any]:
            from tensorboardX import summary

            points = [summary.scalar(tag, float(value)) for tag, value in metrics.items()]
            return [*summary.hparams(dict(settings), dict(metrics)), *points]

        self._write(summaries, 0)

    def close(self) -> None:
        """Close the file; later calls do nothing."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _open(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        number = 1 + max((_number(path) for path in event_files(directory)), default=0)
        while self._file is None:
            with contextlib.suppress(FileExistsError):  # another writer took the number first
                self._file = FileIO(directory / f"events.out.tfevents.{number:010d}.tspmz", "xb")
            number += 1
        from tensorboardX.proto import event_pb2

        self._append([event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")])

    def _write(self, summaries: Callable[[], list[Any]], step: int) -> None:
        def write() -> None:
            from tensorboardX.proto import event_pb2

            now = time.time()
            self._append([event_pb2.Event(wall_time=now, step=step, summary=one) for one in summaries()])

        if self.enabled:
            self._guarded(write)

    def _append(self, events: list[Any]) -> None:
        assert self._file is not None
        data = b"".join(_record(event.SerializeToString()) for event in events)
        if self._file.write(data) != len(data):
            raise OSError("the disk is full")

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # whatever it is, the training must go on
            self.close()
            _LOG.warning("TensorBoard events are switched off, training goes on: %s", error)


def event_files(directory: Path) -> list[Path]:
    """Event files of a directory in the order of writing; a missing directory has none."""
    return sorted(directory.glob("events.out.tfevents.*"), key=lambda path: (_number(path), path.name))


def read_events(path: Path) -> Iterator[Any]:
    """Events (`tensorboardX.proto.event_pb2.Event`) of one file, up to the first record that is cut off or damaged.

    Raises:
        OSError: the file cannot be read.
    """
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    data, at = path.read_bytes(), 0
    while at + _RECORD_HEAD.size <= len(data):
        length, length_sum = _RECORD_HEAD.unpack_from(data, at)
        body_at, end = at + _RECORD_HEAD.size, at + _RECORD_HEAD.size + length + _RECORD_TAIL.size
        if length_sum != masked_crc32c(data[at : at + 8]) or end > len(data):
            break  # a writer that is at work or was killed leaves half a record
        body = data[body_at : body_at + length]
        if _RECORD_TAIL.unpack_from(data, body_at + length)[0] != masked_crc32c(body):
            break
        yield event_pb2.Event.FromString(body)
        at = end


def _number(path: Path) -> int:
    word = path.name.split(".")[3]
    return int(word) if word.isdecimal() and len(word) <= 10 else 0


def _record(data: bytes) -> bytes:
    """One TFRecord: length, checksum of the length, data, checksum of the data."""
    from tensorboardX.record_writer import masked_crc32c

    length_sum = masked_crc32c(struct.pack("<Q", len(data)))
    return _RECORD_HEAD.pack(len(data), length_sum) + data + _RECORD_TAIL.pack(masked_crc32c(data))
