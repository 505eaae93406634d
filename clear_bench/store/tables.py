"""The tables of a result, read as what somebody else may have written: whatever is inside ends in a sentence.

Digests are not a signature. What cannot be the scores or the hits that a manifest speaks of is refused here, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clear_bench import metrics
from clear_bench.errors import TamperedError, UserError
from clear_bench.types import Manifest

KEYS = ("query_language", "passage_language", "query_id", "cluster_id")
"""The columns of scores.parquet that are not metrics."""
ROUNDING = 1e-9
"""How far a sum of floats may lie beyond the ends of a metric."""


def read_scores(path: Path, manifest: Manifest) -> pa.Table:
    """Read scores.parquet; raises `TamperedError` where it cannot be the scores that the manifest speaks of."""
    rows = sum(manifest.counts.queries.values())
    return _read(path, KEYS, {}, lambda table: _score_problems(table, manifest), rows)


def read_hits(path: Path, manifest: Manifest, queries: Sequence[str] | None = None, depth: int = 1) -> pa.Table:
    """Read run.parquet, or the first `depth` hits of some queries, without the rest ever standing in memory.

    Raises `TamperedError` where it cannot be the hits of the manifest's pairs.
    """
    numbers = {"rank": pa.int64(), "similarity": pa.float64()}

    def keep(table: pa.Table) -> pa.Table:
        if queries is None:
            return table
        asked = pc.is_in(table["query_id"], value_set=pa.array(queries, pa.string()))
        return table.filter(pc.and_(pc.less_equal(table["rank"], depth), asked))

    return _read(path, (*KEYS[:3], "passage_id"), numbers, lambda table: _hit_problems(table, manifest), keep=keep)


def count_queries(path: Path) -> dict[str, int]:
    """Count the rows of every pair in scores.parquet, in the order of the table."""
    table = pq.ParquetFile(path).read(columns=list(KEYS[:2]))
    return dict(Counter(f"{query}:{passage}" for query, passage in zip(*(c.to_pylist() for c in table), strict=True)))


def _read(
    path: Path,
    texts: Sequence[str],
    numbers: Mapping[str, pa.DataType],
    problems: Callable[[pa.Table], Iterator[str]],
    rows: int | None = None,
    keep: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> pa.Table:
    """Read a table with these columns among others and no value missing in them; `rows` is how many it must have.

    `keep` selects rows of a part of it.
    """
    types = dict.fromkeys(texts, pa.string()) | dict(numbers)
    try:
        # `read_table` would import pyarrow.dataset and pandas with it: a fifth of a second for every gate.
        with pq.ParquetFile(path) as file:
            found = next(_shape_problems(file, types, rows), None)
            if found is None:
                parts = [keep(_cast(file.read_row_group(i), types)) for i in range(file.num_row_groups)]
                table = pa.concat_tables(parts) if parts else _cast(file.read(), types)
                lacking = (f"the column {name} lacks values" for name in types if table[name].null_count)
                found = next(chain(lacking, problems(table)), None)
    except (pa.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault; Arrow's own has no number
        found = f"it is no Parquet file that can be read ({error})"
    if found is not None:
        raise TamperedError(f"{path} cannot be what its manifest says: {found}; run the evaluation again")
    return table


def _cast(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    table.validate(full=True)
    for name, kind in types.items():
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    return table


def _shape_problems(file: pq.ParquetFile, types: Mapping[str, pa.DataType], rows: int | None) -> Iterator[str]:
    schema, count = file.schema_arrow, file.metadata.num_rows
    for name, kind in types.items():
        if schema.names.count(name) != 1:
            yield f"it has {schema.names.count(name)} columns {name!r}"
        elif not _is_like(schema.field(name).type, kind):
            yield f"the column {name} holds {schema.field(name).type} instead of {kind}"
    if rows is not None and count != rows:
        yield f"it has {count:,} rows, the manifest counts {rows:,}"


def _is_like(found: pa.DataType, kind: pa.DataType) -> bool:
    """Whether a type differs from another in width or coding alone."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    likes = (pa.types.is_integer, pa.types.is_floating, _is_text)
    return any(is_like(found) and is_like(kind) for is_like in likes)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _score_problems(table: pa.Table, manifest: Manifest) -> Iterator[str]:
    wanted = manifest.task.metrics
    if sorted(table.column_names) != sorted([*KEYS, *wanted]):
        yield f"its columns are {', '.join(table.column_names)}, the metrics are {', '.join(wanted)}"
    for name in wanted:
        yield from _metric_problems(table[name], name)
    codes, pairs = _pair_codes(table)
    counts = dict(zip(pairs, np.bincount(codes, minlength=len(pairs)).tolist(), strict=True))
    for pair, count in manifest.counts.queries.items():
        if counts.get(pair, 0) != count:
            yield f"it has {counts.get(pair, 0):,} rows of {pair}, the manifest counts {count:,}"
    if _repeats(codes, table["query_id"]):
        yield "a query stands there twice in one pair"


