"""What a person sees of a running training: a calm live table, or one plain line now and then."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from rich.columns import Columns
from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_LOG = logging.getLogger(__name__)
_REFRESH_SECONDS = 0.5
_LABEL_WIDTH = 15
_VALUE_WIDTH = 9
_MANY_PROCESSES = 4
_UNKNOWN = "-"
_NAN = float("nan")


class ProcessView(NamedTuple):
    """One process as it is shown.

    Attributes:
        name: such as "actor 0".
        state: one word, such as "running".
        rss_bytes: resident memory.
        silence_seconds: since its last sign of life; NaN before the first.
        restarts: times it was started again.
    """

    name: str
    state: str = "running"
    rss_bytes: float = 0.0
    silence_seconds: float = _NAN
    restarts: int = 0


class RunView(NamedTuple):
    """The numbers shown. NaN is shown as a dash (not known yet); a bound of 0 means no bound.

    Attributes:
        title: what is trained, one line.
        elapsed_seconds: training time, earlier parts of a resumed run included.
        seconds_bound: training time at which the run stops.
        train_steps: updates so far, earlier parts of a resumed run included.
        train_steps_bound: updates at which the run stops.
        games_per_second: episodes finished per second, all actors.
        simulations_per_second: search simulations per second, all actors.
        actor_wait_share: share of the actors' time spent waiting, fraction.
        ring_groups: groups in the replay window.
        ring_capacity: groups it can hold.
        train_steps_per_second: updates per second.
        learner_wait_share: share of the learner's time spent waiting, fraction.
        samples_per_insert: episodes sampled per episode played, so far.
        weights_version: version last published.
        weights_lag: versions between publishing and playing, mean over the sampled groups.
        total_loss: weighted sum of the losses below.
        policy_loss: nats.
        value_loss: nats.
        reward_loss: nats.
        policy_entropy: nats.
        learning_rate: of the last update.
        mean_tour_length: of the sampled episodes.
        gap_greedy: of the last evaluation, fraction.
        gap_multi: of the last evaluation, fraction.
        best_gap_greedy: lowest so far, fraction.
        best_gap_multi: lowest so far, fraction.
        processes: all processes of the run.
        notes: the latest warnings, oldest first.
    """

    title: str
    elapsed_seconds: float = 0.0
    seconds_bound: float = 0.0
    train_steps: int = 0
    train_steps_bound: int = 0
    games_per_second: float = 0.0
    simulations_per_second: float = 0.0
    actor_wait_share: float = _NAN
    ring_groups: int = 0
    ring_capacity: int = 0
    train_steps_per_second: float = 0.0
    learner_wait_share: float = _NAN
    samples_per_insert: float = _NAN
    weights_version: int = 0
    weights_lag: float = _NAN
    total_loss: float = _NAN
    policy_loss: float = _NAN
    value_loss: float = _NAN
    reward_loss: float = _NAN
    policy_entropy: float = _NAN
    learning_rate: float = _NAN
    mean_tour_length: float = _NAN
    gap_greedy: float = _NAN
    gap_multi: float = _NAN
    best_gap_greedy: float = _NAN
    best_gap_multi: float = _NAN
    processes: tuple[ProcessView, ...] = ()
    notes: tuple[str, ...] = ()


class Display:
    """Shows a run: live where `console` is a terminal, else one log line every `line_seconds`.

    Use as a context manager; `update` may be called as often as wanted.

    Args:
        console: where to; the standard output by default.
        line_seconds: (s) between two plain lines.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        console: Console | None = None,
        line_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console()
        self._clock = clock
        self._live: Live | None = None
        self._every = _REFRESH_SECONDS if self._console.is_terminal else line_seconds
        self._next = -math.inf

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, view: RunView, force: bool = False) -> None:
        """Show `view`, unless the last one was shown too short a time ago and `force` is False."""
        now = self._clock()
        if now < self._next and not force:
            return
        self._next = now + self._every
        if self._live is not None:
            self._live.update(render(view), refresh=True)
        else:
            _LOG.info("%s", plain_line(view))


def seconds_left(view: RunView) -> float:
    """Seconds to the nearest bound at the present pace; NaN where there is no bound or no pace."""
    left = []
    if view.seconds_bound > 0:
        left.append(view.seconds_bound - view.elapsed_seconds)
    if view.train_steps_bound > 0 and view.train_steps_per_second > 0:
        left.append((view.train_steps_bound - view.train_steps) / view.train_steps_per_second)
    return max(0.0, min(left)) if left else _NAN


def progress(view: RunView) -> float:
    """Share of the run that is done, by the bound that is nearest to its end; NaN without a bound."""
    shares = []
    if view.seconds_bound > 0:
        shares.append(view.elapsed_seconds / view.seconds_bound)
    if view.train_steps_bound > 0:
        shares.append(view.train_steps / view.train_steps_bound)
    return min(1.0, max(shares)) if shares else _NAN


def plain_line(view: RunView) -> str:
    """The run in one line, for logs."""
    return (
        f"{clock_text(view.elapsed_seconds)} | step {view.train_steps:,} ({number(view.train_steps_per_second)}/s) | "
        f"games {number(view.games_per_second)}/s | simulations {number(view.simulations_per_second)}/s | "
        f"loss {number(view.total_loss)} | tour {number(view.mean_tour_length)} | "
        f"gap {percent(view.gap_greedy)} greedy, {percent(view.gap_multi)} multi | "
        f"ring {view.ring_groups:,}/{view.ring_capacity:,} | lag {number(view.weights_lag)} | "
        f"learner waits {percent(view.learner_wait_share)} | left {clock_text(seconds_left(view))}"
    )


