"""Exit codes, streams and settings of the command line, as a shell sees them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clear_bench.cli import COMMANDS, invoke
from clear_bench.registry import load


def shell(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clear_bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **settings)  # type: ignore[call-overload]


def test_help_names_every_command() -> None:
    done = shell("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert done.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(COMMANDS[name][0]).name == name  # type: ignore[attr-defined]
    assert invoke([name, "--help"]) == 0
    assert "Usage: clear-bench" in capsys.readouterr().out


def test_mistyped_command_is_usage_error_with_the_near_miss() -> None:
    done = shell("laederboard")
    assert done.returncode == 2
    assert "leaderboard" in done.stderr
    assert done.stdout == ""


def test_mistyped_option_is_usage_error_with_the_near_miss() -> None:
    done = shell("run", "--modle", "x")
    assert done.returncode == 2
    assert "--model" in done.stderr


def test_version_is_the_package_version() -> None:
    import clear_bench

    assert shell("--version").stdout.strip() == f"clear-bench {clear_bench.__version__}"


def test_closed_pipe_ends_quietly() -> None:
    program = f"set -o pipefail; {sys.executable} -m clear_bench list languages --json | true"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_ends_with_the_shells_code(sent: signal.Signals, code: int) -> None:
    program = (
        "import click, sys, time\n"
        "from clear_bench import cli\n"
        "@click.command()\n"
        "def wait():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "cli.COMMANDS['wait'] = ('sitecustom:wait', '')\n"
        "cli.load = lambda row: wait\n"
        "sys.exit(cli.invoke(['wait']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors


def test_configuration_file_sets_defaults_and_flags_win(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clear-bench.toml").write_text('[doctor]\ncache-dir = "from-file"\n')
    done = shell("doctor", cwd=tmp_path, env=_without_cache())
    assert "from-file" in done.stdout
    done = shell("doctor", "--cache-dir", "from-flag", cwd=tmp_path, env=_without_cache())
    assert "from-flag" in done.stdout


def test_environment_wins_over_the_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "clear-bench.toml").write_text('[doctor]\ncache-dir = "from-file"\n')
    done = shell("doctor", cwd=tmp_path, env=_without_cache() | {"CLEAR_BENCH_CACHE": "from-environment"})
    assert "from-environment" in done.stdout


def test_project_file_is_read_when_there_is_no_own_one(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.clear-bench.doctor]\ncache-dir = "from-project"\n')
    assert "from-project" in shell("doctor", cwd=tmp_path, env=_without_cache()).stdout


@pytest.mark.parametrize(
    ("text", "near"),
    [("[doctor]\ncache-dri = 'x'\n", "cache-dir"), ("[docter]\n", "doctor"), ("x = [", "not valid TOML")],
)
def test_bad_configuration_is_usage_error(tmp_path: Path, text: str, near: str) -> None:
    (tmp_path / "clear-bench.toml").write_text(text)
    done = shell("doctor", cwd=tmp_path, env=_without_cache())
    assert done.returncode == 2
    assert near in done.stderr


def test_schema_lists_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    import jsonschema

    assert invoke(["schema"]) == 0
    for name in capsys.readouterr().out.split():
        assert invoke(["schema", name]) == 0
        jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))
    assert invoke(["schema", "gaet"]) == 2
    assert "'gate'" in capsys.readouterr().err


def test_doctor_says_what_clashes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from clear_bench.cli import doctor

    class Wheel:
        def __init__(self, name: str) -> None:
            self.metadata = {"Name": name}

    monkeypatch.setattr(doctor, "distributions", lambda: [Wheel("faiss-cpu"), Wheel("faiss-gpu")])
    assert doctor._faiss()[1] == "problem"
    assert "pip uninstall faiss-cpu faiss-gpu" in doctor._faiss()[2]
    monkeypatch.setattr(doctor, "distributions", lambda: [Wheel("faiss-gpu")])
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert doctor._faiss()[:2] == ("faiss", "problem")
    assert "faiss-gpu is installed but does not load" in doctor._faiss()[2]
    monkeypatch.setattr(doctor, "distributions", list)
    assert doctor._faiss()[:2] == ("faiss", "missing")


def test_doctor_says_what_faiss_was_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = pytest.importorskip("faiss")
    from clear_bench.cli import doctor

    monkeypatch.setattr(doctor, "distributions", list)  # conda leaves no wheel's name behind
    monkeypatch.setattr(faiss, "get_compile_options", lambda: "OPTIMIZE AVX2 ")
    assert doctor._faiss() == ("faiss", "ok", f"faiss {faiss.__version__}")
    monkeypatch.setattr(faiss, "get_compile_options", lambda: "OPTIMIZE GPU NVIDIA_CUVS AVX2 ")
    assert doctor._faiss()[2] == f"faiss {faiss.__version__}, built for GPUs and cuVS"


def _without_cache() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "CLEAR_BENCH_CACHE"}
