"""What a kill campaign (`faults.py`) found, and which promises that breaks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Report:
    """What a campaign found; see `broken` for what it means.

    Attributes:
        kills, stops: by role.
        resumes: parts that went on from files.
        runs: runs begun anew.
        groups_sealed: over all runs, those that were removed as old included.
        episodes_sealed: the same in episodes.
        sealed_lost: groups that a manifest listed before a blow, and that were gone, changed or refused afterwards.
        unsealed_lost: groups played and not yet sealed when the parent or the learner ended (these may be lost).
        overwritten: groups overwritten in the ring before the recorder took them.
        quarantined: files that a resume set aside.
        groups_checked: of the sealed, by the slow oracle (those still stored after a part has ended).
        sealed_bad: of these, with a fault.
        groups_drawn, torn_groups_accepted, weights_pulled, torn_weights_accepted: see `audit.Audit`.
        orphans: processes alive 5 s after the end of their parent.
        fd_leftovers: descriptors that the parent had more than at the start of its part, after a recovery; the most.
        shm_leftovers: new names in /dev/shm at the end.
        recoveries: by what was hit, seconds until every process ran and every actor and the learner had stored new
            work; SIGSTOP includes the time until the hang was noticed.
        seconds: duration.
        problems: other promises that were broken, for people.
    """

    kills: dict[str, int] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)
    resumes: int = 0
    runs: int = 0
    groups_sealed: int = 0
    episodes_sealed: int = 0
    sealed_lost: int = 0
    unsealed_lost: int = 0
    overwritten: int = 0
    quarantined: int = 0
    groups_checked: int = 0
    sealed_bad: int = 0
    groups_drawn: int = 0
    torn_groups_accepted: int = 0
    weights_pulled: int = 0
    torn_weights_accepted: int = 0
    orphans: int = 0
    fd_leftovers: int = 0
    shm_leftovers: int = 0
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Promises that were broken, for people."""
        counted = {
            "sealed groups lost": self.sealed_lost,
            "sealed groups with a fault": self.sealed_bad,
            "files set aside at a resume": self.quarantined,
            "torn groups drawn": self.torn_groups_accepted,
            "torn weights taken over": self.torn_weights_accepted,
            "orphans": self.orphans,
            "descriptors left over": self.fd_leftovers,
            "names left in /dev/shm": self.shm_leftovers,
        }
        lines = [f"{count} {name}" for name, count in counted.items() if count]
        if not self.groups_drawn or not self.weights_pulled or not self.groups_checked:
            lines.append("nothing was checked: no groups drawn, or no weights pulled, or nothing sealed")
        return lines + self.problems

    @property
    def worst_recovery(self) -> float:
        """Seconds."""
        return max((seconds for values in self.recoveries.values() for seconds in values), default=0.0)


def print_report(report: Report) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value")
    for name in ("kills", "stops"):
        counts = getattr(report, name)
        by_role = ", ".join(f"{role} {count}" for role, count in sorted(counts.items()))
        table.add_row(name, f"{sum(counts.values())} ({by_role})")
    for name in (
        "resumes", "runs", "groups_sealed", "episodes_sealed", "sealed_lost", "unsealed_lost", "overwritten",
        "quarantined", "groups_checked", "sealed_bad", "groups_drawn", "torn_groups_accepted", "weights_pulled",
        "torn_weights_accepted", "orphans", "fd_leftovers", "shm_leftovers",
    ):  # fmt: skip
        table.add_row(name.replace("_", " "), f"{getattr(report, name):,}")
    for what, seconds in sorted(report.recoveries.items()):
        text = f"median {np.median(seconds):.1f}, worst {max(seconds):.1f} ({len(seconds)} times)"
        table.add_row(f"recovery from {what} (s)", text)
    table.add_row("worst recovery (s)", f"{report.worst_recovery:.1f}")
    table.add_row("minutes", f"{report.seconds / 60:.1f}")
    console = Console(width=max(100, Console().width))
    console.print(table)
    for line in report.broken:
        console.print(f"broken: {line}", markup=False)
    console.print("a promise is broken" if report.broken else "all promises held")
