"""Results whose per-query scores a test sets by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from made_results import as_manifest, make_manifest
from numpy.typing import NDArray

from clear_bench.store.results import SCORES, Result, read_result, save_result
from clear_bench.types import Manifest

EN = "eng-Latn:eng-Latn"
Values = Sequence[float | None] | NDArray[np.float64]


def save_scores(
    folder: Path,
    cells: Mapping[str, Values],
    model: str = "org/base",
    *,
    task: str = "xquad",
    size: int = 1,
    metric: str = "nDCG@10",
    extra: Mapping[str, Values] | None = None,
    ids: Sequence[str] | None = None,
    reverse: bool = False,
    **manifest: Any,
) -> Path:
    """Write a sealed result of pair -> scores of its queries, `size` to a cluster; `extra` columns have all rows."""
    tables = []
    for pair, values in cells.items():
        query, passage = pair.split(":")
        names = list(ids or [f"q{i:05d}" for i in range(len(values))])
        columns = {
            "query_language": pa.repeat(query, len(values)),
            "passage_language": pa.repeat(passage, len(values)),
            "query_id": pa.array(names),
            "cluster_id": pa.array([f"c{i // size:05d}" for i in range(len(values))]),
            metric: pa.array(np.asarray(values, dtype=np.float64)),
        }
        tables.append(pa.table(columns))
    table = pa.concat_tables(tables)
    for name, values in (extra or {}).items():
        table = table.append_column(name, pa.array(values, pa.float64()))
    if reverse:
        table = table.take(np.arange(len(table))[::-1])
    content = make_manifest(model, task, list(cells)) | manifest
    content["task"] = content["task"] | {"main_metric": metric, "metrics": [metric, *(extra or {})]}

    def write(temporary: Path) -> Manifest:
        pq.write_table(table, temporary / SCORES)
        return as_manifest(content)

    return save_result(folder, write)


def made(folder: Path, cells: Mapping[str, Values], model: str = "org/base", **settings: Any) -> Result:
    """Write such a result and read it back."""
    return read_result(save_scores(folder, cells, model, **settings))


def drawn(n: int, mean: float = 0.0, sd: float = 0.15, seed: int = 0) -> NDArray[np.float64]:
    """Draw independent values with exactly this mean and standard deviation."""
    values = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)
