"""tspmz-train: run folders, resuming, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import tspmz
from tspmz.cli.command import run_command
from tspmz.cli.train import train
from tspmz.config import Config, settings
from tspmz.config_files import build_config, flat_values
from tspmz.errors import RunError, TspmzError, UsageError
from tspmz.rundir import RunDirectory, read_config
from tspmz.shared import SharedMemoryError

BIN = Path(__file__).parents[2] / "bin"

Run = Callable[..., int]


class FakeRunner(types.ModuleType):
    """Stands for tspmz.runner: opens the run folder, remembers how it was called and ends as told."""

    def __init__(self) -> None:
        super().__init__("tspmz.runner")
        self.calls: list[tuple[Config, Path, bool]] = []
        self.allow_empty_replay = False
        self.end: int | BaseException = 0

    def train(self, config: Config, run_dir: Path, resume: bool, allow_empty_replay: bool) -> int:
        self.allow_empty_replay = allow_empty_replay
        if not resume:
            RunDirectory.create(run_dir, config).close()
        self.calls.append((config, run_dir, resume))
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRunner:
    fake = FakeRunner()
    monkeypatch.setitem(sys.modules, "tspmz.runner", fake)
    monkeypatch.chdir(tmp_path)
    return fake


def code_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        run_command(train, list(arguments))
    return int(caught.value.code or 0)


def stored_run(folder: Path, **values: object) -> Path:
    folder.mkdir()
    config = build_config({key.replace("__", "."): value for key, value in values.items()})
    (folder / "config.json").write_text(json.dumps({"config": config.to_dict()}))
    return folder


def test_settings_reach_the_runner(runner: FakeRunner) -> None:
    assert code_of("--cities", "30", "--minutes", "1.5", "--set", "search.num_simulations=16") == 0
    ((config, run_dir, resume),) = runner.calls
    assert config.problem.num_cities == 30
    assert config.run.minutes == 1.5
    assert config.search.num_simulations == 16
    assert (run_dir, resume) == (Path("runs/30-1"), False)


@pytest.mark.parametrize(("cities", "simulations"), [(20, 8), (34, 8), (35, 0), (50, 0), (1000, 0)])
def test_preset_follows_the_number_of_cities(cities: int, simulations: int, runner: FakeRunner) -> None:
    assert code_of("--cities", str(cities)) == 0
    assert runner.calls[-1][0].search.num_simulations == simulations


def test_files_and_values_stand_above_the_preset(runner: FakeRunner) -> None:
    assert code_of("--cities", "50", "--set", "search.num_simulations=3") == 0
    assert code_of("--cities", "50", "--config", "presets/tsp20.toml") == 0
    chosen = [(config.search.num_simulations, config.replay.advantage_baseline) for config, _, _ in runner.calls]
    assert chosen == [(3, 1.0), (8, 0.5)]


def test_default_run_folders_are_numbered(runner: FakeRunner) -> None:
    Path("runs/20-7").mkdir(parents=True)
    Path("runs/20-old").mkdir()
    for _ in range(2):
        assert code_of() == 0
    assert [run_dir for _, run_dir, _ in runner.calls] == [Path("runs/20-8"), Path("runs/20-9")]


def test_new_and_empty_run_folders_are_taken(runner: FakeRunner) -> None:
    Path("empty").mkdir()
    assert code_of("--run-dir", "empty") == 0
    assert code_of("--run-dir", "deep/new") == 0
    assert Path("deep/new").is_dir()


def test_folder_with_something_in_it_is_refused(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    Path("full").mkdir()
    Path("full", "notes.txt").write_text("")
    assert code_of("--run-dir", "full") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: full: not empty")
    assert "--run-dir" in line
    assert runner.calls == []


def test_folder_in_use_is_refused(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    running = RunDirectory.create(Path("busy"), Config())
    assert code_of("--run-dir", "busy") == 2
    running.close()
    assert f"error: busy: in use by process {os.getpid()}" in capsys.readouterr().err


def test_folder_that_cannot_be_made_is_refused(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert code_of("--run-dir", "file/run") == 2
    Path("runs").write_text("")
    assert code_of() == 2
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert first.startswith("error: file/run: the run directory cannot be made: ")
    assert second.startswith("error: runs: the run folder cannot be made: ")


def test_wrong_settings_are_all_named_and_make_no_folder(
    runner: FakeRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("--cities", "2", "--actors", "none", "--set", "search.sims=3") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)
    assert not Path("runs").exists()


def test_unknown_option_is_refused(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--citties", "20") == 2
    assert "--citties" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1, 130, 143])
def test_exit_code_of_the_run_is_kept(code: int, runner: FakeRunner) -> None:
    runner.end = code
    assert code_of() == code


@pytest.mark.parametrize("error", [RunError("it broke"), TspmzError("it broke"), SharedMemoryError("it broke")])
def test_run_errors_are_one_line_and_exit_code_1(
    error: Exception, runner: FakeRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.end = error
    assert code_of() == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: it broke"


def test_unforeseen_errors_keep_their_traceback(runner: FakeRunner) -> None:
    runner.end = RuntimeError("a defect")
    with pytest.raises(RuntimeError, match="a defect"):
        run_command(train, [])


def test_interrupt_outside_the_run_is_130(runner: FakeRunner) -> None:
    runner.end = KeyboardInterrupt()
    assert code_of() == 130


def test_resume_goes_on_with_the_stored_settings(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    stored_run(Path("old"), problem__num_cities=30, learner__learning_rate=0.002)
    assert code_of("--resume", "old") == 0
    ((config, run_dir, resume),) = runner.calls
    assert config.problem.num_cities == 30
    assert config.learner.learning_rate == 0.002
    assert (run_dir, resume) == (Path("old"), True)
    assert capsys.readouterr().err == ""


def test_resume_without_stored_episodes_must_be_allowed(
    runner: FakeRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_run(Path("old"))
    assert code_of("--resume", "old") == 0
    assert not runner.allow_empty_replay
    assert code_of("--resume", "old", "--allow-empty-replay") == 0
    assert runner.allow_empty_replay
    assert code_of("--allow-empty-replay") == 2
    assert "needs --resume" in capsys.readouterr().err


def test_resume_notes_what_changes(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    stored_run(Path("old"), learner__learning_rate=0.002)
    assert code_of("--resume", "old", "--actors", "3", "--set", "learner.learning_rate=0.001") == 0
    assert runner.calls[0][0].selfplay.num_actors == 3
    assert capsys.readouterr().err.splitlines() == [
        "note: selfplay.num_actors: 1 -> 3",
        "note: learner.learning_rate: 0.002 -> 0.001",
    ]


def test_resume_refuses_what_cannot_change_with_a_table(
    runner: FakeRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_run(Path("old"), problem__num_cities=30)
    assert code_of("--resume", "old", "--cities", "20", "--set", "network.num_layers=4") == 2
    text = capsys.readouterr().err
    for piece in ("problem.num_cities", "30", "20", "network.num_layers", "3", "4", "2 settings cannot change"):
        assert piece in text
    assert runner.calls == []


def other_value(value: object) -> str:
    """Some text that a setting takes for another value of its type."""
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, int | float):
        return str(value + 1)
    return f"{value}x"


def test_f27_every_setting_either_refuses_to_change_or_may(
    runner: FakeRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it is fixed decides; what a free one may become is for the rules of the settings to say."""
    values = flat_values(read_config(stored_run(Path("old"))))
    fixed = {key for key, field in settings().items() if field.metadata["fixed"]}
    assert {"problem.num_cities", "network.support_size", "run.seed", "selfplay.group_size"} <= fixed
    assert not {"learner.learning_rate", "selfplay.num_actors", "search.num_simulations", "run.minutes"} & fixed
    for key, value in values.items():
        code = code_of("--resume", "old", "--set", f"{key}={other_value(value)}")
        text = capsys.readouterr().err
        assert ("1 setting cannot change when a run is resumed" in text) == (key in fixed), key
        assert key in text
        assert code == 2 if key in fixed else code in (0, 2)
    assert all(run_dir == Path("old") for _, run_dir, _ in runner.calls)


