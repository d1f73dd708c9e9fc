"""Models that come along: small, loaded by name, and as good as their cards say."""

from __future__ import annotations

from pathlib import Path

import pytest

import tspmz
from tspmz.errors import UsageError
from tspmz.evaluation import evaluate
from tspmz.export import SMALL_COUNT, card_text
from tspmz.pretrained import DIRECTORY, find_agent, model_card, model_for, model_names, model_path

NAMES = model_names()
MAX_BYTES = 4 * 2**20
GAP_TOLERANCE = 0.002
"""Other processors round otherwise, which now and then turns a close decision of the policy."""


def test_those_that_the_docs_name_are_there() -> None:
    assert {"tsp20", "tsp50"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_file_is_small_and_holds_what_its_card_says(name: str) -> None:
    card = model_card(name)
    agent = tspmz.load_pretrained(name, device="cpu")
    assert card["name"] == name == agent.source
    assert model_path(name).stat().st_size == card["bytes"] <= MAX_BYTES
    assert agent.train_steps == card["train_steps"]
    assert agent.config.problem.num_cities == card["cities"]
    assert model_path(name).with_suffix(".md").read_text(encoding="utf-8") == card_text(card)


@pytest.mark.parametrize("name", NAMES)
def test_gap_on_a_small_set_is_what_the_card_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("elkai")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    agent = tspmz.load_pretrained(name, device="cpu")
    rows = model_card(name)["small_results"]
    assert len(rows) == 2
    for row in rows:
        assert row["instances"] == SMALL_COUNT
        found = evaluate(
            agent, row["instance_set"], decode=row["decode"], starts=row["starts"], augment=row["augment"]
        ).summary()
        assert found["reference_length_mean"] == pytest.approx(row["reference_length_mean"], rel=1e-4)
        assert found["gap_mean"] == pytest.approx(row["gap_mean"], abs=GAP_TOLERANCE)


def test_unknown_name_is_refused_with_the_names_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no pretrained model 'tsp7'; there is .*tsp20"):
        tspmz.load_pretrained("tsp7")
    with pytest.raises(UsageError, match=r"nowhere: no such run folder or checkpoint, and no pretrained .*tsp20"):
        find_agent(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("num_cities", "name"), [(3, "tsp20"), (20, "tsp20"), (31, "tsp20"), (32, "tsp50"), (50, "tsp50"), (900, "tsp50")]
)
def test_without_a_name_the_size_decides(num_cities: int, name: str) -> None:
    assert model_for(num_cities) == name  # 31.6 is as many times 20 as 50 is of it


def test_of_several_sizes_the_largest_decides() -> None:
    assert evaluate(None, ["uniform:5:2:1"], reference="none", device="cpu").source == "tsp20"
    both = evaluate(None, ["uniform:5:2:1", "uniform:33:2:1"], reference="none", device="cpu")
    assert both.source == "tsp50"


def test_what_is_there_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_agent(Path("tsp20")) == DIRECTORY / "tsp20.pt"
    Path("tsp20").mkdir()
    assert find_agent(Path("tsp20")) == Path("tsp20")
