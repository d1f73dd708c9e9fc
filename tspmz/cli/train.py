"""tspmz-train: start a training, or go on with one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from tspmz.cli.command import CONTEXT_SETTINGS, run_command, version_option
from tspmz.cli.options import given_values, setting_options
from tspmz.config import Config, settings
from tspmz.config_files import build_config, collect_values, differences, flat_values, preset_for
from tspmz.errors import TspmzError, UsageError


@click.command(name="tspmz-train", context_settings=CONTEXT_SETTINGS)
@version_option
@click.option(
    "--run-dir", type=click.Path(path_type=Path), metavar="DIR",
    help="Folder of the run, new or empty [default: runs/<cities>-<number>].",
)  # fmt: skip
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR",
    help="Go on with the run in DIR, with its stored settings and those given here.",
)  # fmt: skip
@click.option(
    "--allow-empty-replay", is_flag=True, help="With --resume: go on even if no stored episode can be used."
)
@setting_options
def train(
    run_dir: Path | None, resume: Path | None, allow_empty_replay: bool, config_files: tuple[Path, ...],
    overrides: tuple[str, ...], **flags: Any,
) -> int:  # fmt: skip
    """Train a MuZero agent on the Travelling Salesman Problem.

    Stops at --minutes or --steps, or at Ctrl-C; a run that was stopped or killed goes on with --resume.
    """
    if run_dir and resume:
        raise UsageError("--run-dir and --resume exclude each other: --resume DIR goes on in DIR")
    if allow_empty_replay and not resume:
        raise UsageError("--allow-empty-replay needs --resume: a new run has no stored episodes")
    values = given_values(config_files, overrides, flags)
    if resume:
        config, folder = resumed_config(resume, values), resume
    else:
        config = build_config(values if config_files else _with_preset(values))
        from tspmz.rundir import next_run_dir

        folder = run_dir or next_run_dir(config.problem.num_cities)
        click.echo(f"run folder: {folder}", err=True)
    from tspmz.runner import train as run_training

    try:
        return run_training(config, folder, resume is not None, allow_empty_replay)
    except TspmzError:
        if not run_dir:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only a run that never began leaves it empty: the next one shall have its number
        raise


def _with_preset(values: dict[str, Any]) -> dict[str, Any]:
    """`values` on top of the preset for their number of cities; says on stderr which one that is."""
    preset = preset_for(values.get("problem.num_cities", Config().problem.num_cities))
    click.echo(f"settings: {preset} (others: --config FILE.toml)", err=True)
    return collect_values([preset], values=values)


def resumed_config(run_dir: Path, values: dict[str, Any]) -> Config:
    """The stored settings of a run with `values` (dotted keys) on top; says on stderr what differs.

    Raises:
        ConfigError: the stored or the new settings are wrong.
        UsageError: no run there, or settings that cannot change do.
    """
    from tspmz.rundir import read_config

    if "learner.initial_weights" in values:
        raise UsageError(
            "learner.initial_weights (--init-from) is for new runs: one that goes on has the weights of its checkpoint"
        )
    stored = read_config(run_dir)
    before = flat_values(stored)
    fixed = {key for key, field in settings().items() if field.metadata["fixed"]}
    # before validation: a table of what cannot change says more than a rule that its values break
    refused = [(key, before[key], new) for key, new in values.items() if key in fixed and new != before[key]]
    if refused:
        _print_refused(refused)
        raise UsageError(
            f"{run_dir}: {len(refused)} setting{'s' if len(refused) > 1 else ''} cannot change when a run is resumed; "
            f"leave them out, or start a new run"
        )
    config = build_config({**before, **values})
    for key, old, new, _ in differences(stored, config):
        click.echo(f"note: {key}: {old} -> {new}", err=True)
    return config


def _print_refused(rows: list[tuple[str, Any, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "stored", "given")
    for key, old, new in rows:
        table.add_row(key, str(old), str(new))
    Console(stderr=True).print(table)


def main() -> None:
    """Entry point of bin/tspmz-train."""
    run_command(train)
