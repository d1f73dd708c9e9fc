"""From a run to a model that can be given away: the weights in one small file, and a card that says what they do."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tspmz.agent import Agent, load_agent
from tspmz.checkpoint import write_state
from tspmz.config import Config
from tspmz.config_files import config_from_dict, config_of, flat_values
from tspmz.decode import Decoding
from tspmz.errors import UsageError
from tspmz.evaluation import EvaluationResult, evaluate
from tspmz.network.build import num_weights
from tspmz.replay.files import FileSystem, atomic_write
from tspmz.rundir import machine, read_started, versions
from tspmz.trained import read_agent_state

SMALL_COUNT = 100
"""Instances of the small set, on which anybody can check the card in a few seconds."""

_SEED = 1234
_WAYS = (
    ("greedy, one start", Decoding()),
    ("greedy, all starts", Decoding(starts=None)),
    ("greedy, all starts, 8 symmetries", Decoding(starts=None, augment=8)),
)
_MEASURED = (
    "instances", "tour_length_mean", "reference_length_mean", "gap_mean", "gap_interval", "solved_share", "seconds",
)  # fmt: skip


def export_model(run: Path, target: Path, *, count: int, trained_on: str | None, command: str) -> dict[str, Any]:
    """Write the weights of a run's newest checkpoint, or of a file with a model, with a card. Nothing is overwritten.

    Three files: `target`, which `agent.load_agent` reads, and beside it the card as `.json` and, for people, `.md`.

    Args:
        run: run folder, checkpoint, its best model, or an exported one.
        target: file to write, `NAME.pt`.
        count: instances of the test set to measure on.
        trained_on: the machine that trained it; None = what the run's `config.json` says.
        command: that makes the files, for the card.

    Returns:
        The card: name, bytes, weights, train_steps, minutes and games (None where the file does not say),
        distribution, cities, sizes, fixed_graph, network, settings (beside the number of cities), machine, versions,
        git, measured_on, reference, results and small_results (name, instance set, how, and what
        `EvaluationResult.summary` says), command.

    Raises:
        TspmzError, ReferenceSolverError: what is wrong, for people.
    """
    if target.suffix != ".pt":
        raise UsageError(f"{target}: must end in .pt")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: the folder {target.parent} does not exist")
    files = (target, *_cards(target))
    there = [path for path in files if path.exists()]
    if there:
        raise UsageError(f"{there[0]}: is there already; nothing is overwritten, name another file")
    state, _ = read_agent_state(run)
    try:
        card = _write(run, state, target, count, trained_on, command)
        for path in files:
            os.chmod(path, 0o644)  # what is given away is for everybody to read
    except BaseException as error:
        for path in files:  # a model without its card is none
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(f"{target}: cannot be written: {error.strerror}") from None
        raise
    return card


def _write(
    run: Path, state: dict[str, Any], target: Path, count: int, trained_on: str | None, command: str
) -> dict[str, Any]:
    """The three files; returns the card."""
    config = config_from_dict(state["config"], str(run))
    kept = {
        "config": state["config"],
        "learner": {"network": state["learner"]["network"], "train_steps": state["learner"]["train_steps"]},
    }
    started = read_started(run)
    write_state(target, kept)
    agent = load_agent(target, "cpu")
    num_cities = config.problem.num_cities
    whole = "elapsed_seconds" in state  # best.pt and exported models do not say how long they were trained
    card = {
        "name": target.stem,
        "bytes": target.stat().st_size,
        "weights": num_weights(agent.network),  # type: ignore[arg-type]
        "network": config.network.kind,
        "cities": num_cities,
        "sizes": list(config.problem.sizes),
        "fixed_graph": config.problem.fixed_graph,
        "distribution": config.problem.distribution,
        "train_steps": agent.train_steps,
        "minutes": state["elapsed_seconds"] / 60 if whole else None,
        "games": sum(state["next_group_ids"]) * config.selfplay.group_size if whole else None,
        "settings": _changed(config),
        "machine": trained_on or started.get("machine") or "not recorded",
        "versions": started.get("versions") or {},
        "git": started.get("git") or "",
        "measured_on": machine(),
        "measured_with": versions(),
        "reference": "lkh",
        "results": _measured(agent, f"uniform:{num_cities}:{count}:{_SEED}", (*_WAYS, _searched(agent))),
        "small_results": _measured(agent, f"uniform:{num_cities}:{SMALL_COUNT}:{_SEED}", _WAYS[:2]),
        "command": command,
    }
    files = FileSystem()
    for path, text in zip(_cards(target), (json.dumps(card, indent=1) + "\n", card_text(card)), strict=True):
        atomic_write(files, path, text.encode())
    return card


def _searched(agent: Agent) -> tuple[str, Decoding]:
    """A search from one start, and its name."""
    search = Decoding("search")
    if agent.config.search.num_simulations:
        return "search as in training, one start", search
    return f"search, {agent.simulations(search)} simulations, one start", search


def _cards(target: Path) -> tuple[Path, Path]:
    """Of a model's file: its card for programs, and for people."""
    return target.with_suffix(".json"), target.with_suffix(".md")


