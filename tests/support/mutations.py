"""Changes to valid files as strangers, editors and broken disks make them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "..", "../../x", "/x", "a\\b", "nul", "\0", "\ud800", "\u202e", "\n::error::x", "\x1b[31m"),
    *("9" * 400, "2024-01-01T00:00:00", "eng-Latn", "deu-Latn", "mteb:NanoNQ", "all"),
    *("NA", "1901", "2024-02-31", "eng-Latn:eng-Latn", "x" * 5000, "[", "{}", "*", "é"),
    *([], {}, [[]], [None], [1], ["x"], ["x", "x"], {"a": 1}, {"": {}}, [{}], [[[[[[]]]]]]),
]
BYTES = [
    *(b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", b"\n\n", b"\t", b" ", b",", b'"', b"{", b"}"),
    *(b"[", b"]"),
    *(b"null", b"NaN", b"-1", b"1e999", b"9" * 5000, b"\\u0000", b"\\ud800", "\u3000".encode(), "\u2028".encode()),
    *(b"[" * 3000, b'{"a":' * 3000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"null\n", b"a=" * 50),
    *(b"\x1f\x8b", b"PAR1", b"../", b"#", b"=", b"e", b"\x7f", b"\x00" * 64),
]


@st.composite
def mutated(draw: st.DrawFn, content: bytes, kind: str) -> bytes:
    """Draw a changed copy of a file: of its values where it is JSON, lines of JSON or TOML, else of its bytes."""
    change = STRUCTURED.get(kind)
    if change is not None and draw(st.integers(0, 2)):
        content = change(draw, content)
    else:
        for _ in range(draw(st.integers(1, 3))):
            content = _other_bytes(draw, content)
    return content


def _other_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    start = draw(st.integers(0, len(content)))
    end = draw(st.one_of(st.just(start), st.integers(start, min(len(content), start + 40)), st.just(len(content))))
    new = draw(st.one_of(st.sampled_from(BYTES), st.binary(max_size=4), st.just(content[start:end] * 2)))
    return content[:start] + new + content[end:]


def _other_json(draw: st.DrawFn, content: bytes) -> bytes:
    return _dumped(_other_value(draw, json.loads(content)))


def _other_line(draw: st.DrawFn, content: bytes) -> bytes:
    lines = content.splitlines()
    place = draw(st.integers(0, len(lines) - 1))
    lines[place] = _other_json(draw, lines[place])
    return b"\n".join(lines) + b"\n"


def _other_toml(draw: st.DrawFn, content: bytes) -> bytes:
    table = _other_value(draw, tomllib.loads(content.decode()))
    lines = [f"{_key(key)} = {_toml(value)}" for key, value in table.items()] if isinstance(table, dict) else []
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _other_value(draw: st.DrawFn, value: Any) -> Any:
    """Replace, drop, rename or repeat something somewhere inside."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        action = draw(st.integers(0, 9))
        if action == 0:
            return {name: part for name, part in value.items() if name != key}
        if action == 1:
            return value | {draw(st.sampled_from([odd for odd in ODD if isinstance(odd, str)])): value[key]}
        return value | {key: _other_value(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(value) - 1))
        part = draw(st.sampled_from(["drop", "twice", "change"]))
        new = {"drop": [], "twice": [value[place]] * 2}.get(part, [])
        if part == "change":
            new = [_other_value(draw, value[place])]
        return [*value[:place], *new, *value[place + 1 :]]
    return draw(st.sampled_from(ODD))


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _key(key: str) -> str:
    return json.dumps(key)


def _toml(value: Any) -> str:
    """Write a value as inline TOML; what TOML has no word for becomes an empty text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value is None:
        return '""'
    return repr(value) if isinstance(value, float) else json.dumps(value)


STRUCTURED: dict[str, Callable[[st.DrawFn, bytes], bytes]] = {
    "json": _other_json,
    "jsonl": _other_line,
    "toml": _other_toml,
}
