"""Child process of the corruption tests: reads damaged segments and folders, so that a crash in native code is seen.

`segment IMAGE NOTE START STEP`: flips bytes START, START + STEP, .. of the file, each with three masks of bits, then
cuts it at every 512 bytes; `folders FOLDER NOTE`: loads each folder in FOLDER. Writes what it is about to do to the
file NOTE before it does it, and prints JSON when it has survived.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from replay_helpers import RUN

from tspmz.replay.fields import fields_for
from tspmz.replay.loading import load_segments
from tspmz.replay.reading import Segment, read_segment
from tspmz.replay.segments import SegmentError

MASKS = (0xFF, 0x01, 0x80)


def damaged(content: bytes, start: int, step: int) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the damaged files."""
    for position in range(start, len(content), step):
        for mask in MASKS:
            image = bytearray(content)
            image[position] ^= mask
            yield f"byte {position} ^ {mask:#x}", bytes(image)
    for length in range(0, len(content), 512):
        yield f"cut to {length}", content[:length]


def same(one: Segment, other: Segment) -> bool:
    return one.header == other.header and all(
        one.records[name].tobytes() == other.records[name].tobytes() for name in one.records.dtype.names or ()
    )


def probe_segment(note: Callable[[str], None], content: bytes, start: int, step: int) -> dict[str, Any]:
    whole = read_segment(content)
    counts = {"found": 0, "harmless": 0}
    wrong = []
    for name, image in damaged(content, start, step):
        note(name)
        try:
            segment = read_segment(image)
        except SegmentError:
            counts["found"] += 1
        except BaseException as error:
            wrong.append(f"{name}: {error!r}")
        else:
            counts["harmless"] += 1
            if name.startswith("cut") or not same(segment, whole):
                wrong.append(f"{name}: accepted")
    return {**counts, "wrong": wrong}


def probe_folders(note: Callable[[str], None], folder: Path) -> dict[str, Any]:
    results = {}
    for path in sorted(folder.iterdir()):
        note(path.name)
        try:
            report = load_segments(path, RUN, "hash", 100, fields=fields_for(6, 3, "advantage"))
        except SegmentError as error:
            results[path.name] = {"refused": str(error)}
            continue
        results[path.name] = {
            "ids": {actor: [group.group_id for group in groups] for actor, groups in report.groups.items()},
            "quarantined": report.quarantined,
            "notes": report.notes,
        }
    return results


def main() -> None:
    kind, path, note_path = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    descriptor = os.open(note_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def note(text: str) -> None:
        os.pwrite(descriptor, text.ljust(120).encode(), 0)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if kind == "segment":
        result = probe_segment(note, path.read_bytes(), int(sys.argv[4]), int(sys.argv[5]))
    else:
        result = probe_folders(note, path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"result": result, "grown_mib": grown / 1024}))


if __name__ == "__main__":
    main()
