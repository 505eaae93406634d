"""TREC run files: one per pair, in the order of the run, read back by the reference implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import as_manifest, make_manifest, make_scores

from clear_bench.errors import DataError, InputError
from clear_bench.store.results import RUN, SCORES, Result, read_result, save_result
from clear_bench.store.trec import write_trec_runs
from clear_bench.types import Manifest


def saved(folder: Path, passages: list[str], similarities: list[float]) -> Result:
    count = len(passages)
    pair = {"query_language": ["deu-Latn"] * count, "passage_language": ["eng-Latn"] * count, "query_id": ["q"] * count}
    hits = {"rank": list(range(1, count + 1)), "passage_id": passages, "similarity": np.float32(similarities)}

    def write(path: Path) -> Manifest:
        pq.write_table(pa.table(pair | hits), path / RUN)
        pq.write_table(make_scores(["deu-Latn:eng-Latn"], 1), path / SCORES)
        return as_manifest(make_manifest("m", "t", ["deu-Latn:eng-Latn"]))

    return read_result(save_result(folder / "m" / "t", write))


def test_lines_hold_the_exact_similarity_and_rank(tmp_path: Path) -> None:
    (path,) = write_trec_runs(saved(tmp_path, ["b", "a"], [0.1, 0.1]), tmp_path / "runs", "tag")
    assert path.name == "t.deu-Latn-eng-Latn.trec"
    fields = [line.split() for line in path.read_text().splitlines()]
    assert [row[:4] for row in fields] == [["q", "Q0", "b", "1"], ["q", "Q0", "a", "2"]]
    assert all(np.float32(row[4]) == np.float32(0.1) and row[5] == "tag" for row in fields)


def test_id_with_white_space_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'a b' holds white space"):
        write_trec_runs(saved(tmp_path, ["a b"], [1.0]), tmp_path / "runs", "tag")


def test_result_without_its_run_says_so(tmp_path: Path) -> None:
    result = saved(tmp_path, ["a"], [1.0])
    (result.path / RUN).unlink()
    with pytest.raises(InputError, match="run the evaluation again"):
        write_trec_runs(result, tmp_path / "runs", "tag")
