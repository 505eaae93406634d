"""Prediction files of XOR-Retrieve: what the authors' `eval_xor_retrieve.py` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clear_bench.disk import atomic_write
from clear_bench.errors import DataError
from clear_bench.store.results import Result
from clear_bench.store.trec import read_run
from clear_bench.types import Collection


def write_xor_predictions(result: Result, collection: Collection, out: Path, codes: Mapping[str, str]) -> Path:
    """Write `[{"id", "lang", "ctxs"}]` for every question of a result, its passages best first and without titles.

    The authors' script counts only the questions it finds in the file, so questions without a hit are there too, with
    no passages. Raises `DataError` for a hit that is not in the collection: the run is of other passages.
    """
    run = read_run(result).to_pandas().sort_values(["query_language", "query_id", "rank"], kind="stable")
    texts = _texts(collection, pa.array(run["passage_id"].unique()), result)
    found = run.groupby(["query_language", "query_id"], sort=False)["passage_id"]
    hits = {key: [texts[one] for one in group] for key, group in found}
    asked = result.scores.table.select(["query_language", "query_id"]).to_pylist()
    keys = [(row["query_language"], row["query_id"]) for row in asked]
    rows = [{"id": key[1], "lang": codes[key[0]], "ctxs": hits.get(key, [])} for key in keys]
    path = out / f"{result.task}.xor.json"
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def _texts(collection: Collection, wanted: pa.Array, result: Result) -> dict[str, str]:
    """Look up the texts of passages, chunk by chunk."""
    found: dict[str, str] = {}
    for language, corpus in collection.corpora.items():
        bodies = collection.bodies[language].chunks if language in collection.bodies else None
        for i, (ids, text) in enumerate(zip(corpus.ids.chunks, corpus.text.chunks, strict=True)):
            rows = np.flatnonzero(pc.is_in(ids, value_set=wanted).to_numpy(zero_copy_only=False))
            starts = bodies[i].take(pa.array(rows)).to_pylist() if bodies else [0] * len(rows)
            columns = (ids.take(pa.array(rows)).to_pylist(), text.take(pa.array(rows)).to_pylist(), starts)
            found.update({key: whole[start:] for key, whole, start in zip(*columns, strict=True)})
    missing = set(wanted.to_pylist()) - set(found)
    if missing:
        msg = f"{result.path}: the passage {min(missing)!r} is not in the collection; the run is of other passages"
        raise DataError(msg)
    return found
