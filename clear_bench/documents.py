"""JSON and TOML files that others may have written: read by one rule, so that whatever is inside ends in a sentence."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clear_bench.errors import UsageError, UserError

DEPTH = 64
"""Tables and lists within each other: no document of ours needs ten, and Python's own functions recurse on them."""
LARGEST = 2**63
_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""Byte order marks that Windows tools write, and what they say."""

Document = dict[str, Any]  # Any: JSON or TOML, checked by whoever reads it


def read_json(path: Path, refuse: type[UserError], *, allow_nan: bool = False) -> Document:
    """Read a JSON file that holds one object.

    Raises `refuse` for what is no UTF-8 or JSON, a key that stands twice in one object, nesting beyond `DEPTH`, whole
    numbers beyond 64 bits, null characters, half surrogates, and numbers that are not finite unless `allow_nan`.
    """
    return _parse(path, _load_json, "JSON", refuse, allow_nan)


def read_toml(path: Path, refuse: type[UserError]) -> Document:
    """Read a TOML file; raises `refuse` as `read_json` does."""
    return _parse(path, tomllib.loads, "TOML", refuse, False)


def foreign_encoding(data: bytes) -> str | None:
    """Name the encoding whose byte order mark starts a file, where it is not UTF-8."""
    return next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)


def tables(content: Mapping[str, Any], key: str, where: str) -> list[Document]:  # Any: TOML
    """Give the tables that a TOML file writes as `[[key]]`; raises `UsageError` for anything else under that key."""
    found = content.get(key, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise UsageError(f"{where}: write {key!r} as tables [[{key}]], with two brackets")
    return found


def _parse(path: Path, load: Callable[[str], Any], kind: str, refuse: type[UserError], allow_nan: bool) -> Document:
    content: Any
    try:
        data = path.read_bytes()
        if name := foreign_encoding(data):
            raise refuse(f"{path} is {name}; save it as UTF-8")
        # Editors on Windows put a byte order mark before the first character.
        content = load(data.decode("utf-8-sig"))
        if not isinstance(content, dict):
            problem = f"it holds {type(content).__name__} instead of an object"
        else:
            problem = next(_problems(content, allow_nan), "")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise refuse(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise refuse(f"{path} is not UTF-8: byte {error.start} cannot be decoded; save it as UTF-8") from error
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:  # both parsers' own errors, and whole numbers of thousands of digits
        problem = str(error)
    if problem:
        raise refuse(f"{path} is not valid {kind}: {problem}")
    return dict(content)


def _load_json(text: str) -> Any:  # Any: JSON
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> Document:
    made: Document = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {key!r} stands twice in one object")
        made[key] = value
    return made


def _problems(content: Document, allow_nan: bool) -> Iterator[str]:
    """Say what no reader could use, level by level."""
    level: list[Any] = [content]
    for _ in range(DEPTH):
        for value in level:
            if isinstance(value, str) and not _is_text(value):
                yield f"{value!r} holds a null character or half a surrogate pair"
            elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
                yield "a whole number in it has more than 64 bits"
            elif isinstance(value, float) and not allow_nan and not math.isfinite(value):
                yield f"{value} is not a finite number"
        level = [part for value in level for part in _parts(value)]
    if level:
        yield "it is nested too deeply"


def _parts(value: object) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _is_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
