"""Real TSPLIB files against their published optima, where a folder of them is at hand.

`TSPLIB=FOLDER` names it; without, it is looked for in `../shared/tsplib` beside the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tspmz.tsp import tsplib
from tspmz.tsp.instances import load_instances
from tspmz.tsp.optima import PUBLISHED_OPTIMA
from tspmz.tsp.references import find_references

FOLDER = Path(os.environ.get("TSPLIB") or Path(__file__).parents[2].parent / "shared" / "tsplib")
FILES = [path for path in sorted(FOLDER.glob("*.tsp")) if path.stem in PUBLISHED_OPTIMA]

pytestmark = pytest.mark.skipif(not FILES, reason=f"no .tsp file of TSPLIB in {FOLDER}")


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lkh_on_the_weights_of_the_file_finds_the_published_optimum(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("elkai")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    instance = load_instances(str(path))
    (found,) = find_references([instance], "lkh")
    assert found is not None
    assert found.tours is not None
    assert found.lengths[0] == PUBLISHED_OPTIMA[path.stem]
    # the tour comes back from a file, and has this length there, too
    problem = tsplib.read_problem(path)
    written = tmp_path / "best.tour"
    written.write_text(tsplib.tour_text(problem.name, found.tours[0], "by LKH"))
    back = tsplib.read_tour(written, problem.num_cities)
    np.testing.assert_array_equal(back, found.tours[0])
    assert tsplib.tour_lengths(problem, back) == PUBLISHED_OPTIMA[path.stem]
