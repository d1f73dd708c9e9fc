"""Measure what tspmz does beside what a user would pick instead, and beside the physical limit.

    python -m benchmarks [--short] [--json FILE] [--markdown] [NAME...]

Without a name, every question is measured. With --json, results of questions that are not measured stay in the file, so
that a page of results can be taken in parts; `python -m benchmarks.page` puts it into the docs. Exit codes: 0 all were
measured, 1 one failed, 2 wrong use.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import click

# Before anything reads them: one thread of each library, in this process and in what it starts.
for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@click.command(help=__doc__)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--short", is_flag=True, help="See in seconds that every question works; the numbers mean nothing.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Keep the results in a file.")
@click.option("--markdown", is_flag=True, help="Print the results as they stand in the docs.")
def main(names: tuple[str, ...], short: bool, path: Path | None, markdown: bool) -> None:
    """Measure the named questions."""
    from rich.console import Console

    from benchmarks import rendering, results
    from benchmarks.questions import QUESTIONS, measure
    from tspmz.allocation import keep_freed_memory

    keep_freed_memory()  # as the processes of a run do

    unknown = [name for name in names if name not in QUESTIONS]
    if unknown:
        raise click.UsageError(f"{', '.join(unknown)}: no such question; there are {', '.join(QUESTIONS)}")
    if path is not None and path.exists():
        try:
            results.load(path)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    console, failed = Console(), []
    for name in names or tuple(QUESTIONS):
        try:
            result = measure(name, short)
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        if markdown:
            print(rendering.markdown(result))
        else:
            rendering.show(result, console)
        if path is not None:
            results.save([result], path)
    if failed:
        raise click.ClickException(f"not measured: {', '.join(failed)} (see above)")


if __name__ == "__main__":
    main()
