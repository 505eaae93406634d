"""Turn judgements by id into judgements by position, and decide which queries of a pair count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clear_bench.errors import DataError
from clear_bench.types import Collection, Judgements, LanguagePair


def judge(collection: Collection, pair: LanguagePair) -> Judgements:
    """Return the judgements of one pair; see `judge_all`."""
    return next(judge_all(collection, [pair]))


def judge_all(collection: Collection, pairs: Iterable[LanguagePair]) -> Iterator[Judgements]:
    """Yield the judgements of pairs as query rows and passage positions.

    A judged query counts, as with `trec_eval -c`: one without a relevant passage (no grade above 0) scores 0, unless
    the collection drops those. Queries without a judgement, and queries whose relevant passages the passage language
    lacks, are left out and counted separately. Where a pair has gold answers and no qrels, every query with an answer
    counts, and nothing has a grade. Raise `DataError` for a pair without a query that counts.
    """
    # Pairs share qrels and text sets: every id is looked up once per side, not once per pair.
    rows: dict[tuple[str, str], NDArray[np.int64]] = {}
    positions: dict[tuple[str, str], NDArray[np.int64]] = {}
    for pair in pairs:
        qrels = collection.qrels.get(pair)
        if qrels is None or not len(qrels.query_ids):
            yield _by_answers(collection, pair)
            continue
        query_key, passage_key = (qrels.digest, pair.query), (qrels.digest, pair.passage)
        if query_key not in rows:
            rows[query_key] = find_rows(qrels.query_ids, collection.queries[pair.query].ids)
        if passage_key not in positions:
            positions[passage_key] = find_rows(qrels.passage_ids, collection.passage_ids(pair.passage))
        yield _by_qrels(collection, pair, rows[query_key], positions[passage_key])


def _by_answers(collection: Collection, pair: LanguagePair) -> Judgements:
    answers = collection.answers.get(pair.query, ())
    counted = np.flatnonzero([bool(gold) for gold in answers]).astype(np.int64)
    if not len(counted):
        msg = f"{pair}: none of the {len(collection.queries[pair.query])} queries has a judgement or a gold answer"
        raise DataError(msg)
    return Judgements(
        pair=pair,
        query_rows=counted,
        indptr=np.zeros(len(counted) + 1, dtype=np.int64),
        positions=np.empty(0, dtype=np.int64),
        grades=np.empty(0, dtype=np.int32),
        unjudged=len(answers) - len(counted),
    )


def _by_qrels(
    collection: Collection, pair: LanguagePair, rows: NDArray[np.int64], positions: NDArray[np.int64]
) -> Judgements:
    """Settle which queries count; `rows` and `positions` say where the ids of each judgement stand, -1 for nowhere."""
    all_grades, total = collection.qrels[pair].grades, len(collection.queries[pair.query])
    is_asked, is_relevant = rows >= 0, (rows >= 0) & (all_grades > 0)
    judged, answerable = np.unique(rows[is_asked]), np.unique(rows[is_relevant])
    found = np.unique(rows[is_relevant & (positions >= 0)])
    if not len(found):
        msg = f"{pair}: none of the {total} queries is judged with a relevant passage that exists in {pair.passage}"
        raise DataError(msg)
    unanswerable = np.setdiff1d(judged, answerable)
    counted = found if collection.drops_unanswerable else np.union1d(found, unanswerable)
    kept = np.isin(rows, counted) & (positions >= 0)
    rows, positions, grades = rows[kept], positions[kept], all_grades[kept]
    order = np.lexsort((positions, rows))
    return Judgements(
        pair=pair,
        query_rows=counted,
        indptr=np.searchsorted(rows[order], np.append(counted, total)).astype(np.int64),
        positions=positions[order],
        grades=grades[order],
        unjudged=total - len(judged),
        untranslated=len(answerable) - len(found),
        unanswerable=0 if collection.drops_unanswerable else len(unanswerable),
        dropped=len(unanswerable) if collection.drops_unanswerable else 0,
    )


def find_rows(wanted: pa.Array, ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the row of every wanted id, -1 for a missing one. One pass over `ids`, which may be memory-mapped."""
    distinct = wanted.dictionary_encode()
    slots = np.full(len(distinct.dictionary), -1, dtype=np.int64)
    start = 0
    for chunk in ids.chunks:
        found = pc.index_in(chunk, value_set=distinct.dictionary).fill_null(-1).to_numpy()
        rows = np.flatnonzero(found >= 0)
        slots[found[rows]] = rows + start
        start += len(chunk)
    found_rows: NDArray[np.int64] = slots[distinct.indices.to_numpy()]
    return found_rows
