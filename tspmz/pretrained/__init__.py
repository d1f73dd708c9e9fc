"""Trained models that come with tspmz, by name: each a checkpoint without what only training needs, and its card."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tspmz.errors import UsageError

DIRECTORY = Path(__file__).parent


def model_names() -> list[str]:
    """Names of the models that are there."""
    return sorted(path.stem for path in DIRECTORY.glob("*.pt"))


def model_path(name: str) -> Path:
    """The file of a model.

    Raises:
        UsageError: no model of that name.
    """
    if name not in model_names():
        raise UsageError(f"no pretrained model {name!r}; there is {', '.join(model_names()) or 'none'}")
    return DIRECTORY / f"{name}.pt"


def model_card(name: str) -> dict[str, Any]:
    """What is known of a model: the JSON beside it, keys as `export.export_model` writes them.

    Raises:
        UsageError: no model of that name.
    """
    found: dict[str, Any] = json.loads(model_path(name).with_suffix(".json").read_text(encoding="utf-8"))
    return found


def model_for(num_cities: int) -> str:
    """The model that is asked where none is named: trained on the size that is nearest, as a ratio."""
    return min(model_names(), key=lambda name: abs(math.log(model_card(name)["cities"] / num_cities)))


def find_agent(source: Path) -> Path:
    """The run folder or file that a user means: what is there, else the pretrained model of that name.

    Raises:
        UsageError: neither.
    """
    if source.exists():
        return source
    if str(source) in model_names():
        return model_path(str(source))
    names = ", ".join(model_names()) or "none are there"
    raise UsageError(f"{source}: no such run folder or checkpoint, and no pretrained model of that name ({names})")
