"""Named columns of Parquet, JSON Lines and tab-separated files as Arrow strings, block by block, in little memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from clear_bench.disk import refuse_system_faults
from clear_bench.errors import DataError
from clear_bench.readers.json_lines import block_objects, objects, text_columns
from clear_bench.readers.lines import blocks, lines, open_stream

_ROWS = 16_384
Columns = list[pa.Array]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tab-separated file is written."""

    header: tuple[str, ...] = ()
    """Names of the columns of a tab-separated file without a header line."""
    quoted: bool = False
    """Whether a tab-separated file puts quotes around cells, as `csv.writer` does."""


def read_columns(
    path: Path, names: Sequence[str], optional: Sequence[str] = (), layout: Layout = Layout()
) -> Iterator[Columns]:
    """Yield the columns `names`, then `optional`, of a file as string arrays, a few thousand rows at a time.

    A name `a|b` means the first of them that the file has. An optional column that is missing, or a cell of it, is
    null. Raises `DataError` that names the file and the columns it has where a needed one is missing, and the row
    where a needed cell is.
    """
    names, optional = ([_present(path, name, layout) for name in given] for given in (names, optional))
    plain = path.name.removesuffix(".gz")
    if plain.endswith(".parquet"):
        found = _parquet(path, names, optional)
    elif plain.endswith((".jsonl", ".json", ".ndjson")):
        found = _jsonl(path, names, optional)
    elif plain.endswith((".tsv", ".txt")):
        found = _tsv(path, names, optional, layout)
    else:
        msg = f"{path}: not the name of a table; .parquet, .jsonl, .jsonl.gz, .tsv and .tsv.gz are read"
        raise DataError(msg)
    row = 1
    for columns in found:
        for name, column in zip(names, columns, strict=False):
            if column.null_count:
                at = row + pc.index(pc.is_null(column), True).as_py()
                msg = f"{path}, row {at}: {name!r} is missing"
                raise DataError(msg)
        row += len(columns[0])
        yield columns


def _parquet(path: Path, names: Sequence[str], optional: Sequence[str]) -> Iterator[Columns]:
    with parquet_faults(path), pq.ParquetFile(path, memory_map=True) as file:
        have = file.schema_arrow.names
        _check_names(path, names, have)
        wanted = [name for name in (*names, *optional) if name in have]
        for batch in file.iter_batches(batch_size=_ROWS, columns=wanted, use_threads=False):
            batch.validate(full=True)  # checks that strings are UTF-8
            yield [_text(batch, name, path) for name in (*names, *optional)]


@contextmanager
def parquet_faults(path: Path) -> Iterator[None]:
    """Turn what Arrow says on a damaged Parquet file into a `DataError` that names it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        refuse_system_faults(error, path)
        msg = f"{path}: not a Parquet file, or a damaged one ({error})"
        raise DataError(msg) from None


def _text(batch: pa.RecordBatch, name: str, path: Path) -> pa.Array:
    if name not in batch.schema.names:
        return pa.nulls(len(batch), pa.string())
    column = batch.column(name)
    kind = column.type
    if pa.types.is_floating(kind) and pc.all(pc.equal(column, pc.floor(column))).as_py():  # grades, in some data sets
        column = column.cast(pa.int64())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        msg = f"{path}: the column {name!r} holds {kind}, but must hold texts or whole numbers"
        raise DataError(msg)
    return column.cast(pa.string())


def _jsonl(path: Path, names: Sequence[str], optional: Sequence[str]) -> Iterator[Columns]:
    wanted = (*names, *optional)
    for first, block in blocks(path):
        columns = text_columns(block, wanted)
        if columns is None or any(column.null_count for column in columns[: len(names)]):
            rows = []
            for where, row in block_objects(path, first, block):
                _check_names(where, names, list(row))
                rows.append([_cell(row.get(name), name, where) for name in wanted])
            columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(len(wanted))]
        yield columns


def _cell(value: object, name: str, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    msg = f"{where}: {name!r} is {value!r:.60}, but must be a text or a whole number"
    raise DataError(msg)


def _tsv(path: Path, names: Sequence[str], optional: Sequence[str], layout: Layout) -> Iterator[Columns]:
    have = list(layout.header) or _header(path)
    _check_names(path, names, have)
    skip = 0 if layout.header else 1
    reading = pcsv.ReadOptions(use_threads=False, block_size=8 << 20, column_names=have, skip_rows=skip)
    parsing = pcsv.ParseOptions(delimiter="\t", quote_char='"' if layout.quoted else False)
    wanted = (*names, *optional)
    present = [name for name in wanted if name in have]
    types = {name: pa.string() for name in present}
    converting = pcsv.ConvertOptions(column_types=types, include_columns=present, null_values=[])
    try:
        with pcsv.open_csv(open_stream(path), reading, parsing, converting) as reader:
            for batch in reader:
                yield [_text(batch, name, path) for name in wanted]
    except (pa.ArrowInvalid, OSError) as error:
        msg = f"{path}: not a tab-separated file as expected ({error})"
        raise DataError(msg) from None


def _header(path: Path) -> list[str]:
    first = next((line for _, line in lines(path)), "")
    return [cell.strip('"') for cell in first.split("\t")]


def _present(path: Path, name: str, layout: Layout) -> str:
    """Return the first alternative of a name such as `a|b` that the file has."""
    choices = name.split("|")
    if len(choices) == 1:
        return name
    if path.suffix == ".parquet":
        with parquet_faults(path):
            have = pq.read_schema(path).names
    elif layout.header:
        have = list(layout.header)
    else:
        first = next((line for _, line in lines(path)), "")
        have = list(next(objects(path))[1]) if first.startswith("{") else _header(path)
    return next((choice for choice in choices if choice in have), choices[0])


def _check_names(where: object, names: Sequence[str], have: Sequence[str]) -> None:
    missing = [name for name in names if name not in have]
    if missing:
        there = ", ".join(map(repr, have)) or "none"
        msg = f"{where}: has no column {', '.join(map(repr, missing))}; it has {there}"
        raise DataError(msg)
