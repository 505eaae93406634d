"""A second run into a place that holds a result: answered from what is there, extended by what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_task import WordEncoder, write_task, write_vectors

from clear_bench import evaluate
from clear_bench.api import evaluation
from clear_bench.cli import invoke
from clear_bench.errors import UsageError
from clear_bench.store import folders
from clear_bench.store.results import read_manifest, read_result
from clear_bench.types import Scores

POOL = 'pools = { everything = ["eng-Latn", "deu-Latn", "ara-Arab"] }'
PROBES = 3
"""Texts that an object is fingerprinted by, each time it is opened."""


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(write_task(tmp_path / "task", extra=POOL))


def run(card: str, pairs: str, metrics: str = "", out: str = "out", encoder: object = None, **settings: Any) -> Scores:
    names = [name for name in metrics.split(",") if name]
    asked = {"pairs": pairs.split(","), "metrics": names, "out": out, "name": "words"} | settings
    return evaluate(encoder or WordEncoder(), card, **asked).scores["toy"]


def folder(out: str = "out") -> Path:
    return next(Path(out).glob("*/toy"))


def everything(out: str = "out") -> list[dict[str, Any]]:
    """Every score of a result, in the order of its rows."""
    return [dict(sorted(row.items())) for row in read_result(folder(out)).scores.table.to_pylist()]


def test_some_pairs_and_metrics_are_told_from_the_whole_and_nothing_is_written(card: str) -> None:
    whole = run(card, "all")
    before = {path: path.read_bytes() for path in folder().iterdir()}
    some = run(card, "de:en", "MRR@10", run_depth=3)
    assert {path: path.read_bytes() for path in folder().iterdir()} == before
    assert some.metrics == ("MRR@10",)
    assert some.provenance.pairs == ("deu-Latn:eng-Latn",)
    sides = ("deu-Latn", "eng-Latn")
    rows = [row for row in whole.table.to_pylist() if (row["query_language"], row["passage_language"]) == sides]
    assert some.table["MRR@10"].to_pylist() == [row["MRR@10"] for row in rows]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("de:en", "nDCG@10"), ("ar:en,en:ar", "nDCG@10")),
        (("de:en,en:en", "nDCG@10"), ("de:en,en:en", "MRR@10,P@1")),
        (("de:en", "nDCG@10"), ("en:de", "recall@2")),
        (("de:en", "nDCG@10"), ("de:POOL", "nDCG@10,LPR")),
        (("de:POOL", "LPR"), ("de:en,ar:en", "nDCG@10")),
    ],
)
def test_a_result_that_was_extended_holds_what_one_run_of_everything_gives(
    card: str, first: tuple[str, str], second: tuple[str, str]
) -> None:
    for pairs, metrics in (first, second):
        asked = run(card, pairs, metrics)
        assert asked.metrics == tuple(metrics.split(","))
        assert len(asked.provenance.pairs) == len(pairs.split(","))
    run(card, f"{first[0]},{second[0]}", f"{first[1]},{second[1]}", out="whole")
    assert everything() == everything("whole")
    ours, theirs = read_manifest(folder()), read_manifest(folder("whole"))
    same = ("identity", "digests", "pairs", "run_depth", "settings")
    assert [getattr(ours, name) for name in same] == [getattr(theirs, name) for name in same]
    assert len(ours.earlier) == 1
    assert invoke(["verify", str(folder())]) == 0


def test_only_what_is_missing_is_encoded_and_searched(card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    real = evaluation.score_table

    def told(plan: Any, cell: Any) -> Any:
        searched.append(str(cell.pair))
        return real(plan, cell)

    monkeypatch.setattr(evaluation, "score_table", told)
    first, second, third = WordEncoder(), WordEncoder(), WordEncoder()
    run(card, "de:en", encoder=first)
    run(card, "de:en,de:ar", encoder=second)
    run(card, "de:ar", "P@1", encoder=third)
    assert [len(one.texts) - PROBES for one in (first, second, third)] == [16, 8, 0]
    # P@1 is asked of one pair, and a result has every metric of every pair.
    assert searched == ["deu-Latn:eng-Latn", "deu-Latn:ara-Arab", "deu-Latn:eng-Latn", "deu-Latn:ara-Arab"]


def test_more_ranks_are_searched_again_and_the_scores_stay(card: str) -> None:
    run(card, "de:en", run_depth=2)
    before = everything()
    run(card, "en:en", run_depth=5)
    assert everything()[:8] == before or everything()[8:] == before
    hits = read_run_rows()
    assert {(row["query_language"], row["rank"]) for row in hits} == {
        (code, rank) for code in ("deu-Latn", "eng-Latn") for rank in range(1, 6)
    }
    run(card, "de:en", run_depth=2)
    assert read_manifest(folder()).run_depth == 5


def read_run_rows() -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.ParquetFile(folder() / "run.parquet").read().to_pylist()


def test_other_texts_are_refused_by_name(card: str) -> None:
    run(card, "de:en")
    corpus = Path("task/corpus/en.jsonl")
    corpus.write_text(corpus.read_text().replace("river", "stream"))
    with pytest.raises(UsageError, match="the passages of eng-Latn were"):
        run(card, "de:en,ar:en")
    # Neither is a pair added beside texts that have changed since.
    with pytest.raises(UsageError, match="the passages of eng-Latn were"):
        run(card, "ar:ar")


def test_the_first_queries_alone_are_no_part_of_all(card: str) -> None:
    run(card, "de:en", limit=3)
    with pytest.raises(UsageError, match="--limit is 3 there, none now"):
        run(card, "de:en")
    assert run(card, "en:en", limit=3).table.num_rows == 3
    assert len(everything()) == 6


def test_a_metric_that_compares_query_languages_is_not_mixed_with_other_languages(card: str) -> None:
    run(card, "de:en,ar:en", "MRC@5")
    with pytest.raises(UsageError, match="MRC@5 compares the query languages on eng-Latn passages"):
        run(card, "en:en", "nDCG@10")
    with pytest.raises(UsageError, match="MRC@5 compares the query languages on eng-Latn passages"):
        run(card, "de:en,ar:en,en:en", "MRC@5")
    assert run(card, "de:de", "nDCG@10").metrics == ("nDCG@10",)


def test_an_approximate_index_is_not_searched_to_another_depth(card: str, tmp_path: Path) -> None:
    vectors = {"vectors": write_vectors(tmp_path / "vectors"), "index": "faiss:HNSW8", "encoder": "toy", "name": None}
    run(card, "de:en", "recall@1", run_depth=2, **vectors)
    with pytest.raises(UsageError, match=r"hits of --index faiss:HNSW8 depend on how many .*2 hits there, 5 now"):
        run(card, "ar:en", "recall@5", run_depth=2, **vectors)
    assert run(card, "ar:en", "recall@1", run_depth=2, **vectors).metrics == ("recall@1",)


def test_two_that_extend_at_once_keep_both_parts(card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(card, "de:en")
    real = evaluation.score_table

    def meanwhile(plan: Any, cell: Any) -> Any:
        monkeypatch.setattr(evaluation, "score_table", real)
        run(card, "ar:en")  # another process, which is faster
        return real(plan, cell)

    monkeypatch.setattr(evaluation, "score_table", meanwhile)
    run(card, "en:en")
    codes = ("ara-Arab", "deu-Latn", "eng-Latn")
    assert sorted(read_manifest(folder()).pairs) == [f"{code}:eng-Latn" for code in codes]
    assert len(everything()) == 24
    assert [path.name for path in folder().parent.iterdir()] == ["toy"]


@pytest.mark.parametrize("dies_at", ["before", "between", "after"])
def test_a_kill_leaves_the_old_result_or_the_new_one(card: str, dies_at: str) -> None:
    """`between`: on a system without an exchange in one step, when the old folder is aside and the new not in place."""
    run(card, "de:en")
    program = f"""
