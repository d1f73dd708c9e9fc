"""The compiled search against DeepMind's mctx; tests/data/make_search_golden.py makes the files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_fakes import TableModel

from tspmz.search import BatchedSearch

DATA = Path(__file__).parents[1] / "data"


def cases(name: str) -> list[Any]:
    with np.load(DATA / f"search_{name}.npz") as file:
        settings = json.loads(str(file["cases"]))
        arrays = [{k.split("/")[1]: file[k] for k in file.files if k.startswith(f"{i}/")} for i in range(len(settings))]
    return [pytest.param(*pair, id=f"{name}-{i}") for i, pair in enumerate(zip(settings, arrays, strict=True))]


def search_result(settings: dict[str, Any], arrays: dict[str, np.ndarray], **extra: Any) -> Any:
    settings = {k: v for k, v in settings.items() if k not in ("num_actions", "illegal")} | extra
    batch_size, num_actions = arrays["legal"].shape
    search = BatchedSearch(batch_size, num_actions, mask_interior=False, **settings)
    tables = (arrays[name] for name in ("rewards", "values", "logits", "starts"))
    model = TableModel(*tables, search.num_simulations)
    return search.run_with_noise(model.root(arrays["legal"]), model.recurrent, arrays["noise"], temperature=0.0)


def assert_equal(result: Any, arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(result.visit_counts, arrays["visit_counts"])
    np.testing.assert_allclose(result.action_weights, arrays["action_weights"], atol=1e-4)
    np.testing.assert_allclose(result.root_values, arrays["root_values"], atol=1e-5)
    np.testing.assert_allclose(result.qvalues, arrays["qvalues"], atol=1e-5)


@pytest.mark.parametrize(("settings", "arrays"), cases("gumbel"))
def test_gumbel_equals_mctx(settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    value_scale = settings.get("value_scale", 0.1)
    result = search_result(settings, arrays, algorithm="gumbel", value_scale=value_scale)
    assert_equal(result, arrays)
    np.testing.assert_array_equal(result.actions, arrays["actions"])


@pytest.mark.parametrize(("settings", "arrays"), cases("puct"))
def test_puct_by_siblings_equals_mctx(settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    result = search_result(settings, arrays, algorithm="puct", q_normalization="siblings")
    assert_equal(result, arrays)
    rows = np.arange(len(result.actions))
    np.testing.assert_array_equal(result.visit_counts[rows, result.actions], result.visit_counts.max(axis=1))
