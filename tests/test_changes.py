from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import CODES, save

from clear_bench import readers
from clear_bench.api.changes import find_changes, with_texts
from clear_bench.store.results import MANIFEST, RUN, Result, read_result, seal
from clear_bench.tasks import load_card


@pytest.fixture
def sides(tmp_path: Path) -> tuple[list[Result], list[Result]]:
    draw = {"queries": 30, "clusters": 6}
    old = read_result(save(tmp_path, "old", codes=CODES[:3], scores=draw))
    new = read_result(save(tmp_path, "new", codes=CODES[:3], scores=draw | {"seed": 1}))
    return [old], [new]


def test_gains_come_first_and_losses_last_the_largest_at_the_ends(sides: tuple[list[Result], list[Result]]) -> None:
    old, new = sides
    changes = find_changes(new, old, count=3)
    deltas = [change.candidate - (change.base or 0.0) for change in changes]
    assert deltas == sorted(deltas, reverse=True)
    every = new[0].scores.table["nDCG@10"].to_numpy() - old[0].scores.table["nDCG@10"].to_numpy()
    assert (deltas[0], deltas[-1]) == (every.max(), every.min())


def test_no_query_and_no_pair_fills_a_list_alone(sides: tuple[list[Result], list[Result]]) -> None:
    old, new = sides
    gains = [change for change in find_changes(new, old, count=3) if change.candidate > (change.base or 0.0)]
    assert len({change.query_id for change in gains}) == len({change.pair for change in gains}) == len(gains) == 3


def test_equal_results_have_no_changes(sides: tuple[list[Result], list[Result]]) -> None:
    assert find_changes(sides[0], sides[0]) == []


def test_without_a_baseline_the_lowest_scores_are_shown(sides: tuple[list[Result], list[Result]]) -> None:
    changes = find_changes(sides[1], count=2)
    assert [change.base for change in changes] == [None] * 2
    assert {change.candidate for change in changes} == {min(sides[1][0].scores.table["nDCG@10"].to_pylist())}


def test_imported_means_have_no_queries_to_show(tmp_path: Path) -> None:
    result = read_result(save(tmp_path, codes=CODES[:2], kind="imported-means"))
    assert find_changes([result]) == []


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A collection of 30 queries and passages in two languages, and its card."""
    folder = tmp_path / "data"
    for kind in ("corpus", "queries"):
        (folder / kind).mkdir(parents=True)
        for code in ("en", "de"):
            rows = [{"_id": f"{kind[0]}{i:04d}", "text": f"{code} {kind} {i}"} for i in range(30)]
            lines = "\n".join(json.dumps(row) for row in rows) + "\n"
            (folder / kind / f"{code}.jsonl").write_text(lines, encoding="utf-8")
    qrels = ["query-id\tcorpus-id\tscore", *(f"q{i:04d}\tc{i:04d}\t1" for i in range(30))]
    (folder / "qrels.tsv").write_text("\n".join(qrels) + "\n", encoding="utf-8")
    (folder / "card.toml").write_text(
        """
        name = "small"
        reader = "jsonl"
        languages = ["eng-Latn", "deu-Latn"]
        pairs = "all"
        metrics = ["nDCG@10"]
        main_metric = "nDCG@10"
        licence = "CC0-1.0"
        [source]
        path = "."
        [files]
        corpus = "corpus/{code}.jsonl"
        queries = "queries/{code}.jsonl"
        qrels = "qrels.tsv"
        [codes]
        "eng-Latn" = "en"
        "deu-Latn" = "de"
        """,
        encoding="utf-8",
    )
    return folder


def evaluated(out: Path, card: Path, model: str, seed: int, first_hit: str) -> Result:
    """A result on the card's collection whose run has one hit a query."""
    collection = readers.read(load_card(card))
    digests = {code: texts.digest for code, texts in collection.queries.items()}
    path = save(out, model, "small", ("eng-Latn", "deu-Latn"), scores={"queries": 30, "clusters": 6, "seed": seed})
    result = read_result(path)
    table = result.scores.table.select(["query_language", "passage_language", "query_id"])
    hits = table.append_column("rank", pa.array([1] * len(table), pa.int32()))
    hits = hits.append_column("similarity", pa.array([0.5] * len(table), pa.float32()))
    pq.write_table(hits.append_column("passage_id", pa.array([first_hit] * len(table))), path / RUN)
    known = result.manifest.digests
    (path / MANIFEST).unlink()
    seal(path, replace(result.manifest, digests=replace(known, further={**known.further, "queries": digests})))
    return read_result(path)


def test_texts_of_the_query_its_answer_and_the_first_hits_are_added(tmp_path: Path, card: Path) -> None:
    old, new = evaluated(tmp_path, card, "old", 0, "c0003"), evaluated(tmp_path, card, "new", 1, "c0004")
    changes = with_texts(find_changes([new], [old], count=2), new, old, str(card))
    assert changes
    for change in changes:
        query, passage = change.pair.query[:2], change.pair.passage[:2]
        number = int(change.query_id[1:])
        assert change.query == f"{query} queries {number}"
        assert list(change.passages) == [
            ("relevant", f"c{number:04d}", f"{passage} corpus {number}"),
            ("first hit of the baseline", "c0003", f"{passage} corpus 3"),
            ("first hit", "c0004", f"{passage} corpus 4"),
        ]


def test_texts_of_another_collection_are_not_shown(tmp_path: Path, card: Path) -> None:
    new = evaluated(tmp_path, card, "new", 1, "c0004")
    file = card / "queries" / "en.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace("queries 7", "queries seven"), encoding="utf-8")
    assert all(change.query is None for change in with_texts(find_changes([new]), new, None, str(card)))


def test_a_task_that_is_not_on_this_machine_has_no_texts(sides: tuple[list[Result], list[Result]]) -> None:
    changes = find_changes(sides[1], count=1)
    assert with_texts(changes, sides[1][0], None, "nowhere/card.toml") == changes


def test_a_card_without_the_languages_of_the_result_gives_no_texts(tmp_path: Path, card: Path) -> None:
    new = read_result(save(tmp_path, "new", "small", CODES[:2], scores={"queries": 30}))
    changes = find_changes([new], count=2)
    assert any("ara-Arab" in (change.pair.query, change.pair.passage) for change in changes)
    assert with_texts(changes, new, None, str(card)) == changes
