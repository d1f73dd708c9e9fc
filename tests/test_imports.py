"""The rooms of the package: imports go one way, the lower rooms know no torch, every module says what it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tspmz

ROOT = Path(next(iter(tspmz.__path__)))

LEVELS = (
    ("__version__", "errors"),
    ("config", "config_files", "types", "rng", "shared", "checksum", "compiled", "allocation"),
    ("weights", "stats", "display", "tensorboard", "control", "settings", "pretrained"),
    ("tsp", "search", "replay", "plots"),
    ("process", "console", "children", "rundir", "curves", "checkpoint", "best", "channels", "trained"),
    ("acceleration", "fitting", "network"),
    ("loss", "learner", "selfplay"),
    ("rollback",),
    (
        "decode", "planning", "games", "diagnostics", "pictures", "agent", "evaluation", "solving", "actor", "training",
        "reanalyzer", "recorder", "evaluator",
    ),
    ("export", "comparison", "report"),
    ("warmup", "resume", "monitor", "serial", "runner"),
    ("muzero",),
    ("cli",),
)
WITHOUT_TORCH = (*LEVELS[0], *LEVELS[1], *LEVELS[2], *LEVELS[3])


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(path: Path) -> set[str]:
    """Every module named in an import statement of `path`, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names} if module == "tspmz" else {module}
    return names


def room(name: str) -> str:
    return name.split(".")[0]


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py")) if module_name(path)}
LEVEL = {name: level for level, rooms in enumerate(LEVELS) for name in rooms}


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_its_own_level_and_below(name: str) -> None:
    level = LEVEL.get(room(name))
    assert level is not None, f"tspmz.{name}: give the new room a place in LEVELS"
    for target in imported(MODULES[name]):
        if target.startswith("tspmz."):
            below = LEVEL.get(room(target.removeprefix("tspmz.")))
            assert below is not None, f"tspmz.{name} imports {target}: give it a place in LEVELS"
            assert below <= level, f"tspmz.{name} imports {target}, which is above it"


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        targets = {room(target.removeprefix("tspmz.")) for target in imported(path) if target.startswith("tspmz.")}
        edges.setdefault(room(name), set()).update(targets - {room(name)})
    done: list[str] = []

    def visit(current: str, above: tuple[str, ...]) -> None:
        assert current not in above, " -> ".join((*above, current))
        if current not in done:
            for target in edges.get(current, ()):
                visit(target, (*above, current))
            done.append(current)

    for start in edges:
        visit(start, ())


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in WITHOUT_TORCH])
def test_lower_rooms_import_no_torch(name: str) -> None:
    assert not {target for target in imported(MODULES[name]) if room(target) == "torch"}


def test_search_imports_no_other_room() -> None:
    allowed = {"tspmz.types", "tspmz.compiled"}
    for name, path in MODULES.items():
        if room(name) == "search":
            others = {t for t in imported(path) if t.startswith("tspmz.") and not t.startswith("tspmz.search")}
            assert others <= allowed, f"tspmz.{name} imports {others - allowed}"


@pytest.mark.parametrize("name", MODULES)
def test_module_says_what_it_is(name: str) -> None:
    text = ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    assert text
    assert text.splitlines()[0].endswith(".")


def test_help_needs_no_heavy_module() -> None:
    code = (
        "import sys, tspmz.cli.train, tspmz.cli.eval, tspmz.cli.solve, tspmz.cli.replay, tspmz.cli.compare\n"
        "import tspmz.cli.export\n"
        "print(sorted({'torch', 'numpy', 'numba', 'h5py', 'matplotlib', 'rich', 'tensorboardX'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
