"""Make the environment of the peers: `python -m benchmarks.peers`."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers.client import environment

PINS = Path(__file__).parent / "pins.txt"


def main() -> int:
    """Make it, or bring it up to the pinned versions; returns the exit code."""
    folder = environment()
    venv.create(folder, with_pip=True)
    # Everything is pinned, also what the peers pull in, and some of them ask for more than their parts in use need.
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-deps", "-r", str(PINS)]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
