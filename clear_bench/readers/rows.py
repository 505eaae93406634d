"""JSON Lines in the BEIR shape (`_id`, `text`, optional `title`) to Arrow columns, with file and line in every error.

Arrow parses whole blocks; a block that holds anything unusual is parsed again line by line, which either copes
(numbers as ids, blank lines) or names the line that is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from clear_bench.errors import DataError
from clear_bench.readers.lines import blocks, decode, lines

_SCHEMA = pa.schema([("_id", pa.string()), ("text", pa.string()), ("title", pa.string())])


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Queries or passages as a file has them, ids unique and texts not blank."""

    path: Path
    ids: pa.ChunkedArray
    text: pa.ChunkedArray
    fields: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # Any: JSON
    """The further fields that were asked for, row by row; None where a row lacks one."""
    merged: int = 0
    """Rows dropped because id and text were both seen before."""

    def __len__(self) -> int:
        return len(self.ids)

    def filter(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> Rows:
        """Keep the rows where the mask is true."""
        keep = pa.array(mask)
        fields = {name: list(compress(values, mask)) for name, values in self.fields.items()}
        return replace(self, ids=self.ids.filter(keep), text=self.text.filter(keep), fields=fields)


def read_rows(path: Path, join: str | None = None, fields: Collection[str] = ()) -> Rows:
    """Read a file of queries, or of passages where `join` says how a title is put before the text.

    A passage is trimmed, as in mteb; a query is taken as it is. Rows that repeat an id with the same text are merged.
    Raises `DataError` for a file without rows and for the first row that is wrong.
    """
    parts: list[tuple[pa.Array, pa.Array]] = []
    values: dict[str, list[Any]] = {name: [] for name in fields}
    for first, block in blocks(path):
        columns = None if fields else _parse_block(block, join)
        if columns is None:
            rows = list(_parse_lines(path, first, block, join))
            columns = pa.array([row[0] for row in rows], pa.string()), pa.array([row[1] for row in rows], pa.string())
            for name, column in values.items():
                column.extend(row[2].get(name) for row in rows)
        parts.append(columns)
    ids, text = (pa.chunked_array([part[i] for part in parts], pa.string()) for i in (0, 1))
    if not len(ids):
        msg = f"{path}: the file has no rows"
        raise DataError(msg)
    return _merge(Rows(path, ids, text, values))


def stream_rows(path: Path, join: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield id and text of every row with the checks of `read_rows` but the one for repeated ids, in little memory."""
    for first, block in blocks(path):
        yield from ((row_id, text) for row_id, text, _ in _parse_lines(path, first, block, join))


def json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects of a JSON Lines file, each with its place; raises `DataError` for a line that is none."""
    for number, line in lines(path):
        where = f"{path}, line {number}"
        yield where, _parse_line(line, where)


def _parse_block(block: bytes, join: str | None) -> tuple[pa.Array, pa.Array] | None:
    """Parse a block of well-formed rows; None where any of them needs a closer look."""
    reading = pj.ReadOptions(use_threads=False, block_size=max(len(block), 64))
    parsing = pj.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="ignore")
    try:
        table = pj.read_json(pa.BufferReader(block), read_options=reading, parse_options=parsing).combine_chunks()
        table.validate(full=True)  # checks that strings are UTF-8
    except pa.ArrowInvalid:
        return None
    # Several rows on a line, a row over several lines and blank lines all break "row i is line i".
    if len(table) != block.count(b"\n") + (not block.endswith(b"\n")) or not len(table):
        return None
    ids, text, title = (table[name].combine_chunks() for name in ("_id", "text", "title"))
    if ids.null_count or text.null_count:
        return None
    if join is None:
        trimmed = pc.utf8_trim_whitespace(text)
    else:
        text = trimmed = _join_titles(title, text, join)
    if any(pc.min(pc.binary_length(column)).as_py() == 0 for column in (pc.utf8_trim_whitespace(ids), trimmed)):
        return None
    return ids, text


def _join_titles(title: pa.Array, text: pa.Array, join: str) -> pa.Array:
    title = title.fill_null("")
    has_title = pc.greater(pc.binary_length(title), 0)
    text = pc.if_else(has_title, pc.binary_join_element_wise(title, text, join), text)
    return pc.utf8_trim_whitespace(text)


def _parse_lines(
    path: Path, first: int, block: bytes, join: str | None
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield id, text and the whole row of every line."""
    for number, line in decode(path, first, block):
        where = f"{path}, line {number}"
        row = _parse_line(line, where)
        row_id = checked_id(row.get("_id"), "_id", where)
        text = checked_text(row.get("text"), "text", where, may_be_blank=join is not None and bool(row.get("title")))
        if join is not None:
            if title := row.get("title"):
                text = f"{checked_text(title, 'title', where, may_be_blank=True)}{join}{text}"
            text = text.strip()
        if not text.strip():
            msg = f"{where}: the text of {row_id!r} is blank"
            raise DataError(msg)
        yield row_id, text, row


def _parse_line(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"{where}: not valid JSON: {error}"
        raise DataError(msg) from None
    if not isinstance(row, dict):
        msg = f"{where}: {line[:60]!r} is not a JSON object"
        raise DataError(msg)
    return row


def checked_id(value: object, name: str, where: str) -> str:
    """Give an id as text; raises `DataError` with its place for one that is neither a text nor a whole number."""
    return checked_text(str(value) if type(value) is int else value, name, where)


def checked_text(value: object, name: str, where: str, may_be_blank: bool = False) -> str:
    """Give a text as it is; raises `DataError` with its place for anything else, and for a blank one."""
    if not isinstance(value, str):
        msg = f"{where}: {name!r} is {'missing' if value is None else repr(value)[:60]}, but must be a text"
        raise DataError(msg)
    if not value.strip() and not may_be_blank:
        msg = f"{where}: {name!r} is blank"
        raise DataError(msg)
    try:
        value.encode()
    except UnicodeEncodeError:
        msg = f"{where}: {name!r} holds half of a surrogate pair, which is no character"
        raise DataError(msg) from None
    return value


def _merge(rows: Rows) -> Rows:
    """Drop rows that repeat an earlier one; raises `DataError` where an id comes back with another text."""
    if pc.count_distinct(rows.ids).as_py() == len(rows):
        return rows
    encoded = rows.ids.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    first = np.full(len(encoded.dictionary), len(rows), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(rows)))
    again = np.flatnonzero(first[codes] != np.arange(len(rows)))
    same = pc.equal(rows.text.take(pa.array(again)), rows.text.take(pa.array(first[codes[again]])))
    differing = np.flatnonzero(~same.to_numpy())
    if len(differing):
        row = int(again[differing[0]])
        line, earlier = _line_of(rows.path, row), _line_of(rows.path, int(first[codes[row]]))
        msg = f"{rows.path}, line {line}: the id {rows.ids[row].as_py()!r} was on line {earlier} with another text"
        raise DataError(msg)
    mask = np.ones(len(rows), dtype=np.bool_)
    mask[again] = False
    return replace(rows.filter(mask), merged=len(again))


def _line_of(path: Path, row: int) -> int:
    return next(number for i, (number, _) in enumerate(lines(path)) if i == row)
