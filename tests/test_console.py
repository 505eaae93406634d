"""What reaches stdout and stderr, on any console, and the one exit code for each way a command can end."""

from __future__ import annotations

import ast
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

import clear_bench
from clear_bench import cli, console, disk
from clear_bench.errors import CheckpointError, EnvironmentFault, MissingExtraError, UsageError, install_command
from clear_bench.render import escape

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def shell(*arguments: str, encoding: str = "utf-8", **settings: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "clear_bench", *arguments]
    settings.setdefault("stdout", subprocess.PIPE)
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=120, env=env, **settings)  # type: ignore[call-overload]


def ends(error: BaseException, monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    """Run a command that raises an error, and give the exit code."""

    @click.command()
    def fail() -> None:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "fail", ("x:y", ""))
    monkeypatch.setattr(cli, "load", lambda row: fail)
    return cli.invoke([*flags, "fail"])


# Exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (click.UsageError("x"), 2),
        (OSError(errno.ENOSPC, "x"), 4),
        (OSError(errno.EMFILE, "x", "corpus.jsonl"), 4),
        (OSError("a library's own words"), 4),
        (FileNotFoundError(errno.ENOENT, "x", "summary.md"), 4),
        (OSError(errno.ENAMETOOLONG, "x", "a" * 300), 4),
        (ConnectionResetError(errno.ECONNRESET, "x"), 4),
        (MemoryError(), 4),
        (RuntimeError("could not write: No space left on device"), 4),
        (ModuleNotFoundError("No module named 'torch'", name="torch.nn"), 4),
        (ModuleNotFoundError("No module named 'clear_bench.lost'", name="clear_bench.lost"), 70),
        (ValueError("x"), 70),
        (EOFError("a file ended"), 70),
        (RecursionError("x"), 70),
        (SystemExit("words"), 70),
        (SystemExit(4), 4),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(errno.EPIPE, "x"), 0),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_every_error_has_its_exit_code_and_one_line(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(error, monkeypatch) == code
    told = capsys.readouterr().err
    assert told.count("\n") <= 1 or isinstance(error, click.UsageError), told
    assert "Traceback" not in told


def test_unexpected_error_is_said_to_be_a_bug_and_its_traceback_is_for_the_verbose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(ZeroDivisionError("1\n::error::2"), monkeypatch) == 70
    told = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: 1 ::error::2; this is a bug: please report" in told
    assert ends(ZeroDivisionError("1\n::error::2"), monkeypatch, "-v") == 70
    told = capsys.readouterr().err
    assert "Traceback (most recent call last)" in told
    assert not any(line.startswith("::") for line in told.splitlines())


@needs_full
@pytest.mark.parametrize("arguments", [("list", "languages"), ("list", "languages", "--json"), ("--help",)])
def test_full_stdout_ends_with_4_and_one_sentence(arguments: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        done = shell(*arguments, stdout=full)
    assert done.returncode == 4
    assert done.stderr.count(b"\n") == 1
    assert b"the disk is full" in done.stderr


@needs_full
def test_full_stderr_changes_no_exit_code() -> None:
    program = f"{sys.executable} -m clear_bench list nothing 2>/dev/full"
    assert subprocess.run(["sh", "-c", program], timeout=60).returncode == 2


def test_closed_stdout_ends_with_4_before_work_starts() -> None:
    program = f"{sys.executable} -m clear_bench list tasks >&-"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "stdout is closed" in done.stderr


# Errors of the system


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EFBIG, "x", "scores.parquet"), "here: the system lets no file be larger"),
        (OSError(errno.EDQUOT, "x"), "here: the disk quota is used up"),
        (OSError(errno.EMFILE, "x", "a.npy"), "too many files are open"),  # the file is not at fault
        (RuntimeError("unable to mmap 4 bytes from file <a>: Cannot allocate memory (12)"), "out of memory"),
        (Exception("I/O error: No space left on device (os error 28)"), "here: the disk is full"),
        (ImportError("libx.so: cannot open shared object file: Error 24"), "too many files are open"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_errors_of_the_system_are_told_whoever_reports_them(error: Exception, said: str) -> None:
    fault = disk.system_fault(error, "here")
    assert isinstance(fault, EnvironmentFault)
    assert str(fault).startswith(said)


def test_an_error_that_an_error_of_the_system_led_to_is_the_systems() -> None:
    error = ValueError("cannot load the weights")
    error.__cause__ = OSError(errno.EMFILE, "x")
    assert "too many files" in str(disk.system_fault(error))


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(2, "x"), RuntimeError("error 7 of 12")])
def test_a_file_is_not_excused_by_what_is_no_fault_of_the_system(error: Exception) -> None:
    disk.refuse_system_faults(error, Path("x"))


