"""Judgements by position: what counts, what is left out, and that ids are found wherever they stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clear_bench.errors import DataError
from clear_bench.qrels import judge, judge_all
from clear_bench.types import Collection, LanguagePair, Pool, Texts, make_qrels, make_texts

EN, DE = "eng-Latn", "deu-Latn"


def texts(language: str, ids: list[str], chunk: int = 2) -> Texts:
    chunks = [ids[i : i + chunk] for i in range(0, len(ids), chunk)]
    column = pa.chunked_array([pa.array(c, pa.string()) for c in chunks], pa.string())
    return make_texts(language, column, column)


def collection(queries: list[str], passages: dict[str, list[str]], rows: list[tuple[str, str, int]]) -> Collection:
    qrels = make_qrels(*(list(column) for column in zip(*rows, strict=True)))
    return Collection(
        queries={EN: texts(EN, queries)},
        corpora={language: texts(language, ids) for language, ids in passages.items()},
        qrels={LanguagePair(EN, language): qrels for language in passages},
        clusters={EN: queries},
    )


def test_positions_follow_the_corpus_not_the_qrels() -> None:
    judged = judge(
        collection(["q2", "q1"], {EN: ["c", "b", "a"]}, [("q1", "a", 2), ("q1", "b", 1), ("q2", "c", 1)]),
        LanguagePair(EN, EN),
    )
    assert judged.query_rows.tolist() == [0, 1]
    assert judged.indptr.tolist() == [0, 1, 3]
    assert judged.positions.tolist() == [0, 1, 2]
    assert judged.grades.tolist() == [1, 1, 2]


def test_query_judged_with_0_only_counts_and_query_without_a_judgement_does_not() -> None:
    # As `trec_eval -c` averages: over the queries of the qrels, q1 and q2.
    judged = judge(collection(["q1", "q2", "q3"], {EN: ["a"]}, [("q1", "a", 1), ("q2", "a", 0)]), LanguagePair(EN, EN))
    assert judged.query_rows.tolist() == [0, 1]
    assert (judged.grades.tolist(), judged.indptr.tolist()) == ([1, 0], [0, 1, 2])
    assert (judged.unjudged, judged.untranslated, judged.unanswerable, judged.dropped) == (1, 0, 1, 0)


def test_query_judged_with_0_only_counts_where_its_passages_are_in_another_language_only() -> None:
    # q2 cannot be answered in any language, q3 can in English: only q3 says nothing about German passages.
    rows = [("q1", "a", 1), ("q2", "b", 0), ("q3", "b", 1)]
    judged = judge(collection(["q1", "q2", "q3"], {EN: ["a", "b"], DE: ["a"]}, rows), LanguagePair(EN, DE))
    assert (judged.query_rows.tolist(), judged.indptr.tolist()) == ([0, 1], [0, 1, 1])
    assert (judged.untranslated, judged.unanswerable) == (1, 1)


def test_collection_that_drops_unanswerable_queries_leaves_them_out_and_counts_them() -> None:
    base = collection(["q1", "q2", "q3"], {EN: ["a"]}, [("q1", "a", 1), ("q2", "a", 0)])
    judged = judge(replace(base, drops_unanswerable=True), LanguagePair(EN, EN))
    assert (judged.query_rows.tolist(), judged.unjudged, judged.unanswerable, judged.dropped) == ([0], 1, 0, 1)


def test_pair_in_which_nothing_is_relevant_is_an_error() -> None:
    with pytest.raises(DataError, match="eng-Latn:eng-Latn: none of the 1 queries is judged with a relevant passage"):
        judge(collection(["q1"], {EN: ["a"]}, [("q1", "a", 0)]), LanguagePair(EN, EN))


def test_query_whose_passage_is_not_translated_is_left_out_and_counted_apart() -> None:
    rows = [("q1", "a", 1), ("q2", "b", 1), ("q2", "a", 0)]
    first, second = judge_all(
        collection(["q1", "q2"], {EN: ["a", "b"], DE: ["a"]}, rows), [LanguagePair(EN, EN), LanguagePair(EN, DE)]
    )
    assert (len(first.query_rows), first.untranslated) == (2, 0)
    assert (second.query_rows.tolist(), second.untranslated, second.unjudged) == ([0], 1, 0)


def test_pair_without_a_judged_query_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match="eng-Latn:deu-Latn: none of the 1 queries"):
        judge(collection(["q1"], {DE: ["b"]}, [("q1", "a", 1)]), LanguagePair(EN, DE))


def test_pool_positions_count_through_its_languages() -> None:
    base = collection(["q1"], {EN: ["a", "b"], DE: ["b", "a"]}, [("q1", "a", 1)])
    pair = LanguagePair(EN, "all")
    pooled = Collection(
        base.queries,
        base.corpora,
        {pair: make_qrels(["q1", "q1"], ["en/a", "de/a"], [1, 1])},
        base.clusters,
        {"all": Pool("all", (EN, DE), ("en", "de"))},
    )
    assert judge(pooled, pair).positions.tolist() == [0, 3]


def test_query_judged_by_answers_counts_when_it_has_some() -> None:
    base = collection(["q1", "q2"], {EN: ["a"]}, [("q1", "a", 1)])
    by_answer = Collection(base.queries, base.corpora, {}, base.clusters, answers={EN: [["gold"], []]})
    judged = judge(by_answer, LanguagePair(EN, EN))
    assert (judged.query_rows.tolist(), judged.indptr.tolist(), judged.unjudged) == ([0], [0, 0], 1)


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=30), st.integers(1, 7), st.randoms())
def test_every_id_is_found_in_any_chunking(ids: list[str], chunk: int, random: object) -> None:
    shuffled = list(ids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    rows = [(query, query, 1) for query in ids]
    base = collection(ids, {EN: shuffled}, rows)
    judged = judge(
        Collection({EN: texts(EN, ids, chunk)}, base.corpora, base.qrels, base.clusters), LanguagePair(EN, EN)
    )
    assert [shuffled[p] for p in judged.positions] == ids
    assert np.array_equal(judged.query_rows, np.arange(len(ids)))
