"""Options: generated from the configuration, merged in order, every problem at once."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tspmz.cli import options
from tspmz.cli.setting_texts import settings_page
from tspmz.config import ConfigError, settings


@click.command()
@options.setting_options
def show(config_files: tuple[Path, ...], overrides: tuple[str, ...], **flags: str | None) -> None:
    for key, value in options.given_values(config_files, overrides, flags).items():
        click.echo(f"{key}={value!r}")


@pytest.mark.parametrize("flag", options.flags())
def test_help_of_a_flag_is_the_meaning_of_its_setting(flag: str) -> None:
    text = " ".join(CliRunner().invoke(show, ["--help"], terminal_width=300).output.split())
    key = options.flags()[flag]
    assert flag in text
    assert settings()[key].metadata["meaning"][1:] in text
    assert key in text


def test_flags_files_and_overrides_are_merged_in_order(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[problem]\nnum_cities = 10\n[run]\nseed = 1\n[learner]\nbatch_groups = 3\n")
    arguments = ["--set", "run.seed=3", "--cities", "12", "--config", str(file), "--seed", "2"]
    result = CliRunner().invoke(show, arguments, catch_exceptions=False)
    assert sorted(result.output.split()) == ["learner.batch_groups=3", "problem.num_cities=12", "run.seed=3"]


def test_nothing_given_sets_nothing() -> None:
    assert CliRunner().invoke(show, [], catch_exceptions=False).output == ""


def test_all_problems_are_raised_at_once(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError) as caught:
        options.given_values(
            [missing], ["x", "search.depth=3", "search.num_simulations=-1"], {"cities": "ten", "device": "tpu"}
        )
    missing_line, cities, no_value, unknown, *ranges = caught.value.problems
    assert missing_line.startswith(f"{missing}: cannot be read")
    assert cities == "--cities: problem.num_cities = 'ten': must be a whole number"
    assert no_value == "--set x: must read key=value"
    assert unknown.startswith("--set search.depth=3: search.depth: unknown setting")
    assert ranges == [
        "search.num_simulations = -1: must be at least 0",
        "learner.device = 'tpu': must be one of auto, cpu, cuda",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_list_settings_prints_every_key(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")  # which makes rich take any output for a terminal
    result = CliRunner().invoke(show, ["--list-settings"], catch_exceptions=False)
    assert result.exit_code == 0
    assert ("| setting | default |" in result.output) is not terminal
    for key in settings():
        assert key in result.output


def test_page_of_settings_has_a_line_each_and_what_presets_change() -> None:
    rows = [line.split(" | ") for line in settings_page().splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `*") for row in rows] == list(settings())
    assert {len(row) for row in rows} == {4}
    by_name = {row[0].strip("| `*"): row[1:] for row in rows}
    assert by_name["search.num_simulations"][:2] == ["8; tsp50: 0; tsp100: 0", "0 to 100,000"]
    assert by_name["run.seed"][0] == "0"
