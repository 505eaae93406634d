"""Reranking: only candidates are hits, and their order is that of a search."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from clear_bench.errors import InputError
from clear_bench.rerank import rerank
from clear_bench.search import Searcher
from clear_bench.types import Embeddings, LanguagePair

PAIR = LanguagePair("deu-Latn", "eng-Latn")


def unit(rows: int, seed: int) -> Embeddings:
    vectors = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return Embeddings((vectors / np.linalg.norm(vectors, axis=1, keepdims=True),))


def ids(count: int) -> pa.ChunkedArray:
    return pa.chunked_array([[f"p{i}" for i in range(count)]], pa.string())


def test_all_passages_as_candidates_give_the_run_of_a_search() -> None:
    queries, passages, rows = unit(9, seed=1), unit(40, seed=2), np.array([1, 4, 8])
    # Equal passages: the tie must go to the greater id in both.
    passages.blocks[0][7] = passages.blocks[0][30]
    ranked = rerank(queries, rows, [passages], ids(40), PAIR, 12, [np.arange(40)] * 3)
    expected = Searcher([passages], ids(40)).search(queries, rows, PAIR, 12)
    assert ranked.positions.tolist() == expected.positions.tolist()
    np.testing.assert_allclose(ranked.similarities, expected.similarities, rtol=1e-6)
    assert ranked.ties == expected.ties


def test_only_candidates_are_hits_and_each_once() -> None:
    queries, passages = unit(3, seed=3), unit(10, seed=4)
    given = [np.array([5, 2, 5]), np.array([], dtype=np.int64), np.array([9])]
    ranked = rerank(queries, np.arange(3), [passages], ids(10), PAIR, 4, given)
    assert [sorted(row[row >= 0].tolist()) for row in ranked.positions] == [[2, 5], [], [9]]
    assert np.isnan(ranked.similarities[1]).all()


def test_a_pool_counts_positions_through_its_parts() -> None:
    queries, parts = unit(1, seed=5), [unit(4, seed=6), unit(4, seed=7)]
    ranked = rerank(queries, np.array([0]), parts, ids(8), PAIR, 1, [np.array([6])])
    assert ranked.positions.tolist() == [[6]]
    assert ranked.similarities[0, 0] == pytest.approx(float(queries.blocks[0][0] @ parts[1].blocks[0][2]), rel=1e-6)


def test_a_vector_that_is_not_finite_is_refused() -> None:
    passages = unit(4, seed=8)
    passages.blocks[0][2, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        rerank(unit(1, seed=9), np.array([0]), [passages], ids(4), PAIR, 2, [np.array([1, 2])])
