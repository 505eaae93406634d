"""TREC run and qrels files: the common tongue of evaluation tools."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from clear_bench.disk import atomic_write
from clear_bench.errors import DataError, InputError
from clear_bench.store.results import RUN, Result
from clear_bench.store.tables import read_hits


def read_run(result: Result) -> pa.Table:
    """Read the stored hits of a result; raises `InputError` where the run was not kept."""
    path = result.path / RUN
    if not path.is_file():
        msg = f"{path} is not there: boards are committed without their runs; run the evaluation again to get it"
        raise InputError(msg)
    return read_hits(path, result.manifest)


def write_trec_runs(result: Result, out: Path, tag: str) -> list[Path]:
    """Write one TREC run file per pair, `<task>.<query>-<passage>.trec`: query Q0 passage rank similarity tag.

    Raises `DataError` for an id that holds white space, which the format cannot carry.
    """
    frame = read_run(result).to_pandas()
    for column in ("query_id", "passage_id"):
        spaced = frame[column][frame[column].str.contains(r"\s", regex=True)]
        if len(spaced):
            msg = f"{result.path}: the {column} {spaced.iloc[0]!r} holds white space, which TREC files cannot carry"
            raise DataError(msg)
    written = []
    for (query, passage), hits in frame.groupby(["query_language", "passage_language"], sort=False):
        path = out / f"{result.task}.{query}-{passage}.trec"
        with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            for row in hits.itertuples(index=False):
                file.write(f"{row.query_id} Q0 {row.passage_id} {row.rank} {float(row.similarity)!r} {tag}\n")
        written.append(path)
    return written