def _config_text(value: str) -> bytes:
    return b'{"run_id": "x", "config": {"search": {"discount": ' + value.encode() + b"}}}"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00", b'{"a":' * 100_000, b"[" * 100_000, b'{"config": ' + b"[" * 900 + b"]" * 900 + b"}",
        _config_text("NaN"), _config_text("Infinity"), _config_text("1e999"), _config_text("9" * 5000),
        _config_text("[" * 500 + "]" * 500), _config_text('{"__class__": "os.system"}'),
        b'{"config": {"search": {"!!python/object/apply:os.system": 1}}}', b" " * 2**21,
    ],
    ids=range(12),
)  # fmt: skip
def test_malicious_config_is_one_line_each(
    content: bytes, runner: FakeRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    (stored_run(Path("old")) / "config.json").write_bytes(content)
    assert code_of("--resume", "old") == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert len(text) < 1000
    assert runner.calls == []


def test_config_that_is_a_link_or_a_pipe_is_not_read(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    path = stored_run(Path("old")) / "config.json"
    path.rename("elsewhere.json")
    path.symlink_to(Path("elsewhere.json").absolute())
    assert code_of("--resume", "old") == 2
    assert "symbolic link" in capsys.readouterr().err
    path.unlink()
    os.mkfifo(path)
    assert code_of("--resume", "old") == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_deep_toml_file_is_one_line(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    Path("deep.toml").write_text("a = " + "[" * 100_000)
    assert code_of("--config", "deep.toml") == 2
    assert "error: deep.toml: not a TOML file" in capsys.readouterr().err


def test_resume_without_a_run_is_refused(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert code_of("--resume", "empty") == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_resume_of_a_damaged_config_is_explained(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    (stored_run(Path("old")) / "config.json").write_text("{")
    assert code_of("--resume", "old") == 2
    assert "not a JSON file" in capsys.readouterr().err


def test_resume_and_run_dir_exclude_each_other(runner: FakeRunner, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--resume", "a", "--run-dir", "b") == 2
    assert "exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(path.name for path in BIN.iterdir()))
def test_script_prints_help(name: str) -> None:
    script = BIN / name
    assert os.access(script, os.X_OK)
    environment = {**os.environ, "PYTHONPATH": str(BIN.parent)}
    for option, shown in (("--help", f"Usage: {name} [OPTIONS]"), ("--version", f"tspmz {tspmz.__version__}\n")):
        command = [sys.executable, str(script), option]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
        assert done.stdout.startswith(shown)


def test_folder_of_a_run_that_never_began_is_used_by_the_next(runner: FakeRunner) -> None:
    def refuse(config: Config, run_dir: Path, resume: bool, allow_empty_replay: bool) -> int:
        raise UsageError("no such device")

    runner.train, train_well = refuse, runner.train  # type: ignore[method-assign]
    assert code_of("--minutes", "1") == 2
    runner.train = train_well  # type: ignore[method-assign]
    assert code_of("--minutes", "1") == 0
    assert [path.name for path in Path("runs").iterdir()] == ["20-1"]


def test_initial_weights_are_for_new_runs(
    runner: FakeRunner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_run(tmp_path / "run")
    assert code_of("--resume", "run", "--init-from", "tsp20") == 2
    assert "(--init-from) is for new runs" in capsys.readouterr().err
    assert runner.calls == []
