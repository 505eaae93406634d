"""Imports point down and light commands stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import clear_bench

PACKAGE = Path(clear_bench.__file__).parent
ROOMS = [
    *("errors", "registry", "documents", "types", "languages", "settings", "progress", "quantise", "stats", "geometry"),
    *("metrics", "losses", "disk", "retry", "hub", "json_schema", "question", "qrels", "store", "tasks", "models"),
    *("indexes", "render", "console", "readers", "encode", "cluster", "rerank", "search", "score", "compare", "gate"),
    *("report", "leaderboard", "train", "api", "mteb_bridge", "cli"),
]
"""The order in which data flow: a room imports what stands left of it."""
HEAVY = {"torch", "faiss", "sentence_transformers", "transformers", "mteb", "datasets"}


def module_files() -> list[Path]:
    return sorted(
        path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem not in {"__init__", "__main__"}
    )


def part(path: Path) -> str:
    """The first name below the package: `readers/jsonl.py` belongs to `readers`."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(path: Path) -> set[str]:
    """The parts of the package that a file imports, wherever the import stands, type-checking blocks excepted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = [ast.Pass()]
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("clear_bench.")} - {"__version__"}


def test_every_room_has_its_place() -> None:
    assert {part(path) for path in module_files()} == set(ROOMS)


@pytest.mark.parametrize("path", module_files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_what_stands_left_of_it(path: Path) -> None:
    left = set(ROOMS[: ROOMS.index(part(path))])
    assert imported_parts(path) - {part(path)} <= left


def imports_of(*arguments: str) -> set[str]:
    code = (
        "import sys, contextlib, io\n"
        "from clear_bench.cli import invoke\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        f"    invoke({list(arguments)!r})\n"
        "print(','.join(m for m in sys.modules if '.' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.strip().split(","))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("list", "tasks"),
        ("run", "--help"),
        ("gate", "--help"),
        ("compare", "--help"),
        ("report", "--help"),
        ("geometry", "--help"),
        ("inspect", "--help"),
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not imports_of(*arguments) & HEAVY


def test_importing_the_package_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, clear_bench; print(','.join(m for m in sys.modules if '.' not in m))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(done.stdout.strip().split(",")) & (HEAVY | {"pandas", "pyarrow", "numpy"})


def test_public_names_are_few_sorted_and_real() -> None:
    assert clear_bench.__all__ == sorted(clear_bench.__all__)
    assert len(clear_bench.__all__) <= 20
    for name in clear_bench.__all__:
        assert getattr(clear_bench, name).__doc__
