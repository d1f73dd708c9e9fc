"""The event writer: what it writes can be read back, and no failure reaches the caller."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from tspmz import tensorboard
from tspmz.tensorboard import EventWriter, event_files, read_events


def verified_events(path: Path) -> list:
    """Every event of one file, with its checksums verified."""
    data, events, at = path.read_bytes(), [], 0
    while at < len(data):
        length, length_sum = struct.unpack_from("<QI", data, at)
        assert length_sum == masked_crc32c(data[at : at + 8])
        body = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked_crc32c(body)
        events.append(event_pb2.Event.FromString(body))
        at += 16 + length
    return events


def test_scalars_can_be_read_back(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events")
    writer.scalars({"learner/loss": 1.5, "learner/rate": 0.25}, step=7)
    writer.close()
    (path,) = (tmp_path / "events").iterdir()
    first, *points = verified_events(path)
    assert first.file_version == "brain.Event:2"
    assert {(p.summary.value[0].tag, p.summary.value[0].simple_value, p.step) for p in points} == {
        ("learner/loss", 1.5, 7),
        ("learner/rate", 0.25, 7),
    }


def test_every_kind_is_written_and_stays_enabled(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.image("tours", np.zeros((4, 6, 3), np.uint8), step=1)
    writer.text("settings", "| a | b |", step=1)
    writer.histogram("priorities", np.array([0.0, 1.0, np.nan, np.inf]), step=1)
    writer.histogram("nothing finite", np.array([np.nan]), step=1)
    writer.hparams({"search.num_simulations": 8, "search.algorithm": "gumbel", "run.tensorboard": True}, {"gap": 0.1})
    assert writer.enabled
    writer.close()
    (path,) = tmp_path.iterdir()
    tags = [value.tag for event in verified_events(path) for value in event.summary.value]
    assert tags[:3] == ["tours", "settings/text_summary", "priorities"]
    assert "gap" in tags
    assert "_hparams_/session_start_info" in tags


def test_files_of_one_directory_are_numbered_in_order(tmp_path: Path) -> None:
    for _ in range(3):
        EventWriter(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"events.out.tfevents.000000000{number}.tspmz" for number in (1, 2, 3)
    ]


def test_disabled_writer_makes_no_file(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events", enabled=False)
    writer.scalars({"a": 1.0}, step=0)
    assert not writer.enabled
    assert not (tmp_path / "events").exists()


def test_full_disk_switches_off_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    writer = EventWriter(tmp_path)
    full = tensorboard.FileIO("/dev/full", "wb")
    monkeypatch.setattr(writer, "_file", full)
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            writer.scalars({"a": 1.0}, step)
    assert not writer.enabled
    assert full.closed
    assert len(caplog.records) == 1
    assert "switched off, training goes on" in caplog.text


def test_unusable_directory_switches_off_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "events").write_text("a file, not a directory")
    writer = EventWriter(tmp_path / "events")
    writer.text("a", "b")
    assert not writer.enabled
    assert len(caplog.records) == 1


def test_bad_value_switches_off_and_does_not_raise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = EventWriter(tmp_path)
    writer.scalars({"a": "no number"}, step=0)  # type: ignore[dict-item]
    assert not writer.enabled
    assert len(caplog.records) == 1


def test_reader_gives_what_was_written_and_stops_at_what_is_cut_off_or_damaged(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    for step in range(3):
        writer.scalars({"a": float(step)}, step)
    writer.close()
    (path,) = event_files(tmp_path)
    assert list(read_events(path)) == verified_events(path)
    whole = path.read_bytes()
    for cut in range(1, 30):
        path.write_bytes(whole[:-cut])
        assert [event.step for event in read_events(path)][1:] == [0, 1]
    for position in (len(whole) - 1, len(whole) - 6, len(whole) - 40):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert len(list(read_events(path))) < 4


def test_files_are_read_in_the_order_of_writing(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        (tmp_path / f"events.out.tfevents.{number:010d}.tspmz").touch()
    assert [path.name.split(".")[3] for path in event_files(tmp_path)] == ["0000000001", "0000000009", "0000000010"]
    assert event_files(tmp_path / "nowhere") == []
