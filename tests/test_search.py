from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clear_bench import search as search_module
from clear_bench.errors import InputError, UsageError
from clear_bench.indexes import INDEXES, faiss_index, open_index, rows, torch_index
from clear_bench.search import Searcher, recall_against_exact
from clear_bench.types import Embeddings, LanguagePair, Run

PAIR = LanguagePair("deu-Latn", "eng-Latn")


@pytest.fixture(params=sorted(INDEXES))
def spec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["small", "streamed"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Search as a small corpus is, or stream it in narrow blocks."""
    if request.param == "streamed":
        monkeypatch.setattr(rows, "SMALL", 1)
        monkeypatch.setattr(faiss_index, "_PASSAGES", 64)
        monkeypatch.setattr(torch_index, "_CPU_BLOCK", (7, 64))
    return str(request.param)


def embeddings(vectors: NDArray[np.float32], parts: int = 1) -> Embeddings:
    return Embeddings(tuple(np.array_split(vectors, parts)))


def some_ids(count: int, seed: int = 0) -> list[str]:
    """Make ids in no order, with letters whose bytes sort otherwise than their code units or their alphabets."""
    letters = np.random.default_rng(seed).permutation(count)
    return [f"{'aZé~ｅ𝔢'[i % 6]}{i}" for i in letters.tolist()]


def chunked(ids: list[str]) -> pa.ChunkedArray:
    third = len(ids) // 3
    return pa.chunked_array([ids[:third], [], ids[third:]], pa.string())


def expected(
    passages: NDArray[np.float32], ids: list[str], queries: NDArray[np.float32], depth: int
) -> list[list[tuple[str, np.float32]]]:
    """Rank the slow way: float64 products rounded to float32, then ids by bytes, both descending."""
    similarities = (queries.astype(np.float64) @ passages.T.astype(np.float64)).astype(np.float32)
    return [
        sorted(zip(ids, row, strict=True), key=lambda hit: (hit[1], hit[0].encode()), reverse=True)[:depth]
        for row in similarities
    ]


def assert_ranks(run: Run, hits: list[list[tuple[str, np.float32]]], ids: list[str], tolerance: float = 0.0) -> None:
    assert [[ids[i] for i in row] for row in run.positions] == [[name for name, _ in row] for row in hits]
    similarities = [[similarity for _, similarity in row] for row in hits]
    np.testing.assert_allclose(run.similarities, similarities, rtol=0, atol=tolerance)


def integers(count: int, seed: int, largest: int = 2) -> NDArray[np.float32]:
    """Make vectors whose similarities are small integers: nearly every hit is tied."""
    drawn = np.random.default_rng(seed).integers(-largest, largest + 1, (count, 5)).astype(np.float32)
    drawn[:, 0] = 1
    return drawn


def unit(count: int, seed: int, dimensions: int = 24) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal((count, dimensions))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 9, 240, 1500])
@pytest.mark.parametrize("depth", [1, 10, 100])
def test_ties_fall_to_the_id_by_bytes_descending(spec: str, path: str, count: int, depth: int) -> None:
    passages, queries, ids = integers(count, 0), integers(30, 1), some_ids(count)
    run = Searcher([embeddings(passages, 3)], chunked(ids), spec, "cpu").search(
        embeddings(queries), np.arange(30), PAIR, depth
    )
    assert_ranks(run, expected(passages, ids, queries, depth), ids)
    assert run.positions.shape == run.similarities.shape == (30, min(depth, count))
    assert run.similarities.dtype == np.float32
    assert run.positions.dtype == np.int64


def test_equal_passages_are_exactly_equal_wherever_they_stand(spec: str, path: str) -> None:
    # 50 passages, each there 9 times; odd places, so that the product computes them in different lanes.
    order = np.random.default_rng(3).permutation(np.repeat(np.arange(50), 9))
    passages, ids = unit(50, 0, 193)[order], some_ids(450)
    queries = unit(40, 1, 193)
    run = Searcher([embeddings(passages, 4)], chunked(ids), spec, "cpu").search(
        embeddings(queries), np.arange(40), PAIR, 30
    )
    assert_ranks(run, expected(passages, ids, queries, 30), ids, 1e-6)
    for similarities, found in zip(run.similarities, order[run.positions], strict=True):
        assert len(set(similarities.tolist())) == len(set(found.tolist())) == 4
    # 3 whole groups of 9, and 3 hits of the fourth, of every query share their similarity.
    assert run.ties == 40 * 30


def test_passages_closer_than_float32_products_can_tell_are_ranked_as_in_float64(spec: str, path: str) -> None:
    generator = np.random.default_rng(0)
    passages = unit(1, 0, 384) + generator.uniform(-3e-7, 3e-7, (500, 384))
    passages, ids, queries = passages.astype(np.float32), some_ids(500), unit(1, 0, 384)
    run = Searcher([embeddings(passages)], chunked(ids), spec, "cpu").search(
        embeddings(queries), np.arange(1), PAIR, 20
    )
    assert_ranks(run, expected(passages, ids, queries, 20), ids)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 150),
    depth=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    largest=st.integers(0, 3),
    spec=st.sampled_from(sorted(INDEXES)),
    small=st.sampled_from([1, 1024]),
)
def test_order_of_the_corpus_changes_nothing(
    count: int, depth: int, seed: int, largest: int, spec: str, small: int
) -> None:
    # Thirds and sevenths round, unlike integers, so that equal similarities are computed unequal by many products.
    passages, queries = integers(count, seed, largest) / 3, integers(5, seed + 1, 9) / 7
    order, ids = np.random.default_rng(seed).permutation(count), some_ids(count, seed)
    shuffled = [ids[i] for i in order]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "SMALL", small)
        patch.setattr(torch_index, "_CPU_BLOCK", (3, 32))
        patch.setattr(faiss_index, "_PASSAGES", 32)
        plain = Searcher([embeddings(passages)], chunked(ids), spec).search(
            embeddings(queries), np.arange(5), PAIR, depth
        )
        moved = Searcher([embeddings(passages[order])], chunked(shuffled), spec).search(
            embeddings(queries), np.arange(5), PAIR, depth
        )
    assert [[ids[i] for i in row] for row in plain.positions] == [[shuffled[i] for i in row] for row in moved.positions]
    np.testing.assert_allclose(plain.similarities, moved.similarities, rtol=1e-6)
    assert plain.ties == moved.ties


def test_a_tie_group_at_the_cut_is_completed_before_the_cut(spec: str, path: str) -> None:
    # 7 better passages, then 600 equal ones for 3 places; the best ids stand at the end of the corpus.
    passages = np.array([[1, 0]] * 593 + [[2, 0]] * 7 + [[1, 0]] * 7 + [[0, 1]] * 50, dtype=np.float32)
    ids = [f"{i:04d}" for i in range(len(passages))]
    query = embeddings(np.array([[1, 0], [0, 1]], dtype=np.float32))
    run = Searcher([embeddings(passages, 5)], chunked(ids), spec, "cpu").search(query, np.arange(2), PAIR, 10)
    assert run.positions[0].tolist() == [599, 598, 597, 596, 595, 594, 593, 606, 605, 604]
    assert run.positions[1].tolist() == [656, 655, 654, 653, 652, 651, 650, 649, 648, 647]


def test_passages_that_are_all_equal_rank_by_id(spec: str, path: str) -> None:
    passages, ids = np.tile(unit(1, 0), (3000, 1)), some_ids(3000)
    run = Searcher([embeddings(passages, 2)], chunked(ids), spec, "cpu").search(
        embeddings(unit(6, 1)), np.arange(6), PAIR, 10
    )
    best = sorted(ids, key=str.encode, reverse=True)[:10]
    assert [[ids[i] for i in row] for row in run.positions] == [best] * 6
    assert run.ties == 60


def test_more_equal_passages_than_can_be_looked_at_are_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(search_module, "_WIDEST", 200)
    passages, ids = np.tile(unit(1, 0), (3000, 1)), chunked(some_ids(3000))
    with caplog.at_level(logging.WARNING):
        run = Searcher([embeddings(passages)], ids).search(embeddings(unit(6, 1)), np.arange(6), PAIR, 10)
    assert "6 queries have more than 200 passages as near as their last hit" in caplog.text
    assert len(set(run.positions[0].tolist())) == 10


def test_many_queries_are_searched_in_turns_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    passages, queries, ids = integers(500, 0), integers(90, 1), some_ids(500)
    monkeypatch.setattr(search_module, "_CELLS", 1000)
    monkeypatch.setattr(search_module, "_SETTLED", 300)
    monkeypatch.setattr(search_module, "_RESCORED", 17)
    run = Searcher([embeddings(passages)], chunked(ids)).search(embeddings(queries), np.arange(90), PAIR, 10)
    assert_ranks(run, expected(passages, ids, queries, 10), ids)


def test_rows_of_half_precision_in_many_blocks_are_searched(spec: str, path: str) -> None:
    stored, ids = unit(300, 0).astype(np.float16), some_ids(300)
    queries = unit(20, 1).astype(np.float16)
    run = Searcher([embeddings(stored, 11)], chunked(ids), spec, "cpu").search(
        embeddings(queries, 3), np.arange(20), PAIR, 15
    )
    hits = expected(stored.astype(np.float32), ids, queries.astype(np.float32), 15)
    assert_ranks(run, hits, ids, 1e-6)


def test_parts_of_a_pool_follow_one_another(spec: str) -> None:
    parts = [integers(80, seed) for seed in range(3)]
    ids = [f"{code}/{i}" for code in ("en", "de", "ar") for i in range(80)]
    queries = integers(10, 9)
    run = Searcher([embeddings(p, 2) for p in parts], chunked(ids), spec, "cpu").search(
        embeddings(queries), np.arange(10), PAIR, 20
    )
    assert_ranks(run, expected(np.concatenate(parts), ids, queries, 20), ids)


def test_only_the_given_rows_are_searched() -> None:
    passages, queries, ids = unit(50, 0), unit(40, 1), some_ids(50)
    searcher = Searcher([embeddings(passages)], chunked(ids))
    chosen = np.array([3, 17, 39])
    run = searcher.search(embeddings(queries, 4), chosen, PAIR, 5)
    assert_ranks(run, expected(passages, ids, queries[chosen], 5), ids, 1e-6)
    assert run.query_rows.tolist() == [3, 17, 39]
    assert run.pair == PAIR
    assert searcher.search(embeddings(queries), np.empty(0, dtype=np.int64), PAIR, 5).positions.shape == (0, 5)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_narrow_candidates_rescored_give_the_hits_of_float64(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(rows, "SMALL", 1)
    monkeypatch.setattr(torch_index, "_CPU_BLOCK", (64, 512))
    passages, queries, ids = unit(4000, 0), unit(30, 1), some_ids(4000)
    searcher = Searcher([embeddings(passages, 3)], chunked(ids), "torch", "cpu", precision)  # type: ignore[arg-type]
    run = searcher.search(embeddings(queries), np.arange(30), PAIR, 50)
    assert_ranks(run, expected(passages, ids, queries, 50), ids)


def test_similarities_beyond_half_precision_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SMALL", 1)
    long, ids = 1000 * unit(60, 0), chunked(some_ids(60))
    with pytest.raises(InputError, match="too large for torch:cpu x1 fp16; search in fp32 or bf16"):
        Searcher([embeddings(long)], ids, "torch", "cpu", "fp16").search(embeddings(long), np.arange(60), PAIR, 5)
    wide = Searcher([embeddings(long)], ids, "torch", "cpu", "bf16").search(embeddings(long), np.arange(60), PAIR, 5)
    assert wide.positions[:, 0].tolist() == list(range(60))


def test_an_open_index_can_be_handed_in() -> None:
    passages, ids = unit(30, 0), some_ids(30)
    searcher = Searcher([embeddings(passages)], chunked(ids), open_index("torch", 24, "cpu"))
    assert searcher.index.name == "torch"
    run = searcher.search(embeddings(passages), np.arange(30), PAIR, 1)
    assert run.positions[:, 0].tolist() == list(range(30))


def test_approximate_index_keeps_its_similarities_and_settles_equal_ones() -> None:
    order = np.random.default_rng(3).permutation(np.repeat(np.arange(400), 3))
    passages, ids = unit(400, 0)[order], some_ids(1200)
    index = open_index("faiss:IVF8,SQ8:nprobe=8", 24, "cpu")
    run = Searcher([embeddings(passages, 2)], chunked(ids), index).search(
        embeddings(unit(20, 1)), np.arange(20), PAIR, 10
    )
    # Copies share a code, hence a similarity; the fourth group of three is cut after its largest id.
    for found, similarities in zip(run.positions, run.similarities, strict=True):
        groups = [found[0:3], found[3:6], found[6:9]]
        assert all(len(set(order[group].tolist())) == 1 for group in groups)
        assert all([ids[i] for i in g] == sorted((ids[i] for i in g), key=str.encode, reverse=True) for g in groups)
        last = np.flatnonzero(order == order[found[9]])
        assert ids[found[9]] == max((ids[i] for i in last), key=str.encode)
        assert len(set(similarities.tolist())) == 4
    assert run.ties == 20 * 9


def test_hits_that_an_approximate_index_misses_stay_empty_and_ties_before_them_are_settled() -> None:
    passages, ids = np.repeat(unit(40, 0), 10, axis=0), some_ids(400)
    index = open_index("faiss:IVF8,Flat:nprobe=1", 24, "cpu")
    run = Searcher([embeddings(passages)], chunked(ids), index).search(embeddings(unit(5, 1)), np.arange(5), PAIR, 350)
    assert (run.positions[:, -1] == -1).all()
    assert (np.isnan(run.similarities) == (run.positions == -1)).all()
    for found in run.positions:
        first = [ids[i] for i in found[:10]]
        assert first == sorted(first, key=str.encode, reverse=True)


@pytest.mark.parametrize(
    ("factory", "low", "high"), [("IVF16,Flat:nprobe=16", 1, 1), ("IVF64,Flat:nprobe=1", 0.02, 0.9)]
)
def test_recall_of_an_approximate_index_is_measured_against_exact_search(factory: str, low: float, high: float) -> None:
    passages, queries = unit(4000, 0), unit(600, 1)
    searcher = Searcher([embeddings(passages)], chunked(some_ids(4000)), f"faiss:{factory}", "cpu")
    measured = recall_against_exact(searcher, embeddings(queries), np.arange(600), 10)
    assert low <= measured.recall <= high
    assert (measured.queries, measured.depth) == (200, 10)
    assert min(measured.build_seconds, measured.seconds, measured.exact_seconds) > 0


@pytest.mark.parametrize(("value", "word"), [(np.nan, "not finite"), (-np.inf, "not finite"), (0.0, "all zero")])
def test_unusable_vectors_stop_the_search(spec: str, value: float, word: str) -> None:
    good, bad = unit(60, 0), unit(60, 1)
    bad[41] = value
    with pytest.raises(InputError, match=f"query vector of row 41 is {word}"):
        Searcher([embeddings(good)], chunked(some_ids(60)), spec, "cpu").search(embeddings(bad), np.arange(60), PAIR, 5)
    with pytest.raises(InputError, match=f"passage vector of row 41 is {word}"):
        Searcher([embeddings(bad, 3)], chunked(some_ids(60)), spec, "cpu").search(
            embeddings(good), np.arange(60), PAIR, 5
        )


def test_what_does_not_fit_together_is_refused() -> None:
    passages, ids = embeddings(unit(9, 0)), chunked(some_ids(9))
    with pytest.raises(InputError, match="the corpus is empty"):
        Searcher([Embeddings((np.empty((0, 24), dtype=np.float32),))], chunked([]))
    with pytest.raises(InputError, match="9 passage vectors for 8 passage ids"):
        Searcher([passages], chunked(some_ids(8)))
    with pytest.raises(InputError, match="passage vectors have the shape"):
        Searcher([passages, embeddings(unit(3, 0, 12))], chunked(some_ids(12)))
    with pytest.raises(InputError, match="query vectors have the shape"):
        Searcher([passages], ids).search(embeddings(unit(3, 0, 12)), np.arange(3), PAIR, 5)
    with pytest.raises(UsageError, match="depth 0"):
        Searcher([passages], ids).search(passages, np.arange(3), PAIR, 0)
