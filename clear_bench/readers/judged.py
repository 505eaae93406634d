"""Relevance judgements: read from rows or a tab-separated file, and checked against the ids that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from clear_bench.errors import DataError
from clear_bench.readers.lines import at, lines, read_grade

Row = tuple[str, str, str, str]
"""Place, query id, passage id, grade."""
_HEADER = ["query-id", "corpus-id", "score"]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One file of judgements, as it stands."""

    path: Path
    grades: Mapping[tuple[str, str], int]
    """(query id, passage id) -> grade, in the file's order."""
    rows: Callable[[], Iterable[Row]] = tuple
    """Reads the file again, to find the place of an id for a message."""


def read_judged(path: Path) -> Judged:
    """Read a file with the header line; raise `DataError` for a line that is wrong or contradicts an earlier one."""
    return collect(path, lambda: _rows(path))


def collect(path: Path, rows: Callable[[], Iterable[Row]]) -> Judged:
    """Return the judgements of rows.

    Raises `DataError` with the place of a blank id, a grade that is not a whole number or a contradiction, and where
    there are no rows.
    """
    grades: dict[tuple[str, str], int] = {}
    for place, query, passage, text in rows():
        if not query.strip() or not passage.strip():
            msg = f"{place}: the query id {query!r} or the passage id {passage!r} is blank"
            raise DataError(msg)
        grade = read_grade(text.strip(), place)
        if (earlier := grades.setdefault((query, passage), grade)) != grade:
            msg = f"{place}: {query[:60]!r} and {passage[:60]!r} get {grade} here and {earlier} on an earlier line"
            raise DataError(msg)
    if not grades:
        msg = f"{path}: the file has no judgements"
        raise DataError(msg)
    return Judged(path, grades, rows)


def check_known(judged: Judged, queries: Iterable[pa.ChunkedArray], passages: Iterable[pa.ChunkedArray]) -> None:
    """Raise `DataError` for an id that is in no column. Columns are read one by one while an id is still missing."""
    for column, what, files, found in ((0, "query", "query file", queries), (1, "passage", "corpus", passages)):
        unknown = absent((key[column] for key in judged.grades), found)
        if unknown:
            value = next(key[column] for key in judged.grades if key[column] in unknown)
            place = next((row[0] for row in judged.rows() if row[column + 1] == value), judged.path)
            others = f", nor are {len(unknown) - 1} others" if len(unknown) > 1 else ""
            msg = f"{place}: the {what} {value!r} is in no {files} of the card{others}"
            raise DataError(msg)


def absent(wanted: Iterable[str], columns: Iterable[pa.ChunkedArray]) -> set[str]:
    """Return the ids that are in no column."""
    left = set(wanted)
    asked = iter(columns)
    while left and (column := next(asked, None)) is not None:
        for chunk in column.chunks:
            hits = chunk.filter(pc.is_in(chunk, value_set=pa.array(list(left), pa.string())))
            left.difference_update(hits.to_pylist())
    return left


def _rows(path: Path) -> Iterator[Row]:
    numbered = lines(path)
    number, header = next(numbered, (1, ""))
    if header.split("\t") != _HEADER:
        msg = f"{at(path, number)}: the header is {header[:60]!r}, but must be {' '.join(_HEADER)}, tab-separated"
        raise DataError(msg)
    for number, line in numbered:
        cells = line.split("\t")
        if len(cells) != len(_HEADER):
            msg = f"{at(path, number)}: {len(cells)} tab-separated cells instead of 3 ({', '.join(_HEADER)})"
            raise DataError(msg)
        yield at(path, number), cells[0], cells[1], cells[2]
