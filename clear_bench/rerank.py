"""Make a `Run` of hits that an index has not ranked: BM25's, candidates of a reranking task, another system's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clear_bench.errors import DataError, InputError
from clear_bench.indexes.rows import Hits, check_width, count_ties
from clear_bench.qrels import find_rows
from clear_bench.types import Collection, Embeddings, Judgements, LanguagePair, Run


def tie_order(passage_ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the order of equal similarities: the rank of every position by passage id, by bytes, descending."""
    order: NDArray[np.int64] = pc.rank(passage_ids, sort_keys="descending").to_numpy().astype(np.int64)
    return order


def ranked_run(
    pair: LanguagePair, rows: NDArray[np.int64], found: Iterable[Hits], order: NDArray[np.int64], depth: int
) -> Run:
    """Rank the hits of each row and keep min(depth, passages) of them; a tie across the cut is settled before it."""
    shape = len(rows), min(depth, len(order))
    similarities, positions = np.full(shape, np.nan, np.float32), np.full(shape, -1, np.int64)
    for i, (values, places) in enumerate(found):
        best = _best(values, order[places], shape[1])
        similarities[i, : len(best)], positions[i, : len(best)] = values[best], places[best]
    return Run(pair, rows, positions, similarities, count_ties(similarities))


def rerank(
    queries: Embeddings,
    rows: NDArray[np.int64],
    corpus: Sequence[Embeddings],
    passage_ids: pa.ChunkedArray,
    pair: LanguagePair,
    depth: int,
    candidates: Sequence[NDArray[np.int64]],
) -> Run:
    """Rank, for each of the query rows, its candidates (passage positions): a `Run` with min(depth, n) columns.

    Similarities are those of `search`: one product at a time in float64, rounded to float32.
    """
    passages = Embeddings(tuple(block for part in corpus for block in part.blocks if len(block)))
    vectors = queries.take(rows)
    check_width(vectors, passages.dimensions, "query")
    found = _similarities(vectors, passages, candidates)
    return ranked_run(pair, rows, found, tie_order(passage_ids), depth)


def rank_named(
    pair: LanguagePair,
    rows: NDArray[np.int64],
    found: Sequence[Mapping[str, float]],
    passage_ids: pa.ChunkedArray,
    depth: int,
) -> Run:
    """Rank hits that are named by passage id, for each query row. Raise `DataError` for one that the corpus lacks."""
    names = pa.array([name for hits in found for name in hits], pa.string())
    positions = find_rows(names, passage_ids)
    if (positions < 0).any():
        msg = f"{pair}: the passage {names[int(np.argmin(positions))].as_py()!r} is not in the corpus of {pair.passage}"
        raise DataError(msg)
    values = np.array([value for hits in found for value in hits.values()], dtype=np.float32)
    cuts = np.cumsum([0, *map(len, found)])
    return ranked_run(
        pair, rows, ((values[a:b], positions[a:b]) for a, b in pairwise(cuts)), tie_order(passage_ids), depth
    )


def candidate_positions(collection: Collection, judgements: Judgements) -> list[NDArray[np.int64]]:
    """Return the candidates of each judged query by position; raise `DataError` for one that the corpus lacks."""
    pair, rows = judgements.pair, judgements.query_rows
    given = collection.candidates[pair]
    positions = find_rows(given.passage_ids, collection.passage_ids(pair.passage))
    if (positions < 0).any():
        missing = given.passage_ids[int(np.argmin(positions))].as_py()
        msg = f"{pair}: the candidate {missing!r} is in no corpus of {pair.passage}"
        raise DataError(msg)
    owners = find_rows(given.query_ids, collection.queries[pair.query].ids)
    order = np.argsort(owners, kind="stable")
    starts, ends = (np.searchsorted(owners[order], rows, side=side) for side in ("left", "right"))
    return [positions[order[start:end]] for start, end in zip(starts, ends, strict=True)]


def on_whole_side(run: Run, rows: NDArray[np.int64], width: int) -> Run:
    """Turn a run over some rows of a passage side into one over the whole side, with that many columns."""
    missing = ((0, 0), (0, width - run.positions.shape[1]))
    positions = np.where(run.positions >= 0, rows[run.positions], -1)
    return replace(
        run,
        positions=np.pad(positions, missing, constant_values=-1),
        similarities=np.pad(run.similarities, missing, constant_values=np.nan),
    )


def without_own_ids(run: Run, collection: Collection) -> Run:
    """Remove the passage that has the query's own id from each ranking; later hits move up."""
    asked = collection.queries[run.pair.query].ids.take(pa.array(run.query_rows)).combine_chunks()
    own = find_rows(asked, collection.passage_ids(run.pair.passage))
    is_own = (run.positions == own[:, None]) & (own >= 0)[:, None]
    order = np.argsort(is_own, axis=1, kind="stable")
    positions = np.where(is_own, -1, run.positions)
    similarities = np.where(is_own, np.float32(np.nan), run.similarities)
    return replace(
        run,
        positions=np.take_along_axis(positions, order, axis=1),
        similarities=np.take_along_axis(similarities, order, axis=1),
    )


def _similarities(
    vectors: NDArray[np.float32], passages: Embeddings, candidates: Sequence[NDArray[np.int64]]
) -> Iterator[Hits]:
    for vector, given in zip(vectors.astype(np.float64), candidates, strict=True):
        positions = np.unique(given)
        products = passages.take(positions).astype(np.float64)
        products *= vector
        similarities = products.sum(axis=1).astype(np.float32)
        if not np.isfinite(similarities).all():
            msg = "a candidate or its query has a vector that is not finite; encode again"
            raise InputError(msg)
        yield similarities, positions


def _best(similarities: NDArray[np.float32], order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    kept = np.arange(len(similarities))
    if len(kept) > count:
        kept = np.flatnonzero(similarities >= np.partition(similarities, -count)[-count])
    return kept[np.lexsort((order[kept], -similarities[kept]))][:count]
