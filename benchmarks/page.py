"""Put saved results of `python -m benchmarks --json FILE` into a page, between two markers.

    python -m benchmarks.page docs/benchmarks.json docs/benchmarks.md
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

BEGIN = "<!-- results: written by python -m benchmarks.page; do not edit -->"
END = "<!-- end of results -->"


def filled(text: str, sections: Sequence[str]) -> str:
    """A page with other sections between its markers.

    Raises:
        ValueError: the page has not one pair of markers.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"want one line {BEGIN} and after it one line {END}")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n" + "".join(f"{section}\n\n" for section in sections) + END + rest.partition(END)[2]


@click.command(help=__doc__)
@click.argument("saved", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("page", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(saved: Path, page: Path) -> None:
    """Write the results into the page, in the order of the questions."""
    try:
        page.write_text(filled(page.read_text(encoding="utf-8"), sections_of(saved)), encoding="utf-8")
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def sections_of(saved: Path) -> list[str]:
    """The results in a file as sections, in the order of the questions.

    Raises:
        ValueError: the file does not hold results, or those of a short trial.
    """
    from benchmarks import rendering, results
    from benchmarks.questions import QUESTIONS

    found = {result.name: result for result in results.load(saved)}
    trials = [name for name, result in found.items() if result.short]
    if trials:
        raise ValueError(f"{saved}: {', '.join(trials)}: results of --short mean nothing")
    return [rendering.markdown(found[name]) for name in QUESTIONS if name in found]


if __name__ == "__main__":
    main()
