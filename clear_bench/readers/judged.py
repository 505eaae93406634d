"""Relevance judgements in a tab-separated file with the header `query-id`, `corpus-id`, `score`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from clear_bench.errors import DataError
from clear_bench.readers.lines import at, lines, read_grade

_HEADER = ["query-id", "corpus-id", "score"]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One file of judgements, as it stands."""

    path: Path
    grades: Mapping[tuple[str, str], int]
    """(query id, passage id) -> grade, in the file's order."""


def read_judged(path: Path) -> Judged:
    """Read a file of judgements; raises `DataError` for a line that is wrong or contradicts an earlier one."""
    numbered = lines(path)
    number, header = next(numbered, (1, ""))
    if header.split("\t") != _HEADER:
        msg = f"{at(path, number)}: the header is {header[:60]!r}, but must be {' '.join(_HEADER)}, tab-separated"
        raise DataError(msg)
    grades: dict[tuple[str, str], int] = {}
    for number, line in numbered:
        query, passage, grade = _parse(line, at(path, number))
        if grades.setdefault((query, passage), grade) != grade:
            earlier = grades[query, passage]
            msg = f"{at(path, number)}: {query!r} and {passage!r} get {grade} here and {earlier} on an earlier line"
            raise DataError(msg)
    if not grades:
        msg = f"{path}: the file has no judgements"
        raise DataError(msg)
    return Judged(path, grades)


def check_known(judged: Judged, queries: Iterable[pa.ChunkedArray], passages: Iterable[pa.ChunkedArray]) -> None:
    """Refuse ids that no file has. Columns are asked in turn, and only while an id is still missing."""
    for column, what, found in ((0, "query", queries), (1, "passage", passages)):
        unknown = absent((key[column] for key in judged.grades), found)
        if unknown:
            value = next(key[column] for key in judged.grades if key[column] in unknown)
            number = next(n for n, line in lines(judged.path) if line.split("\t")[column] == value)
            files = "query file" if what == "query" else "corpus"
            others = f", nor are {len(unknown) - 1} others" if len(unknown) > 1 else ""
            msg = f"{at(judged.path, number)}: the {what} {value!r} is in no {files} of the card{others}"
            raise DataError(msg)


def absent(wanted: Iterable[str], columns: Iterable[pa.ChunkedArray]) -> set[str]:
    """Give the ids that no column has."""
    left = set(wanted)
    asked = iter(columns)
    while left and (column := next(asked, None)) is not None:
        for chunk in column.chunks:
            hits = chunk.filter(pc.is_in(chunk, value_set=pa.array(list(left), pa.string())))
            left.difference_update(hits.to_pylist())
    return left


def _parse(line: str, where: str) -> tuple[str, str, int]:
    cells = line.split("\t")
    if len(cells) != len(_HEADER):
        msg = f"{where}: {len(cells)} tab-separated cells instead of 3 ({', '.join(_HEADER)})"
        raise DataError(msg)
    query, passage, grade = cells
    if not query.strip() or not passage.strip():
        msg = f"{where}: the query id {query!r} or the passage id {passage!r} is blank"
        raise DataError(msg)
    return query, passage, read_grade(grade.strip(), where)
