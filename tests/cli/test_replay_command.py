"""tspmz-replay: what is in a folder, whether it is whole, export, pruning; and how each ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_helpers import tiny_config

from tspmz.cli.command import run_command
from tspmz.cli.replay import replay
from tspmz.config import Config
from tspmz.config_files import config_hash
from tspmz.replay.manifest import Manifest
from tspmz.replay.segments import SegmentWriter
from tspmz.rundir import RunDirectory
from tspmz.selfplay import GroupSource
from tspmz.settings import group_settings
from tspmz.tsp.tours import tour_lengths
from tspmz.types import Group


def code_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        run_command(replay, [str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def json_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = code_of(*arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


def group_of(config: Config, actor: int, group_id: int) -> Group:
    """A group on its own instance: cities in the order of their numbers, from each start."""
    coordinates, starts = GroupSource(**group_settings(config, actor)).instance(group_id)
    tours = np.stack([np.roll(np.arange(len(coordinates)), -start) for start in starts])
    stops = coordinates.astype(np.float64)[tours]
    edges = np.linalg.norm(stops - np.roll(stops, -1, axis=1), axis=-1)
    rewards = -edges[:, :-1]
    rewards[:, -1] -= edges[:, -1]
    values = rewards.astype(np.float32)
    absent = (*values.shape, 0)
    return Group(
        coordinates, tours, values, values, values, np.zeros(absent, np.int32), np.zeros(absent, np.float32),
        actor, group_id, config.run.seed, 100 + group_id,
    )  # fmt: skip


class Stored:
    """A run directory with segments of 4 groups: 0-3, 4-7, 8-11 of actor 0, 20-23 and 30-33 (a gap) of actor 1."""

    def __init__(self, path: Path, **values: Any) -> None:
        self.path, self.replay = path, path / "replay"
        self.config = tiny_config(
            **{"selfplay__num_actors": 2, "replay__capacity_groups": 8, "selfplay__groups_in_parallel": 1, **values}
        )
        self.run = RunDirectory.create(path, self.config)
        self.manifest = Manifest(self.replay, self.run.run_id)
        for actor, first, previous in ((0, 0, -1), (1, 20, 19), (0, 4, 3), (1, 30, 23), (0, 8, 7)):
            self.seal(actor, first, previous)
        self.run.close()

    def seal(self, actor: int, first: int, previous: int, change: int = 0) -> None:
        writer = SegmentWriter(
            self.replay, run_id=self.run.run_id, config_hash=config_hash(self.config), num_cities=5,
            group_size=4, policy_target="advantage",
        )  # fmt: skip
        groups = [
            group_of(self.config, actor, number + change)._replace(group_id=number)
            for number in range(first, first + 4)
        ]
        self.manifest.add(writer.seal(groups, previous))

    def lengths(self) -> np.ndarray:
        numbers = [(0, n) for n in range(12)] + [(1, n) for n in (20, 21, 22, 23, 30, 31, 32, 33)]
        groups = [group_of(self.config, actor, number) for actor, number in numbers]
        return np.concatenate([tour_lengths(group.coordinates[None], group.tours[None])[0] for group in groups])


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "run")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_info_counts_what_is_there(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    code, tree = json_of(capsys, "info", stored.path)
    assert code == 0
    assert {name: tree[name] for name in ("segments", "unlisted", "groups", "episodes", "env_steps")} == {
        "segments": 5, "unlisted": 0, "groups": 20, "episodes": 80, "env_steps": 320,
    }  # fmt: skip
    assert (tree["run_ids"], tree["schema_versions"], tree["cities"], tree["group_sizes"]) == (
        [stored.run.run_id], [2], [5], [4],
    )  # fmt: skip
    assert tree["bytes"] == sum(path.stat().st_size for path in stored.replay.glob("*.h5"))
    lengths = stored.lengths()
    assert tree["tour_length_mean"] == pytest.approx(lengths.mean())
    assert tree["tour_length_min"] == pytest.approx(lengths.min())
    assert (tree["weights_version_min"], tree["weights_version_max"]) == (100, 133)
    ranges = [(own["actor"], own["first_group_id"], own["last_group_id"], own["gap"]) for own in tree["actors"]]
    assert ranges == [(0, 0, 11, 0), (1, 20, 33, 6)]
    assert (tree["problems"], tree["quarantined"]) == ([], 0)


def test_info_as_a_table(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("info", stored.replay) == 0
    text = capsys.readouterr().out
    for piece in ("segments", "policy target", "advantage", "320", "100 to 133", "20 to 33"):
        assert piece in text


def test_verify_of_a_whole_folder_is_0(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(stored.path)
    code, tree = json_of(capsys, "verify", stored.path)
    assert (code, tree["segments"], tree["groups"], tree["problems"]) == (0, 5, 20, [])
    assert tree["instances_checked"]
    assert code_of("verify", stored.replay) == 0
    assert "5 segments, 20 groups: all whole" in capsys.readouterr().out
    assert contents(stored.path) == before


def test_verify_lists_each_bad_file_and_moves_none(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    flipped = bytearray((stored.replay / "segment-0-4.h5").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (stored.replay / "segment-0-4.h5").write_bytes(flipped)
    (stored.replay / "segment-1-20.h5").unlink()
    (stored.replay / "segment-0-50.h5").write_bytes(b"[red]\x1b[31mno segment")
    before = contents(stored.path)
    code, tree = json_of(capsys, "verify", stored.path)
    assert code == 1
    assert {entry["name"]: entry["problem"] for entry in tree["problems"]} == {
        "segment-0-4.h5": "its SHA-256 is not that of the manifest",
        "segment-1-20.h5": "missing, though the manifest lists it",
        "segment-0-50.h5": "not a tspmz replay file (no HDF5 signature)",
    }
    assert code_of("verify", stored.path) == 1
    text = capsys.readouterr().out
    assert "segment-1-20.h5" in text
    assert "problems" in text.splitlines()[-1]
    assert contents(stored.path) == before


def test_verify_makes_the_instances_again(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole segment of the right run, whose groups were played on other instances than their numbers say."""
    stored.seal(0, 12, 11, change=1)
    code, tree = json_of(capsys, "verify", stored.path)
    assert code == 1
    assert tree["problems"] == [
        {"name": "segment-0-12.h5", "problem": "group 12: the cities are not those that its seed makes"}
    ]


