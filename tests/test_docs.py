"""The documentation keeps up with the code: links, metrics, file formats, options, examples."""

from __future__ import annotations

import ast
import doctest
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from process_helpers import TinyRun

import tspmz
from tspmz.cli.compare import compare
from tspmz.cli.eval import evaluate
from tspmz.cli.export import export
from tspmz.cli.menu import menu
from tspmz.cli.replay import replay
from tspmz.cli.setting_texts import settings_page
from tspmz.cli.solve import solve
from tspmz.cli.train import train
from tspmz.config import settings
from tspmz.replay.fields import FIELDS
from tspmz.replay.manifest import Manifest
from tspmz.replay.segments import SegmentHeader, SegmentInfo, SegmentWriter
from tspmz.replay.summary import ActorSummary, Summary
from tspmz.rng import generator_for
from tspmz.stats import COLUMNS
from tspmz.tsp import env, tours
from tspmz.tsp.generators import uniform_instances
from tspmz.types import Group

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
CURVE = re.compile(r"[a-z]+/[a-z_<>]+")
PUBLIC = [name for name in tspmz.__all__ if name[0].islower()]
COMMANDS: dict[str, click.Command] = {
    "tspmz": menu, "tspmz-train": train, "tspmz-eval": evaluate, "tspmz-solve": solve, "tspmz-replay": replay,
    "tspmz-compare": compare, "tspmz-export": export,
}  # fmt: skip

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documentation is not beside the tests")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(name), flags=re.MULTILINE | re.DOTALL)


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(name), flags=re.MULTILINE | re.DOTALL)


