"""Makes the golden files of tests/search with DeepMind's mctx, which the project itself never needs.

Run in an environment of its own: `pip install mctx jax jaxlib`, then `python tests/data/make_search_golden.py`. It
writes `search_gumbel.npz` and `search_puct.npz` beside itself. mctx 0.0.71 with jax 0.10.2 made the present ones.
The model is `TableModel` of tests/search/search_fakes.py. mctx masks the root alone, and its PUCT breaks ties by noise
of 1e-7.
"""

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np

HERE = Path(__file__).parent
GUMBEL = [
    {"num_actions": 5, "num_simulations": 12, "max_considered_actions": 4, "rescale_values": True, "illegal": 0.0},
    {"num_actions": 20, "num_simulations": 16, "max_considered_actions": 4, "rescale_values": False, "illegal": 0.4},
    {"num_actions": 20, "num_simulations": 50, "max_considered_actions": 8, "rescale_values": True, "illegal": 0.4},
    {"num_actions": 50, "num_simulations": 25, "max_considered_actions": 16, "rescale_values": False, "illegal": 0.2},
    {"num_actions": 3, "num_simulations": 40, "max_considered_actions": 16, "rescale_values": False, "illegal": 0.3},
    {"num_actions": 20, "num_simulations": 32, "max_considered_actions": 16, "rescale_values": False, "illegal": 0.0,
     "discount": -1.0, "value_scale": 0.4},
    {"num_actions": 8, "num_simulations": 30, "max_considered_actions": 1, "rescale_values": True, "illegal": 0.0,
     "discount": 0.9, "maxvisit_init": 10.0},
]
PUCT = [
    {"num_actions": 5, "num_simulations": 20, "illegal": 0.0},
    {"num_actions": 20, "num_simulations": 16, "illegal": 0.0, "dirichlet_fraction": 0.5},
    {"num_actions": 20, "num_simulations": 50, "illegal": 0.0, "discount": 0.9, "pb_c_init": 2.0, "pb_c_base": 100.0},
    {"num_actions": 20, "num_simulations": 50, "illegal": 0.4, "dirichlet_fraction": 0.0},
    {"num_actions": 6, "num_simulations": 40, "illegal": 0.0, "discount": -1.0},
]
BATCH = 6
STATES = 997


def make_tables(case: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    num_actions = case["num_actions"]
    legal = rng.random((BATCH, num_actions)) >= case["illegal"]
    legal[np.arange(BATCH), rng.integers(num_actions, size=BATCH)] = True
    return {
        "rewards": (0.2 * rng.normal(size=STATES)).astype(np.float32),
        "values": (0.5 * rng.normal(size=STATES)).astype(np.float32),
        "logits": rng.normal(size=(STATES, num_actions)).astype(np.float32),
        "starts": rng.integers(STATES, size=BATCH),
        "legal": legal,
    }


def model_of(tables: dict[str, np.ndarray], discount: float) -> tuple[Any, Any]:
    rewards, values, logits = (jnp.asarray(tables[name]) for name in ("rewards", "values", "logits"))

    def recurrent_fn(params: Any, key: Any, action: Any, state: Any) -> Any:
        state = (state * logits.shape[1] + action + 1) % STATES
        discounts = jnp.full(state.shape, discount)
        output = mctx.RecurrentFnOutput(
            reward=rewards[state], discount=discounts, prior_logits=logits[state], value=values[state]
        )
        return output, state

    starts = jnp.asarray(tables["starts"])
    return mctx.RootFnOutput(prior_logits=logits[starts], value=values[starts], embedding=starts), recurrent_fn


def results_of(output: Any) -> dict[str, np.ndarray]:
    summary = output.search_tree.summary()
    return {
        "actions": np.asarray(output.action),
        "action_weights": np.asarray(output.action_weights),
        "visit_counts": np.asarray(summary.visit_counts),
        "root_values": np.asarray(summary.value),
        "qvalues": np.asarray(summary.qvalues * (summary.visit_counts > 0)),
    }


def run_gumbel(case: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    tables = make_tables(case, seed)
    root, recurrent_fn = model_of(tables, case.get("discount", 1.0))
    transform = functools.partial(
        mctx.qtransform_completed_by_mix_value,
        value_scale=case.get("value_scale", 0.1),
        maxvisit_init=case.get("maxvisit_init", 50.0),
        rescale_values=case["rescale_values"],
    )
    output = mctx.gumbel_muzero_policy(
        (), jax.random.PRNGKey(seed), root, recurrent_fn, case["num_simulations"],
        invalid_actions=jnp.asarray(~tables["legal"]), qtransform=transform,
        max_num_considered_actions=case["max_considered_actions"],
    )
    return tables | results_of(output) | {"noise": np.asarray(output.search_tree.extra_data.root_gumbel)}


def run_puct(case: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    tables = make_tables(case, seed)
    root, recurrent_fn = model_of(tables, case.get("discount", 1.0))
    key = jax.random.PRNGKey(seed)
    output = mctx.muzero_policy(
        (), key, root, recurrent_fn, case["num_simulations"], invalid_actions=jnp.asarray(~tables["legal"]),
        dirichlet_fraction=case.get("dirichlet_fraction", 0.25), dirichlet_alpha=0.3,
        pb_c_init=case.get("pb_c_init", 1.25), pb_c_base=case.get("pb_c_base", 19652.0), temperature=0.0,
    )
    noise = jax.random.dirichlet(jax.random.split(key, 3)[1], jnp.full(case["num_actions"], 0.3), (BATCH,))
    return tables | results_of(output) | {"noise": np.asarray(noise)}


def main() -> None:
    for name, cases, run in (("gumbel", GUMBEL, run_gumbel), ("puct", PUCT, run_puct)):
        arrays = {}
        for index, case in enumerate(cases):
            for key, array in run(case, 100 + index).items():
                arrays[f"{index}/{key}"] = array
        arrays["cases"] = np.array(json.dumps(cases))
        np.savez_compressed(HERE / f"search_{name}.npz", **arrays)


if __name__ == "__main__":
    main()
