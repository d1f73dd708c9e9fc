"""The page about an evaluation: whole, on its own, and readable in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_helpers import PageReader, console_errors, tiny_run

from tspmz.agent import load_agent
from tspmz.cli.command import run_command
from tspmz.cli.eval import evaluate as eval_command
from tspmz.errors import UsageError
from tspmz.evaluation import evaluate
from tspmz.report.evaluation_page import write_report
from tspmz.report.page import DASH
from tspmz.tsp.instances import load_instance_sets

SPEC = "uniform:6:12:1234"


def page_of(directory: Path, run: Path, texts: list[str], **how: Any) -> tuple[Path, PageReader]:
    agent, sets = load_agent(run, "cpu"), load_instance_sets(texts)
    result = evaluate(agent, sets, **{"reference": "exact", **how})
    page = write_report(directory, agent, sets, result, "tspmz-eval <run> & more")
    return page, PageReader(page.read_text(encoding="utf-8"))


def rows(page: PageReader, start: str) -> list[list[str]]:
    (found,) = [table for caption, table in page.tables.items() if caption.startswith(start)]
    assert all(len(row) == len(found[0]) for row in found)
    assert all(cell.strip() for row in found for cell in row)
    return found[1:]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_tables_hold_the_result_the_budgets_and_every_instance(tmp_path: Path) -> None:
    path, page = page_of(tmp_path / "page", tiny_run(tmp_path / "run"), [SPEC], starts=6)
    result = rows(page, "All 12 instances")
    assert [row[0] for row in result] == [
        "nearest neighbor", "farthest insertion", "tspmz, the greedy policy, 6 starts", "the exact optimum",
    ]  # fmt: skip
    assert len(rows(page, "The points of the plot, on all instances.")) == 5 + 6 + 6
    instances = rows(page, "Every instance, the largest gap first.")
    gaps = [float(row[4].removesuffix(" %")) for row in instances]
    assert len(gaps) == 12
    assert gaps == sorted(gaps, reverse=True)
    assert ["problem.num_cities", "6", "20"] in rows(page, "Settings of the run that differ")
    text = path.read_text(encoding="utf-8")
    assert "tspmz-eval &lt;run&gt; &amp; more" in text
    assert "1 evaluations in 1.5 minutes, 240 games" in text


def test_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    path, page = page_of(tmp_path / "page", tiny_run(tmp_path / "run"), [SPEC])
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    assert page.references
    assert all(reference.startswith(("#", "data:")) for reference in page.references)
    assert "url(http" not in path.read_text(encoding="utf-8")


def test_page_without_a_network_leaves_its_parts_out(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        run_command(
            eval_command,
            ["--instances", SPEC, "--decode", "search", "--dynamics", "true", "--prior", "uniform", "--simulations",
             "20", "--reference", "exact", "--report", str(tmp_path / "page")],
        )  # fmt: skip
    assert not caught.value.code
    text = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    page = PageReader(text)
    assert "No network on uniform:6:12:1234, decoded by search with 20 simulations and the true rules, uniform" in text
    assert len(rows(page, "The points of the plot, on all instances.")) >= 3
    assert not [caption for caption in page.tables if "ettings" in caption]
    assert "Learning curves" not in text
    assert "tspmz-eval --instances uniform:6:12:1234 --decode search" in text


def test_without_references_lengths_are_shown_and_no_gaps(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", curve=False)
    path, page = page_of(tmp_path / "page", run, [SPEC], reference="none")
    assert rows(page, "All 12 instances")[-1][2:5] == [DASH] * 3
    text = path.read_text(encoding="utf-8")
    assert "gap-histogram" not in text
    assert "The run has no evaluations in its TensorBoard events." in text


def test_instances_of_several_sizes_count_by_their_own_gaps(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", 1000 * np.random.default_rng(1).random((2, 8, 2)))
    path, page = page_of(tmp_path / "page", tiny_run(tmp_path / "run"), [SPEC, str(tmp_path / "large.npy")])
    assert "14 tours of 6 to 8 cities: " in path.read_text(encoding="utf-8")
    assert {row[1] for row in rows(page, "Every instance")} == {"6", "8"}


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="the report cannot be written"):
        page_of(tmp_path / "file" / "page", tiny_run(tmp_path / "run"), [SPEC], reference="none")


def test_browser_finds_nothing_to_complain_of_and_filled_tables(tmp_path: Path, browser: Any) -> None:
    tiny_run(tmp_path / "run")
    with pytest.raises(SystemExit) as caught:
        run_command(
            eval_command,
            [str(tmp_path / "run"), "--instances", SPEC, "--starts", "all", "--reference", "exact", "--device", "cpu",
             "--report", str(tmp_path / "page")],
        )  # fmt: skip
    assert not caught.value.code
    page = tmp_path / "page" / "index.html"
    assert console_errors(browser, page) == []
    tables = browser.execute_script(
        "return [...document.querySelectorAll('table')].map(t => [...t.querySelectorAll('tbody tr')]"
        ".map(r => [...r.cells].map(c => c.textContent.trim())))"
    )
    assert len(tables) == 5
    assert all(row and all(row) for table in tables for row in table)
    pictures = browser.execute_script(
        "return [...document.querySelectorAll('svg')].map(s => [s.getBoundingClientRect().width,"
        " s.scrollWidth - s.clientWidth, document.getElementById(s.getAttribute('aria-labelledby')).textContent])"
    )
    assert len(pictures) == 3 + 6
    assert all(width > 100 and overflow == 0 and text for width, overflow, text in pictures)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    footer = browser.find_element("tag name", "footer").text
    assert f"tspmz-eval {tmp_path / 'run'} --instances {SPEC} --starts all --reference exact" in footer
    before = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.find_element("id", "theme").click()
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != before
    assert console_errors(browser, page) == []
