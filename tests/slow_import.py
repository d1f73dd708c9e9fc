"""A module that takes for ever to load in a child called `late`, as torch seems to on a busy machine.

Argument: the file that it writes its process id to.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path

if multiprocessing.current_process().name == "late":
    Path(sys.argv[1]).write_text(str(os.getpid()), encoding="utf-8")
    while True:
        time.sleep(60.0)


def main(parent_pid: int) -> None:
    """Never reached."""
