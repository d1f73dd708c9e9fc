"""tspmz-replay: what is in a replay folder, whether it is whole, its groups for other programs, and less of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tspmz.cli.command import CONTEXT_SETTINGS, run_command, version_option
from tspmz.errors import RunError, TspmzError, UsageError

if TYPE_CHECKING:
    from tspmz.replay.manifest import Manifest
    from tspmz.replay.summary import Summary
    from tspmz.replay.verify import Origin

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
_DIRECTORY = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


class Folder(NamedTuple):
    """What a DIR on the command line means.

    Attributes:
        replay: the folder with the segments.
        run: the run directory that it belongs to; None for a folder that was copied out of its run.
    """

    replay: Path
    run: Path | None


@click.group(name="tspmz-replay", context_settings=CONTEXT_SETTINGS)
@version_option
def replay() -> None:
    """Look into the stored episodes of a run. DIR is a run folder, or the replay folder in it or copied out of it."""


@replay.command(context_settings=CONTEXT_SETTINGS)
@_DIRECTORY
@_AS_JSON
def info(directory: Path, as_json: bool) -> int:
    """Count segments, groups and bytes; lengths of the tours, versions of the weights, ranges by actor."""
    from tspmz.replay.summary import summarize
    from tspmz.replay.verify import scan_folder

    folder = resolve(directory)
    summary = summarize(folder.replay, scan_folder(folder.replay, _origin(folder, instances=False)))
    if as_json:
        _print_json({"directory": str(folder.replay), **summary.tree()})
    else:
        _print_summary(folder.replay, summary)
    return 0


@replay.command(context_settings=CONTEXT_SETTINGS)
@_DIRECTORY
@_AS_JSON
def verify(directory: Path, as_json: bool) -> int:
    """Check every byte of every segment, and make each instance again from its seed; changes nothing.

    Exit code 0: every segment is whole. 1: there are problems, each listed with its reason.
    """
    from tspmz.replay.verify import scan_folder

    folder = resolve(directory)
    origin = _origin(folder, instances=True)
    segments = groups = 0
    problems = []
    for file in scan_folder(folder.replay, origin):
        segments += file.segment is not None
        groups += file.info.num_groups if file.info else 0
        if file.problem:
            problems.append((file.name, file.problem))
    if as_json:
        _print_json(
            {
                "directory": str(folder.replay),
                "segments": segments,
                "groups": groups,
                "instances_checked": origin.instance is not None,
                "problems": [{"name": name, "problem": problem} for name, problem in problems],
            }
        )
    else:
        _print_problems(problems)
        again = "" if origin.instance else " (instances not made again: no settings of the run beside the folder)"
        verdict = f"{len(problems)} problems" if problems else "all whole"
        click.echo(f"{folder.replay}: {segments:,} segments, {groups:,} groups: {verdict}{again}")
    return 1 if problems else 0


@replay.command(context_settings=CONTEXT_SETTINGS)
@_DIRECTORY
@click.argument("out", metavar="OUT.npz", type=click.Path(path_type=Path))
@click.option("--newest", type=click.IntRange(min=1), metavar="K", help="Only the K newest groups of each actor.")
def export(directory: Path, out: Path, newest: int | None) -> int:
    """Write all whole groups as arrays into OUT.npz.

    Exit code 1 where segments with problems were left out.
    """
    from tspmz.replay.summary import export_npz
    from tspmz.replay.verify import scan_folder

    folder = resolve(directory)
    if out.suffix != ".npz":
        raise UsageError(f"{out}: the name must end in .npz")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: the folder {out.parent} does not exist")
    try:
        done = export_npz(out, scan_folder(folder.replay, _origin(folder, instances=False)), newest)
    except FileExistsError as error:
        raise UsageError(f"{error}; name another file") from None
    except ValueError as error:
        raise RunError(f"{folder.replay}: {error}") from None
    except OSError as error:
        raise RunError(f"{out}: cannot be written: {error.strerror or error}") from None
    _print_problems(done.problems)
    left_out = f", {done.left_out:,} left out that cannot be learned from" if done.left_out else ""
    click.echo(f"{out}: {done.groups:,} groups, {done.bytes / 2**20:,.1f} MiB{left_out}")
    return 1 if done.problems else 0


@replay.command(context_settings=CONTEXT_SETTINGS)
@_DIRECTORY
@click.option(
    "--keep-groups", type=click.IntRange(min=0), required=True, metavar="K",
    help="Groups that stay at least; the oldest segments go first, and only whole ones.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@_AS_JSON
def prune(directory: Path, keep_groups: int, dry_run: bool, as_json: bool) -> int:
    """Remove the oldest segments. What a resume puts back into the window stays; a run that goes on is refused."""
    from tspmz.rundir import RunDirectory

    folder = resolve(directory)
    if folder.run is None:
        manifest = _manifest(folder)
        removed = _prune(manifest, keep_groups, {}, dry_run)
    else:
        with closing(RunDirectory.open(folder.run)):  # whoever trains in it would write the manifest as well
            from tspmz.resume import needed_group_ids
            from tspmz.rundir import read_config

            manifest = _manifest(folder)
            needed = needed_group_ids(folder.run, read_config(folder.run), manifest.next_group_ids())
            removed = _prune(manifest, keep_groups, needed, dry_run)
    left = sum(entry.num_groups for entry in manifest.entries)
    gone = sum(entry.num_groups for entry in removed)
    left -= gone if dry_run else 0
    if as_json:
        names = [entry.name for entry in removed]
        _print_json({"directory": str(folder.replay), "removed": names, "groups_removed": gone, "groups_left": left})
    else:
        would = "would remove" if dry_run else "removed"
        click.echo(f"{folder.replay}: {would} {len(removed):,} segments with {gone:,} groups, {left:,} groups stay")
    return 0


def resolve(directory: Path) -> Folder:
    """The replay folder and the run that `directory` names.

    Raises:
        UsageError: it is neither a run folder nor a replay folder.
    """
    from tspmz.replay.manifest import MANIFEST_NAME
    from tspmz.replay.segments import SEGMENT_NAME
    from tspmz.rundir import CONFIG, REPLAY

    if not directory.is_dir():
        raise UsageError(f"{directory}: no such folder")
    try:
        if (directory / REPLAY).is_dir():
            return Folder(directory / REPLAY, directory if (directory / CONFIG).is_file() else None)
        names = [path.name for path in directory.iterdir()]
    except OSError as error:
        raise UsageError(f"{directory}: cannot be read: {error.strerror}") from None
    parent = directory.absolute().parent
    inside = directory.absolute().name == REPLAY and (parent / CONFIG).is_file()
    if inside or MANIFEST_NAME in names or any(SEGMENT_NAME.fullmatch(name) for name in names):
        return Folder(directory, parent if inside else None)
    raise UsageError(f"{directory}: neither a run folder nor a replay folder (no {REPLAY}/, no {MANIFEST_NAME})")


def _origin(folder: Folder, instances: bool) -> Origin:
    """What the groups must come from, as far as the run beside the folder says; a warning where it cannot."""
    from tspmz.config import ConfigError
    from tspmz.config_files import config_hash
    from tspmz.replay.fields import fields_for
    from tspmz.replay.verify import ANY, Origin
    from tspmz.rundir import read_config, read_run_id

    if folder.run is None:
        return ANY
    try:
        run_id, config = read_run_id(folder.run), read_config(folder.run)
    except (TspmzError, ConfigError) as error:
        click.echo(f"warning: {error}; the segments are checked without it", err=True)
        return ANY
    specs = fields_for(config.problem.num_cities, config.selfplay.group_size, config.replay.policy_target)
    if not instances:
        return Origin(run_id, config_hash(config), specs, config.run.seed)
    from tspmz.selfplay import GroupSource
    from tspmz.settings import group_settings

    return Origin(
        run_id,
        config_hash(config),
        specs,
        config.run.seed,
        lambda actor, group_id: GroupSource(**group_settings(config, actor)).instance(group_id),
    )


def _manifest(folder: Folder) -> Manifest:
    from tspmz.replay.manifest import Manifest
    from tspmz.replay.segments import SegmentError

    try:
        return Manifest.load(folder.replay)
    except FileNotFoundError:
        raise RunError(f"{folder.replay}: no manifest, nothing is removed; a resume makes it again") from None
    except (SegmentError, OSError) as error:
        raise RunError(f"{folder.replay}: {error}; nothing is removed") from None


def _prune(manifest: Manifest, keep_groups: int, needed: dict[int, int], dry_run: bool) -> Sequence[Any]:
    try:
        return manifest.to_prune(keep_groups, needed) if dry_run else manifest.prune(keep_groups, needed)
    except OSError as error:
        raise RunError(f"{manifest.directory}: {error}") from None


def _print_json(tree: dict[str, Any]) -> None:
    click.echo(json.dumps(tree, indent=1))


def _print_problems(problems: Sequence[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not problems:
        return
    table = Table("file", "problem")
    for row in problems:
        table.add_row(*map(_plain, row))
    Console().print(table)


def _plain(text: str) -> str:
    """Text of a file as rich shows it unchanged, without control characters of a stranger's file."""
    from rich.markup import escape

    return escape("".join(letter if letter.isprintable() else "?" for letter in text))


