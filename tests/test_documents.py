"""JSON and TOML files as editors of any system save them."""

from __future__ import annotations

from pathlib import Path

import pytest

import clear_bench
from clear_bench.documents import read_json, read_toml
from clear_bench.errors import InputError

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