def test_copied_folder_is_verified_without_its_run(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    stored.replay.rename(copy)
    code, tree = json_of(capsys, "verify", copy)
    assert (code, tree["instances_checked"]) == (0, False)
    (copy / "manifest.json").unlink()
    code, tree = json_of(capsys, "verify", copy)
    assert (code, tree["groups"]) == (1, 20)
    assert tree["problems"] == [{"name": "manifest.json", "problem": "missing, though there are segments"}]


def test_damaged_config_is_a_warning_and_newer_manifest_a_problem(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    (stored.path / "config.json").write_text("{" * 100_000)
    assert code_of("verify", stored.path) == 0
    assert "warning: " in capsys.readouterr().err
    text = (stored.replay / "manifest.json").read_text()
    (stored.replay / "manifest.json").write_text(text.replace('"schema_version": 1', '"schema_version": 9'))
    assert code_of("verify", stored.path) == 1
    assert "newer than 1" in capsys.readouterr().out


@pytest.mark.parametrize("command", [("info",), ("verify",), ("export", "x.npz"), ("prune", "--keep-groups", "1")])
def test_folder_without_episodes_is_wrong_use(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert code_of(command[0], folder, *command[1:]) == 2
        assert capsys.readouterr().err.startswith(f"error: {folder}: n")


def test_export_holds_every_field(stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "groups.npz"
    assert code_of("export", stored.path, out) == 0
    assert "20 groups" in capsys.readouterr().out
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["tours"].shape == (20, 4, 5)
        assert arrays["group_id"].tolist() == [*range(12), 20, 21, 22, 23, 30, 31, 32, 33]
        assert arrays["actor"].tolist() == [0] * 12 + [1] * 8
        assert np.allclose(arrays["tour_lengths"].ravel(), stored.lengths())
        assert np.allclose(arrays["tour_lengths"], -arrays["rewards"].sum(axis=2), atol=1e-5)
    assert out.stat().st_mode & 0o777 == 0o600
    assert code_of("export", stored.path, out) == 2
    assert "exists already" in capsys.readouterr().err


def test_export_of_the_newest_groups_leaves_out_what_is_bad(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stored.replay / "segment-1-30.h5").write_bytes(b"")
    assert code_of("export", stored.path, tmp_path / "groups.npz", "--newest", "3") == 1
    assert "segment-1-30.h5" in capsys.readouterr().out
    with np.load(tmp_path / "groups.npz", allow_pickle=False) as arrays:
        assert arrays["group_id"].tolist() == [9, 10, 11, 21, 22, 23]
    assert code_of("export", stored.path, tmp_path / "groups.h5") == 2
    assert code_of("export", stored.path, tmp_path / "missing" / "groups.npz") == 2


def test_prune_keeps_what_a_resume_needs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    """The window of 8 groups is 4 of each actor: the newest segment of each stays whatever is asked for."""
    before = contents(stored.path)
    code, tree = json_of(capsys, "prune", stored.path, "--keep-groups", 0, "--dry-run")
    removed = ["segment-0-0.h5", "segment-1-20.h5", "segment-0-4.h5"]
    assert (code, tree["removed"], tree["groups_left"]) == (0, removed, 8)
    assert {name: data for name, data in contents(stored.path).items() if name != "run.lock"} == {
        name: data for name, data in before.items() if name != "run.lock"
    }
    assert code_of("prune", stored.path, "--keep-groups", 17) == 0
    assert "removed 0 segments with 0 groups, 20 groups stay" in capsys.readouterr().out
    assert json_of(capsys, "prune", stored.path, "--keep-groups", 0) == (0, tree)
    assert sorted(path.name for path in stored.replay.iterdir()) == [
        "manifest.json", "segment-0-8.h5", "segment-1-30.h5",
    ]  # fmt: skip
    assert json_of(capsys, "verify", stored.path)[1]["groups"] == 8


def test_prune_of_a_run_that_goes_on_is_refused(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    running = RunDirectory.open(stored.path)
    before = contents(stored.replay)
    assert code_of("prune", stored.path, "--keep-groups", 0) == 2
    assert code_of("prune", stored.replay, "--keep-groups", 0) == 2
    assert "in use by process" in capsys.readouterr().err
    running.close()
    assert contents(stored.replay) == before


def test_prune_without_a_good_manifest_removes_nothing(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    (stored.replay / "manifest.json").write_text("{")
    assert code_of("prune", stored.path, "--keep-groups", 0) == 1
    (stored.replay / "manifest.json").unlink()
    assert code_of("prune", stored.path, "--keep-groups", 0) == 1
    assert "nothing is removed" in capsys.readouterr().err
    assert len(list(stored.replay.glob("*.h5"))) == 5
