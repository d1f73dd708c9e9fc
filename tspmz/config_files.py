"""Settings from files, dotted keys and texts to a `Config` and back; differences and the hash of two of them."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tspmz.config import Config, ConfigError, parse_sizes, section_types, setting_type, settings, walk

PRESETS = Path(__file__).parent / "presets"
"""Settings files that come with the package."""

_LARGEST_OF_PRESET = {"tsp20": 34, "tsp50": 74, "tsp100": 1000}
"""Preset for the number of cities -> the most cities it is used for by itself; in ascending order."""

_BEFORE = {"problem.mixed_sizes": "", "network.encoder_norm": "layer"}
"""Fixed settings that the first runs did not have, and what those runs did."""

_SIZES_OF_A_RANGE = 4

_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parse_value(key: str, text: str) -> Any:
    """The value that `text` means for `key`, by the key's type.

    Raises:
        ConfigError: unknown key, or text that is no such value.
    """
    try:
        kind = setting_type(key)
    except KeyError:
        raise ConfigError([unknown_key_message(key)]) from None
    if kind is bool:
        if text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
        raise ConfigError([f"{key} = {text!r}: must be true or false"])
    try:
        return kind(text)
    except ValueError:
        raise ConfigError([f"{key} = {text!r}: must be {'a whole number' if kind is int else 'a number'}"]) from None


def parse_cities(text: str) -> dict[str, Any]:
    """The settings that a number of cities means, or a range `20..50` of them, or a list `20,30,50`.

    Of a range both ends are played and what divides it into equal parts, 4 sizes in all: each size needs its share of
    the replay window.

    Raises:
        ConfigError: text that is none of these.
    """
    if ".." not in text and "," not in text:
        return {"problem.num_cities": parse_value("problem.num_cities", text)}
    try:
        sizes = _sizes_between(text) if ".." in text else parse_sizes(text)
    except ValueError:
        raise ConfigError(
            [f"{text!r}: must be a number of cities, a range such as 20..50, or a list such as 20,35,50"]
        ) from None
    listed = ",".join(str(size) for size in sorted(set(sizes)))
    return {"problem.num_cities": max(sizes), "problem.mixed_sizes": listed}


def _sizes_between(text: str) -> tuple[int, ...]:
    """Both ends of the range `LOW..HIGH`, and what divides it into equal parts.

    Raises:
        ValueError: it is no range of numbers above 0.
    """
    low, high = (int(word) for word in text.split(".."))
    if not 0 < low < high:
        raise ValueError("the ends of a range must be above 0, the lower one first")
    parts = _SIZES_OF_A_RANGE - 1
    return tuple(low + round(i * (high - low) / parts) for i in range(parts + 1))


def unknown_key_message(key: str) -> str:
    """One line that names the unknown key and the nearest known ones."""
    known = list(settings())
    near = difflib.get_close_matches(key, known, n=3) or [k for k in known if k.split(".")[-1] == key.split(".")[-1]]
    hint = f"; did you mean {', '.join(near)}?" if near else "; tspmz-train --list-settings prints all keys"
    return f"{key}: unknown setting{hint}"


def _coerce(key: str, value: Any) -> tuple[Any, str | None]:
    """Value from a file brought to the key's type, or a problem line."""
    kind = setting_type(key)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value), None
    if settings()[key].metadata["parse"] is parse_sizes and isinstance(value, list):
        value = ",".join(str(size) for size in value)
    if type(value) is not kind:
        return value, f"{key} = {value!r:.80}: must be of type {kind.__name__}, not {type(value).__name__}"
    return value, None


def _flatten(tree: Mapping[str, Any], origin: str) -> tuple[dict[str, Any], list[str]]:
    flat: dict[str, Any] = {}
    problems: list[str] = []
    for section, entries in tree.items():
        if not isinstance(entries, Mapping):
            problems.append(f"{origin}: {section}: settings stand in sections, such as [search]")
            continue
        found, wrong = _checked({f"{section}.{name}": value for name, value in entries.items()})
        flat.update(found)
        problems += [f"{origin}: {problem}" for problem in wrong]
    return flat, problems


