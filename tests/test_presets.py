"""Presets: found from anywhere, valid, and documented knob by knob."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tspmz.config import ConfigError, parse_sizes, settings
from tspmz.config_files import PRESETS, collect_values, find_file, load_config

ANCESTOR = Path("presets/ancestor.toml")
PAGE = Path(__file__).parent.parent / "docs" / "ancestor.md"


def test_presets_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_file(ANCESTOR) == PRESETS / "ancestor.toml"
    assert load_config([ANCESTOR]).problem.fixed_graph
    (tmp_path / "presets").mkdir()
    (tmp_path / ANCESTOR).write_text("[run]\nseed = 5\n")
    assert load_config([ANCESTOR]).run.seed == 5  # a file of that name comes first


def test_other_files_that_are_missing_stay_missing(tmp_path: Path) -> None:
    for path in (Path("presets/nothing.toml"), tmp_path / "presets" / "ancestor.toml", Path("ancestor.toml")):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_config([path])


def test_command_line_as_documented_works_from_the_root_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PAGE.parent.parent)
    assert load_config([ANCESTOR], ["problem.num_cities=5", "run.minutes=2"]).problem.num_cities == 5


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.toml")), ids=lambda path: path.name)
def test_presets_are_valid(path: Path) -> None:
    load_config([path])


@pytest.mark.parametrize("cities", [3, 5, 10, 50])
def test_ancestor_is_valid_for_any_number_of_cities(cities: int) -> None:
    load_config([ANCESTOR], [f"problem.num_cities={cities}"])


def knobs() -> dict[str, tuple[str, str]]:
    """Original name -> (what the page says of it, its value)."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text("utf-8").splitlines()]
    return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3 and re.match(r"`[A-Za-z_]+`( \(|$)", row[0])}


def test_every_setting_that_the_page_names_exists_and_has_the_value_it_says() -> None:
    config = load_config([ANCESTOR])
    checked = 0
    for meaning, value in knobs().values():
        keys = re.findall(r"`([a-z]+\.[a-z_]+)`", meaning)
        assert set(keys) <= set(settings())
        if value:
            (key,) = keys
            section, name = key.split(".")
            expected = tomllib.loads(f"value = {value}")["value"]
            found = getattr(getattr(config, section), name)
            assert (list(parse_sizes(found)) if isinstance(expected, list) else found) == expected, key
            checked += 1
    assert checked > 40


def test_every_setting_of_the_preset_is_on_the_page() -> None:
    text = PAGE.read_text("utf-8")
    missing = [key for key in collect_values([ANCESTOR]) if f"`{key}`" not in text]
    assert missing == []
