"""What a finished run's TensorBoard events say of its speed, waiting and memory.

    python -m benchmarks.run_report RUN_DIR [RUN_DIR ...]

Needs tensorboard (pip install tensorboard). The first 30 s of a run (start-up, filling the window) are left out.
"""

from __future__ import annotations

from pathlib import Path

import click

_WARM_MINUTES = 0.5
_SHOWN = (
    "throughput/games_per_second",
    "throughput/simulations_per_second",
    "throughput/train_steps_per_second",
    "throughput/learner_wait_share",
    "throughput/actor_wait_share",
    "replay/samples_per_insert",
    "replay/weights_lag",
)


@click.command()
@click.argument("run_dirs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(run_dirs: tuple[Path, ...]) -> None:
    """Print the mean of each figure over the warm part of each run, and the memory at minute 3 and at the end."""
    from rich.console import Console
    from rich.table import Table
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for run_dir in run_dirs:
        events = EventAccumulator(str(run_dir / "tensorboard" / "train"), size_guidance={"scalars": 0})
        events.Reload()
        minutes = [(point.wall_time, point.value) for point in events.Scalars("run/elapsed_minutes")]
        start = next((wall for wall, minute in minutes if minute >= _WARM_MINUTES), minutes[-1][0])
        table = Table(title=f"{run_dir}: {minutes[-1][1]:.1f} minutes")
        table.add_column("figure")
        table.add_column("value", justify="right")
        for tag in _SHOWN:
            values = [point.value for point in events.Scalars(tag) if point.wall_time >= start]
            if values:
                table.add_row(f"{tag} (mean)", f"{sum(values) / len(values):,.4g}")
        for tag in sorted(tag for tag in events.Tags()["scalars"] if tag.startswith("memory/")):
            points = events.Scalars(tag)
            third = next((wall for wall, minute in minutes if minute >= 3), None)
            if third is not None and points:
                at_three = next(p.value for p in points if p.wall_time >= third)
                change = points[-1].value / at_three - 1 if at_three else float("nan")
                growth = f"{at_three:.0f}, {points[-1].value:.0f} ({100 * change:+.1f} %)"
                table.add_row(f"{tag} at minute 3, end", growth)
        Console().print(table)


if __name__ == "__main__":
    main()
