"""Score runs against judgements, and average: a mean over queries is taken here and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clear_bench.errors import UsageError
from clear_bench.metrics import Inputs, Metric, parse
from clear_bench.metrics.answers import AnswerHits, short_of_tokens
from clear_bench.metrics.pools import PoolHits
from clear_bench.metrics.ranking import find
from clear_bench.registry import unknown
from clear_bench.types import Collection, Judgements, LanguagePair, PairKind, Run, Scores

log = logging.getLogger(__name__)

SIDES = ("query_language", "passage_language")
BLOCK = 1 << 16
"""Hits graded at a time."""


@dataclass(frozen=True, slots=True)
class Mean:
    """An average and how many values it runs over."""

    value: float | None
    """None where nothing counts."""
    n: int


def score(
    run: Run, judgements: Judgements, metrics: Iterable[str | Metric], collection: Collection | None = None
) -> NDArray[np.float64]:
    """Compute metrics for the judged queries of one pair, [metrics, q].

    A query without hits scores 0. NaN stands for a query that a metric does not count: one without a gold answer or
    without a judged passage, every query outside a pool for a pool metric, and every query for the metrics of
    `score_translations`. Metrics that judge by answers or pools need the `collection`.
    """
    wanted = [parse(metric) if isinstance(metric, str) else metric for metric in metrics]
    _check(run, judgements, wanted, collection)
    languages = len(collection.parts(run.pair.passage)) if collection else 1
    depth = max((metric.depth_in(run.positions.shape[1], languages) for metric in wanted), default=1)
    positions = run.positions[:, :depth]
    grades = grade_hits(positions, judgements)
    inputs: dict[Inputs, tuple[object, ...]] = {}
    needed = {metric.inputs for metric in wanted}
    if len(judgements.positions):
        inputs["grades"] = (grades, ideal_grades(judgements))
    if len(judgements.positions) and "judged" in needed:
        inputs["judged"] = (judged_hits(positions, judgements),)
    if collection and "pool" in needed and len(judgements.positions) and run.pair.passage in collection.pools:
        inputs["pool"] = (_pool_hits(positions, grades, judgements, collection),)
    if collection and "answers" in needed and run.pair.query in collection.answers:
        inputs["answers"] = (_answer_hits(positions, judgements, wanted, collection),)
    values = np.full((len(wanted), len(positions)), np.nan)
    for row, metric in zip(values, wanted, strict=True):
        if metric.inputs in inputs:
            row[:] = metric.compute(*inputs[metric.inputs])
    return values


def score_translations(
    runs: Sequence[Run], collection: Collection, metrics: Iterable[str | Metric]
) -> list[NDArray[np.float64]]:
    """Compute the metrics that compare what translations of one query find on one passage side.

    Return [metrics, q] for each run. Queries with the same id are translations of each other; other metrics are NaN.
    """
    wanted = [parse(metric) if isinstance(metric, str) else metric for metric in metrics]
    ids = [collection.queries[run.pair.query].ids.take(pa.array(run.query_rows)).combine_chunks() for run in runs]
    distinct = pc.unique(pa.concat_arrays(ids))
    at = [pc.index_in(own, value_set=distinct).to_numpy() for own in ids]
    rankings = np.full((len(runs), len(distinct), max(run.positions.shape[1] for run in runs)), -1, dtype=np.int64)
    for i, run in enumerate(runs):
        rankings[i, at[i], : run.positions.shape[1]] = run.positions
    values = [np.full((len(wanted), len(rows)), np.nan) for rows in at]
    for m, metric in enumerate(wanted):
        if metric.inputs == "translations":
            for own, rows, computed in zip(values, at, metric.compute(rankings), strict=True):
                own[m] = computed[rows]
    return values


def hits_needed(metrics: Iterable[Metric], collection: Collection, passage: str) -> int:
    """Return how many hits of a passage side the deepest of these metrics needs."""
    sizes = [len(part) for part in collection.parts(passage)]
    return max((metric.depth_in(sum(sizes), len(sizes)) for metric in metrics), default=0)


def grade_hits(positions: NDArray[np.int64], judgements: Judgements) -> NDArray[np.int32]:
    """Return the grades of hits, [q, depth]; 0 for a hit that is unjudged or missing."""
    wanted, grades = _padded(judgements, judgements.grades != 0)
    counts = (wanted >= 0).sum(axis=1)
    wanted[wanted < 0] = -2  # -1 is a missing hit
    out = np.zeros(positions.shape, dtype=np.int32)
    # A query has few judged passages, so comparing them one by one, on blocks that stay in the processor's cache, beats
    # a search through sorted keys.
    step = max(1, BLOCK // max(1, positions.shape[1]))
    for start in range(0, len(positions), step):
        rows = slice(start, start + step)
        for column in range(int(counts[rows].max())):
            row, rank = find(positions[rows] == wanted[rows, column, None])
            out[rows][row, rank] = grades[rows][row, column]
    return out


def judged_hits(positions: NDArray[np.int64], judgements: Judgements) -> NDArray[np.int32]:
    """Mark the hits that are judged, [q, depth]: 1 with any grade, 0 without a judgement, -1 for a missing hit."""
    marked = grade_hits(positions, replace(judgements, grades=np.ones_like(judgements.grades)))
    return np.where(positions < 0, np.int32(-1), marked)


def ideal_grades(judgements: Judgements) -> NDArray[np.int32]:
    """Return the positive grades of each query in descending order, [q, r], padded with 0."""
    return -np.sort(-_padded(judgements, judgements.grades > 0)[1], axis=1)


def mean(values: NDArray[np.float64]) -> Mean:
    """Average the values of queries; NaN does not count."""
    return _means(values, np.zeros(len(values), dtype=np.int64), 1)[0]


def means(scores: Scores, metric: str) -> dict[LanguagePair, Mean]:
    """Average one metric over the queries of every pair, in the order of the table; missing values do not count.

    Raise `UsageError` when the scores lack the metric.
    """
    if metric not in scores.metrics:
        raise UsageError(unknown("metric", metric, scores.metrics))
    queries, passages = (scores.table.column(side).dictionary_encode().combine_chunks() for side in SIDES)
    width = len(passages.dictionary)
    codes = queries.indices.to_numpy().astype(np.int64) * width + passages.indices.to_numpy()
    first = np.full(len(queries.dictionary) * width, len(codes))
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    cells = _means(scores.table.column(metric).to_numpy(), codes, len(first))
    names = queries.dictionary.to_pylist(), passages.dictionary.to_pylist()
    present = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(codes))].tolist()
    return {LanguagePair(names[0][code // width], names[1][code % width]): cells[code] for code in present}


def means_by_pair(scores: Scores, main: str) -> dict[LanguagePair, dict[str, float]]:
    """Average every metric of every pair. Metrics that count no query, and pairs without `main`, are left out."""
    found: dict[LanguagePair, dict[str, float]] = {}
    for metric in scores.metrics:
        for pair, mean in means(scores, metric).items():
            if mean.value is not None:
                found.setdefault(pair, {})[metric] = mean.value
    return {pair: values for pair, values in found.items() if main in values}


def macro(cells: Iterable[Mean]) -> Mean:
    """Average the means of pairs, each with the same weight; `n` counts the pairs that have one."""
    return mean(np.array([cell.value for cell in cells if cell.value is not None]))


def by_kind(cells: Mapping[LanguagePair, Mean]) -> dict[PairKind, Mean]:
    """Average the means of pairs by kind, for the kinds that occur."""
    kinds = dict.fromkeys(pair.kind for pair in cells)
    return {kind: macro(cell for pair, cell in cells.items() if pair.kind == kind) for kind in kinds}


def _means(values: NDArray[np.float64], codes: NDArray[np.int64], n_codes: int) -> list[Mean]:
    # Summed in the order of the rows, so that a table of one pair and one of many give the same bytes.
    counted = ~np.isnan(values)
    counts = np.bincount(codes[counted], minlength=n_codes)
    sums = np.bincount(codes[counted], values[counted], n_codes)
    return [Mean(s / n if n else None, n) for s, n in zip(sums.tolist(), counts.tolist(), strict=True)]


def _check(run: Run, judgements: Judgements, metrics: Sequence[Metric], collection: Collection | None) -> None:
    """Raise `ValueError` for arguments that only a bug of ours can produce."""
    if run.pair != judgements.pair or not np.array_equal(run.query_rows, judgements.query_rows):
        msg = f"the run of {run.pair} and the judgements of {judgements.pair} are not about the same queries"
        raise ValueError(msg)
    for metric in metrics:
        if collection is None:
            if metric.inputs in ("pool", "answers"):
                msg = f"{metric.name} is computed from the collection, which was not given"
                raise ValueError(msg)
        elif metric.inputs != "pool" or run.pair.passage in collection.pools:
            needed, depth = hits_needed([metric], collection, run.pair.passage), run.positions.shape[1]
            if needed > depth:
                msg = f"{metric.name} needs {needed} hits a query, the run of {run.pair} has {depth}"
                raise ValueError(msg)


def _padded(judgements: Judgements, keep: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the kept judgements of each query as rows: positions padded with -1, grades padded with 0, [q, r]."""
    n = len(judgements.query_rows)
    rows = np.repeat(np.arange(n), np.diff(judgements.indptr))[keep]
    columns = np.arange(len(rows)) - np.searchsorted(rows, rows)
    shape = (n, int(columns.max(initial=-1)) + 1)
    positions, grades = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int32)
    positions[rows, columns] = judgements.positions[keep]
    grades[rows, columns] = judgements.grades[keep]
    return positions, grades


