"""Results: what they say of themselves, as JSON and back, as a table and as a page."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import page, rendering
from benchmarks.results import Figure, Machine, Result, Table, load, number, save

MACHINE = Machine("a processor", 2, "none", 0.25, "abcdef1", {"python": "3.11"})
RESULT = Result(
    "search",
    "Search",
    "How fast?",
    tables=[Table("of trees", ("batch", "tspmz/s", "mctx/s"), [[64, 1234567.8, "not installed"], [1, 0.5, None]])],
    figures=[
        Figure("against mctx", 2.5, 2.0, 3.0, at_least=2.0),
        Figure("first step", 15.5, unit="s", at_most=15.0),
        Figure("against another", None, at_least=2.0, why="not installed"),
    ],
    notes=["One note."],
    machine=MACHINE,
)


def test_figures_know_whether_they_are_what_was_asked() -> None:
    assert [figure.met for figure in RESULT.figures] == [True, False, None]
    assert Figure("nothing asked", 1.0).met is None
    assert [figure.asked for figure in RESULT.figures] == ["at least 2.00", "at most 15.0", "at least 2.00"]


def test_json_gives_back_what_was_saved_and_keeps_other_questions(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    other = Result("ring", "Ring", "How fast?")
    save([RESULT, other], path)
    save([Result("ring", "Ring", "How fast now?", machine=MACHINE)], path)
    first, second = load(path)
    assert first.figures == RESULT.figures
    assert first.machine == MACHINE
    assert [list(row) for row in first.tables[0].rows] == [list(row) for row in RESULT.tables[0].rows]
    assert rendering.markdown(first) == rendering.markdown(RESULT)
    assert second.answers == "How fast now?"


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    for text in ('{"a": 1}', "not JSON", '[{"name": "search"}]'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"other\.json: not a file of results"):
            load(path)


def test_markdown_has_every_number_and_verdict() -> None:
    text = rendering.markdown(RESULT)
    assert "### Search\n\nHow fast?\n\n```sh\npython -m benchmarks search\n```" in text
    assert "of trees:\n\n| batch | tspmz/s | mctx/s |\n|--:|--:|---|" in text
    assert "| 64 | 1,234,568 | not installed |\n| 1 | 0.50 |  |" in text
    assert "| against mctx | 2.50 | 2.00 to 3.00 | at least 2.00 | reached |" in text
    assert "| first step | 15.5 s |  | at most 15.0 | missed |" in text
    assert "| against another | not installed |  | at least 2.00 |  |" in text
    assert "- One note." in text
    assert "Commit abcdef1; a processor, 2 cores, no GPU, load 0.2 at the start; python 3.11." in text


def test_table_at_a_terminal_has_every_number() -> None:
    stream = io.StringIO()
    rendering.show(RESULT, Console(file=stream, width=120))
    for part in ("1,234,568", "not installed", "reached", "missed", "One note."):
        assert part in stream.getvalue()


def test_short_trials_are_not_judged() -> None:
    trial = Result("search", "Search", "How fast?", figures=RESULT.figures, short=True)
    assert "reached" not in rendering.markdown(trial)


def test_page_gets_new_results_and_keeps_the_rest() -> None:
    text = f"before\n\n{page.BEGIN}\n\nold\n\n{page.END}\n\nafter\n"
    new = page.filled(text, ["### One", "### Two"])
    assert new == f"before\n\n{page.BEGIN}\n\n### One\n\n### Two\n\n{page.END}\n\nafter\n"
    assert page.filled(new, ["### One", "### Two"]) == new
    with pytest.raises(ValueError, match="want one line"):
        page.filled("no markers", [])


def test_page_is_not_made_of_short_trials(tmp_path: Path) -> None:
    save([Result("selfplay", "Self-play", "How fast?", short=True)], tmp_path / "results.json")
    with pytest.raises(ValueError, match="selfplay: results of --short mean nothing"):
        page.sections_of(tmp_path / "results.json")


@pytest.mark.parametrize(
    ("value", "text"), [(1234567, "1,234,567"), (1234.5, "1,234"), (12.34, "12.3"), (1.5, "1.50"), (0.00123, "0.0012")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_page_of_the_docs_is_what_its_results_make_it() -> None:
    docs = Path(page.__file__).parents[1] / "docs"
    if not (docs / "benchmarks.json").exists():
        pytest.skip("no results are kept")
    text = (docs / "benchmarks.md").read_text(encoding="utf-8")
    assert page.filled(text, page.sections_of(docs / "benchmarks.json")) == text
