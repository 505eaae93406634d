"""Metric names, and the metrics over grades against trec_eval itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clear_bench.errors import UsageError
from clear_bench.metrics import METRIC_GROUPS, METRICS, expand, parse
from clear_bench.metrics.ranking import average_precision, ndcg
from clear_bench.registry import load

CUTOFFS = (1, 2, 3, 10, 1000)
# trec_eval sums in C doubles in the same order, so only the last bits may differ.
EXACT = 1e-9


def oracle(grades: list[int], others: list[int]) -> dict[str, float]:
    """What trec_eval says of one query: the grades of its hits in rank order, and of judged passages not found."""
    qrels = {f"d{i}": grade for i, grade in enumerate([*grades, *others])}
    run = {f"d{i}": float(len(grades) - i) for i in range(len(grades))}
    cut = ",".join(map(str, CUTOFFS))
    cut_at = ("ndcg_cut", "recall", "map_cut", "P", "success")
    measures = {f"{name}.{cut}" for name in cut_at} | {"recip_rank", "map", "Rprec"}
    found = pytrec_eval.RelevanceEvaluator({"q": qrels}, measures).evaluate({"q": run})["q"]
    values = {"mAP": found["map"], "Rprec": found["Rprec"]}
    for k in CUTOFFS:
        pairs = {"nDCG": "ndcg_cut", "recall": "recall", "MAP": "map_cut", "P": "P", "hit": "success"}
        values |= {f"{ours}@{k}": found[f"{theirs}_{k}"] for ours, theirs in pairs.items()}
        # trec_eval has no cut here; a first relevant hit after rank k has a reciprocal rank below 1 / k.
        values[f"MRR@{k}"] = found["recip_rank"] if found["recip_rank"] * k > 1 - EXACT else 0.0
    return values


def grade_rows(queries: list[tuple[list[int], list[int]]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad the hits of several queries to one width, and lay out their ideals."""
    depth = max(len(hits) for hits, _ in queries) + 1
    judged = max(len(hits) + len(others) for hits, others in queries) + 1
    grades = np.array([hits + [0] * (depth - len(hits)) for hits, _ in queries])
    ideal = [sorted((max(g, 0) for g in [*hits, *others]), reverse=True) for hits, others in queries]
    return grades, np.array([row + [0] * (judged - len(row)) for row in ideal])


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(-2, 4), max_size=30), st.lists(st.integers(-2, 4), max_size=8), st.integers(1, 4)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_metric_equals_trec_eval(drawn: list[tuple[list[int], list[int], int]]) -> None:
    # One positive grade at least: pytrec_eval 0.5 reads beyond its memory where a query has none.
    queries = [(hits, [*others, positive]) for hits, others, positive in drawn]
    grades, ideal = grade_rows(queries)
    expected = [oracle(*query) for query in queries]
    for name in expected[0]:
        ours = parse(name).compute(grades, ideal)
        assert ours == pytest.approx([values[name] for values in expected], abs=EXACT), name


def test_negative_grades_gain_nothing_and_are_not_relevant() -> None:
    # trec_eval: the hit with grade -2 adds 0, not -2; gain 2 stands at rank 2, the ideal has it at rank 1.
    grades, ideal = np.array([[-2, 2]]), np.array([[2, 0]])
    assert parse("nDCG@10").compute(grades, ideal) == pytest.approx(1 / np.log2(3))
    assert oracle([-2, 2], [])["nDCG@10"] == pytest.approx(1 / np.log2(3))
    assert parse("P@2").compute(grades, ideal) == 0.5


def test_rank_biased_precision_weighs_ranks_by_powers_of_four_fifths() -> None:
    # Relevant at ranks 1 and 3, whatever the grade: 0.2 * (0.8^0 + 0.8^2) = 0.2 * 1.64; the first two alone 0.2.
    grades, ideal = np.array([[2, 0, 1, -1]]), np.array([[2, 1, 0, 0]])
    assert parse("RBP@10").compute(grades, ideal) == pytest.approx(0.328)
    assert parse("RBP@2").compute(grades, ideal) == pytest.approx(0.2)


def test_judged_counts_hits_of_any_grade_and_leaves_out_queries_without_hits() -> None:
    # 1 judged, 0 unjudged, -1 no hit: 2 of 3 hits; 1 of the first 2; no hit at all.
    flags = np.array([[1, 0, 1, -1], [0, 1, 0, 0], [-1, -1, -1, -1]])
    assert parse("judged@4").compute(flags) == pytest.approx([2 / 3, 1 / 4, np.nan], nan_ok=True)
    assert parse("judged@2").compute(flags) == pytest.approx([1 / 2, 1 / 2, np.nan], nan_ok=True)


