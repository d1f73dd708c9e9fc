"""F12 to F15 and malicious files: what a replay folder holds is found out or proved harmless, in child processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from replay_helpers import RUN, make_group

from tspmz.replay.fields import fields_for
from tspmz.replay.loading import REASONS_NAME
from tspmz.replay.manifest import MANIFEST_NAME, Manifest
from tspmz.replay.segments import SegmentInfo, SegmentWriter

HERE = Path(__file__).parent
DATA = HERE.parent / "data"
LARGEST_GROWTH_MIB = 200.0


def probe(tmp_path: Path, kind: str, *arguments: object) -> dict[str, Any]:
    """Run the child process; where it dies, name what it was reading."""
    note = tmp_path / "note"
    command = [sys.executable, str(HERE / "corruption_probe.py"), kind, str(arguments[0]), str(note)]
    command += map(str, arguments[1:])
    paths = [str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        pytest.fail(f"killed by {name} while reading {note.read_text().strip()}")
    assert done.returncode == 0, f"{note.read_text().strip()}: {done.stderr}"
    tree = json.loads(done.stdout)
    assert tree["grown_mib"] < LARGEST_GROWTH_MIB
    return dict(tree["result"])


def seal(
    folder: Path, first: int, *, actor: int = 0, run_id: str = RUN, num_cities: int = 6, compress: bool = False
) -> SegmentInfo:
    writer = SegmentWriter(
        folder, run_id=run_id, config_hash="hash", num_cities=num_cities, group_size=3, policy_target="advantage",
        compress=compress,
    )  # fmt: skip
    return writer.seal([make_group(actor, number, num_cities=num_cities) for number in range(first, first + 3)])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    ("start", "step"), [(3, 149), pytest.param(0, 1, marks=pytest.mark.slow)], ids=["sample", "every byte"]
)
def test_f12_f13_every_flip_and_cut_is_found_or_harmless(
    tmp_path: Path, compress: bool, start: int, step: int
) -> None:
    """Without the manifest, whose digest would find each of them before HDF5 sees the file."""
    info = seal(tmp_path, 5, compress=compress)
    result = probe(tmp_path, "segment", tmp_path / info.name, start, step)
    assert result["wrong"] == []
    assert result["found"] > 200 / step
    probes = 3 * len(range(start, info.size, step)) + len(range(0, info.size, 512))
    assert result["found"] + result["harmless"] == probes


@pytest.mark.parametrize("position", [0, 100, 5000, -1])
def test_f13_flip_in_a_listed_segment_is_found_by_its_digest(tmp_path: Path, position: int) -> None:
    folder = base(tmp_path / "folders" / "flip")
    content = bytearray((folder / "segment-0-6.h5").read_bytes())
    content[position] ^= 0x10
    (folder / "segment-0-6.h5").write_bytes(content)
    (result,) = probe(tmp_path, "folders", folder.parent).values()
    assert result["ids"] == {"0": [0, 1, 2, 3, 4, 5]}
    assert result["notes"] == [f"{folder}/segment-0-6.h5: its SHA-256 is not that of the manifest"]


def base(folder: Path) -> Path:
    """Segments 0-2, 3-5, 6-8 of actor 0, listed."""
    manifest = Manifest(folder, RUN)
    for first in (0, 3, 6):
        manifest.add(seal(folder, first))
    return folder


def unlist(folder: Path) -> None:
    (folder / MANIFEST_NAME).unlink()


def change(folder: Path, alter: Callable[[h5py.File], object], first: int = 3) -> None:
    """Alter a segment with plain h5py; nothing but the segment itself can then tell."""
    unlist(folder)
    with h5py.File(folder / f"segment-0-{first}.h5", "r+") as file:
        alter(file)


def swap(folder: Path) -> None:
    one, two = folder / "segment-0-3.h5", folder / "segment-0-6.h5"
    (folder / "aside").write_bytes(one.read_bytes())
    two.replace(one)
    (folder / "aside").replace(two)


def rewrite_manifest(folder: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    tree = json.loads((folder / MANIFEST_NAME).read_text())
    alter(tree)
    (folder / MANIFEST_NAME).write_text(json.dumps(tree))


def replace_field(name: str, **settings: Any) -> Callable[[h5py.File], None]:
    def alter(file: h5py.File) -> None:
        spec = next(spec for spec in fields_for(6, 3, "advantage") if spec.name == name)
        del file[name]
        values = {"shape": (3, *spec.shape), "dtype": spec.dtype, **settings}
        file.create_dataset(name, **values)

    return alter


def unknown_filter(file: h5py.File) -> None:
    """A filter that HDF5 would look for as a plug-in, among the shared libraries of a folder."""
    del file["tours"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((3, 3, 6))
    properties.set_fletcher32()
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((3, 3, 6))
    h5py.h5d.create(file.id, b"tours", h5py.h5t.STD_I16LE, space, properties)


def virtual(file: h5py.File) -> None:
    del file["tours"]
    layout = h5py.VirtualLayout((3, 3, 6), "<i2")
    layout[:] = h5py.VirtualSource("/etc/passwd", "tours", (3, 3, 6))
    file.create_virtual_dataset("tours", layout)


def link(target: object) -> Callable[[h5py.File], None]:
    def alter(file: h5py.File) -> None:
        del file["rewards"]
        file["rewards"] = target

    return alter


def attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def alter(file: h5py.File) -> None:
        del file.attrs[name]
        file.attrs[name] = value

    return alter


def bomb(folder: Path) -> None:
    """A small file that unpacks to 20 TB of zeros, as its header says: chunks that were never written count as zero."""
    change(folder, attribute("last_group_id", 3 + 10**10))
    with h5py.File(folder / "segment-0-3.h5", "r+") as file:
        for spec in fields_for(6, 3, "advantage"):
            del file[spec.name]
            shape = (10**10 + 1, *spec.shape)
            file.create_dataset(
                spec.name, shape, spec.dtype, chunks=(2**14, *spec.shape), shuffle=True, compression="gzip",
                fletcher32=True,
            )  # fmt: skip


def sparse(name: str, size: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with open(folder / name, "r+b" if (folder / name).exists() else "wb") as file:
            file.truncate(size)

    return make


def foreign(folder: Path) -> None:
    with h5py.File(folder / "segment-0-9.h5", "w") as file:
        file["data"] = np.arange(3)


def other_segment(**settings: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        seal(folder, 9, **settings)

    return make


def deep(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / MANIFEST_NAME).write_text(text) and None


ALL, FIRST, TWO = list(range(9)), [0, 1, 2], list(range(6))
NINE, THREE, SIX = "segment-0-9.h5", "segment-0-3.h5", "segment-0-6.h5"
FOLDERS: dict[str, tuple[Callable[[Path], object], list[int], list[str], str]] = {
    # name: what is done to the folder, groups that are loaded, files set aside, part of the reason
    "whole": (lambda folder: None, ALL, [], ""),
    "f12 empty": (lambda folder: (folder / SIX).write_bytes(b""), TWO, [SIX], "has 0 bytes, the manifest says"),
    "f14 foreign": (foreign, ALL, [NINE], "not a tspmz replay file (no magic)"),
    "f14 text": (lambda folder: (folder / NINE).write_text("x"), ALL, [NINE], "no HDF5 signature"),
    "f15 older": (lambda folder: change(folder, attribute("schema_version", 1)), FIRST, [THREE, SIX], "previous_group"),
    "f15 version 0": (lambda folder: change(folder, attribute("schema_version", 0)), FIRST, [THREE, SIX], "unknown"),
    "other run": (other_segment(run_id="other"), ALL, [NINE], "of run 'other', not 'run'"),
    "other size": (other_segment(num_cities=7), ALL, [NINE], "3 episodes on 7 cities for advantage: not what"),
    "no manifest": (unlist, ALL, [], "is missing: rebuilt"),
    "doubled": (lambda folder: shutil.copy(folder / SIX, folder / NINE), ALL, [NINE], "it was renamed"),
    "doubled actor": (lambda folder: shutil.copy(folder / SIX, folder / "segment-1-6.h5"), ALL, ["segment-1-6.h5"],
                      "holds groups from 6 of actor 0: it was renamed"),
    "doubled older": (lambda folder: shutil.copy(folder / SIX, folder / "segment-0-5.h5"), ALL,
                      ["segment-0-5.h5"], "starts at group 5, 6 is the next"),
    "swapped": (swap, FIRST, [THREE, SIX], "SHA-256"),
    "swapped, no manifest": (lambda folder: (swap(folder), unlist(folder)), FIRST, [THREE, SIX], "it was renamed"),
    "link to a file": (lambda folder: (folder / NINE).symlink_to("/etc/passwd"), ALL, [NINE], "symbolic link"),
    "folder": (lambda folder: (folder / NINE).mkdir(), ALL, [NINE], "not a regular file"),
    "pipe": (lambda folder: os.mkfifo(folder / NINE), ALL, [NINE], "not a regular file"),
    "sparse, not listed": (sparse(NINE, 2**40), ALL, [NINE], "more than"),
    "sparse, listed": (sparse(SIX, 2**40), TWO, [SIX], "more than"),
    "external link": (lambda folder: change(folder, link(h5py.ExternalLink("/etc/passwd", "/"))), FIRST, [THREE, SIX],
                      "links are not followed"),
    "soft link": (lambda folder: change(folder, link(h5py.SoftLink("/root_values"))), FIRST, [THREE, SIX],
                  "links are not followed"),
    "external storage": (lambda folder: change(folder, replace_field("rewards", external=[("/etc/passwd", 0, 180)])),
                         FIRST, [THREE, SIX], "not stored in checked chunks"),
    "virtual": (lambda folder: change(folder, virtual), FIRST, [THREE, SIX], "not stored in checked chunks"),
    "texts of any length": (lambda folder: change(folder, replace_field("tours", dtype=h5py.string_dtype())), FIRST,
                            [THREE, SIX], "no data set of type"),
    "references": (lambda folder: change(folder, replace_field("tours", dtype=h5py.ref_dtype)), FIRST, [THREE, SIX],
                   "no data set of type"),
    "arrays of any length": (lambda folder: change(folder, replace_field("tours", dtype=h5py.vlen_dtype(np.int16))),
                             FIRST, [THREE, SIX], "no data set of type"),
    "filter from a plug-in": (lambda folder: change(folder, unknown_filter), FIRST, [THREE, SIX], "unknown filter"),
    "lzf": (lambda folder: change(folder, replace_field("tours", chunks=True, fletcher32=True, compression="lzf")),
            FIRST, [THREE, SIX], "unknown filter"),
    "text attribute of any length": (lambda folder: change(folder, attribute("run_id", "run")), FIRST, [THREE, SIX],
                                     "no plain text or number"),
    "absurd number of groups": (lambda folder: change(folder, attribute("last_group_id", 10**15)), FIRST, [THREE, SIX],
                                "cannot hold"),
    "absurd number of cities": (lambda folder: change(folder, attribute("num_cities", 2**62)), FIRST, [THREE, SIX],
                                "impossible header"),
    "absurd group size": (lambda folder: change(folder, attribute("group_size", 2**62)), FIRST, [THREE, SIX], "hold"),
    "bomb": (bomb, FIRST, [THREE, SIX], "cannot hold"),
    "manifest: leaves the folder": (
        lambda folder: rewrite_manifest(folder, lambda tree: tree["entries"][0].update(name="../segment-0-0.h5")),
        ALL, [MANIFEST_NAME], "impossible entry"),
    "manifest: version 0": (lambda folder: rewrite_manifest(folder, lambda tree: tree.update(schema_version=0)), ALL,
                            [MANIFEST_NAME], "there never was"),
    "manifest: of another run": (lambda folder: rewrite_manifest(folder, lambda tree: tree.update(run_id="x")), ALL,
                                 [MANIFEST_NAME], "of run 'x', not 'run'"),
    "manifest: too many groups": (
        lambda folder: rewrite_manifest(folder, lambda tree: tree["entries"][2].update(last_group_id=10**40)),
        TWO, [SIX], "not those that the manifest lists"),
    "manifest: deep": (deep('{"a":' * 200_000), ALL, [MANIFEST_NAME], "is not JSON"),
    "manifest: deep list": (deep("[" * 200_000 + "]" * 200_000), ALL, [MANIFEST_NAME], "JSON"),
    "manifest: long number": (deep('{"schema_version": ' + "9" * 10_000 + "}"), ALL, [MANIFEST_NAME], "is not JSON"),
    "manifest: link": (lambda folder: (unlist(folder), (folder / MANIFEST_NAME).symlink_to("/etc/passwd")), ALL,
                       [MANIFEST_NAME], "symbolic link"),
    "manifest: huge": (sparse(MANIFEST_NAME, 2**40), ALL, [MANIFEST_NAME], "more than"),
}  # fmt: skip


def test_f12_to_f15_and_malicious_folders(tmp_path: Path) -> None:
    """All in one child process; each bad file is set aside with its reason, and the good prefix before it is loaded."""
    folders = tmp_path / "folders"
    for name, (damage, *_) in FOLDERS.items():
        damage(base(folders / name))
    before = Path("/etc/passwd").read_bytes()
    results = probe(tmp_path, "folders", folders)
    assert Path("/etc/passwd").read_bytes() == before
    for name, (_, numbers, quarantined, reason) in FOLDERS.items():
        result = results[name]
        assert "refused" not in result, (name, result)
        assert result["ids"].pop("0") == numbers, (name, result)
        assert result["ids"] == {}, name
        assert result["quarantined"] == quarantined, (name, result)
        assert any(reason in note for note in result["notes"]) or not reason, (name, result)
        if quarantined:
            aside = folders / name / "quarantine"
            assert sorted(os.listdir(aside)) == sorted([REASONS_NAME, *quarantined]), name
            assert reason in (aside / REASONS_NAME).read_text(), name
    again = probe(tmp_path, "folders", folders)
    assert all(result["notes"] == [] for result in again.values()), again


def test_f15_newer_folders_are_refused_and_not_touched(tmp_path: Path) -> None:
    folders = tmp_path / "folders"
    change(base(folders / "segment"), attribute("schema_version", 99))
    rewrite_manifest(base(folders / "manifest"), lambda tree: tree.update(schema_version=99))
    before = {path: path.read_bytes() for path in folders.rglob("*") if path.is_file()}
    for result in probe(tmp_path, "folders", folders).values():
        assert "99" in result["refused"]
        assert "update tspmz" in result["refused"]
    assert {path: path.read_bytes() for path in folders.rglob("*") if path.is_file()} == before


def test_f15_folder_of_schema_version_1_is_loaded(tmp_path: Path) -> None:
    """The stored file is of another run: what counts here is that this is the only objection."""
    folder = tmp_path / "folders" / "golden"
    folder.mkdir(parents=True)
    shutil.copy(DATA / "segment_schema_1.h5", folder / "segment-2-5.h5")
    (result,) = probe(tmp_path, "folders", folder.parent).values()
    assert result["notes"][-1].endswith("of run 'golden', not 'run'")
