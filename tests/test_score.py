"""From a run and judgements to scores, and from scores to means."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from made_results import as_manifest, make_manifest
from numpy.typing import NDArray

from clear_bench.errors import UsageError
from clear_bench.score import (
    Mean,
    by_kind,
    grade_hits,
    ideal_grades,
    macro,
    mean,
    means,
    score,
    score_translations,
)
from clear_bench.types import Collection, Judgements, LanguagePair, Pool, Run, Scores, Texts, make_texts

PAIR = LanguagePair("deu-Latn", "eng-Latn")
POOL = LanguagePair("deu-Latn", "both")
METRICS = ("nDCG@10", "recall@5", "MRR@1000", "MAP@10", "P@3", "hit@1")
MEASURES = ("ndcg_cut_10", "recall_5", "recip_rank", "map_cut_10", "P_3", "success_1")


def judged(rows: Sequence[Mapping[int, int]], pair: LanguagePair = PAIR) -> Judgements:
    """Judgements of consecutive query rows, each {position: grade}."""
    return Judgements(
        pair=pair,
        query_rows=np.arange(len(rows)),
        indptr=np.cumsum([0, *map(len, rows)]),
        positions=np.array([p for row in rows for p in sorted(row)], dtype=np.int64),
        grades=np.array([row[p] for row in rows for p in sorted(row)], dtype=np.int32),
    )


def ranked(positions: Sequence[Sequence[int]], pair: LanguagePair = PAIR) -> Run:
    hits = np.array(positions, dtype=np.int64)
    return Run(pair, np.arange(len(hits)), hits, np.where(hits < 0, np.nan, 0.5).astype(np.float32))


def texts(language: str, ids: Sequence[str], content: Sequence[str], chunk: int = 2) -> Texts:
    """A text set in several chunks, as memory-mapped ones are."""
    cut = [slice(i, i + chunk) for i in range(0, len(ids), chunk)]
    column = [pa.chunked_array([list(values[part]) for part in cut], pa.string()) for values in (ids, content)]
    return make_texts(language, *column)


def settle(similarities: NDArray[np.float32], ids: Sequence[str], depth: int) -> NDArray[np.int64]:
    """Order passages as trec_eval does: similarity, then id by bytes, both descending; NaN is no hit."""
    out = np.full((len(similarities), depth), -1)
    for i, row in enumerate(similarities):
        order = sorted((s, ids[p].encode(), p) for p, s in enumerate(row.tolist()) if s == s)
        found = [p for _, _, p in reversed(order)][:depth]
        out[i, : len(found)] = found
    return out


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_scores_of_tied_runs_equal_trec_eval(seed: int, n_queries: int) -> None:
    rng = np.random.default_rng(seed)
    ids = [f"p{i}" for i in rng.permutation(30)]
    # Few distinct similarities make ties; a third of the hits is missing, and some queries have none at all.
    similarities = (rng.integers(0, 4, (n_queries, 30)) / 4).astype(np.float32)
    similarities[(rng.random((n_queries, 30)) < 0.3) | (rng.random((n_queries, 1)) < 0.2)] = np.nan
    rows = []
    for _ in range(n_queries):
        chosen = rng.choice(30, rng.integers(1, 9), replace=False)
        grades = rng.integers(-2, 4, len(chosen)).tolist()
        rows.append(dict(zip(chosen.tolist(), grades, strict=True)) | {int(chosen[0]): 1})
    ours = score(ranked(settle(similarities, ids, 30).tolist()), judged(rows), METRICS)
    qrels = {f"q{i}": {ids[p]: grade for p, grade in row.items()} for i, row in enumerate(rows)}
    runs = {f"q{i}": {ids[p]: s for p, s in enumerate(row.tolist()) if s == s} for i, row in enumerate(similarities)}
    measures = {"ndcg_cut.10", "recall.5", "recip_rank", "map_cut.10", "P.3", "success.1"}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(runs)
    expected = [[theirs.get(f"q{i}", {}).get(measure, 0.0) for i in range(n_queries)] for measure in MEASURES]
    # The sums run in the same order in double precision; only the last bits may differ.
    assert ours == pytest.approx(np.array(expected), abs=1e-9)


def test_query_without_hits_scores_zero() -> None:
    values = score(ranked([[3, 1], [-1, -1]]), judged([{1: 1}, {1: 1}]), ["MRR@10", "nDCG@10"])
    assert values.tolist() == [[0.5, 0.0], [pytest.approx(1 / np.log2(3)), 0.0]]


def test_judged_at_k_equals_ir_measures() -> None:
    ir_measures = pytest.importorskip("ir_measures")
    rng = np.random.default_rng(3)
    rows = [{int(p): int(rng.integers(-1, 2)) for p in rng.choice(12, 5, replace=False)} for _ in range(20)]
    hits = [[*rng.permutation(12)[:size].tolist(), *[-1] * (8 - size)] for size in rng.integers(1, 9, 20)]
    qrels = {f"q{i}": {f"p{p}": grade for p, grade in row.items()} for i, row in enumerate(rows)}
    run = {f"q{i}": {f"p{p}": float(-rank) for rank, p in enumerate(row) if p >= 0} for i, row in enumerate(hits)}
    found = ir_measures.iter_calc([ir_measures.Judged @ 5], qrels, run)
    theirs = {one.query_id: one.value for one in found}
    ours = score(ranked(hits), judged(rows), ["judged@5"])[0]
    assert ours.tolist() == pytest.approx([theirs[f"q{i}"] for i in range(20)])


@given(st.data())
def test_grades_are_looked_up_by_query_and_position(data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(st.dictionaries(st.integers(0, 40), st.integers(-2, 3), max_size=12), min_size=1, max_size=9)
    )
    hits = [data.draw(st.permutations(range(-1, 40)))[:20] for _ in rows]
    expected = [[row.get(p, 0) for p in ranking] for row, ranking in zip(rows, hits, strict=True)]
    assert grade_hits(np.array(hits), judged(rows)).tolist() == expected


def test_grades_are_the_same_over_several_blocks() -> None:
    rng = np.random.default_rng(0)
    hits = np.argsort(rng.random((700, 400)), axis=1)
    rows = [{int(p): int(p) % 3 + 1 for p in rng.choice(400, rng.integers(1, 6), replace=False)} for _ in range(700)]
    grades = grade_hits(hits, judged(rows))
    assert [
        {int(p): int(g) for p, g in zip(*pair, strict=True) if g} for pair in zip(hits, grades, strict=True)
    ] == rows


def test_ideal_grades_descend_and_leave_out_what_is_not_relevant() -> None:
    assert ideal_grades(judged([{5: 1, 7: 3, 9: 0}, {1: -1, 2: 2}])).tolist() == [[3, 1], [2, 0]]


def test_no_metric_gives_no_rows_and_a_run_without_ranks_scores_zero() -> None:
    assert score(ranked([[0], [1]]), judged([{0: 1}, {1: 1}]), []).shape == (0, 2)
    assert score(ranked([[], []]), judged([{0: 1}, {1: 1}]), ["nDCG@10", "MAP@5"]).tolist() == [[0, 0], [0, 0]]


def test_run_of_other_queries_is_our_bug() -> None:
    run, judgements = ranked([[0], [1]]), judged([{0: 1}])
    with pytest.raises(ValueError, match="not about the same queries"):
        score(run, judgements, ["P@1"])


def test_run_too_short_for_a_metric_is_our_bug() -> None:
    collection = answering([["a"]])
    with pytest.raises(ValueError, match=r"nDCG@4 needs 4 hits a query, the run of deu-Latn:eng-Latn has 3"):
        score(ranked([[0, 1, 2]]), judged([{0: 1}]), ["nDCG@4"], collection)
    # A corpus of five passages never gives more than five hits.
    assert score(ranked([[0, 1, 2, 3, 4]]), judged([{0: 1}]), ["nDCG@10", "mAP"], collection).tolist() == [[1], [1]]


def answering(answers: list[list[str]]) -> Collection:
    """Five English passages in three chunks, and German queries with gold answers."""
    passages = ["It is in Oslo.", "Nothing here.", "Bergen lies west.", "Old Oslo town", "word " * 2100]
    return Collection(
        queries={"deu-Latn": texts("deu-Latn", [f"q{i}" for i in range(len(answers))], ["?"] * len(answers))},
        corpora={"eng-Latn": texts("eng-Latn", [f"p{i}" for i in range(5)], passages)},
        qrels={},
        clusters={},
        answers={"deu-Latn": answers},
    )


def test_answers_are_sought_in_the_texts_of_the_hits() -> None:
    collection = answering([["Oslo"], ["Bergen"], ["yes"], ["oslo town"]])
    run = ranked([[1, 0, 2, 4, -1], [4, 2, 0, 1, 3], [0, 1, 2, 3, 4], [3, -1, -1, -1, -1]])
    values = score(run, judged([{}] * 4), ["R@2kt", "R@5kt", "answer-recall@1", "answer-recall@2"], collection)
    # Bergen comes after the 2,100 words; "yes" does not count; token matching ignores case, substrings do not.
    expected = [[1, 0, np.nan, 0], [1, 1, np.nan, 0], [0, 0, 0, 1], [1, 1, 0, 1]]
    assert values == pytest.approx(np.array(expected), nan_ok=True)


def test_answers_belong_to_query_rows() -> None:
    collection = answering([["no such"], ["Oslo"]])
    run = Run(PAIR, np.array([1]), np.array([[0, 1, 2, 3, 4]]), np.zeros((1, 5), dtype=np.float32))
    judgements = Judgements(PAIR, np.array([1]), np.array([0, 0]), np.array([], np.int64), np.array([], np.int32))
    assert score(run, judgements, ["R@2kt"], collection).tolist() == [[1]]


def test_queries_without_gold_answers_do_not_count_and_cost_the_other_metrics_nothing() -> None:
    collection = answering([["a"]])
    pair = LanguagePair("fra-Latn", "eng-Latn")
    values = score(ranked([[0, 1, 2, 3, 4]], pair), judged([{1: 1}], pair), ["R@2kt", "MRR@10"], collection)
    assert values == pytest.approx(np.array([[np.nan], [1 / 2]]), nan_ok=True)


def test_a_metric_of_judged_passages_does_not_count_queries_that_answers_judge() -> None:
    values = score(ranked([[0, 1, 2, 3, 4]]), judged([{}]), ["nDCG@10", "judged@10"], answering([["Oslo"]]))
    assert np.isnan(values).all()


def test_rankings_that_end_before_the_token_budget_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    ids = [f"p{i}" for i in range(60)]
    collection = Collection(
        queries={},
        corpora={"eng-Latn": texts("eng-Latn", ids, ["short text"] * 60)},
        qrels={},
        clusters={},
        answers={"deu-Latn": [["Oslo"]]},
    )
    with caplog.at_level(logging.WARNING):
        score(ranked([list(range(40))]), judged([{}]), ["R@2kt"], collection)
    assert "R@2kt of deu-Latn:eng-Latn: the hits of 1 queries end before the budget" in caplog.text


def pooled() -> Collection:
    """A pool of two languages with three contents each; German has them in another order. Positions 0-2 are English."""
    return Collection(
        queries={
            "deu-Latn": texts("deu-Latn", ["q1", "q2", "q3"], ["?"] * 3),
            "eng-Latn": texts("eng-Latn", ["q3", "q1"], ["?"] * 2),
        },
        corpora={
            "eng-Latn": texts("eng-Latn", ["a", "b", "c"], ["A", "B", "C"]),
            "deu-Latn": texts("deu-Latn", ["b", "c", "a"], ["B", "C", "A"]),
        },
        qrels={},
        clusters={},
        pools={"both": Pool("both", ("eng-Latn", "deu-Latn"), ("en", "de"))},
    )


def test_copies_in_a_pool_are_passages_with_one_id() -> None:
    # The query asks for content a: positions 0 (English) and 5 (German). The ranking is b en, b de, a en, a de, ...:
    # without the second b, a stands at rank 2. The first copy of a is English; the last stands at rank 4.
    run, judgements = ranked([[1, 3, 0, 5, 2, 4]], POOL), judged([{0: 1, 5: 1}], POOL)
    names = ["sem-nDCG@2", "LPR", "top1-neither", "Max@R", "Complete@3", "mAP", "nDCG@3"]
    expected = [1 / np.log2(3), 0, 1, 4, 0, (1 / 3 + 2 / 4) / 2, 0.5 / (1 + 1 / np.log2(3))]
    assert score(run, judgements, names, pooled())[:, 0] == pytest.approx(expected)


def test_pool_metrics_do_not_count_outside_pools() -> None:
    values = score(ranked([[0, 1, 2]]), judged([{0: 1}]), ["LPR", "nDCG@1", "MRC@3"], pooled())
    assert values[:, 0] == pytest.approx([np.nan, 1, np.nan], nan_ok=True)


def test_metrics_that_need_the_collection_say_so() -> None:
    for name in ("LPR", "R@2kt"):
        with pytest.raises(ValueError, match=f"{name} is computed from the collection"):
            score(ranked([[0]]), judged([{0: 1}]), [name])


def test_translations_are_matched_by_query_id() -> None:
    # English rows are q3, q1. q1: a b against b a is -1; q3: equal; q2 has no translation.
    german = ranked([[0, 1], [2, 3], [4, 5]], POOL)
    english = ranked([[4, 5], [1, 0]], LanguagePair("eng-Latn", "both"))
    ours = score_translations([german, english], pooled(), ["MRC@2", "LPR"])
    assert ours[0] == pytest.approx(np.array([[-1, np.nan, 1], [np.nan] * 3]), nan_ok=True)
    assert ours[1] == pytest.approx(np.array([[1, -1], [np.nan] * 2]), nan_ok=True)


def scores_table(rows: Sequence[tuple[str, str, float | None]]) -> Scores:
    query, passage, values = zip(*rows, strict=True)
    columns = {"query_language": query, "passage_language": passage, "nDCG@10": pa.array(values, pa.float64())}
    return Scores(pa.table(columns), ("nDCG@10",), as_manifest(make_manifest("m", "t", [])))


def test_means_run_over_the_counted_queries_of_each_pair() -> None:
    rows = [("deu-Latn", "eng-Latn", 1.0), ("eng-Latn", "eng-Latn", 0.25), ("deu-Latn", "eng-Latn", 0.0)]
    rows += [("deu-Latn", "deu-Latn", None), ("deu-Latn", "eng-Latn", float("nan")), ("eng-Latn", "eng-Latn", None)]
    assert means(scores_table(rows), "nDCG@10") == {
        PAIR: Mean(0.5, 2),
        LanguagePair("eng-Latn", "eng-Latn"): Mean(0.25, 1),
        LanguagePair("deu-Latn", "deu-Latn"): Mean(None, 0),
    }


def test_means_of_pairs_keep_the_order_of_the_table_and_its_bytes() -> None:
    rng = np.random.default_rng(0)
    languages = ["vie-Latn", "eng-Latn", "ara-Arab"]
    cells = {(q, p): rng.random(50) for q in languages for p in reversed(languages)}
    table = scores_table([(*pair, value) for pair, values in cells.items() for value in values.tolist()])
    chunked = Scores(pa.concat_tables([table.table[:170], table.table[170:]]), table.metrics, table.provenance)
    for scores in (table, chunked):
        found = means(scores, "nDCG@10")
        assert list(found) == [LanguagePair(*pair) for pair in cells]
        assert list(found.values()) == [mean(values) for values in cells.values()]
    assert mean(cells["ara-Arab", "eng-Latn"]).value == pytest.approx(np.mean(cells["ara-Arab", "eng-Latn"]), abs=1e-15)


def test_metric_that_the_scores_lack_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown metric 'nDCG@20'; did you mean 'nDCG@10'"):
        means(scores_table([("deu-Latn", "eng-Latn", 1.0)]), "nDCG@20")


def test_macro_mean_gives_each_pair_the_same_weight() -> None:
    assert macro([Mean(1.0, 1000), Mean(0.5, 10), Mean(None, 0)]) == Mean(0.75, 2)
    assert macro([]) == Mean(None, 0)


def test_pairs_are_averaged_by_kind() -> None:
    cells = {
        LanguagePair("eng-Latn", "eng-Latn"): Mean(0.9, 5),
        LanguagePair("deu-Latn", "eng-Latn"): Mean(0.5, 5),
        LanguagePair("ara-Arab", "eng-Latn"): Mean(0.7, 9),
        LanguagePair("ara-Arab", "deu-Latn"): Mean(0.3, 9),
    }
    assert by_kind(cells) == {"english": Mean(0.9, 1), "x-en": Mean(pytest.approx(0.6), 2), "direct": Mean(0.3, 1)}
