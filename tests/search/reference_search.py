"""Slow, transparent tree search in float64, written from the papers: the oracle for the compiled one.

Gumbel MuZero: Danihelka et al. 2022. MuZero: Schrittwieser et al. 2020. A tree is nested dictionaries; every rule is a
few lines of numpy over all actions. `margin` tells how close the closest decision was, so that a test can set aside
examples that float32 may decide otherwise.
"""

import math
from typing import Any

import numpy as np

Path = tuple[int, ...]


def hash_model(seed: int, num_actions: int, scale: float = 1.0) -> Any:
    """A model whose outputs are random numbers that depend on the path of actions alone."""
    known: dict[Path, tuple[float, float, np.ndarray]] = {}

    def model(path: Path) -> tuple[float, float, np.ndarray]:
        if path not in known:
            rng = np.random.default_rng([seed, len(path), *path])
            reward, value = (np.float32(x) for x in rng.normal(size=2) * 0.3)
            known[path] = float(reward), float(value), (rng.normal(size=num_actions) * scale).astype(np.float32)
        return known[path]

    return model


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def halving_sequence(considered: int, simulations: int) -> list[int]:
    """Sequential halving, played out: who is visited next, told by how often he was visited before."""
    if considered == 1:
        return list(range(simulations))
    visits = dict.fromkeys(range(considered), 0)
    alive = considered
    sequence: list[int] = []
    phases = math.ceil(math.log2(considered))
    while len(sequence) < simulations:
        for _ in range(max(1, int(simulations / (phases * alive)))):
            for player in range(alive):
                sequence.append(visits[player])
                visits[player] += 1
        alive = max(2, alive // 2)
    return sequence[:simulations]


class ReferenceSearch:
    """One search from one root. Arguments as those of `BatchedSearch`, noise given."""

    def __init__(self, model: Any, legal: np.ndarray, noise: np.ndarray, **settings: Any) -> None:
        self.model = model
        self.legal = legal
        self.noise = noise.astype(np.float64)
        self.s = settings
        self.margin = math.inf
        self.q_low, self.q_high = math.inf, -math.inf
        self.depths: list[int] = []
        self.root = self.make_node(())

    def make_node(self, path: Path) -> dict[str, Any]:
        reward, value, logits = self.model(path)
        legal = self.legal.copy()
        if self.s["mask_interior"]:
            legal[list(path)] = False
        elif path:
            legal[:] = True
        if not legal.any():
            value = 0.0
        logits = np.where(legal, logits.astype(np.float64), -np.inf)
        prior = softmax(logits) if legal.any() else np.zeros(len(legal))
        node = {"path": path, "reward": reward, "raw": value, "total": value, "count": 1, "legal": legal}
        node |= {"logits": logits, "prior": prior, "children": {}}
        if not path and self.s["algorithm"] == "puct" and self.noise[legal].sum() > 0:
            share = np.where(legal, self.noise, 0.0) / self.noise[legal].sum()
            node["prior"] = (1 - self.s["dirichlet_fraction"]) * prior + self.s["dirichlet_fraction"] * share
        return node

    def q(self, child: dict[str, Any]) -> float:
        return child["reward"] + self.s["discount"] * self.value(child)

    def value(self, node: dict[str, Any]) -> float:
        if self.s["backup"] == "max":
            untried = len(node["children"]) < node["legal"].sum()
            known = [self.q(child) for child in node["children"].values()]
            return max(known + [node["raw"]] * int(untried or not known))
        return node["total"] / node["count"]

    def visits(self, node: dict[str, Any]) -> np.ndarray:
        return np.array([node["children"][a]["count"] if a in node["children"] else 0 for a in range(len(self.legal))])

    def bonus(self, node: dict[str, Any]) -> np.ndarray:
        """sigma of the completed Q values: eq. 8 and appendix D, eq. 33."""
        visits = self.visits(node)
        qs = np.array([self.q(node["children"][a]) if visits[a] else 0.0 for a in range(len(visits))])
        prior = np.maximum(node["prior"], np.finfo(np.float32).tiny)
        seen = visits > 0
        mixed = node["raw"]
        if seen.any():
            mean = (prior[seen] * qs[seen]).sum() / prior[seen].sum()
            mixed = (node["raw"] + visits.sum() * mean) / (1 + visits.sum())
        completed = np.where(seen, qs, mixed)
        if self.s["rescale_values"]:
            among = completed[node["legal"]]
            completed = (completed - among.min()) / max(among.max() - among.min(), 1e-8)
        return (self.s["maxvisit_init"] + visits.max()) * self.s["value_scale"] * completed

    def best(self, scores: np.ndarray) -> int:
        """Largest score, lowest index of equals; notes the margin to the second."""
        order = np.sort(scores[np.isfinite(scores)])
        if len(order) > 1:
            self.margin = min(self.margin, order[-1] - order[-2])
        return int(np.argmax(scores))

    def considered_scores(self, count: int) -> np.ndarray:
        root = self.root
        shifted = root["logits"] - root["logits"].max()
        scores = np.maximum(-1e9, self.noise + shifted + self.bonus(root))
        return np.where(root["legal"] & (self.visits(root) == count), scores, -np.inf)

    def choose(self, node: dict[str, Any], simulation: int) -> int:
        visits = self.visits(node)
        if self.s["algorithm"] == "puct":
            return self.best(self.puct_scores(node, visits))
        if not node["path"]:
            considered = min(self.s["max_considered_actions"], int(self.legal.sum()))
            count = halving_sequence(considered, self.s["num_simulations"])[simulation]
            return self.best(self.considered_scores(count))
        improved = softmax(node["logits"] + self.bonus(node))
        return self.best(np.where(node["legal"], improved - visits / (1 + visits.sum()), -np.inf))

    def puct_scores(self, node: dict[str, Any], visits: np.ndarray) -> np.ndarray:
        """MuZero, appendix B, eq. 2 and 5."""
        s = self.s
        low, high = self.q_low, self.q_high
        if s["q_normalization"] == "siblings":
            known = [self.q(child) for child in node["children"].values()] + [self.value(node)]
            low, high = min(known), max(known)
        scores = np.full(len(visits), -np.inf)
        for a in np.flatnonzero(node["legal"]):
            q = (self.q(node["children"][a]) - low) / max(high - low, 1e-8) if visits[a] else 0.0
            c = s["pb_c_init"] + math.log((node["count"] + s["pb_c_base"] + 1) / s["pb_c_base"])
            scores[a] = q + c * node["prior"][a] * math.sqrt(node["count"]) / (1 + visits[a])
        return scores

    def simulate(self, simulation: int) -> None:
        path = [self.root]
        while path[-1]["legal"].any():
            action = self.choose(path[-1], simulation)
            children = path[-1]["children"]
            if action not in children:
                children[action] = self.make_node((*path[-1]["path"], action))
                path.append(children[action])
                break
            path.append(children[action])
        else:
            path[-1]["count"] += 1
        self.depths.append(len(path) - 1)
        value = path[-1]["raw"]
        for parent, child in zip(path[-2::-1], path[:0:-1], strict=True):
            value = child["reward"] + self.s["discount"] * value
            self.q_low, self.q_high = min(self.q_low, self.q(child)), max(self.q_high, self.q(child))
            parent["total"] += value
            parent["count"] += 1

    def run(self) -> dict[str, Any]:
        """Results by the names of `SearchResult`; the PUCT action is the most visited one."""
        for simulation in range(self.s["num_simulations"]):
            self.simulate(simulation)
        root = self.root
        visits = self.visits(root)
        if self.s["algorithm"] == "puct":
            weights, action = visits / visits.sum(), int(np.argmax(visits))
        else:
            weights = softmax(root["logits"] + self.bonus(root))
            action = self.best(self.considered_scores(visits.max()))
        qvalues = [self.q(root["children"][a]) if visits[a] else 0.0 for a in range(len(visits))]
        return {
            "actions": action,
            "action_weights": weights,
            "visit_counts": visits,
            "root_values": self.value(root),
            "qvalues": np.array(qvalues),
            "depths": np.mean(self.depths),
        }
