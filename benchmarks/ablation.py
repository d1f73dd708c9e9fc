"""What is each part of the training worth? One setting changed at a time, the same minutes and cores for all.

    python -m benchmarks.ablation --out DIR [--minutes 5] [--seeds 3] [--first-seed 0] [--only NAME ...]

Each variant is trained like the first one, which has the settings that `--cities` chooses, except for what its name
says; then the last checkpoint's greedy tours are measured on instances that no training has seen. Mean and range over
the seeds. Trainings run one after the other; those that are finished are kept in a file (`--results`) and not done
again. A machine of another speed needs another file, or rows differ by more than their names say, and seeds of its own
(`--first-seed`); `benchmarks.ablation_ratios` makes one table of such files. A setting whose default is something else
does not get its others tuned for it: a row says what a change alone does, and what comes with it: targets of searches
and values from n steps leave no episode a walk of the best tour from another start, so that these rows stand beside the
one without such walks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from benchmarks.beside_pomo import WAYS
from benchmarks.learning import COUNTS, Plan, instance_files, train_tspmz
from benchmarks.live_run import end_in_order_at_sigterm
from benchmarks.rendering import markdown_lines
from benchmarks.trainings import Training, Trainings, opened, results_option, spread

VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "target: visit counts of the Gumbel search": {"replay.policy_target": "visit_counts", "search.num_simulations": 8},
    "target: Gumbel's improved policy": {"replay.policy_target": "gumbel", "search.num_simulations": 8},
    "target: PUCT's visit counts": {
        "replay.policy_target": "visit_counts", "search.algorithm": "puct", "search.num_simulations": 16
    },
    "target: Gumbel's improved policy, Q values as in mctx": {
        "replay.policy_target": "gumbel", "search.num_simulations": 8, "search.value_scale": 0.1,
        "search.rescale_values": True,
    },
    "target: best of the group": {"replay.rerooted_share": 0.9, "replay.advantage_baseline": 0.0},
    "target: none pushed down, temperature of the spread": {
        "replay.advantage_baseline": 0.0, "replay.advantage_temperature": 0.001
    },
    "target: whole mean taken off": {"replay.advantage_baseline": 1.0},
    "target: without the best tour from other starts": {"replay.rerooted_share": 0.0},
    "target: a quarter the best tour from other starts": {"replay.rerooted_share": 0.25},
    "encoder normalized by city": {"network.encoder_norm": "layer"},
    "group of 8": {"selfplay.group_size": 8},
    "group of 4": {"selfplay.group_size": 4},
    "no search": {"search.num_simulations": 0},
    "1 simulation": {"search.num_simulations": 1},
    "4 simulations": {"search.num_simulations": 4},
    "16 simulations": {"search.num_simulations": 16},
    "scale of completed Q values 0.1": {"search.value_scale": 0.1},
    "scale of completed Q values 1, rescaled": {"search.value_scale": 1.0, "search.rescale_values": True},
    "interior mask off": {"search.mask_interior": False},
    "unroll 0": {"learner.unroll_steps": 0},
    "unroll 3": {"learner.unroll_steps": 3},
    "unroll 5": {"learner.unroll_steps": 5},
    "32 wide": {"network.embedding_dim": 32},
    "128 wide": {"network.embedding_dim": 128},
    "2 layers": {"network.num_layers": 2},
    "4 layers": {"network.num_layers": 4},
    "losses of value and reward a third": {"learner.value_loss_weight": 0.033, "learner.reward_loss_weight": 0.1},
    "entropy bonus 0.01": {"learner.entropy_bonus": 0.01},
    "drawn uniformly": {"replay.sampling": "uniform"},
    "without importance weights": {"replay.importance_exponent": 0.0},
    "value: 5-step, reanalyzed": {
        "replay.reanalyze_fraction": 1.0, "replay.reanalyze_policy": False, "replay.td_steps": 5
    },
    "value: 5-step": {"replay.td_steps": 5},
    "value: 10-step": {"replay.td_steps": 10},
    "value: coarse support": {"network.support_size": 10, "network.support_step": 1.0},
    "samples per insert at least 1": {"replay.samples_per_insert": 1.0},
    "samples per insert at least 8": {"replay.samples_per_insert": 8.0},
    "without symmetries": {"learner.augment": False},
}  # fmt: skip
"""What each variant changes, beside the first one, which changes nothing."""


COLUMNS = ("seeds", *(f"{way}, gap %" for way in WAYS), "train steps")
"""Of a table of outcomes, beside their names."""


class Outcome(NamedTuple):
    """All seeds of a variant.

    Attributes:
        variant: its name.
        gaps: by way of decoding, the fraction of each seed.
        train_steps: of each seed.
    """

    variant: str
    gaps: dict[str, list[float]]
    train_steps: list[int]


def outcome(variant: str, trainings: list[Training]) -> Outcome:
    """What the ends of a variant's trainings are worth on the one set of instances that they were measured on."""
    ends = [training.points[-1] for training in trainings]
    gaps = {way: [next(iter(point.gaps.values()))[way] for point in ends] for way in WAYS}
    return Outcome(variant, gaps, [point.train_steps for point in ends])


