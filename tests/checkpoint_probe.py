"""Child process of `test_malicious_checkpoints`: loads each checkpoint of a folder, so that a native crash is seen.

Arguments: FOLDER NOTE. Writes the file that it is about to load to NOTE, and prints JSON when it has survived.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from tspmz.checkpoint import CheckpointError, load_checkpoint


def main() -> None:
    folder, note = Path(sys.argv[1]), Path(sys.argv[2])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = {}
    for path in sorted(folder.iterdir()):
        note.write_text(path.name)
        try:
            state = load_checkpoint(path)
        except CheckpointError as error:
            results[path.name] = str(error)
        else:
            results[path.name] = f"loaded {sorted(state)}"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"results": results, "grown_mib": grown / 1024}))


if __name__ == "__main__":
    main()
