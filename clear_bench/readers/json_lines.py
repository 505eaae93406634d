"""JSON Lines files: one object on a line, read one by one or as Arrow columns a block at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from clear_bench.errors import DataError
from clear_bench.readers.lines import at, blocks, decode

Object = dict[str, Any]  # Any: JSON, checked by whoever reads it
DEEP = 1000
"""Brackets in a line from which on Arrow does not get it: its parser's stack holds some tens of thousands."""


def objects(path: Path) -> Iterator[tuple[str, Object]]:
    """Yield the objects of a file, each with its place; raise `DataError` for a line that is not an object."""
    for first, block in blocks(path):
        yield from block_objects(path, first, block)


def block_objects(path: Path, first: int, block: bytes) -> Iterator[tuple[str, Object]]:
    """Yield the objects of a block of lines, the first of which has the number `first`."""
    for number, line in decode(path, first, block):
        where = at(path, number)
        try:
            row = json.loads(line)
            if "\\u" in line:  # which may spell half a character
                json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            msg = f"{where}: holds half of a surrogate pair, which is not a character"
            raise DataError(msg) from None
        except (ValueError, RecursionError) as error:
            msg = f"{where}: not valid JSON: {error}"
            raise DataError(msg) from None
        if not isinstance(row, dict):
            msg = f"{where}: {line[:60]!r} is not a JSON object"
            raise DataError(msg)
        yield where, row


def text_columns(block: bytes, names: Sequence[str]) -> list[pa.Array] | None:
    """Return fields of well-formed lines that hold texts; None where `block_objects` has to look closer."""
    if not _is_for_arrow(block):
        return None
    schema = pa.schema([(name, pa.string()) for name in names])
    reading = pj.ReadOptions(use_threads=False, block_size=max(len(block), 64))
    parsing = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = pj.read_json(pa.BufferReader(block), read_options=reading, parse_options=parsing).combine_chunks()
        table.validate(full=True)  # checks that strings are UTF-8
    except pa.ArrowInvalid:
        return None
    columns = [table[name].combine_chunks() for name in names]
    columns = [column.chunk(0) if isinstance(column, pa.ChunkedArray) else column for column in columns]
    return columns if len(table) else None


def _is_for_arrow(block: bytes) -> bool:
    """Whether Arrow's parser can take a block: some ends the process, where an error should name the line.

    That is a first row `null`, and lists and objects within each other until its stack is full.
    """
    if not re.match(rb"\s*\{", block):
        return False
    opened = block.count(b"[") + block.count(b"{")
    if opened - block.count(b"\n{") <= DEEP:  # beside the one that most lines begin with
        return True
    return all(line.count(b"[") + line.count(b"{") <= DEEP for line in block.split(b"\n"))
