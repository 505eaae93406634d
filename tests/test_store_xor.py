"""The prediction file for XOR-Retrieve's own script: every question, passages best first, no titles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import as_manifest, make_manifest
from raw_benchmarks import load, xor

from clear_bench import readers
from clear_bench.cli import invoke
from clear_bench.errors import DataError
from clear_bench.store.results import RUN, SCORES, Result, read_result, save_result
from clear_bench.store.xor import write_xor_predictions
from clear_bench.tasks import select_pairs
from clear_bench.types import Collection, Manifest


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    task = load("xor")
    task = replace(task, source={**task.source, "path": str(xor().write(tmp_path / "raw"))})
    return readers.read(task, select_pairs(task, "fi:en,ja:en"))


def result(tmp_path: Path, passages: dict[tuple[str, str], list[str]]) -> Result:
    """Save a result with the given hits of (language, question)."""

    def write(folder: Path) -> Manifest:
        asked = [("fin-Latn", "1"), ("fin-Latn", "2"), ("jpn-Jpan", "3")]
        scores = {
            "query_language": [language for language, _ in asked],
            "passage_language": ["eng-Latn"] * 3,
            "query_id": [key for _, key in asked],
            "cluster_id": [key for _, key in asked],
            "R@2kt": pa.array([1.0, None, 0.0]),
        }
        pq.write_table(pa.table(scores), folder / SCORES)
        hits = [
            {"query_language": q[0], "passage_language": "eng-Latn", "query_id": q[1], "rank": i + 1, "passage_id": p}
            for q, found in passages.items()
            for i, p in reversed(list(enumerate(found)))
        ]
        pq.write_table(pa.Table.from_pylist([{**hit, "similarity": 0.5} for hit in hits]), folder / RUN)
        pairs = ["fin-Latn:eng-Latn", "jpn-Jpan:eng-Latn"]
        made = make_manifest("m", "xor", pairs)
        return as_manifest(made | {"task": made["task"] | {"main_metric": "R@2kt", "metrics": ["R@2kt"]}})

    return read_result(save_result(tmp_path / "m" / "xor", write))


def test_every_question_is_there_with_its_passages_best_first(tmp_path: Path, collection: Collection) -> None:
    one = result(tmp_path, {("fin-Latn", "1"): ["2", "1"], ("jpn-Jpan", "3"): ["1"]})
    path = write_xor_predictions(one, collection, tmp_path, load("xor").codes)
    assert json.loads(path.read_text(encoding="utf-8")) == [
        {"id": "1", "lang": "fi", "ctxs": ["Helsinki is in Finland.", 'Oslo is in "Norway" today.']},
        {"id": "2", "lang": "fi", "ctxs": []},
        {"id": "3", "lang": "ja", "ctxs": ['Oslo is in "Norway" today.']},
    ]


def test_a_hit_of_other_passages_is_refused(tmp_path: Path, collection: Collection) -> None:
    one = result(tmp_path, {("fin-Latn", "1"): ["77"]})
    with pytest.raises(DataError, match="the passage '77' is not in the collection"):
        write_xor_predictions(one, collection, tmp_path, load("xor").codes)


def test_the_command_line_writes_it_and_refuses_other_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clear_bench.tasks import find_task

    card = tmp_path / "xor.toml"
    original = Path(find_task("xor").folder, "xor.toml").read_text(encoding="utf-8")
    card.write_text(original.replace("total = 2110", "total = 3"), encoding="utf-8")
    brought = xor().write(tmp_path / "raw")
    cache = ["--cache-dir", str(tmp_path / "mine")]
    assert invoke(["fetch", str(card), "--pairs", "fi:en", "--offline", "--source", str(brought), *cache]) == 0
    one = result(tmp_path, {("fin-Latn", "1"): ["1"]})
    assert invoke(["export", str(one.path), "--out", str(tmp_path / "out")]) == 2
    assert "--trec, --xor" in capsys.readouterr().err
    assert invoke(["export", str(one.path), "--xor", "--out", str(tmp_path / "out"), *cache]) == 3
    assert "3 queries in all languages, but the card xor expects 2110" in capsys.readouterr().err
    assert invoke(["export", str(one.path), "--xor", "--task", str(card), "--out", str(tmp_path / "out"), *cache]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert [row["id"] for row in json.loads(path.read_text(encoding="utf-8"))] == ["1", "2", "3"]
    assert invoke(["export", str(one.path), "--xor", "--task", "mini", "--out", str(tmp_path / "out")]) == 2
    assert "mini is not judged by answers" in capsys.readouterr().err