def _pool_hits(
    positions: NDArray[np.int64], grades: NDArray[np.int32], judgements: Judgements, collection: Collection
) -> PoolHits:
    """Return the hits in a pool. Passages with the same id in different languages are copies of one content."""
    pool, query = collection.pools[judgements.pair.passage], judgements.pair.query
    parts = collection.parts(pool.name)
    ids = pa.chunked_array([chunk for part in parts for chunk in part.ids.cast(pa.large_string()).chunks])
    relevant, relevant_grades = _padded(judgements, judgements.grades > 0)
    return PoolHits(
        content=pc.index_in(ids, value_set=pc.unique(ids)).to_numpy(),
        language=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
        query_language=pool.languages.index(query) if query in pool.languages else -1,
        positions=positions,
        grades=grades,
        relevant=relevant,
        relevant_grades=relevant_grades,
    )


def _answer_hits(
    positions: NDArray[np.int64], judgements: Judgements, metrics: Sequence[Metric], collection: Collection
) -> AnswerHits:
    """Return the hits with their texts, each loaded once, and the answers of the queries."""
    pair = judgements.pair
    answers = [collection.answers[pair.query][row] for row in judgements.query_rows]
    distinct, rows = np.unique(positions, return_inverse=True)
    missing = int(np.searchsorted(distinct, 0))
    texts = _fetch(collection, pair.passage, distinct[missing:])
    hits = AnswerHits(texts, np.maximum(rows.reshape(positions.shape) - missing, -1), answers)
    if positions.shape[1] < sum(len(part) for part in collection.parts(pair.passage)):
        for metric in metrics:
            short = short_of_tokens(hits, metric.cutoff or 1) if metric.family.reach == "tokens" else 0
            if short:
                log.warning("%s of %s: the hits of %d queries end before the budget", metric.name, pair, short)
    return hits


def _fetch(collection: Collection, passage: str, positions: NDArray[np.int64]) -> list[str]:
    """Read texts by ascending position, chunk by chunk: taking from all chunks at once would join them in memory."""
    chunks = [chunk for part in collection.parts(passage) for chunk in part.text.chunks]
    bodies = collection.bodies[passage].chunks if passage in collection.bodies else [None] * len(chunks)
    starts = np.cumsum([0, *map(len, chunks)])
    texts: list[str] = []
    for chunk, body, start, end in zip(chunks, bodies, starts[:-1], starts[1:], strict=True):
        low, high = np.searchsorted(positions, (start, end))
        if low < high:
            rows = pa.array(positions[low:high] - start)
            found = chunk.take(rows).to_pylist()
            texts += (
                found if body is None else [t[at:] for t, at in zip(found, body.take(rows).to_pylist(), strict=True)]
            )
    return texts
