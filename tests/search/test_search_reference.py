"""The compiled search against the slow reference, over many settings."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference_search import ReferenceSearch, hash_model
from search_fakes import DEFAULTS, PathModel

from tspmz.search import BatchedSearch

BATCH = 3


def compare(
    seed: int, num_actions: int, legal_share: float, logit_scale: float, noise_scale: float, **chosen: Any
) -> bool:
    """False where a decision was too close for float32, and nothing was compared."""
    options = DEFAULTS | chosen
    rng = np.random.default_rng(seed)
    legal = rng.random((BATCH, num_actions)) < legal_share
    legal[np.arange(BATCH), rng.integers(num_actions, size=BATCH)] = True
    noise = noise_scale * (rng.gumbel if options["algorithm"] == "gumbel" else rng.random)(size=legal.shape)
    noise = noise.astype(np.float32)
    models = [hash_model(seed + b, num_actions, logit_scale) for b in range(BATCH)]
    references = [ReferenceSearch(models[b], legal[b], noise[b], **options) for b in range(BATCH)]
    expected = [reference.run() for reference in references]
    if min(reference.margin for reference in references) < 2e-5:
        return False
    fake = PathModel(models, legal)
    result = BatchedSearch(BATCH, num_actions, **options).run_with_noise(
        fake.root(), fake.recurrent, noise, temperature=0.0
    )
    for b in range(BATCH):
        np.testing.assert_array_equal(result.visit_counts[b], expected[b]["visit_counts"])
        assert result.actions[b] == expected[b]["actions"]
        for name in ("action_weights", "root_values", "qvalues", "depths"):
            np.testing.assert_allclose(getattr(result, name)[b], expected[b][name], atol=2e-4, err_msg=name)
    return True


COMMON: dict[str, Any] = {
    "seed": st.integers(0, 10_000),
    "num_actions": st.integers(1, 20),
    "legal_share": st.floats(0.1, 1.0),
    "logit_scale": st.sampled_from([0.3, 1.0, 4.0]),
    "noise_scale": st.sampled_from([0.0, 1.0]),
    "num_simulations": st.integers(1, 40),
    "mask_interior": st.booleans(),
    "discount": st.sampled_from([1.0, 0.9, -1.0]),
    "backup": st.sampled_from(["mean", "max"]),
}
RULES = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@RULES
@given(
    **COMMON,
    max_considered_actions=st.integers(1, 16),
    value_scale=st.sampled_from([0.02, 0.1, 0.4]),
    maxvisit_init=st.sampled_from([1.0, 50.0]),
    rescale_values=st.booleans(),
)
def test_gumbel_equals_reference(**chosen: Any) -> None:
    assume(compare(algorithm="gumbel", **chosen))


@RULES
@given(
    **COMMON,
    q_normalization=st.sampled_from(["tree", "siblings"]),
    pb_c_init=st.sampled_from([0.5, 1.25, 3.0]),
    pb_c_base=st.sampled_from([10.0, 19652.0]),
    dirichlet_fraction=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_puct_equals_reference(**chosen: Any) -> None:
    assume(compare(algorithm="puct", **chosen))


@pytest.mark.parametrize("backup", ["mean", "max"])
@pytest.mark.parametrize("algorithm", ["gumbel", "puct"])
def test_search_past_the_end_equals_reference(algorithm: str, backup: str) -> None:
    options = {"algorithm": algorithm, "backup": backup, "num_simulations": 100}
    compared = [compare(seed, 3, 1.0, 1.0, 1.0, **options) for seed in range(20)]
    assert sum(compared) >= 10