import os, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parent / "support")!r}]
from test_extension import run
from clear_bench.store import folders
real, count = os.rename, []
def rename(source, target):
    real(source, target)
    count.append(target)
    if {dies_at!r} == "between" and len(count) == 2:  # the first one names the hidden folder
        os._exit(9)
if {dies_at!r} == "between":
    folders.ctypes.CDLL = lambda *_, **__: None
    os.rename = rename
else:
    exchange = folders._exchange
    folders._exchange = lambda one, other: ({dies_at!r} == "after" and exchange(one, other), os._exit(9))
run({card!r}, "en:en")
"""
    done = subprocess.run([sys.executable, "-c", program], env=os.environ, timeout=240)
    assert done.returncode == 9
    run(card, "de:en")
    known = len(read_manifest(folder()).pairs)
    assert known in {"before": (1,), "between": (1, 2), "after": (2,)}[dies_at]
    run(card, "en:en")
    assert len(everything()) == 16
    assert [path.name for path in folder().parent.iterdir()] == ["toy"]


def test_a_system_without_an_exchange_in_one_step_replaces_too(card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(card, "de:en")
    monkeypatch.setattr(folders.ctypes, "CDLL", lambda *_, **__: None)
    run(card, "en:en")
    assert len(everything()) == 16
    assert [path.name for path in folder().parent.iterdir()] == ["toy"]


def test_force_measures_what_is_asked_for_and_nothing_else(card: str) -> None:
    run(card, "all")
    run(card, "de:en", force=True)
    assert read_manifest(folder()).pairs == ("deu-Latn:eng-Latn",)


def test_gains_over_a_baseline_are_of_the_pairs_asked_for(
    card: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_vectors(tmp_path / "vectors")
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", card, "--out", "out", "--baseline", "bm25"]
    assert invoke(line) == 0
    capsys.readouterr()
    assert invoke([*line, "--pairs", "de:en"]) == 0
    out = capsys.readouterr().out
    gains = out[out.index("toy against bm25") :]
    assert "X→en" in gains
    assert "direct" not in gains
