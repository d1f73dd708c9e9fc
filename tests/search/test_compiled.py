"""Compiled code that is kept on disk never outlives its sources."""

import shutil
import subprocess
import sys
from pathlib import Path

from tspmz.search import compiled


def test_stored_code_follows_changes_in_the_modules_it_calls(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (room / "__init__.py").touch()
    shutil.copy(compiled.__file__, room / "compiled.py")
    (room / "upper.py").write_text(
        "from room.compiled import kernel\nfrom room.lower import f\n\n@kernel\ndef g(x):\n    return f(x) + 1.0\n"
    )
    answers = []
    for factor in (2, 3, 3):  # without bytecode (-B), whose stamp does not tell two writes of one second apart
        (room / "lower.py").write_text(
            f"from room.compiled import inner\n\n@inner\ndef f(x):\n    return {factor}.0 * x\n"
        )
        command = "from room.upper import g; print(g(10.0), sum(g.stats.cache_hits.values()))"
        done = subprocess.run(
            [sys.executable, "-B", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        )
        answers.append(done.stdout.split())
    assert answers == [["21.0", "0"], ["31.0", "0"], ["31.0", "1"]]
