"""The sizes and words that keep the package easy to read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import clear_bench

PACKAGE = Path(clear_bench.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FUNCTION = 50
"""Lines below the signature and the docstring."""
LONGEST_MODULE = 300

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[ast.get_docstring(function) is not None :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


@each_module
def test_a_function_fits_on_a_screen(path: Path) -> None:
    assert {one.name: body_lines(one) for one in functions(path) if body_lines(one) > LONGEST_FUNCTION} == {}


@each_module
def test_a_module_is_read_in_one_go(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@each_module
def test_a_docstring_says_return_or_yield_rather_than_give_or_say(path: Path) -> None:
    assert [text for text in docstrings(path) if text.split(" ")[0] in {"Give", "Gives", "Say", "Says"}] == []


@each_module
def test_settings_travel_as_values(path: Path) -> None:
    assert "**settings: Any" not in path.read_text(encoding="utf-8")


def test_lines_are_counted_without_signature_and_docstring() -> None:
    code = 'def f(\n    a,\n):\n    """One.\n\n    Two.\n    """\n    b = a\n\n    return b\n'
    (found,) = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)]
    assert body_lines(found) == 3
