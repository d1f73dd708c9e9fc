"""tspmz-train with the checks of `audit.py` built in; run by `faults.py`. Spawned children import this file, too."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.audit import install
from tspmz.cli.train import main

install(Path(os.environ["AUDIT_DIRECTORY"]), int(os.environ["AUDIT_SEED"]))

if __name__ == "__main__":
    main()