# Consoles


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "cp949", "latin-1", "utf-16"])
def test_tables_are_printed_on_any_console(encoding: str) -> None:
    done = shell("list", "tasks", encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "belebele" in done.stdout.decode(encoding)


def test_console_gets_stand_ins_for_what_it_lacks() -> None:
    assert escape.encodable("X→en – −1.0 × … ü", "ascii") == "X->en - -1.0 x ... \\xfc"
    assert escape.encodable("X→en – ü", "cp1252") == "X->en – ü"
    assert escape.encodable("half \udc80 a pair", "utf-8") == "half \\udc80 a pair"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp949", "utf-8"])
def test_json_says_the_same_on_any_console(encoding: str) -> None:
    program = "from clear_bench import console; console.open_streams(); console.say_json({'name': 'é → 中'})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert json.loads(done.stdout.decode(encoding)) == {"name": "é → 中"}


def test_lines_of_strangers_command_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("fine\n::set-output::x\x1b[2J")
    console.note("##[error]x")
    captured = capsys.readouterr()
    assert captured.out == "fine\n\\::set-output::x\\x1b[2J\n"
    assert captured.err == "#\\#[error]x\n"


def test_help_is_ascii() -> None:
    done = shell("--help", encoding="utf-8")
    assert done.stdout.isascii()
    for name, (where, text) in cli.COMMANDS.items():
        command = cli.load(where)
        assert isinstance(command, click.Command)
        assert command.get_help(click.Context(command, info_name=name)).isascii(), name
        assert text.isascii()


def test_nothing_is_printed_past_the_console() -> None:
    package = Path(clear_bench.__file__).parent
    for path in package.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        names = {ast.unparse(one) for one in calls}
        assert not names & {"print", "click.echo", "click.secho"}, path


# Extras


def test_missing_extra_names_the_command_for_where_this_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = Path(clear_bench.__file__).parent.parent
    assert install_command("cpu") == f"pip install -e '{checkout}[cpu]'"
    monkeypatch.setattr("clear_bench.errors.__file__", "/site-packages/clear_bench/errors.py")
    monkeypatch.setattr("importlib.metadata.distribution", lambda _: SimpleNamespace(read_text=lambda _: None))
    assert install_command("cpu") == "pip install 'clear-bench[cpu]'"
    assert "pip install 'clear-bench[ray]'" in str(MissingExtraError("ray", "ray"))
    origin = json.dumps({"url": checkout.as_uri(), "dir_info": {}})
    monkeypatch.setattr("importlib.metadata.distribution", lambda _: SimpleNamespace(read_text=lambda _: origin))
    assert install_command("cpu") == f"pip install '{checkout}[cpu]'"


def test_a_file_is_not_called_bad_where_the_system_could_not_read_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = CheckpointError("en.npy is not a .npy file of numbers")
    refused.__cause__ = OSError(errno.EMFILE, "x")
    assert ends(refused, monkeypatch) == 4
    assert "too many files are open" in capsys.readouterr().err


# Places


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no /dev/stdout")
def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    program = "from pathlib import Path; from clear_bench.disk import write_text; write_text(Path('/dev/stdout'), 'é')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout.decode()) == (0, "é"), done.stderr
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        disk.write_text(pipe, "told")
        assert reader.communicate(timeout=60)[0] == b"told"
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["a" * 300, "file/below"])
def test_a_place_that_cannot_be_is_named_and_ends_with_4(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match=rf"{tmp_path}/{name}"):
        disk.write_text(tmp_path / name, "x")


def test_an_argument_that_is_no_text_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["run", "--model", "bm25", "--tasks", "mini", "--out", "o\udcff"]) == 2
    assert "'o\\udcff' is not text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "shown"), [("json", '"\\u00e9 \\u2192"'), ("html", '"&#233; &#8594;"'), ("md", '"\\xe9 ->"')]
)
def test_a_document_keeps_its_own_escapes_on_a_console_in_ascii(form: str, shown: str) -> None:
    program = f"from clear_bench import console as c; c.open_streams(); c.write_document('\"é →\"', {form!r})"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, timeout=60)
    assert done.stdout.decode("ascii") == shown


def test_log_lines_and_warnings_command_nobody() -> None:
    program = (
        "import logging, warnings; from clear_bench import console as c; c.open_log()\n"
        "logging.getLogger('other').warning('a\\n::error::b \\x1b[31m\\u202e')\n"
        "warnings.warn('c\\n::error::d')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "WARNING: a" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.lstrip().startswith("::")]
    assert not {"\x1b", "\u202e"} & set(done.stderr)


def test_json_shows_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"model": "a\u202e\x1b[31m\x9b\u2028é\ud800"}
    console.say_json(document)
    shown = capsys.readouterr().out
    assert json.loads(shown) == document
    assert "é" in shown
    assert not set("\u202e\x1b\x9b\u2028\ud800") & set(shown)