def _changed(config: Config) -> dict[str, Any]:
    """The settings that `tspmz-train` must be given beside the number of cities."""
    defaults = flat_values(config_of({"problem.num_cities": config.problem.num_cities}))
    return {key: value for key, value in flat_values(config).items() if value != defaults[key]}


def _measured(agent: Agent, instances: str, ways: Sequence[tuple[str, Decoding]]) -> list[dict[str, Any]]:
    rows = []
    for name, decoding in ways:
        result = evaluate(
            agent, instances, decode=decoding.decode, starts=decoding.starts, augment=decoding.augment, reference="lkh"
        )
        rows.append(_row(name, instances, decoding, result))
    return rows


def _row(name: str, instances: str, decoding: Decoding, result: EvaluationResult) -> dict[str, Any]:
    summary = result.summary()
    how = {"decode": decoding.decode, "starts": decoding.starts, "augment": decoding.augment}
    return {"name": name, "instance_set": instances, **how, **{key: summary[key] for key in _MEASURED}}


def card_text(card: dict[str, Any]) -> str:
    """The card for people, in Markdown."""
    cities = ", ".join(str(size) for size in card.get("sizes", [card["cities"]]))
    drawn = "one instance" if card.get("fixed_graph") else f"instances of {cities} cities, drawn anew for each group"
    given = "".join(f" --set {key}={value}" for key, value in card["settings"].items())
    minutes = "not recorded" if card["minutes"] is None else f"{card['minutes']:.1f} minutes, {card['games']:,} games"
    lines = [
        f"# {card['name']}",
        "",
        f"An agent for the Travelling Salesman Problem with {cities} cities, trained by tspmz. Written by",
        f"`{card['command']}`; do not edit by hand.",
        "",
        "| | |",
        "|---|---|",
        f"| network | {card['network']}, {card['weights']:,} weights, {card['bytes'] / 2**20:.2f} MiB |",
        f"| data | self-play on {card['distribution']} {drawn}; no tours of a solver |",
        f"| training | {minutes}, {card['train_steps']:,} train steps |",
        f"| settings | `bin/tspmz-train --cities {card['cities']}{given}` |",
        f"| trained on | {card['machine']} |",
        f"| code | {card['git'] or 'not recorded'} |",
        f"| versions | {_versions_text(card['versions'])} |",
        f"| measured on | {card['measured_on']} |",
        f"| measured with | {_versions_text(card['measured_with'])} |",
        "",
        "Gap to LKH: mean tour length / mean reference length - 1, with a 95 % bootstrap interval over instances. One",
        "training seed.",
        "",
        "| instances | decoding | mean length | gap | 95 % interval | solved | seconds |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in [*card["results"], *card["small_results"]]:
        low, high = row["gap_interval"]
        lines.append(
            f"| `{row['instance_set']}` | {row['name']} | {row['tour_length_mean']:.5f} "
            f"| {100 * row['gap_mean']:.3f} % | {100 * low:.3f} to {100 * high:.3f} % "
            f"| {100 * row['solved_share']:.1f} % | {row['seconds']:.1f} |"
        )
    lines += [
        "",
        f"It is for {card['distribution']} instances of about {cities} cities. On other sizes and distributions it",
        "runs, and its tours get worse; measure before you use it. If you only need short tours, use a solver.",
        "",
    ]
    return "\n".join(lines)


def _versions_text(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items()) or "not recorded"