def render(view: RunView) -> ConsoleRenderable:
    """The run as a panel."""
    parts: list[ConsoleRenderable] = [_progress_row(view), Text(), _columns(view)]
    if view.processes:
        parts += [Text(), _process_table(view.processes)]
    if view.notes:
        notes = [Text(f"! {note}", style="yellow", overflow="ellipsis", no_wrap=True) for note in view.notes]
        parts += [Text(), *notes]
    return Panel(Group(*parts), title=Text(view.title, style="bold"), title_align="left", border_style="dim")


def number(value: float) -> str:
    """Three significant digits with thousands as k, M, G; a dash for NaN."""
    if not math.isfinite(value):
        return _UNKNOWN
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            scaled = value / factor
            return f"{scaled:.{2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0}f}{letter}"
    if value == 0 or 1 <= abs(value) < 1e3:
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.1e}"


def percent(fraction: float) -> str:
    """Percent with a sensible number of digits; a dash for NaN."""
    if not math.isfinite(fraction):
        return _UNKNOWN
    value = 100 * fraction
    return f"{value:.{3 if abs(value) < 1 else 2 if abs(value) < 10 else 1}f} %"


def clock_text(seconds: float) -> str:
    """Hours, minutes and seconds; a dash for NaN."""
    if not math.isfinite(seconds):
        return _UNKNOWN
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _progress_row(view: RunView) -> Table:
    done = progress(view)
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(no_wrap=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True)
    bar: ConsoleRenderable = Text("no bound: stop with Ctrl-C", style="dim")
    if math.isfinite(done):
        bar = ProgressBar(total=1.0, completed=done, complete_style="cyan", finished_style="green")
    left = f"left {clock_text(seconds_left(view))}" if math.isfinite(done) else ""
    row.add_row(Text(f"{clock_text(view.elapsed_seconds)}  step {view.train_steps:,}"), bar, Text(left))
    return row


def _columns(view: RunView) -> Columns:
    play = [
        ("games/s", number(view.games_per_second)),
        ("simulations/s", number(view.simulations_per_second)),
        ("actors wait", percent(view.actor_wait_share)),
        ("ring groups", number(view.ring_groups)),
        ("ring filled", percent(view.ring_groups / view.ring_capacity if view.ring_capacity else _NAN)),
        ("tour length", number(view.mean_tour_length)),
    ]
    learn = [
        ("train steps/s", number(view.train_steps_per_second)),
        ("learner waits", percent(view.learner_wait_share)),
        ("samples/insert", number(view.samples_per_insert)),
        ("weights version", f"{view.weights_version}"),
        ("weights lag", number(view.weights_lag)),
    ]
    losses = [
        ("loss", number(view.total_loss)),
        ("policy", number(view.policy_loss)),
        ("policy entropy", number(view.policy_entropy)),
        ("value", number(view.value_loss)),
        ("reward", number(view.reward_loss)),
        ("learning rate", number(view.learning_rate)),
    ]
    gaps = [
        ("greedy", percent(view.gap_greedy)),
        ("  best", percent(view.best_gap_greedy)),
        ("multi-start", percent(view.gap_multi)),
        ("  best", percent(view.best_gap_multi)),
    ]
    blocks = [_block("Play", play), _block("Learn", learn), _block("Losses", losses), _block("Gap", gaps)]
    return Columns(blocks, padding=(0, 4))


def _block(title: str, rows: list[tuple[str, str]]) -> Table:
    block = Table.grid(padding=(0, 1))
    block.add_column(style="dim", width=_LABEL_WIDTH, no_wrap=True)
    block.add_column(justify="right", width=_VALUE_WIDTH, no_wrap=True)
    block.add_row(Text(title, style="bold cyan"), "")
    for label, value in rows:
        block.add_row(label, value)
    return block


def _process_table(processes: tuple[ProcessView, ...]) -> Table:
    table = Table.grid(padding=(0, 3))
    for justify in ("left", "left", "right", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_row(*(Text(title, style="dim") for title in ("process", "state", "memory", "last sign", "restarts")))
    for process in _summary(processes):
        calm = process.state == "running"
        silence = process.silence_seconds
        table.add_row(
            process.name,
            Text(process.state, style="green" if calm else "yellow"),
            f"{process.rss_bytes / 2**20:,.0f} MiB",
            f"{silence:.0f} s" if math.isfinite(silence) else _UNKNOWN,
            Text(str(process.restarts), style="yellow" if process.restarts else ""),
        )
    return table


def _summary(processes: tuple[ProcessView, ...]) -> list[ProcessView]:
    """One line a process; the calm ones of a large role share a line."""
    roles: dict[str, list[ProcessView]] = {}
    for process in processes:
        roles.setdefault(process.name.split()[0], []).append(process)
    lines = []
    for role, members in roles.items():
        calm = [process for process in members if process.state == "running"]
        if len(members) <= _MANY_PROCESSES or not calm:
            lines += members
            continue
        silences = [process.silence_seconds for process in calm if math.isfinite(process.silence_seconds)]
        lines.append(
            ProcessView(
                f"{len(calm)} {role}s",
                rss_bytes=sum(process.rss_bytes for process in calm),
                silence_seconds=max(silences, default=_NAN),
                restarts=sum(process.restarts for process in calm),
            )
        )
        lines += [process for process in members if process.state != "running"]
    return lines
