"""The recorder: takes every group out of the ring and seals it into segments on disk."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from tspmz.channels import Channels, oldest_in_window, stored_fields
from tspmz.config import Config
from tspmz.config_files import config_hash
from tspmz.control import Phase
from tspmz.errors import RunError
from tspmz.process import enter_child
from tspmz.replay.files import FileSystem
from tspmz.replay.loading import adopt_segments
from tspmz.replay.manifest import Manifest
from tspmz.replay.segments import SegmentWriter
from tspmz.rundir import REPLAY
from tspmz.types import Group

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
_RETRY_SECONDS = 5.0


class Recorder:
    """Pending groups of each actor, and the rule when they are sealed.

    Args:
        config: the run's settings.
        channels: what the processes share.
        directory: the replay folder.
        run_id: the run's identity.
        next_group_ids: by actor, the first group not yet sealed, where it is not that of `channels.first_group_ids`.
        manifest: of the folder.
        files: the file operations.
    """

    def __init__(
        self,
        config: Config,
        channels: Channels,
        directory: Path,
        run_id: str,
        next_group_ids: dict[int, int],
        manifest: Manifest,
        files: FileSystem | None = None,
    ) -> None:
        self._config = config
        self._ring = channels.ring
        self._row = channels.stats.row("recorder")
        self._manifest = manifest
        self._segment_groups = config.replay.segment_groups
        self._segment_seconds = config.replay.segment_seconds
        self._keep_groups = config.replay.keep_groups or 2 * config.replay.capacity_groups
        self._writer = SegmentWriter(
            directory,
            run_id=run_id,
            config_hash=config_hash(config),
            num_cities=config.problem.num_cities,
            group_size=config.selfplay.group_size,
            policy_target=config.replay.policy_target,
            files=files,
        )
        actors = range(config.selfplay.num_actors)
        first = (*channels.first_group_ids, *([0] * len(actors)))
        self._next = {actor: max(next_group_ids.get(actor, 0), first[actor]) for actor in actors}
        self._last_sealed = {actor: next_group_ids.get(actor, 0) - 1 for actor in actors}
        self._pending: dict[int, list[Group]] = {actor: [] for actor in actors}
        self._since = dict.fromkeys(actors, time.monotonic())
        self._not_before = 0.0
        # a disk that refuses costs at most so much memory; what does not fit stays in the ring until it is overwritten
        self._most_pending = max(2 * self._segment_groups, self._ring.slots_per_actor)

    def collect(self) -> None:
        """Copy the groups written since the last call out of the ring."""
        for actor, pending in self._pending.items():
            if len(pending) >= self._most_pending:
                continue
            written = self._ring.written(actor)
            oldest = max(self._next[actor], written - self._ring.slots_per_actor)
            lost = oldest - self._next[actor]
            for group_id in range(oldest, written):
                group = self._ring.read(self._ring.slot_of(actor, group_id), group_id)
                self._next[actor] = group_id + 1
                if group is None:
                    lost += 1
                    continue
                if not pending:
                    self._since[actor] = time.monotonic()
                pending.append(group)
            if lost:
                self._row.add("groups_lost", lost)
                _LOG.warning(
                    "recorder: %d groups of actor %d were overwritten before they could be sealed", lost, actor
                )

    def seal_due(self) -> None:
        """Seal the actors whose pending groups are many or old enough."""
        now = time.monotonic()
        if now < self._not_before:
            return
        for actor, pending in self._pending.items():
            old = now - self._since[actor] >= self._segment_seconds
            if pending and (old or len(pending) >= self._segment_groups):
                self._seal(actor)

    def seal_all(self) -> bool:
        """Seal everything that was played; False where the disk refused."""
        while True:
            self.collect()
            sealed = [self._seal(actor) for actor in self._pending]
            if not all(sealed):
                return False
            if all(self._ring.written(actor) == self._next[actor] for actor in self._pending):
                return True

    def _seal(self, actor: int) -> bool:
        """Seal one actor's pending groups; they stay pending where the disk refuses."""
        pending = self._pending[actor]
        while pending:
            groups = pending[: _contiguous(pending)]  # what follows a gap goes into a segment of its own
            try:
                info = self._writer.seal(groups, self._last_sealed[actor])
                self._manifest.add(info)
            except OSError as error:
                self._row.add("failures", 1)
                self._not_before = time.monotonic() + _RETRY_SECONDS
                _LOG.warning("recorder: %s; %d groups wait, next try in %.0f s", error, len(pending), _RETRY_SECONDS)
                return False
            del pending[: len(groups)]
            self._last_sealed[actor] = info.last_group_id
            self._row.add("groups_sealed", len(groups))
            self._row.add("segments", 1)
            self._row.add("bytes", info.size)
            self._row.beat()
        self._prune()
        return True

    def _prune(self) -> None:
        """Remove old segments, but of each actor none that a resume would put back into its share of the window."""
        try:
            self._manifest.prune(self._keep_groups, oldest_in_window(self._config, self._last_sealed))
        except OSError as error:
            _LOG.warning("recorder: old segments stay for now: %s", error)

    def run(self, channels: Channels) -> None:
        """Collect and seal until the run is over, then seal what is left.

        Raises:
            RunError: the disk refused what was left.
        """
        while channels.control.phase < Phase.FINISH:
            self._row.beat()
            with self._row.timed("busy_seconds"):
                self.collect()
                self.seal_due()
            time.sleep(_POLL_SECONDS)  # nobody waits for the recorder: it looks five times a second
        self.finish()

    def finish(self) -> None:
        """Seal what is left.

        Raises:
            RunError: the disk refused.
        """
        if not self.seal_all():
            left = sum(len(groups) for groups in self._pending.values())
            raise RunError(f"{left} groups could not be sealed at the end of the run: the disk refused")


def _contiguous(groups: list[Group]) -> int:
    """Length of the gap-free run at the start of `groups`."""
    first = groups[0].group_id
    return next((i for i, group in enumerate(groups) if group.group_id != first + i), len(groups))


def open_manifest(config: Config, directory: Path, run_id: str, files: FileSystem | None = None) -> Manifest:
    """The manifest of a replay folder, new or not, with what an earlier recorder had no time to list.

    Raises:
        OSError: the disk refused.
    """
    try:
        manifest = Manifest.load(directory, files)
    except FileNotFoundError:
        manifest = Manifest(directory, run_id, files=files)
    for line in adopt_segments(manifest, config_hash(config), stored_fields(config), files):
        _LOG.warning("recorder: %s", line)
    return manifest


def recorder_main(config: Config, channels: Channels, run_dir: Path, run_id: str, parent_pid: int) -> None:
    """Main function of the recorder process; it goes on behind the last sealed segment."""
    enter_child(run_dir, "recorder", parent_pid, orderly=True)
    channels.stats.row("recorder").beat()
    _LOG.info("recorder starts (pid %d)", os.getpid())
    manifest = open_manifest(config, run_dir / REPLAY, run_id)
    try:
        Recorder(config, channels, run_dir / REPLAY, run_id, manifest.next_group_ids(), manifest).run(channels)
    except RunError as error:
        raise SystemExit(str(error)) from None  # the parent shows what its children print last
