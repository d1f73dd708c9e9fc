"""Kill campaign: real runs, SIGKILL and SIGSTOP at random moments to every process, and what is left afterwards.

    python -m benchmarks.faults --kills 200

Tiny runs with two actors. Every process is hit in turn, in a shuffled order that the seed decides, after a random
pause; sometimes before the run has recovered from the last blow. After the end of the parent or the learner the run is
resumed. Checked all the time, by other code than the run's own (`audit.py`): nothing sealed is lost, no torn group is
drawn, no torn weights are taken over, nobody outlives the parent, the run works again. Exit code 1 where a promise is
broken; the files are then kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil

from benchmarks import audit
from benchmarks.faults_report import Report, print_report
from benchmarks.live_run import LiveRun, Progress, end_in_order_at_sigterm, is_gone, wait_for
from benchmarks.sealed import SealedOracle, overwritten

_KILL, _STOP = signal.SIGKILL, signal.SIGSTOP
_FIRST = [("actor", _KILL), ("learner", _KILL), ("recorder", _KILL), ("evaluator", _KILL), ("parent", _KILL)]
_THEN = [
    ("actor", _KILL), ("actor", _KILL), ("actor", _STOP), ("learner", _KILL), ("learner", _STOP),
    ("recorder", _KILL), ("recorder", _STOP), ("evaluator", _STOP), ("parent", _KILL), ("parent", _STOP),
    ("everybody", _STOP),
]  # fmt: skip
_ACTORS = 2
_HASTE = 0.25  # share of blows that do not wait for the recovery from the one before
_LONGEST_PAUSE = 2.0
_START_SECONDS = 1200.0
_RECOVERY_SECONDS = 300.0
_ORPHAN_SECONDS = 5.0
_END_SECONDS = 120.0

SETTINGS: dict[str, Any] = {
    "problem.num_cities": 6,
    "network.embedding_dim": 16,
    "network.num_layers": 1,
    "network.num_heads": 2,
    "network.feedforward_dim": 16,
    "network.support_size": 8,
    "search.num_simulations": 2,
    "search.max_considered_actions": 2,
    "selfplay.num_actors": _ACTORS,
    "selfplay.groups_in_parallel": 4,
    "selfplay.group_size": 4,
    "replay.capacity_groups": 64,
    "replay.min_groups": 16,
    "replay.error_buffer_groups": 16,
    "replay.segment_groups": 64,
    "replay.segment_seconds": 0.5,
    "learner.batch_groups": 4,
    "learner.checkpoint_seconds": 0.5,
    "evaluation.interval_seconds": 1.0,
    "evaluation.num_instances": 8,
    "evaluation.num_pictures": 0,
    "run.log_seconds": 1.0,
    "run.max_restarts": 1000,
    "run.restart_window_seconds": 1.0,  # a blow soon after another is no crash loop here
}


class Campaign:
    """Blows to one run after another.

    Args:
        folder: for the runs.
        seed: of victims, moments and runs.
        heartbeat_seconds: of the runs.
        report: what is found goes there.
    """

    def __init__(self, folder: Path, seed: int, heartbeat_seconds: float, report: Report) -> None:
        self._folder = folder
        self._rng = np.random.default_rng(seed)
        self._heartbeat = heartbeat_seconds
        self._report = report
        self._plan: list[tuple[str, signal.Signals]] = []
        self._wanted = {"parent", "learner", "recorder", "evaluator", *(f"actor {i}" for i in range(_ACTORS))}

    def attack(self, blows: int) -> None:
        """One run, from its start over so many blows to an orderly end."""
        number = self._report.runs
        self._report.runs += 1
        keep_groups = 600 if number % 2 else 10**9  # every other run removes old segments meanwhile
        settings = SETTINGS | {
            "run.seed": number, "run.heartbeat_seconds": self._heartbeat, "replay.keep_groups": keep_groups
        }  # fmt: skip
        self._run = LiveRun(self._folder / f"run-{number}", settings, self._folder / f"audit-{number}")
        self._oracle = SealedOracle(self._run, _ACTORS, keep_groups, self._report)
        try:
            self._run.start()
            self._descriptors = -1
            # nobody is hit before: a run without a checkpoint cannot be resumed, and a first start may compile a while
            nothing = Progress({}, -1)
            wait_for(lambda: self._run.ended or self._run.works_since(nothing, self._wanted), _START_SECONDS)
            if not self._run.works_since(nothing, self._wanted):
                self._report.problems.append(f"{self._run.directory} did not begin to work in {_START_SECONDS:g} s")
                return
            self._recover(nothing, "", time.monotonic())
            for _ in range(blows):
                self._blow()
            self._finish()
        finally:
            self._run.destroy()
            self._sum_up()

    def _next(self) -> tuple[str, signal.Signals]:
        if not self._plan:
            parts = [list(_FIRST), list(_THEN)]
            for part in parts:
                self._rng.shuffle(part)
            self._plan = parts[0] + parts[1]
        role, number = self._plan.pop(0)
        return (f"actor {self._rng.integers(_ACTORS)}" if role == "actor" else str(role)), signal.Signals(number)

    def _blow(self) -> None:
        """Hit one process, bring the run back where it cannot do so itself, and mostly wait until it works again."""
        name, number = self._next()
        time.sleep(self._rng.uniform(0.0, _LONGEST_PAUSE))
        if name == "everybody":
            self._suspend()
            return
        if not wait_for(lambda: name in self._run.roles() or self._run.ended, _RECOVERY_SECONDS) or self._run.ended:
            why = "ended by itself" if self._run.ended else f"did not start its {name} within {_RECOVERY_SECONDS:g} s"
            self._report.problems.append(f"part {self._run.parts} of {self._run.directory} {why}")
            if self._run.ended:
                self._resume()
            return
        self._oracle.note()
        mark, struck = self._run.progress(), time.monotonic()
        counts = self._report.kills if number == _KILL else self._report.stops
        role = name.partition(" ")[0]
        counts[role] = counts.get(role, 0) + 1
        pid = self._run.roles()[name]
        with contextlib.suppress(ProcessLookupError):  # just restarted
            os.kill(pid, number)
        if name == "parent" and number == _STOP:
            time.sleep(self._rng.uniform(0.5, 1.5 * self._heartbeat))
            os.kill(pid, signal.SIGCONT)
        elif name in ("parent", "learner"):
            self._expect_end(name, number)
            self._resume()
        hasty = self._rng.random() < _HASTE
        if not hasty:
            suspended = name == "parent" and number == _STOP
            self._recover(mark, f"{role} {number.name}", struck, 0 if suspended else pid)

    def _suspend(self) -> None:
        """As Ctrl-Z and fg do, for longer than the limit of silence: nobody may be taken for hung."""
        self._report.stops["everybody"] = self._report.stops.get("everybody", 0) + 1
        family, part = self._run.processes(), self._run.parts
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.suspend()
        time.sleep(self._heartbeat * self._rng.uniform(1.1, 1.5))
        mark, woken = self._run.progress(), time.monotonic()
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.resume()
        self._recover(mark, "everybody SIGSTOP and SIGCONT", woken)
        if self._run.parts != part:
            self._report.problems.append("the run ended because all of it was suspended")

    def _expect_end(self, name: str, number: signal.Signals) -> None:
        """The command must end, and nobody may outlive it; what is sealed must be there."""
        run = self._run
        if not wait_for(lambda: run.ended, _END_SECONDS + self._heartbeat):
            self._report.problems.append(f"no end after {number.name} to the {name}")
            run.process.kill()
            run.process.wait()
        expected = -signal.SIGKILL if name == "parent" else 1
        if run.process.returncode != expected:
            self._report.problems.append(
                f"exit code {run.process.returncode} after {number.name} to the {name}, not {expected}"
            )
        wait_for(lambda: not run.processes(), _ORPHAN_SECONDS)
        for orphan in run.processes():
            self._report.orphans += 1
            self._report.problems.append(f"orphan: {orphan.pid} {' '.join(orphan.cmdline())[:100]}")
            orphan.kill()
        self._count_unsealed(run.process.pid)
        self._oracle.check()

    def _count_unsealed(self, part: int) -> bool:
        """Add up what was played in a part and is not sealed; whether anything was noted as played."""
        sealed = self._run.progress().sealed
        played = audit.read(self._folder / f"audit-{self._report.runs - 1}").played
        own = {actor: groups for (pid, actor), groups in played.items() if pid == part}
        self._report.unsealed_lost += sum(max(0, groups - sealed.get(actor, 0)) for actor, groups in own.items())
        return bool(own)

    def _resume(self) -> None:
        before = self._run.progress()
        self._run.start()
        self._report.resumes += 1
        if not wait_for(lambda: "resume: step " in self._run.part_log or self._run.ended, _RECOVERY_SECONDS):
            self._report.problems.append(f"no resume within {_RECOVERY_SECONDS:g} s")
            return
        line = next((line for line in self._run.part_log.splitlines() if "resume: step " in line), "resume: step -1,")
        step = int(line.partition("resume: step ")[2].split(",")[0])
        if step < before.train_steps:
            self._report.problems.append(f"resumed at step {step}, with a checkpoint of step {before.train_steps}")
        self._oracle.note()
        self._descriptors = -1

    def _recover(self, mark: Progress, what: str, struck: float, pid: int = 0) -> None:
        """Wait until all of the run works again, in place of process `pid` another one."""
        run = self._run
        if not wait_for(lambda: run.ended or run.works_since(mark, self._wanted, pid), _RECOVERY_SECONDS) or run.ended:
            self._report.problems.append(
                f"after {what or 'the start'}, part {run.parts} of {run.directory} did not work again"
                + (f": it ended with exit code {run.process.returncode}" if run.ended else "")
            )
            if run.ended:
                self._resume()
            return
        if what:
            self._report.recoveries.setdefault(what, []).append(time.monotonic() - struck)
            click.echo(f"{time.monotonic() - struck:6.1f} s to recover from {what}", err=True)
        count = self._count_descriptors()
        if self._descriptors < 0:
            self._descriptors = count
        self._report.fd_leftovers = max(self._report.fd_leftovers, count - self._descriptors)

    def _count_descriptors(self) -> int:
        """Open files of the parent; the least of some looks, since it opens files for a moment now and then."""
        counts = []
        for _ in range(10):
            try:
                counts.append(psutil.Process(self._run.process.pid).num_fds())
            except psutil.Error:
                return 0
            time.sleep(0.01)
        return min(counts)

    def _finish(self) -> None:
        """Once it works, an orderly stop seals all that was played."""
        self._recover(self._run.progress(), "", time.monotonic())
        part = self._run.process.pid
        family = self._run.processes()
        code = self._run.end(signal.SIGINT, _END_SECONDS)
        if code != 130:
            self._report.problems.append(f"exit code {code} after SIGINT, not 130")
        if not wait_for(lambda: all(is_gone(process.pid) for process in family), _ORPHAN_SECONDS):
            self._report.orphans += 1
        lost = self._report.unsealed_lost
        if not self._count_unsealed(part):
            self._report.problems.append("nobody noted what was played in the last part")
        if self._report.unsealed_lost > lost:
            self._report.problems.append(f"{self._report.unsealed_lost - lost} groups not sealed after an orderly stop")
        self._oracle.check()

    def _sum_up(self) -> None:
        stored = sum(self._run.progress().sealed.values())
        self._report.groups_sealed += stored
        self._report.episodes_sealed += stored * SETTINGS["selfplay.group_size"]
        self._report.overwritten += overwritten(self._run.directory)
        found = audit.read(self._folder / f"audit-{self._report.runs - 1}")
        self._report.groups_drawn += found.groups_drawn
        self._report.torn_groups_accepted += found.groups_bad
        self._report.weights_pulled += found.pulls
        self._report.torn_weights_accepted += found.pulls_bad
        self._report.problems += found.faults


@click.command()
@click.option("--kills", default=200, show_default=True, help="Blows in all, SIGKILL and SIGSTOP.")
@click.option("--kills-per-run", default=40, show_default=True, help="Blows before the next run begins.")
@click.option("--seed", default=0, show_default=True)
@click.option("--heartbeat", default=8.0, show_default=True, help="Seconds of silence before a process is killed.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the runs here [default: a temporary folder].")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the report.")
def main(
    kills: int, kills_per_run: int, seed: int, heartbeat: float, folder: Path | None, json_path: Path | None
) -> None:
    """Kill processes of real runs, and check what is left."""
    end_in_order_at_sigterm()
    report = Report()
    shared_before = set(os.listdir("/dev/shm"))
    started = time.monotonic()
    place = folder or Path(tempfile.mkdtemp(prefix="tspmz-faults-"))
    place.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(place, seed, heartbeat, report)
    left = kills
    try:
        while left > 0:
            campaign.attack(min(left, kills_per_run))
            left -= kills_per_run
    except KeyboardInterrupt:
        report.problems.append("interrupted: what follows is the part that was done")
    report.shm_leftovers = len(set(os.listdir("/dev/shm")) - shared_before)
    report.seconds = time.monotonic() - started
    print_report(report)
    if json_path is not None:
        json_path.write_text(json.dumps(asdict(report) | {"broken": report.broken}, indent=1) + "\n", encoding="utf-8")
    if report.broken:
        click.echo(f"the runs are kept in {place}", err=True)
        raise SystemExit(1)
    if folder is None:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