def _print_summary(directory: Path, summary: Summary) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    listed: dict[str, Sequence[object]] = {
        "run": summary.run_ids, "schema version": summary.schema_versions, "cities": summary.cities,
        "episodes per group": summary.group_sizes, "policy target": summary.policy_targets,
    }  # fmt: skip
    rows = [
        ("folder", str(directory)),
        *((name, ", ".join(map(str, values)) or "-") for name, values in listed.items()),
        ("segments", f"{summary.segments:,}" + (f" ({summary.unlisted:,} not listed)" if summary.unlisted else "")),
        ("size", f"{summary.bytes / 2**20:,.1f} MiB"),
        ("groups", f"{summary.groups:,}"),
        ("episodes", f"{summary.episodes:,}"),
        ("env steps", f"{summary.env_steps:,}"),
        ("tour length", f"mean {_length(summary.tour_length_mean)}, min {_length(summary.tour_length_min)}"),
        ("best of a group", f"mean {_length(summary.tour_length_best_mean)}"),
        ("weights versions", _range(summary.weights_version_min, summary.weights_version_max)),
        ("in quarantine", f"{summary.quarantined:,}"),
    ]
    table = Table(show_header=False)
    for row in rows:
        table.add_row(*map(_plain, row))
    console.print(table)
    if summary.actors:
        table = Table("actor", "segments", "groups", "numbers", "gap", "mean length", "weights")
        for own in summary.actors:
            table.add_row(
                str(own.actor), f"{own.segments:,}", f"{own.groups:,}", _range(own.first_group_id, own.last_group_id),
                f"{own.gap:,}", _length(own.tour_length_mean), _range(own.weights_version_min, own.weights_version_max),
            )  # fmt: skip
        console.print(table)
    _print_problems(summary.problems)


def _length(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _range(low: int | None, high: int | None) -> str:
    return "-" if low is None else f"{low:,} to {high:,}"


def main() -> None:
    """Entry point of bin/tspmz-replay."""
    run_command(replay)


if __name__ == "__main__":
    main()