def test_query_without_hits_and_query_without_relevant_passages_score_zero() -> None:
    for name in ("nDCG@10", "recall@10", "MRR@10", "MAP@10", "P@10", "hit@10", "mAP", "Rprec", "RBP@10"):
        no_hits, nothing_relevant = parse(name).compute(np.array([[0, 0], [0, 0]]), np.array([[1], [0]]))
        assert (no_hits, nothing_relevant) == (0, 0)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 70))
def test_ideal_ranking_scores_exactly_one(judged: list[int], k: int) -> None:
    ideal = np.array([sorted(judged, reverse=True)])
    padded = np.pad(ideal, ((0, 0), (0, 13)))
    assert ndcg(padded, ideal, k)[0] == 1.0
    assert average_precision(padded, ideal, None)[0] == pytest.approx(1.0, abs=1e-12)


def test_block_of_queries_scores_as_each_query_alone() -> None:
    rng = np.random.default_rng(0)
    grades = rng.integers(-1, 4, (50, 40)) * (rng.random((50, 40)) < 0.2)
    ideal = -np.sort(-np.maximum(grades, 0), axis=1)
    for name in ("nDCG@10", "MAP@40", "recall@20", "MRR@5"):
        alone = [parse(name).compute(grades[i : i + 1], ideal[i : i + 1])[0] for i in range(50)]
        assert parse(name).compute(grades, ideal).tolist() == alone


@pytest.mark.parametrize(
    ("typed", "name", "depth"),
    [
        ("ndcg@10", "nDCG@10", 10),
        ("RECALL@100", "recall@100", 100),
        ("mrr@100", "MRR@100", 100),
        ("map@5", "MAP@5", 5),
        ("map", "mAP", None),
        ("p@007", "P@7", 7),
        ("Hit@1", "hit@1", 1),
        ("r@2kt", "R@2kt", 40),
        ("R@5KT", "R@5kt", 100),
        ("Answer-Recall@20", "answer-recall@20", 20),
        ("SEM-ndcg@10", "sem-nDCG@10", 10),
        ("lpr", "LPR", None),
        ("lang-ndcg-strict@10", "Lang-nDCG-strict@10", 10),
        ("max@r", "Max@R", None),
        ("peer@20", "PEER@20", 20),
        ("mrc@10", "MRC@10", 10),
    ],
)
def test_names_are_read_in_any_case(typed: str, name: str, depth: int | None) -> None:
    metric = parse(typed)
    assert (metric.name, metric.depth) == (name, depth)
    assert parse(metric.name) == metric


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("nDGC@10", "'nDCG@10'"),
        ("ndcg", "'nDCG@10'"),
        ("nDCG@", "'nDCG@10'"),
        ("nDCG@-1", "'nDCG@10'"),
        ("recal@50", "'recall@50'"),
        ("R@100", "'R@100kt'"),
        ("Max@3", "'MAP@3'"),
        ("fourway", "'four-way'"),
        ("nDCG@{k}", "'nDCG@10'"),
        ("nDCG@٣", "'nDCG@10'"),
        ("", "known:"),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(typed: str, near: str) -> None:
    with pytest.raises(UsageError, match="unknown metric") as error:
        parse(typed)
    assert near in str(error.value)


def test_cutoff_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="'recall@0' looks at no hit; the number must be 1 or more: 'recall@10'"):
        parse("recall@0")


@pytest.mark.parametrize("spelling", METRICS)
def test_every_row_of_the_table_parses_and_computes(spelling: str) -> None:
    metric = parse(spelling.format(k=3))
    assert metric.family is METRICS[spelling]
    assert callable(load(f"clear_bench.metrics.{metric.family.function}"))
    assert metric.family.summary
    assert 1 <= metric.depth_in(50, 4) <= 50


def test_groups_expand_to_metrics_and_repetitions_are_dropped() -> None:
    names = [metric.name for metric in expand(["ndcg@10", "Four-Way", "nDCG@10", "LPR"])]
    assert names == ["nDCG@10", *METRIC_GROUPS["four-way"], "LPR"]


def test_depth_counts_copies_and_whole_rankings() -> None:
    assert parse("sem-nDCG@10").depth_in(13_014, 11) == 110
    assert parse("mAP").depth_in(13_014, 11) == 13_014
    assert parse("nDCG@1000").depth_in(240) == 240


def test_table_of_metrics_loads_no_numpy() -> None:
    code = "import sys, clear_bench.metrics as m; m.parse('LPR'); print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
