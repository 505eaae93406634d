from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from made_results import CODES, as_manifest, make_manifest, make_scores, matrix, save
from scipy import stats as scipy_stats

from clear_bench import stats
from clear_bench.api.summary import summarise, summarise_results
from clear_bench.render.records import Summary
from clear_bench.store.results import read_result
from clear_bench.types import LanguagePair, Scores

PAIRS = matrix(CODES[:4])


def scores(table: pa.Table, pairs: list[str] = PAIRS, **more: object) -> Scores:
    return Scores(table, ("nDCG@10", "recall@10"), as_manifest(make_manifest("m", "t", pairs) | more))


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return make_scores(PAIRS, queries=50, clusters=10)


@pytest.fixture(scope="module")
def summary(table: pa.Table) -> Summary:
    return summarise(scores(table))


def test_cells_are_the_means_that_pandas_gives(table: pa.Table, summary: Summary) -> None:
    expected = table.to_pandas().groupby(["query_language", "passage_language"])[["nDCG@10", "recall@10"]].mean()
    for metric in ("nDCG@10", "recall@10"):
        for pair, value in summary.metrics[metric].items():
            assert value.value == pytest.approx(expected.loc[(pair.query, pair.passage), metric], abs=1e-12)
            assert (value.n, value.clusters, value.pairs) == (50, 10, 1)
    assert [str(pair) for pair in summary.cells] == PAIRS


def test_groups_are_plain_means_over_their_cells(summary: Summary) -> None:
    cells = {pair: value.value for pair, value in summary.cells.items()}
    for group, wanted in {
        "english": lambda p: p.query == p.passage == "eng-Latn",
        "monolingual": lambda p: p.query == p.passage,
        "x-en": lambda p: p.passage == "eng-Latn" != p.query,
        "en-x": lambda p: p.query == "eng-Latn" != p.passage,
        "direct": lambda p: "eng-Latn" not in (p.query, p.passage) and p.query != p.passage,
        "cross": lambda p: p.query != p.passage,
        "all": lambda p: True,
    }.items():
        chosen = [value for pair, value in cells.items() if wanted(pair)]
        assert summary.groups[group].value == pytest.approx(np.mean(chosen), abs=1e-12)
        assert summary.groups[group].pairs == len(chosen)


def test_languages_have_their_own_to_english_from_english_and_direct_means(summary: Summary) -> None:
    german = summary.languages["deu-Latn"]
    assert german["x-en"] == summary.cells[LanguagePair("deu-Latn", "eng-Latn")]
    assert german["en-x"] == summary.cells[LanguagePair("eng-Latn", "deu-Latn")]
    assert german["monolingual"] == summary.cells[LanguagePair("deu-Latn", "deu-Latn")]
    direct = [summary.cells[LanguagePair("deu-Latn", code)].value for code in ("ara-Arab", "ell-Grek")]
    assert german["direct"].value == pytest.approx(np.mean(direct), abs=1e-12)
    assert summary.languages["eng-Latn"] == {"monolingual": summary.groups["english"]}