def _checked(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The dotted keys that are settings, their values of the settings' types; and what is wrong, a text each."""
    flat: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in values.items():
        if key not in settings():
            problems.append(unknown_key_message(key))
            continue
        flat[key], problem = _coerce(key, value)
        problems += [problem] if problem else []
    return flat, problems


def build_config(values: Mapping[str, Any]) -> Config:
    """Config from dotted keys; unnamed keys keep their defaults.

    Raises:
        ConfigError: all problems at once.
    """
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = key.split(".")
        sections.setdefault(section, {})[name] = value
    types = section_types()
    config = Config(**{name: types[name](**entries) for name, entries in sections.items()})
    config.validate()
    return config


def config_of(values: Mapping[str, Any]) -> Config:
    """Config from dotted keys on top of the preset for their number of cities, as `tspmz-train` makes it of options.

    Raises:
        ConfigError: all problems at once, unknown keys and values of a wrong type among them.
    """
    flat, problems = _checked(values)
    if problems:
        raise ConfigError(problems)
    preset = preset_for(flat.get("problem.num_cities", Config().problem.num_cities))
    return build_config(collect_values([preset], values=flat))


def load_config(
    files: Iterable[Path] = (), overrides: Iterable[str] = (), values: Mapping[str, Any] | None = None
) -> Config:
    """Config from TOML files, then `values` (dotted keys), then `key=value` texts; later ones win.

    Raises:
        ConfigError: every problem of every source at once.
    """
    return build_config(collect_values(files, overrides, values))


def find_file(path: Path) -> Path:
    """`path` itself, or the preset of the package that it names (`presets/<name>.toml`) where there is no such file."""
    preset = PRESETS / path.name
    return preset if path.parent == Path("presets") and not path.is_file() and preset.is_file() else path


def preset_for(num_cities: int) -> Path:
    """The preset, as `--config` names it, that is used where no file is given."""
    fits = (name for name, largest in _LARGEST_OF_PRESET.items() if num_cities <= largest)
    return Path("presets") / f"{next(fits, list(_LARGEST_OF_PRESET)[-1])}.toml"


def collect_values(
    files: Iterable[Path] = (), overrides: Iterable[str] = (), values: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The dotted keys that files (see `find_file`), `values` and `key=value` texts set, merged.

    They are not yet validated together.

    Raises:
        ConfigError: every problem of every source at once.
    """
    merged: dict[str, Any] = {}
    problems: list[str] = []
    for path in files:
        try:
            flat, wrong = _flatten(tomllib.loads(find_file(Path(path)).read_text(encoding="utf-8")), str(path))
        except OSError as error:
            flat, wrong = {}, [f"{path}: cannot be read: {error.strerror}"]
        except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError among them
            flat, wrong = {}, [f"{path}: not a TOML file: {error}"]
        merged.update(flat)
        problems += wrong
    merged.update(values or {})
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator:
            problems.append(f"--set {text}: must read key=value")
            continue
        try:
            merged[key.strip()] = parse_value(key.strip(), value.strip())
        except ConfigError as error:
            problems += [f"--set {text}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return merged


def config_from_dict(tree: Mapping[str, Any], origin: str) -> Config:
    """Config from nested dictionaries, as `Config.to_dict` makes them (config.json, a checkpoint).

    What they do not name has its default, or, where there was something else before there was a setting, that.

    Raises:
        ConfigError: every problem at once.
    """
    flat, problems = _flatten(tree, origin)
    if problems:
        raise ConfigError(problems)
    return build_config({**_BEFORE, **flat})


def parse_config_json(content: bytes, origin: str) -> Config:
    """Config of the bytes of a run directory's `config.json`.

    Raises:
        ConfigError: every problem at once; names `origin`.
    """
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{origin}: not a JSON file: {error}"]) from None
    if not isinstance(tree, dict) or not isinstance(tree.get("config"), dict):
        raise ConfigError([f'{origin}: not a tspmz run (no "config")'])
    return config_from_dict(tree["config"], origin)


def flat_values(config: Config) -> dict[str, Any]:
    """Every setting by its dotted key."""
    return {key: value for key, _, value in walk(config)}


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any, bool]]:
    """Settings that differ, as (key, old value, new value, fixed)."""
    rows = zip(walk(old), walk(new), strict=True)
    return [(key, a, b, bool(field.metadata["fixed"])) for (key, field, a), (_, _, b) in rows if a != b]


def config_hash(config: Config) -> str:
    """16 hex digits over the fixed settings: equal hashes can share weights and stored episodes.

    Runs from before a setting existed keep their hash.
    """
    fixed = {
        key: value
        for key, field, value in walk(config)
        if field.metadata["fixed"] and not (key in _BEFORE and value == _BEFORE[key])
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]