def anchors(name: str) -> set[str]:
    """Anchors of the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", prose(name), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(text: str) -> dict[str, list[str]]:
    """Cells of the table rows whose first cell is one name in backticks."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip("`"): cells[1:] for cells in rows if re.fullmatch(r"`[^`]+`", cells[0])}


def section(name: str, heading: str) -> str:
    """A page's text from one heading to the next of the same or a higher level."""
    match = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |^\1 |\Z)", text_of(name), re.M | re.S)
    assert match is not None, f"{name} has no section {heading}"
    return match[2]


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_resolve(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.is_file(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(str(page.resolve().relative_to(ROOT))), f"{name} links to {target}"


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name: str) -> None:
    for path in re.findall(r"`([\w/.-]+\.(?:py|md))`", prose(name)):
        assert (ROOT / path).is_file() or (ROOT / "tspmz" / path).is_file(), f"{name} names {path}"


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_are_named_exist(name: str) -> None:
    known = set(settings())
    sections = "|".join(sorted({key.split(".")[0] for key in known}))
    for key in re.findall(rf"(?<![\w./-])(?:{sections})\.\w+", text_of(name)):
        if key.endswith((".py", ".seed_for", ".md")) or key in ("run.lock",):
            continue
        assert key in known, f"{name} names the setting {key}"


def curves_in_code() -> set[str]:
    """Every text of the writers that looks like a tag; a name put into it at run time is written <name>."""
    found: set[str] = set()
    for module in ("monitor", "evaluator", "pictures"):
        tree = ast.parse((ROOT / "tspmz" / f"{module}.py").read_text(encoding="utf-8"))
        parts: set[int] = set()  # of this tree: ids are given again once it is gone
        for node in ast.walk(tree):  # a text comes after the one that it is a part of
            if isinstance(node, ast.JoinedStr):
                found.add("".join(_part(value) for value in node.values))
                parts.update(id(value) for value in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                found.add(node.value)
    return {tag for tag in found if CURVE.fullmatch(tag)}


def _part(value: ast.expr) -> str:
    if isinstance(value, ast.FormattedValue):
        return f"<{ast.unparse(value.value)}>"
    return str(ast.literal_eval(value))


def test_page_of_settings_is_what_the_command_prints() -> None:
    assert text_of("docs/settings.md") == settings_page(), "bin/tspmz-train --list-settings > docs/settings.md"


def test_curves_are_those_of_the_metrics_page() -> None:
    documented = {tag for tag in table_rows(text_of("docs/metrics.md")) if CURVE.fullmatch(tag)}
    assert documented == curves_in_code()


@pytest.mark.parametrize("role", COLUMNS)
def test_statistics_are_those_of_the_metrics_page(role: str) -> None:
    common = table_rows(section("docs/metrics.md", "Every process"))
    documented = common | table_rows(section("docs/metrics.md", role.capitalize()))
    expected = {
        column.name: ["total" if column.counter else "value", column.unit or "-", column.meaning]
        for column in COLUMNS[role]
    }
    assert documented == expected


def test_fields_are_those_of_the_replay_page() -> None:
    every = table_rows(section("docs/replay-format.md", "Segments"))
    rows = {name: cells for name, cells in every.items() if cells[0].startswith("`<")}
    assert {name: cells[0].strip("`") for name, cells in rows.items()} == {field.name: field.dtype for field in FIELDS}
    for field in FIELDS:
        assert rows[field.name][1].replace(", ", "") == field.shape
        assert rows[field.name][2].startswith(f"for `{field.policy_target}`" if field.policy_target else "always")


def test_summary_keys_are_those_of_the_replay_page() -> None:
    page = section("docs/replay-format.md", "Looking into a folder")
    documented = {name for cell in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`(\w+)`", cell)}
    assert documented == {"directory", *Summary._fields, *ActorSummary._fields}


def test_attributes_and_manifest_keys_are_those_of_the_replay_page() -> None:
    page = section("docs/replay-format.md", "Segments")
    attributes = re.findall(r"^\| `(\w+)` \| (?:text|integer) \|", page, flags=re.MULTILINE)
    assert {*attributes} == {*SegmentHeader._fields, "schema_version"}
    entries = table_rows(section("docs/replay-format.md", "Manifest"))["entries"][0]
    assert set(re.findall(r"`(\w+)`", entries)) == set(SegmentInfo._fields)


def test_tests_that_are_named_exist() -> None:
    named = {name: re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of(name)) for name in NAMES}
    assert named["docs/faults.md"]
    for name, tests in named.items():
        for path, test in tests:
            source = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {test}\(", source, flags=re.MULTILINE), f"{name} names {path}::{test}"


def test_every_fault_case_has_one_row_with_tests() -> None:
    rows = re.findall(r"^\| F(\d+) \|.*", text_of("docs/faults.md"), flags=re.MULTILINE)
    assert sorted(map(int, rows)) == list(range(1, 36))
    for line in text_of("docs/faults.md").splitlines():
        if line.startswith("| F"):
            assert "::test_" in line, f"no test: {line}"


def options_of(command: click.Command) -> set[str]:
    if isinstance(command, click.Group):
        return set().union(*(options_of(part) for part in command.commands.values()))
    return {option for parameter in command.params if isinstance(parameter, click.Option) for option in parameter.opts}


@pytest.mark.parametrize("name", NAMES)
def test_command_lines_have_known_options_and_settings(name: str) -> None:
    for line in "\n".join(blocks(name, "sh")).replace("\\\n", " ").splitlines():
        for call in line.split("&&"):
            words = call.split()
            command = next((COMMANDS[Path(word).name] for word in words if Path(word).name in COMMANDS), None)
            if command is None:
                continue
            if isinstance(command, click.Group):
                command = command.commands[words[[Path(word).name in COMMANDS for word in words].index(True) + 1]]
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= options_of(command), f"{name}: {call}"


@pytest.mark.parametrize("name", NAMES)
def test_options_that_are_named_exist(name: str) -> None:
    known = set().union(*(options_of(command) for command in COMMANDS.values())) | {"--logdir", "--shm-size"}
    for option in re.findall(r"`(--[\w-]+)", prose(name)):
        assert option in known, f"{name} names {option}"


def test_rooms_are_those_of_the_architecture_page() -> None:
    first_cells = [line.split("|")[1] for line in section("docs/architecture.md", "Rooms").splitlines() if "|" in line]
    documented = set(re.findall(r"`(\w+)`", " ".join(first_cells)))
    package = ROOT / "tspmz"
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert documented == files | folders


def test_whole_check_is_what_ci_runs() -> None:
    last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert last in text_of("README.md")


def stored_group(group_id: int, num_cities: int = 20, group_size: int = 3) -> Group:
    """A group on the instance that its identity names."""
    rng = generator_for(0, "instance", 0, group_id)
    coordinates = uniform_instances(rng, 1, num_cities)[0]
    played = tours.random_tours(rng, group_size, num_cities)
    state = env.reset(coordinates[None], played[None, :, 0])
    rewards = []
    for t in range(1, num_cities):
        state, time_step = env.step(state, played[None, :, t])
        rewards.append(time_step.rewards[0])
    moves = np.stack(rewards, axis=1)
    absent = (*moves.shape, 0)
    return Group(
        coordinates, played, moves, moves, moves, np.zeros(absent, np.int32), np.zeros(absent, np.float32),
        0, group_id, 0, 1,
    )  # fmt: skip


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a run of two stored groups, as the examples expect it."""
    replay = tmp_path / "runs" / "20-1" / "replay"
    writer = SegmentWriter(
        replay, run_id="example", config_hash="0", num_cities=20, group_size=3, policy_target="advantage"
    )
    info = writer.seal([stored_group(0), stored_group(1)])
    Manifest(replay, "example").add(info)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return replay


@pytest.mark.parametrize("name", [name for name in NAMES if blocks(name, "python")])
def test_python_examples_run(name: str, run_folder: Path) -> None:
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in run_folder.iterdir()}
    exec(compile("\n".join(blocks(name, "python")), name, "exec"), {"__name__": "example"})
    assert before == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in run_folder.iterdir()}


@pytest.fixture
def agent_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with a run of an untrained agent for 20 cities, as the examples expect it."""
    TinyRun(tmp_path / "runs" / "20-1", played=0, problem__num_cities=20).loop.save()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_of_public_functions_run(name: str, agent_folder: None) -> None:
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(tspmz, name), name, globs={})
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0


@pytest.mark.parametrize("name", [name for name in NAMES if blocks(name, "pycon")])
def test_interactive_examples_run(name: str, agent_folder: None) -> None:
    pytest.importorskip("elkai")
    found = doctest.DocTestParser().get_doctest("".join(blocks(name, "pycon")), {}, name, None, None)
    assert doctest.DocTestRunner().run(found).failed == 0


def test_import_of_the_package_is_light() -> None:
    code = "import sys, tspmz; print(sorted({'torch', 'numpy', 'numba', 'h5py', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    assert set(tspmz.__all__) <= set(dir(tspmz))
    with pytest.raises(AttributeError, match="no attribute 'sovle'"):
        tspmz.sovle  # noqa: B018


def test_replay_example_finds_the_shortest_tours(run_folder: Path) -> None:
    found: dict[str, np.ndarray] = {}
    exec(blocks("docs/replay-format.md", "python")[0], found)
    for group_id, tour in enumerate(found["best_tours"]):
        group = stored_group(group_id)
        shortest = tours.tour_lengths(group.coordinates[None], group.tours[None])[0].min()
        assert tours.tour_length(group.coordinates, tour) == pytest.approx(shortest)
    assert json.loads((run_folder / "manifest.json").read_text())["run_id"] == "example"