def known(rows: pa.Table) -> stats.Estimate:
    """The estimate of one pair's rows, by itself."""
    labels = rows["cluster_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return stats.estimates(stats.cluster_sums(rows["nDCG@10"].to_numpy(), labels, ends=(0.0, 1.0)))[0]


def test_interval_is_that_of_the_estimate_and_no_narrower_than_students() -> None:
    table = make_scores(["eng-Latn:eng-Latn"], queries=40, clusters=40)
    value = summarise(scores(table, ["eng-Latn:eng-Latn"])).overall
    sample = table["nDCG@10"].to_numpy()
    low, high = scipy_stats.t.interval(0.95, 39, loc=sample.mean(), scale=scipy_stats.sem(sample))
    assert (value.lower, value.upper) == stats.interval(known(table))
    assert value.lower is not None
    assert value.lower <= low
    assert value.upper == pytest.approx(min(1.0, high))  # few queries are far below the mean, none is far above


def test_interval_of_clustered_queries_is_that_of_their_clusters(summary: Summary, table: pa.Table) -> None:
    for pair in (LanguagePair("deu-Latn", "eng-Latn"), LanguagePair("ara-Arab", "ell-Grek")):
        rows = table.filter(
            pc.and_(pc.equal(table["query_language"], pair.query), pc.equal(table["passage_language"], pair.passage))
        )
        value = summary.cells[pair]
        assert (value.lower, value.upper) == pytest.approx(stats.interval(known(rows)), abs=1e-10)


def test_interval_of_a_mean_over_pairs_keeps_their_shared_clusters_together(table: pa.Table, summary: Summary) -> None:
    # All pairs have the same queries, so the macro mean is the mean over queries of their average over pairs.
    averaged = table.to_pandas().groupby(["query_id", "cluster_id"])["nDCG@10"].mean().reset_index()
    value, alone = summary.groups["all"], stats.interval(known(pa.Table.from_pandas(averaged)))
    assert alone is not None
    # How alike clusters are is read from the pairs, not from their average, so what is unseen differs a little.
    assert (value.lower, value.upper) == pytest.approx(alone, abs=0.01)


def test_six_queries_at_the_ceiling_are_no_proof_of_it() -> None:
    value = summarise(scores(at_the_ceiling(6), ["eng-Latn:eng-Latn"])).overall
    assert value.lower is not None
    assert (value.value, value.upper) == (1, 1)
    assert value.lower == pytest.approx(1 - -np.log(0.025) / 6)  # exactly by Clopper and Pearson: 0.54


def at_the_ceiling(queries: int) -> pa.Table:
    table = make_scores(["eng-Latn:eng-Latn"], queries=queries, clusters=queries)
    return table.set_column(table.column_names.index("nDCG@10"), "nDCG@10", pa.array(np.ones(queries)))


def test_intervals_of_shares_stay_within_0_and_1() -> None:
    table = make_scores(["eng-Latn:eng-Latn"], queries=12, clusters=12)
    high = table.set_column(4, "nDCG@10", pa.array([0.5] + [1.0] * 11))
    value = summarise(scores(high, ["eng-Latn:eng-Latn"])).overall
    assert value.value == pytest.approx(11.5 / 12)
    assert value.upper == 1.0


def test_one_cluster_leaves_the_interval_unknown() -> None:
    table = make_scores(["eng-Latn:eng-Latn"], queries=12, clusters=1)
    value = summarise(scores(table, ["eng-Latn:eng-Latn"])).overall
    assert (value.lower, value.upper) == (None, None)


def test_imported_means_have_neither_queries_nor_intervals(table: pa.Table) -> None:
    value = summarise(scores(table, kind="imported-means")).overall
    assert (value.n, value.clusters, value.lower) == (0, 0, None)


def test_pools_are_a_group_of_their_own_and_every_metric_is_averaged_over_them() -> None:
    pairs = ["eng-Latn:all", "deu-Latn:all"]
    summary = summarise(scores(make_scores(pairs), pairs))
    assert list(summary.groups) == ["pool"]
    assert summary.overall == summary.groups["pool"] == summary.pooled["nDCG@10"]
    recalls = [value.value for value in summary.metrics["recall@10"].values()]
    assert summary.pooled["recall@10"].value == pytest.approx(np.mean(recalls))


def test_queries_that_do_not_count_for_a_metric_are_left_out_of_its_mean() -> None:
    pairs = ["eng-Latn:all", "deu-Latn:all"]
    table = make_scores(pairs, queries=20)
    values = table["recall@10"].to_numpy().copy()
    values[:20], values[25:30] = np.nan, np.nan
    table = table.set_column(table.column_names.index("recall@10"), "recall@10", pa.array(values))
    cells = summarise(scores(table, pairs)).metrics["recall@10"]
    assert [(str(pair), value.n) for pair, value in cells.items()] == [("deu-Latn:all", 15)]
    assert next(iter(cells.values())).value == pytest.approx(np.nanmean(values[20:]))


def test_seeds_are_averaged_query_by_query(tmp_path: Path) -> None:
    results = [
        read_result(save(tmp_path, f"seed {seed}", codes=CODES[:2], scores={"queries": 30, "seed": seed}))
        for seed in range(3)
    ]
    whole = summarise_results(results)
    single = [summarise_results([result]) for result in results]
    for pair, value in whole.cells.items():
        assert value.value == pytest.approx(np.mean([one.cells[pair].value for one in single]), abs=1e-12)
        assert value.n == 30
    assert (len(whole.manifests), len(whole.paths)) == (3, 3)
