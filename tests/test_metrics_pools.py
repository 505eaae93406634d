"""Metrics of mixed-language pools, each with a value worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from clear_bench.metrics import METRIC_GROUPS, parse
from clear_bench.metrics.pools import PoolHits

# A pool of 4 contents in 3 languages: passage 4 * language + content. English is 0, German 1, Swahili 2.
# The queries are German and ask for content 0, so the passages 0 (English), 4 (German), 8 (Swahili) are relevant.
EN0, EN1, EN2, EN3, DE0, DE1, DE2, DE3, SW0, SW1, SW2, SW3 = range(12)
GERMAN = 1
CONTENT, LANGUAGE = np.arange(12) % 4, np.arange(12) // 4


def pool_hits(*rankings: list[int], relevant: tuple[int, ...] = (EN0, DE0, SW0), grade: int = 1) -> PoolHits:
    depth = max(map(len, rankings))
    positions = np.array([ranking + [-1] * (depth - len(ranking)) for ranking in rankings])
    return PoolHits(
        content=CONTENT,
        language=LANGUAGE,
        query_language=GERMAN,
        positions=positions,
        grades=np.isin(positions, relevant) * grade,
        relevant=np.array([relevant] * len(rankings)),
        relevant_grades=np.full((len(rankings), len(relevant)), grade),
    )


def value(name: str, hits: PoolHits) -> list[float]:
    return parse(name).compute(hits).tolist()


FULL = [EN0, DE1, DE0, EN1, SW0, SW1, EN2, DE2, SW2, EN3, DE3, SW3]


def test_semantic_ndcg_removes_later_copies_and_closes_ranks() -> None:
    # DE1, EN1, DE0 closes up to content 1, content 0: relevant at rank 2, ideal at rank 1, so 1 / log2(3).
    # DE1, EN1, SW1, EN2, SW0 closes up to 1, 2, 0: rank 3, so 1 / log2(4), and 0 at k = 2.
    hits = pool_hits([DE1, EN1, DE0, EN0], [DE1, EN1, SW1, EN2, SW0], FULL)
    assert value("sem-nDCG@10", hits) == pytest.approx([1 / np.log2(3), 0.5, 1.0])
    assert value("sem-nDCG@2", hits) == pytest.approx([1 / np.log2(3), 0.0, 1.0])


def test_semantic_ndcg_counts_a_content_once_in_the_ideal() -> None:
    # Two relevant contents, 0 with grade 2 and 1 with grade 1, each in two languages. DE1, EN1, DE0 closes up to 1, 0:
    # DCG = 1 + 2 / log2(3); the ideal is content 0, then 1: 2 + 1 / log2(3). Counting all four copies would add 2.
    hits = replace(
        pool_hits([DE1, EN1, DE0]),
        grades=np.array([[1, 1, 2]]),
        relevant=np.array([[EN0, DE0, EN1, DE1, -1]]),
        relevant_grades=np.array([[2, 2, 1, 1, 0]]),
    )
    assert value("sem-nDCG@10", hits) == pytest.approx([(1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))])


def test_language_preference_asks_for_the_best_ranked_copy() -> None:
    # First copies: English at rank 1; German at rank 2; Swahili at rank 3; none found.
    hits = pool_hits([EN0, DE0, SW0], [DE1, DE0, EN0], [DE1, EN1, SW0], [DE1, DE2])
    assert value("LPR", hits) == [0, 1, 0, 0]
    assert value("LPR@1", hits) == [0, 0, 0, 0]
    assert value("LPR@2", hits) == [0, 1, 0, 0]


def test_language_preference_at_top_counts_queries_with_a_right_first_hit() -> None:
    # Right in English; right in German; wrong; no hit: the first two count, half of them German.
    values = value("LPR-top1", pool_hits([EN0, DE0], [DE0], [DE1, DE0], []))
    assert values == pytest.approx([0, 1, np.nan, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # FULL has English at rank 1, German at rank 3: with g = 0.5, DCG@3 = 0.5 / log2(2) + 1 / log2(4) = 1;
        # ideal 1 + 0.5 (1 / log2(3) + 1 / log2(4)) = 1.565465.
        ("Lang-nDCG@3", 1 / 1.565465),
        # k = 10 adds Swahili at rank 5: 0.5 / log2(6) = 0.193426; the ideal stays: min(k, 3 languages).
        ("Lang-nDCG@10", 1.193426 / 1.565465),
        # k = 2 has the English copy alone; ideal 1 + 0.5 / log2(3) = 1.315465.
        ("Lang-nDCG@2", 0.5 / 1.315465),
        # g = 0: German at rank 3, 1 / log2(4), over 1.
        ("Lang-nDCG-strict@3", 0.5),
        # g = 1: 1 + 1 / log2(4) = 1.5 over 1 + 1 / log2(3) + 1 / log2(4) = 2.130930.
        ("Lang-nDCG-all@3", 1.5 / 2.130930),
    ],
)
def test_language_ndcg_weighs_translations(name: str, expected: float) -> None:
    assert value(name, pool_hits(FULL)) == pytest.approx([expected], abs=1e-6)


def test_language_ndcg_of_own_copy_first_is_one() -> None:
    for name in ("Lang-nDCG@10", "Lang-nDCG-strict@10", "Lang-nDCG-all@10"):
        assert value(name, pool_hits([DE0, SW0, EN0, DE1])) == [1]


def test_four_way_split_says_what_the_first_hit_has_right() -> None:
    hits = pool_hits([DE0], [SW0], [DE3], [EN3], [])
    assert value("top1-both", hits) == [1, 0, 0, 0, 0]
    assert value("top1-content", hits) == [0, 1, 0, 0, 0]
    assert value("top1-language", hits) == [0, 0, 1, 0, 0]
    assert value("top1-neither", hits) == [0, 0, 0, 1, 1]
    assert np.sum([value(name, hits) for name in METRIC_GROUPS["four-way"]], axis=0).tolist() == [1] * 5


def test_worst_rank_is_that_of_the_last_copy() -> None:
    # FULL has the copies at ranks 1, 3, 5. The second ranking lacks Swahili: the last rank of the pool, 12.
    hits = pool_hits(FULL, [DE0, EN0, DE1])
    assert value("Max@R", hits) == [5, 12]
    assert not parse("Max@R").family.higher_is_better


def test_complete_asks_for_all_copies() -> None:
    hits = pool_hits(FULL, [DE0, EN0, DE1])
    assert value("Complete@5", hits) == [1, 0]
    assert value("Complete@4", hits) == [0, 0]


def test_query_language_outside_the_pool_is_not_counted() -> None:
    outside = replace(pool_hits(FULL), query_language=-1)
    for name in ("LPR", "LPR-top1", "Lang-nDCG@10", "Lang-nDCG-strict@10"):
        assert np.isnan(value(name, outside)).all()
    # The first hit is right in content; no language is the query's own.
    assert [value(name, outside)[0] for name in METRIC_GROUPS["four-way"]] == [0, 1, 0, 0]
    assert value("Max@R", outside) == [5]


def test_query_without_a_copy_in_its_own_language_has_no_preference() -> None:
    hits = pool_hits(FULL, relevant=(EN0, SW0, -1))
    assert np.isnan(value("LPR", hits) + value("Lang-nDCG@10", hits)).all()
    assert value("Max@R", hits) == [5]


def test_query_without_a_relevant_passage_finds_nothing_and_has_no_worst_rank() -> None:
    # Nothing can be found, so what asks whether it was found is 0; what asks where it stands has no answer.
    hits = pool_hits(FULL, relevant=(-1, -1))
    hits = replace(hits, relevant_grades=np.zeros((1, 2), dtype=int))
    assert [value(name, hits) for name in ("sem-nDCG@10", "Complete@12", "top1-both", "top1-content")] == [[0]] * 4
    undefined = ("LPR", "LPR-top1", "Lang-nDCG@10", "Max@R", "PEER-relevant@10")
    assert np.isnan([value(name, hits)[0] for name in undefined]).all()


def test_peer_tests_the_ranks_of_the_whole_pool() -> None:
    # Two languages, two passages each, ranked en en de de: rank sums 3 and 7.
    # H = 12 / (4 * 5) * (9 / 2 + 49 / 2) - 3 * 5 = 2.4, p = P(chi2 with 1 degree of freedom > 2.4) = 0.12134.
    hits = PoolHits(
        content=np.array([0, 1, 0, 1]),
        language=np.array([0, 0, 1, 1]),
        query_language=0,
        positions=np.array([[0, 1, 2, 3]]),
        grades=np.array([[1, 0, 1, 0]]),
        relevant=np.array([[0, 2]]),
        relevant_grades=np.array([[1, 1]]),
    )
    assert value("PEER@4", hits) == pytest.approx([0.121335], abs=1e-6)
    # At k = 1 the other three share rank 3: English 1 + 3, German 3 + 3. The mean is 2.5, so
    # between = 2 (0.5^2 + 0.5^2) = 1, within = 1.5^2 + 3 * 0.5^2 = 3, H = 3 * 1 / 3 = 1, p = P(chi2(1) > 1) = 0.317311.
    assert value("PEER@1", hits) == pytest.approx([0.317311], abs=1e-6)


@given(st.permutations(range(12)), st.integers(1, 12))
def test_peer_equals_the_kruskal_wallis_test_of_scipy(ranking: list[int], k: int) -> None:
    ranks = np.full(12, 13)
    ranks[ranking[:k]] = np.arange(1, k + 1)
    expected = stats.kruskal(*(ranks[language == LANGUAGE] for language in range(3))).pvalue
    assert value(f"PEER@{k}", pool_hits(list(ranking))) == pytest.approx([expected], abs=1e-12)


@given(st.permutations(range(12)), st.integers(1, 12))
def test_peer_of_relevant_equals_the_kruskal_wallis_test_grade_by_grade(ranking: list[int], k: int) -> None:
    # Contents 0 and 1 have grade 1, contents 2 and 3 grade 2: two passages a language and grade.
    grade = 1 + CONTENT // 2
    hits = replace(
        pool_hits(list(ranking)),
        grades=grade[np.array([ranking])],
        relevant=np.arange(12)[None],
        relevant_grades=grade[None],
    )
    ranks = np.full(12, 13)
    ranks[ranking[:k]] = np.arange(1, k + 1)
    expected = []
    for level in (1, 2):
        groups = [ranks[(language == LANGUAGE) & (grade == level)] for language in range(3)]
        same = len(set(np.concatenate(groups))) == 1  # nothing of this grade found: nothing favoured
        expected.append(1.0 if same else stats.kruskal(*groups).pvalue)
    assert value(f"PEER-relevant@{k}", hits) == pytest.approx([np.mean(expected)], abs=1e-12)


def test_peer_of_one_copy_a_language_is_a_constant() -> None:
    # Groups of one have H = N - 1 whatever the order: p = P(chi2(2) > 2) = exp(-1). So PEER@k takes all passages.
    orders = [DE0, EN0, SW0, DE1], [SW0, DE1, EN0, DE0]
    assert value("PEER-relevant@4", pool_hits(*orders)) == pytest.approx([np.exp(-1)] * 2)


def test_peer_without_hits_favours_nothing() -> None:
    assert value("PEER@3", pool_hits([], [EN0])) == pytest.approx([1.0, value("PEER@3", pool_hits([EN0]))[0]])


def correlations(*rankings: list[list[int]], k: int = 10) -> list[list[float]]:
    return parse(f"MRC@{k}").compute(np.array(rankings)).tolist()


def test_rank_correlation_compares_each_language_with_the_others() -> None:
    # a b c against a c b: 1 - 6 * 2 / (3 * 8) = 0.5; against c b a: -1. a c b against c b a: 1 - 6 * 6 / 24 = -0.5.
    # Language 1: (0.5 - 1) / 2, language 2: (0.5 - 0.5) / 2, language 3: (-1 - 0.5) / 2.
    values = correlations([[0, 1, 2]], [[0, 2, 1]], [[2, 1, 0]])
    assert values == [[-0.25], [0.0], [-0.75]]
    # The mean over languages is the mean over pairs: (0.5 - 1 - 0.5) / 3.
    assert np.mean(values) == pytest.approx(-1 / 3)


def test_rank_correlation_ties_missing_passages_behind() -> None:
    # a b c against a alone: ranks 1 2 3 and 1 2.5 2.5; covariance 1.5, squares 2 and 1.5: 1.5 / sqrt(3).
    assert correlations([[0, 1, 2]], [[0, -1, -1]]) == [[pytest.approx(np.sqrt(3) / 2)]] * 2
    # a b against a c: over a b c the ranks are 1 2 3 and 1 3 2.
    assert correlations([[0, 1]], [[0, 2]]) == [[0.5], [0.5]]
    assert correlations([[7]], [[7]]) == [[1.0], [1.0]]
    assert correlations([[7]], [[8]]) == [[-1.0], [-1.0]]


def test_rank_correlation_looks_at_the_first_k() -> None:
    assert correlations([[0, 1, 2, 3]], [[0, 1, 3, 2]], k=2) == [[1.0], [1.0]]


def test_rank_correlation_leaves_out_queries_without_hits() -> None:
    # Language 3 has no ranking of the first query, and the second query has only one.
    values = correlations([[0, 1], [4, 5]], [[0, 1], [-1, -1]], [[-1, -1], [-1, -1]])
    assert values == [[1.0, pytest.approx(np.nan, nan_ok=True)]] * 2 + [[pytest.approx(np.nan, nan_ok=True)] * 2]


@given(st.lists(st.permutations(range(9)), min_size=2, max_size=2), st.integers(1, 9), st.integers(1, 9))
def test_rank_correlation_equals_spearman_of_scipy(orders: list[list[int]], n: int, m: int) -> None:
    first, second = orders[0][:n], orders[1][:m]
    union = sorted({*first, *second})
    ranks = [[ranking.index(p) if p in ranking else 9 for p in union] for ranking in (first, second)]
    if any(len(set(row)) == 1 for row in ranks):
        return  # a single passage has no variance; worked by hand above
    rows = [[ranking + [-1] * (9 - len(ranking))] for ranking in (first, second)]
    assert correlations(*rows) == [[pytest.approx(stats.spearmanr(*ranks).statistic, abs=1e-12)]] * 2
