"""The recorder: takes every group out of the ring and seals it into segments on disk."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from tspmz.channels import Channels
from tspmz.config import Config, config_hash
from tspmz.control import Phase
from tspmz.process import enter_child
from tspmz.replay.files import FileSystem
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
        next_group_ids: by actor, the first group not yet sealed.
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
        self._next = {actor: next_group_ids.get(actor, 0) for actor in actors}
        self._pending: dict[int, list[Group]] = {actor: [] for actor in actors}
        self._since = dict.fromkeys(actors, time.monotonic())
        self._not_before = 0.0

    def collect(self) -> None:
        """Copy the groups written since the last call out of the ring."""
        for actor, pending in self._pending.items():
            written = self._ring.written(actor)
            oldest = max(self._next[actor], written - self._ring.slots_per_actor)
            if oldest > self._next[actor]:
                self._lost(actor, oldest - self._next[actor])
            for group_id in range(oldest, written):
                group = self._ring.read(self._ring.slot_of(actor, group_id), group_id)
                if group is None:
                    self._lost(actor, 1)
                    self._seal(actor)  # what follows a gap goes into a segment of its own
                    self._next[actor] = group_id + 1
                    continue
                if not pending:
                    self._since[actor] = time.monotonic()
                pending.append(group)
                self._next[actor] = group_id + 1

    def _lost(self, actor: int, groups: int) -> None:
        self._row.add("groups_lost", groups)
        _LOG.warning("recorder: %d groups of actor %d were overwritten before they could be sealed", groups, actor)

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
        """Seal everything that is pending; False where the disk refused."""
        self.collect()
        return all([self._seal(actor) for actor in self._pending])

    def _seal(self, actor: int) -> bool:
        """Seal one actor's pending groups; they stay pending where the disk refuses."""
        groups = self._pending[actor]
        if not groups:
            return True
        try:
            info = self._writer.seal(groups)
            self._manifest.add(info)
            self._manifest.prune(self._keep_groups)
        except OSError as error:
            self._row.add("failures", 1)
            self._not_before = time.monotonic() + _RETRY_SECONDS
            _LOG.warning(
                "recorder: %s: %s; %d groups wait, next try in %.0f s",
                error.filename or "segment", error.strerror or error, len(groups), _RETRY_SECONDS,
            )
            return False
        self._pending[actor] = []
        self._row.add("groups_sealed", len(groups))
        self._row.add("segments", 1)
        self._row.add("bytes", info.size)
        return True

    def run(self, channels: Channels) -> None:
        """Collect and seal until the run is over, then seal what is left."""
        while channels.control.phase < Phase.FINISH:
            self._row.beat()
            with self._row.timed("busy_seconds"):
                self.collect()
                self.seal_due()
            time.sleep(_POLL_SECONDS)  # nobody waits for the recorder: it looks five times a second
        if not self.seal_all():
            left = sum(len(groups) for groups in self._pending.values())
            raise OSError(f"{left} groups could not be sealed at the end of the run")


def recorder_main(config: Config, channels: Channels, run_dir: Path, run_id: str, parent_pid: int) -> None:
    """Main function of the recorder process; it goes on behind the last sealed segment."""
    enter_child(run_dir, "recorder", parent_pid)
    _LOG.info("recorder starts (pid %d)", os.getpid())
    directory = run_dir / REPLAY
    try:
        manifest = Manifest.load(directory)
    except FileNotFoundError:
        manifest = Manifest(directory, run_id)
    sealed: dict[int, int] = {}
    for entry in manifest.entries:
        sealed[entry.actor] = max(sealed.get(entry.actor, 0), entry.last_group_id + 1)
    Recorder(config, channels, directory, run_id, sealed, manifest).run(channels)
