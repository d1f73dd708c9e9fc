"""How fast are groups stored, beside a plain write and fsync of as many bytes; and how fast does a window load?"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.groups import random_group
from benchmarks.results import Cell, Figure, Result, Table, this_machine
from benchmarks.timing import here, interleaved, one_core, times_faster
from tspmz.replay.buffer import ReplayBuffer
from tspmz.replay.fields import fields_for
from tspmz.replay.files import FileSystem, atomic_write
from tspmz.replay.loading import load_segments
from tspmz.replay.manifest import Manifest
from tspmz.replay.ring import Ring
from tspmz.replay.segments import SegmentWriter

_CITIES = (20, 100)
_EPISODES = 16
_SEGMENT_GROUPS = 2048
_WINDOW_SEGMENTS = 2
_RUN, _CONFIG = "benchmark", "0" * 64


class _Setup:
    """A folder with a window of sealed groups, and the groups of one more segment."""

    def __init__(self, folder: Path, num_cities: int, segment_groups: int) -> None:
        self._specs = fields_for(num_cities, _EPISODES, "advantage")
        self._folder = folder
        self.window = _WINDOW_SEGMENTS * segment_groups
        some = [random_group(0, number, num_cities, _EPISODES) for number in range(16)]
        manifest = Manifest(folder, _RUN)
        for directory in (folder, folder / "more"):
            self._writer = SegmentWriter(
                directory, run_id=_RUN, config_hash=_CONFIG, num_cities=num_cities, group_size=_EPISODES,
                policy_target="advantage",
            )  # fmt: skip
            for first in range(0, self.window if directory == folder else segment_groups, segment_groups):
                ids = range(first, first + segment_groups)
                self._groups = [some[number % len(some)]._replace(group_id=number) for number in ids]
                info = self._writer.seal(self._groups)
                if directory == folder:
                    manifest.add(info)
        self.nbytes = info.size
        self._image = (folder / "more" / info.name).read_bytes()

    def seal(self) -> None:
        self._writer.seal(self._groups)

    def put_in_place(self) -> None:
        """As `seal`, of bytes that are ready: write, fsync, rename, fsync of the folder."""
        atomic_write(FileSystem(), self._folder / "more" / "other", self._image)

    def write(self) -> None:
        """A plain write and fsync."""
        descriptor = os.open(self._folder / "more" / "plain", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            rest = memoryview(self._image)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def load(self) -> None:
        """Verify every byte, fill the ring, and take the groups into the learner's window, as a resume does."""
        report = load_segments(self._folder, _RUN, _CONFIG, self.window, fields=self._specs)
        ring = Ring(1, self.window, self._specs)
        ring.restore(0, report.groups[0], report.next_group_ids[0])
        if ReplayBuffer(ring, batch_groups=16).ingest() != self.window:
            raise RuntimeError("groups are missing")

    def read(self) -> None:
        """Read the files and no more."""
        for path in self._folder.glob("segment-*.h5"):
            path.read_bytes()


def measure(short: bool) -> Result:
    """Measure sealing and loading."""
    rows: list[list[Cell]] = []
    loads: list[list[Cell]] = []
    figures: list[Figure] = []
    count = 64 if short else _SEGMENT_GROUPS
    for cities in _CITIES:
        with tempfile.TemporaryDirectory(prefix="tspmz-sealing-") as folder, one_core():
            setup = _Setup(Path(folder) / "replay", cities, count)
            names = ("seal", "put_in_place", "write", "load", "read")
            spent = interleaved({name: here(getattr(setup, name)) for name in names}, seconds=0.2, short=short)
        megabytes = setup.nbytes / 1e6
        seal = spent["seal"].median
        rates = [megabytes / spent[name].median for name in ("seal", "put_in_place", "write")]
        rows.append([cities, megabytes, 1e3 * seal, count / seal, *rates])
        load = spent["load"].median
        loads.append([cities, setup.window, load, setup.window / load, spent["read"].median])
        figures.append(
            Figure(
                f"speed of write and fsync at which groups are sealed, {cities} cities",
                *times_faster(spent["seal"], spent["write"]),
            )
        )
    columns = ("cities", "MB", "seal ms", "groups/s", "sealed MB/s", "put in place MB/s", "write + fsync MB/s")
    return Result(
        name="sealing",
        title="Sealing",
        answers="How fast does the recorder store groups as HDF5, beside write and fsync of as many bytes, and how "
        "long does a resumed run take to load its window?",
        tables=[
            Table(f"Segments of {count:,} groups of {_EPISODES} episodes", columns, rows),
            Table("Windows", ("cities", "groups", "load s", "groups/s", "reading the files alone s"), loads),
        ],
        figures=figures,
        notes=[
            "Sealing is checksums of every chunk, a digest of the content and one of the file, and an atomic "
            "replacement; loading checks all of them, every tour and every length. An actor makes sixty to a "
            "hundred groups a second.",
        ],
        machine=this_machine(),
        short=short,
    )
