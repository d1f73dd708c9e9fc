"""tspmz-export: the weights of a run in one small file, with a card that says what they do."""

from __future__ import annotations

from pathlib import Path

import click

from tspmz.cli.command import CONTEXT_SETTINGS, command_line, run_command, version_option
from tspmz.errors import UsageError


@click.command(name="tspmz-export", context_settings=CONTEXT_SETTINGS)
@version_option
@click.argument("source", metavar="RUN_OR_CHECKPOINT", type=click.Path(path_type=Path))
@click.argument("target", metavar="NAME.pt", type=click.Path(path_type=Path))
@click.option(
    "--count", type=click.IntRange(2, 10_000), default=1000, show_default=True, metavar="I",
    help="Instances of the test set that the card's gaps are measured on.",
)  # fmt: skip
@click.option(
    "--trained-on", metavar="TEXT", help="The machine that trained it [default: as the run's config.json says]."
)
def export(source: Path, target: Path, count: int, trained_on: str | None) -> None:
    """Write the weights of RUN_OR_CHECKPOINT to NAME.pt, measure them, and write the model card beside it.

    The card is NAME.json and, for people, NAME.md.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such run folder or checkpoint")
    from tspmz.export import card_text, export_model
    from tspmz.tsp.reference import ReferenceSolverError

    command = command_line(click.get_current_context(), source=source.name, target=target.name)
    try:
        card = export_model(source, target, count=count, trained_on=trained_on, command=command)
    except ReferenceSolverError as error:
        raise UsageError(str(error)) from None
    click.echo(card_text(card))


def main() -> None:
    """Entry point of bin/tspmz-export."""
    run_command(export)