def table(outcomes: list[Outcome]) -> str:
    """As it stands in the docs, the order being that of the variants."""
    lines = [[one.variant, *cells(one)] for one in outcomes]
    return markdown_lines(("variant", *COLUMNS), [False, *[True] * len(COLUMNS)], lines)


def cells(one: Outcome) -> list[str]:
    """What stands below `COLUMNS`."""
    steps = f"{sum(one.train_steps) / len(one.train_steps):,.0f}"
    return [str(len(one.train_steps)), *(spread(one.gaps[way]) for way in WAYS), steps]


def train_variants(plan: Plan, kept: Trainings, variants: list[str], minutes: float, seeds: range) -> Iterator[Outcome]:
    """One variant after the other; its trainings that are kept are not done again.

    Raises:
        click.UsageError: before any training: one that is kept is of other settings or instances.
    """
    import torch

    torch.set_num_threads(1)
    places = {variant: plan.out / f"variant-{list(VARIANTS).index(variant)}" for variant in variants}
    plans = {variant: plan._replace(settings=VARIANTS[variant], out=place) for variant, place in places.items()}
    kept.check(own.wanted(variant, minutes, seed) for variant, own in plans.items() for seed in seeds)
    for variant, own in plans.items():
        own.out.mkdir(exist_ok=True)
        trainings = [
            kept.get(own.wanted(variant, minutes, seed), partial(train_tspmz, own, minutes, seed)) for seed in seeds
        ]
        yield outcome(variant, trainings)


@click.command()
@click.option("--cities", type=click.Choice([str(cities) for cities in COUNTS]), default="20", show_default=True)
@click.option("--minutes", default=5.0, show_default=True)
@click.option("--seeds", default=3, show_default=True, help="Trainings of each variant.")
@click.option("--first-seed", default=0, show_default=True, help="The others follow it.")
@click.option("--cores", default=2, show_default=True, help="That each training may use.")
@click.option("--only", "names", multiple=True, type=click.Choice(list(VARIANTS)), help="These variants; default: all.")
@click.option("--instance-seed", default=555, show_default=True, help="Of the instances it is measured on.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for runs and instances.")
@results_option
def main(
    cities: str, minutes: float, seeds: int, first_seed: int, cores: int, names: tuple[str, ...], instance_seed: int,
    out: Path, results: Path | None,
) -> None:  # fmt: skip
    """Train the variants that are not kept yet, and print the table."""
    end_in_order_at_sigterm()
    out.mkdir(parents=True, exist_ok=True)
    variants = [name for name in VARIANTS if not names or name in names]
    references = instance_files(int(cities), (instance_seed,), out)
    available = sorted(os.sched_getaffinity(0))[:cores]
    plan = Plan(int(cities), available, 1, 0, {}, references, out)
    kept = opened(results or out / "results.json")
    outcomes = list(train_variants(plan, kept, variants, minutes, range(first_seed, first_seed + seeds)))
    click.echo(f"{cities} cities ({COUNTS[int(cities)]:,}), {minutes:g} minutes:\n\n{table(outcomes)}\n")


if __name__ == "__main__":
    main()
