"""JSON and TOML files as editors of any system save them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

import clear_bench
from clear_bench.documents import Demand, as_document, read_as, read_json, read_toml
from clear_bench.errors import CardError, InputError

TOML = 'name = "tür"\n[part]\nnumber = 1\n'
CONTENT = {"name": "tür", "part": {"number": 1}}


@pytest.mark.parametrize(
    "text", [TOML, "\ufeff" + TOML, TOML.replace("\n", "\r\n"), "\ufeff" + TOML.replace("\n", "\r\n")]
)
def test_toml_that_windows_saved_is_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_bytes(text.encode())
    assert read_toml(file, InputError) == CONTENT


def test_json_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    file.write_bytes(b'\xef\xbb\xbf{\r\n"name": "t\xc3\xbcr"}')
    assert read_json(file, InputError) == {"name": "tür"}


@pytest.mark.parametrize(("encoding", "name"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("cp1252", "not UTF-8")])
def test_other_encodings_are_named(encoding: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_bytes(TOML.encode(encoding))
    with pytest.raises(InputError, match=rf"card\.toml is {name}"):
        read_toml(file, InputError)


def test_no_other_function_reads_toml_files() -> None:
    package = Path(clear_bench.__file__).parent
    users = {path.name for path in package.rglob("*.py") if "tomllib.load" in path.read_text(encoding="utf-8")}
    assert users == {"documents.py", "recipe.py"}  # a recipe's is for the value of --set


@dataclass(frozen=True)
class Part:
    size: Annotated[int, Demand(lambda number: number > 0, "positive")] | None = None
    share: float = 0.5
    kind: Literal["mixed", "even"] = "mixed"


@dataclass(frozen=True)
class Whole:
    name: str
    parts: tuple[Part, ...] = ()
    columns: Mapping[str, str] | None = None


def test_a_dataclass_is_read_from_a_document_and_written_back() -> None:
    document = {"name": "x", "parts": [{"size": 2, "share": 1, "kind": "even"}], "columns": {"a": "b"}}
    value = read_as(Whole, document, "here")
    assert value == Whole("x", (Part(2, 1.0, "even"),), {"a": "b"})
    assert isinstance(value.parts[0].share, float)
    assert as_document(value) == document
    # One table stands for a list of one only where the caller says so.
    assert read_as(Whole, {"name": "x", "parts": {}}, "here", lone_items=True).parts == (Part(),)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "here: it is [], but must be a table"),
        ({}, "here has no 'name'"),
        ({"name": 3}, "here: name is 3, but must be a text"),
        ({"name": "a\0b"}, "here: name is 'a\\x00b', but must be a text without null characters"),
        ({"name": "x", "nam": 1}, "here: unknown key 'nam'; did you mean 'name'?"),
        ({"name": "x", "parts": {}}, "here: parts is {}, but must be a list"),
        ({"name": "x", "parts": [{"sice": 1}]}, "here: parts: unknown key 'sice'; did you mean 'size'?"),
        ({"name": "x", "parts": [{"size": True}]}, "here: parts.size is True, but must be a whole number"),
        ({"name": "x", "parts": [{"size": 1.5}]}, "here: parts.size is 1.5, but must be a whole number"),
        ({"name": "x", "parts": [{"size": 0}]}, "here: parts.size is 0, but must be positive"),
        (
            {"name": "x", "parts": [{"kind": "mixd"}]},
            "here: parts.kind is 'mixd', but must be 'mixed' or 'even'; did you mean 'mixed'?",
        ),
        ({"name": "x", "columns": {"a": 1}}, "here: columns.a is 1, but must be a text"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_with_what_would_be_right(document: object, message: str) -> None:
    with pytest.raises(CardError) as refused:
        read_as(Whole, document, "here", CardError)
    assert str(refused.value) == message
