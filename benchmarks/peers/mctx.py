"""Worker: mctx (JAX, compiled for the CPU), Gumbel MuZero and MuZero policies around a model that is a table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.tables import table_of
from benchmarks.peers.worker import seconds_of, serve

# One thread, as everywhere in these comparisons.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
_CACHE = Path(os.environ.get("TSPMZ_PEERS") or ".peers") / "compiled"


class _Search:
    """A compiled search of B roots.

    Args:
        algorithm: "gumbel" or "puct".
        batch_size, num_actions, num_simulations: B, N, S.
        constant: rewards and values are the same everywhere.
    """

    def __init__(self, algorithm: str, batch_size: int, num_actions: int, num_simulations: int, constant: bool) -> None:
        import jax
        import jax.numpy as jnp
        import mctx

        policy = {"gumbel": mctx.gumbel_muzero_policy, "puct": mctx.muzero_policy}[algorithm]
        settings = {"max_num_considered_actions": 16} if algorithm == "gumbel" else {}

        def recurrent(table: Any, _: Any, actions: Any, states: Any) -> Any:
            rewards, values, logits = table
            reached = (states * num_actions + actions + 1) % len(rewards)
            output = mctx.RecurrentFnOutput(
                reward=rewards[reached], discount=jnp.ones_like(rewards[reached]),
                prior_logits=logits[reached], value=values[reached],
            )  # fmt: skip
            return output, reached

        def run(table: Any, key: Any) -> Any:
            starts = jnp.arange(batch_size, dtype=jnp.int32) % len(table[0])
            root = mctx.RootFnOutput(prior_logits=table[2][starts], value=table[1][starts], embedding=starts)
            output = policy(table, key, root, recurrent, num_simulations, **settings)
            tree = output.search_tree
            return output.action, output.action_weights, tree.node_values[:, 0], tree.parents

        self._arguments = tuple(map(jnp.asarray, table_of(num_actions, constant))), jax.random.PRNGKey(0)
        self._run = jax.jit(run).lower(*self._arguments).compile()

    def run(self) -> Any:
        """Search once; returns actions, improved policies, root values and each node's parent."""
        found = self._run(*self._arguments)
        for part in found:
            part.block_until_ready()
        return found

    def mean_depth(self) -> float:
        """Of the expanded nodes; a child of the root has depth 1."""
        import numpy as np

        parents = np.asarray(self.run()[3])  # [B, S + 1]; -1 where a node was never made
        depths = np.zeros(parents.shape)
        for node in range(1, parents.shape[1]):
            depths[:, node] = depths[np.arange(len(parents)), np.maximum(parents[:, node], 0)] + 1
        return float(depths[:, 1:][parents[:, 1:] >= 0].mean())


def _load() -> tuple[str, Mapping[str, Callable[..., Any]]]:
    import jax
    import mctx  # noqa: F401

    jax.config.update("jax_compilation_cache_dir", str(_CACHE.resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    prepared: list[_Search] = []

    def prepare(**settings: Any) -> None:
        prepared[:] = [_Search(**settings)]

    version = f"{metadata.version('mctx')} (jax {metadata.version('jax')})"
    return version, {
        "prepare": prepare,
        "run": lambda calls: seconds_of(calls, prepared[0].run, time.process_time),
        "mean_depth": lambda: prepared[0].mean_depth(),
    }


if __name__ == "__main__":
    serve(_load)
