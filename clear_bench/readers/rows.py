"""Read JSON Lines in the BEIR shape (`_id`, `text`, optional `title`) into Arrow columns.

Arrow parses whole blocks. A block with anything unusual is parsed again line by line, which either succeeds (numbers
as ids, blank lines) or names file and line of the error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clear_bench.errors import DataError
from clear_bench.readers.json_lines import block_objects, text_columns
from clear_bench.readers.lines import at, blocks, lines


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
    return merge(Rows(path, ids, text, values), _line_of)


def stream_rows(path: Path, join: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield id and text of every row with the checks of `read_rows` but the one for repeated ids, in little memory."""
    for first, block in blocks(path):
        yield from ((row_id, text) for row_id, text, _ in _parse_lines(path, first, block, join))


def join_titles(title: pa.Array, text: pa.Array, join: str) -> pa.Array:
    """Put titles before texts with `join` between them; without a title the text stays as it is."""
    title = title.fill_null("")
    has_title = pc.greater(pc.binary_length(title), 0)
    return pc.if_else(has_title, pc.binary_join_element_wise(title, text, join), text)


def _parse_block(block: bytes, join: str | None) -> tuple[pa.Array, pa.Array] | None:
    """Parse a block of well-formed rows; None where any of them needs a closer look."""
    columns = text_columns(block, ("_id", "text", "title"))
    # Several rows on a line, a row over several lines and blank lines all break "row i is line i".
    if columns is None or len(columns[0]) != block.count(b"\n") + (not block.endswith(b"\n")):
        return None
    ids, text, title = columns
    if ids.null_count or text.null_count:
        return None
    if join is None:
        trimmed = pc.utf8_trim_whitespace(text)
    else:
        text = trimmed = pc.utf8_trim_whitespace(join_titles(title, text, join))
    if any(pc.min(pc.binary_length(column)).as_py() == 0 for column in (pc.utf8_trim_whitespace(ids), trimmed)):
        return None
    return ids, text


def _parse_lines(
    path: Path, first: int, block: bytes, join: str | None
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield id, text and the whole row of every line."""
    for where, row in block_objects(path, first, block):
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


def checked_id(value: object, name: str, where: str) -> str:
    """Return an id as text. Raises `DataError` with its place for anything but a text or a whole number."""
    return checked_text(str(value) if type(value) is int else value, name, where)


def checked_text(value: object, name: str, where: str, may_be_blank: bool = False) -> str:
    """Return a text as it is. Raises `DataError` with its place for anything else, and for a blank one."""
    if not isinstance(value, str):
        msg = f"{where}: {name!r} is {'missing' if value is None else repr(value)[:60]}, but must be a text"
        raise DataError(msg)
    if not value.strip() and not may_be_blank:
        msg = f"{where}: {name!r} is blank"
        raise DataError(msg)
    try:
        value.encode()
    except UnicodeEncodeError:
        msg = f"{where}: {name!r} holds half of a surrogate pair, which is not a character"
        raise DataError(msg) from None
    return value


def merge(rows: Rows, line_of: Callable[[Path, int], int] | None = None) -> Rows:
    """Drop rows that repeat an earlier one; raise `DataError` where an id comes back with another text.

    `line_of` gives the line of a row, for the message.
    """
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
        known, key = int(first[codes[row]]), rows.ids[row].as_py()
        if line_of is None:
            texts = " and ".join(f"{rows.text[i].as_py()!r:.60}" for i in (known, row))
            msg = f"{rows.path}: the query {key!r} comes twice, with different texts: {texts}"
        else:
            place = at(rows.path, line_of(rows.path, row))
            msg = f"{place}: the id {key!r} was on line {line_of(rows.path, known)} with another text"
        raise DataError(msg)
    mask = np.ones(len(rows), dtype=np.bool_)
    mask[again] = False
    return replace(rows.filter(mask), merged=len(again))


def _line_of(path: Path, row: int) -> int:
    return next(number for i, (number, _) in enumerate(lines(path)) if i == row)