def _metric_problems(column: pa.ChunkedArray, name: str) -> Iterator[str]:
    try:
        family = metrics.parse(name).family
    except UserError as error:
        yield str(error)
        return
    low, high = family.bounds
    if not pa.types.is_float64(column.type):
        yield f"the column {name} holds {column.type} instead of double"
    elif not pc.all(pc.is_finite(column), min_count=0).as_py():
        yield f"the column {name} holds values that are not finite numbers"
    elif (ends := pc.min_max(column))["min"].is_valid and not (
        low - ROUNDING <= ends["min"].as_py() and ends["max"].as_py() <= high + ROUNDING
    ):
        shown = f"{ends['min'].as_py():g} to {ends['max'].as_py():g}"
        yield f"the column {name} holds {shown}, but scores run from {low:g} to {high:g}"
    elif column.null_count and family.counts == "every query":
        yield f"the column {name} lacks {column.null_count:,} of {len(column):,} values, but it counts every query"


def _hit_problems(table: pa.Table, manifest: Manifest) -> Iterator[str]:
    codes, pairs = _pair_codes(table)
    for pair in pairs:
        if pair not in manifest.pairs:
            yield f"it has hits of {pair}, which the manifest does not list"
    if not pc.all(pc.is_finite(table["similarity"]), min_count=0).as_py():
        yield "a similarity is not a finite number"
    queries = codes * len(table) + _codes(table["query_id"])
    ranks = table["rank"].to_numpy()
    order = np.lexsort((ranks, queries))
    starts = np.r_[True, np.diff(queries[order]) != 0][: len(order)]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    if not np.array_equal(ranks[order], np.arange(len(order)) - first + 1):
        yield "the ranks of a query are not 1, 2, 3 and so on"
    similarities = table["similarity"].to_numpy()[order]
    if np.any((similarities[1:] > similarities[:-1]) & ~starts[1:]):
        yield "the similarities of a query rise with the rank"  # other tools sort by them, and would read another run
    if _repeats(queries, table["passage_id"]):
        yield "a query has one passage twice"


def _pair_codes(table: pa.Table) -> tuple[NDArray[np.int64], list[str]]:
    """Return the number of each row's pair, and the names of the pairs that occur."""
    passages = table["passage_language"].unique().to_pylist()
    sides = table["query_language"].unique().to_pylist()
    raw = _codes(table["query_language"]) * len(passages) + _codes(table["passage_language"])
    present, codes = np.unique(raw, return_inverse=True)
    names = [f"{sides[code // len(passages)]}:{passages[code % len(passages)]}" for code in present.tolist()]
    return codes, names


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Replace the values of a column by numbers, in the order in which they come."""
    parts = [chunk.indices.to_numpy() for chunk in column.dictionary_encode().chunks]
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _repeats(groups: NDArray[np.int64], column: pa.ChunkedArray) -> bool:
    """Whether a value stands twice in one group."""
    _, dense = np.unique(groups, return_inverse=True)
    keys = dense.astype(np.int64) * (len(column) + 1) + _codes(column)
    return len(np.unique(keys)) < len(keys)
