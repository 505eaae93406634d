"""Read JSON Lines, CSV, tab-separated and Parquet tables cell by cell, without guessing types.

`NA`, `1901`, `true` and `2024-01-01` stay the texts that somebody wrote, and every error names file and row.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench.errors import DataError
from clear_bench.readers.columns import parquet_faults
from clear_bench.readers.json_lines import objects
from clear_bench.readers.lines import whole_lines
from clear_bench.readers.rows import checked_id, checked_text

KINDS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
"""Ending of a file's name, `.gz` aside -> how it is read."""
_LONGEST_CELL = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Columns of a table: any value in a cell, None where a row has none."""

    columns: Mapping[str, Sequence[Any]]  # Any: JSON and Arrow values
    where: Callable[[int], str]
    """Returns the place of a row, for messages."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def texts(self, name: str) -> list[str]:
        """Return a column of texts. Raises `DataError` for a cell that is missing, blank or something else."""
        return [checked_text(value, name, self.where(i)) for i, value in enumerate(self.columns[name])]

    def ids(self, name: str) -> list[str]:
        """Return a column of ids: texts or whole numbers."""
        return [checked_id(value, name, self.where(i)) for i, value in enumerate(self.columns[name])]


def is_table(path: Path) -> bool:
    """Whether a file has the name of a table that can be read here."""
    kind = KINDS.get(Path(path.name.removesuffix(".gz")).suffix)
    return kind is not None and not (kind == "parquet" and path.suffix == ".gz")


def column_names(path: Path) -> list[str]:
    """List the columns of a table; those of JSON Lines are the keys of all rows."""
    kind = _kind(path)
    if kind == "json":
        return list(dict.fromkeys(name for _, row in _objects(path) for name in row))
    if kind == "csv":
        return next(_records(path))[1]
    with parquet_faults(path):
        names: list[str] = pq.read_schema(path).names
    return names


def read_cells(path: Path, names: Sequence[str]) -> Cells:
    """Read some columns of a table; raises `DataError` where the file lacks one, and for a file without rows."""
    have = column_names(path)
    if missing := [name for name in names if name not in have]:
        there = ", ".join(map(repr, have)) or "none"
        msg = f"{path}: has no column {', '.join(map(repr, missing))}; it has {there}"
        raise DataError(msg)
    cells = {"json": _json_cells, "csv": _csv_cells, "parquet": _parquet_cells}[_kind(path)](path, names)
    if not len(cells):
        msg = f"{path}: the file has no rows"
        raise DataError(msg)
    return cells


def _kind(path: Path) -> str:
    if not is_table(path):
        msg = f"{path}: training rows are read from .jsonl, .csv and .tsv files, plain or .gz, and from .parquet"
        raise DataError(msg)
    return KINDS[Path(path.name.removesuffix(".gz")).suffix]


def _json_cells(path: Path, names: Sequence[str]) -> Cells:
    places: list[str] = []
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for place, row in _objects(path):
        places.append(place.removeprefix(str(path)))
        for name, column in columns.items():
            column.append(row.get(name))
    return Cells(columns, lambda i: f"{path}{places[i]}")


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walk the rows of JSON Lines, or of a .json file that is one list."""
    if not path.name.removesuffix(".gz").endswith(".json") or not _first_line(path).startswith("["):
        yield from objects(path)
        return
    try:
        rows = json.loads("".join(whole_lines(path)))
    except (ValueError, RecursionError) as error:
        msg = f"{path}: not valid JSON: {error}"
        raise DataError(msg) from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            msg = f"{path}, row {number}: {str(row)[:60]!r} is not a JSON object"
            raise DataError(msg)
        yield f"{path}, row {number}", row


def _first_line(path: Path) -> str:
    return next((line.lstrip() for line in whole_lines(path) if line.strip()), "")


def _csv_cells(path: Path, names: Sequence[str]) -> Cells:
    records = _records(path)
    _, header = next(records)
    taken = [header.index(name) for name in names]
    numbers: list[int] = []
    columns: list[list[str]] = [[] for _ in names]
    for number, record in records:
        if len(record) != len(header):
            msg = f"{path}, line {number}: {len(record)} cells, but the header has {len(header)}"
            raise DataError(msg)
        numbers.append(number)
        for column, place in zip(columns, taken, strict=True):
            column.append(record[place])
    return Cells(dict(zip(names, columns, strict=True)), lambda i: f"{path}, line {numbers[i]}")


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and every record with the number of its first line; blank lines are passed over."""
    csv.field_size_limit(_LONGEST_CELL)  # a passage may be longer than the 128 KB that are allowed at first
    delimiter = "\t" if path.name.removesuffix(".gz").endswith(".tsv") else ","
    reader = csv.reader(whole_lines(path), delimiter=delimiter, strict=True)
    number, header = 1, list[str]()
    try:
        for record in reader:
            if record and not header:
                header = record
                _refuse_twice(path, header)
            if record:
                yield number, record
            number = reader.line_num + 1
    except csv.Error as error:
        msg = f"{path}, line {number}: not {'tab' if delimiter != ',' else 'comma'}-separated as csv writes it: {error}"
        raise DataError(msg) from None
    if not header:
        msg = f"{path}: the file has no rows"
        raise DataError(msg)


def _refuse_twice(path: Path, header: Sequence[str]) -> None:
    if twice := [name for name in header if name and header.count(name) > 1]:
        msg = f"{path}: the header has the column {twice[0]!r} more than once"
        raise DataError(msg)


def _parquet_cells(path: Path, names: Sequence[str]) -> Cells:
    with parquet_faults(path):
        table = pq.ParquetFile(path).read(columns=list(names))
    columns = {name: _values(table[name], path) for name in names}
    return Cells(columns, lambda i: f"{path}, row {i + 1}")


def _values(column: pa.ChunkedArray, path: Path) -> list[Any]:
    values: list[Any] = []
    try:
        values.extend(cell.as_py() for cell in column)
    except UnicodeDecodeError as error:
        wrong = error.object[error.start : error.start + 1]
        msg = f"{path}, row {len(values) + 1}: not UTF-8: byte {wrong!r} at {error.start}"
        raise DataError(msg) from None
    return values
