"""What a command prints and how it ends: the product on stdout, everything else on stderr, one exit code for each end.

Every line passes here, so that no text of a stranger commands a terminal or GitHub's runner, and none is lost where a
console knows fewer characters than Unicode has.
"""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TextIO

from clear_bench.disk import system_fault
from clear_bench.errors import EXTRAS, EnvironmentFault, MissingExtraError, UserError
from clear_bench.render import escape

BUG = os.EX_SOFTWARE if hasattr(os, "EX_SOFTWARE") else 70
"""The exit code of an error that nobody expected: never 1, which says that a model got worse."""


class Stderr:
    """stderr as it is when a line is logged: a progress bar stands in for it, and puts the line above itself."""

    def write(self, text: str) -> None:
        """Write to what is stderr now."""
        sys.stderr.write(text)

    def flush(self) -> None:
        """Flush it."""
        sys.stderr.flush()


def say(text: object = "") -> None:
    """Print lines of the product; raises `EnvironmentFault` where stdout cannot take them."""
    write(_harmless(str(text)) + "\n")


def say_json(document: Mapping[str, Any]) -> None:  # Any: JSON
    r"""Print a JSON document; a console that has not all of Unicode gets ASCII, with escapes like `\u4e2d`."""
    write_document(escape.json_document(document) + "\n", "json")


def write_document(text: str, form: str) -> None:
    """Print a document in a format that has escapes of its own for what the console lacks, or in any other one."""
    has_all = codecs.lookup(sys.stdout.encoding or "utf-8").name.startswith("utf")
    if form == "html" and not has_all:
        text = text.encode("ascii", "xmlcharrefreplace").decode("ascii")
    elif form == "json" and not has_all:
        text = re.sub(r"[^\x00-\x7f]+", lambda match: json.dumps(match[0])[1:-1], text)
    write(text)


def write(text: str) -> None:
    """Print a document as it is; raises `EnvironmentFault` where stdout cannot take it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)
        if fault := system_fault(error, "stdout"):
            raise fault from error
        raise


def note(text: str) -> None:
    """Print lines that are not the product."""
    command(_harmless(text))


def command(line: str) -> None:
    """Print a line on stderr as it is: a command to GitHub's runner. Where stderr is full nobody can be told."""
    with suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def open_streams() -> None:
    """Let stdout and stderr take every character; raises `EnvironmentFault` where stdout is closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The next file that is opened would get its number, and what libraries print.
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open as long as the process lives
    if is_closed := sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=escape.STAND_IN)
    if is_closed:
        raise EnvironmentFault("stdout is closed, so nobody would see what this prints: send it to a file")


def open_log() -> None:
    """Send log lines and Python's warnings to stderr, each made harmless."""
    handler = logging.StreamHandler(Stderr())
    handler.setFormatter(_HarmlessFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.captureWarnings(True)


def close_streams(code: int) -> int:
    """Write out what is left and give the exit code: the one given, or that of a stdout that cannot take it."""
    try:
        write("")
    except BrokenPipeError:
        pass  # the reader has seen enough
    except UserError as fault:
        if code != fault.exit_code:  # else it was said
            note(f"error: {fault}")
        code = fault.exit_code
    try:
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)
    return code


def ending(error: BaseException) -> tuple[int, str]:
    """Return the exit code of what ended a program, and what to say about it.

    An unexpected error is said to be a bug, in one line; its traceback is for those who log with `-v`.
    """
    if isinstance(error, BrokenPipeError):
        return 0, ""  # the reader has seen enough
    if isinstance(error, KeyboardInterrupt):
        return 130, str(error) or "interrupted; finished work is kept"
    if isinstance(error, SystemExit):
        return (error.code or 0, "") if isinstance(error.code, int | None) else (BUG, str(error.code))
    if known := expected(error):
        return known.exit_code, f"error: {escape.printable(str(known))}"
    what = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    remedy = "this is a bug: please report it with what `clear-bench -v ...` and `clear-bench doctor` print"
    shown = logging.getLogger("clear_bench").isEnabledFor(logging.INFO)
    story = "".join(traceback.format_exception(error)) if shown else ""
    return BUG, f"{story}error: unexpected {what}; {remedy}"


def expected(error: BaseException) -> UserError | None:
    """Word an error as one that the user can mend, or give None for a bug."""
    if fault := system_fault(error):
        return fault
    if isinstance(error, UserError):
        return error
    if isinstance(error, ModuleNotFoundError) and (module := str(error.name).partition(".")[0]) in EXTRAS:
        return MissingExtraError(module, EXTRAS[module])
    if isinstance(error, OSError) and not isinstance(error, io.UnsupportedOperation):
        return EnvironmentFault(str(error) or type(error).__name__)
    return None


class _HarmlessFormatter(logging.Formatter):
    """Formats log records of every package so that no line of them commands anything."""

    def format(self, record: logging.LogRecord) -> str:
        return _harmless(super().format(record))


def _harmless(text: str) -> str:
    return "\n".join(map(escape.plain, text.split("\n")))


def _silence(stream: TextIO) -> None:
    """Send the rest nowhere: the interpreter's own last flush would end the program with 120."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
