"""Click options generated from the configuration: flags for the common settings, --set and --config for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from tspmz.cli.setting_texts import describe, print_settings
from tspmz.config import ConfigError, setting_type, settings
from tspmz.config_files import build_config, collect_values, parse_cities, parse_value

Function = TypeVar("Function", bound=Callable[..., Any])

FLAGS = {
    "--cities": "problem.num_cities",
    "--actors": "selfplay.num_actors",
    "--minutes": "run.minutes",
    "--steps": "run.train_steps",
    "--device": "learner.device",
    "--actor-device": "selfplay.device",
    "--network": "network.kind",
    "--seed": "run.seed",
    "--init-from": "learner.initial_weights",
}
_FLAG_NOTES = {"--cities": " A range such as 20..50, or a list such as 20,35,50, sets problem.mixed_sizes, too."}
_METAVARS = {int: "INTEGER", float: "NUMBER", bool: "BOOLEAN", str: "TEXT"}


def flags() -> dict[str, str]:
    """Flag -> dotted key, for the settings that have a flag of their own."""
    known = settings()
    return {flag: key for flag, key in FLAGS.items() if key in known}


def setting_options(function: Function) -> Function:
    """Add the flags, --config, --set and --list-settings to a command.

    The command receives `config_files` (paths), `overrides` (`key=value` texts), and each flag's text (None where not
    given) under the flag's name with underscores; hand all of them to `given_values`.
    """
    options = [
        click.option(flag, metavar=_metavar(key), default=None, help=describe(key) + _FLAG_NOTES.get(flag, ""))
        for flag, key in flags().items()
    ]
    options += [
        click.option(
            "--config", "config_files", type=click.Path(path_type=Path, dir_okay=False), multiple=True,
            metavar="FILE.toml",
            help="Read settings from a TOML file, such as presets/ancestor.toml; may be repeated, later files win.",
        ),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE",
            help="Set any setting, such as search.num_simulations=50; may be repeated, wins over files and flags.",
        ),
        click.option(
            "--list-settings", is_flag=True, is_eager=True, expose_value=False, callback=_list_settings,
            help="Print every setting with its default, range and meaning, and leave.",
        ),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def given_values(
    config_files: Sequence[Path], overrides: Sequence[str], flag_texts: Mapping[str, str | None]
) -> dict[str, Any]:
    """The settings that the user gave, by dotted key.

    Args:
        config_files: TOML files.
        overrides: `key=value` texts.
        flag_texts: parameter name of a flag -> its text, None where not given.

    Raises:
        ConfigError: every problem of every source at once.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}

    def collect(origin: str, source: Callable[[], dict[str, Any]]) -> None:
        try:
            values.update(source())
        except ConfigError as error:
            problems.extend(origin + problem for problem in error.problems)

    for path in config_files:
        collect("", partial(collect_values, [path]))
    for flag, key in flags().items():
        text = flag_texts.get(parameter_name(flag))
        if text is not None:
            collect(f"{flag}: ", partial(parse_cities, text) if flag == "--cities" else partial(_parsed, key, text))
    for text in overrides:
        collect("", partial(collect_values, (), [text]))
    if problems:
        collect("", partial(_checked, values))
        raise ConfigError(problems)
    return values


def _parsed(key: str, text: str) -> dict[str, Any]:
    return {key: parse_value(key, text)}


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    build_config(values)
    return values


def parameter_name(flag: str) -> str:
    """The name under which a command's function receives a flag."""
    return flag.removeprefix("--").replace("-", "_")


def _metavar(key: str) -> str:
    choices = settings()[key].metadata["choices"]
    return f"[{'|'.join(choices)}]" if choices else _METAVARS[setting_type(key)]


def _list_settings(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    print_settings()
    context.exit()
