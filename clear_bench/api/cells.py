"""The inner loop of an evaluation: search and score every pair, with each passage side opened once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clear_bench import metrics
from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.protocol import Ready, Search
from clear_bench.rerank import candidate_positions, without_own_ids
from clear_bench.score import score, score_translations
from clear_bench.types import Judgements, LanguagePair, Run, take_ascending


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One finished pair."""

    judgements: Judgements
    run: Run
    values: NDArray[np.float64]
    """[metrics, queries]."""

    @property
    def pair(self) -> LanguagePair:
        """Query and passage side."""
        return self.judgements.pair


def cells(plan: Plan, ready: Ready) -> Iterator[Cell]:
    """Search and score the pairs of a plan, one passage side after the other."""
    searched = plan.collection.searched

    def opened(judgements: Judgements) -> tuple[str, LanguagePair | None]:
        return judgements.pair.passage, judgements.pair if judgements.pair in searched else None

    for (side, pair), group in groupby(plan.judgements, key=opened):
        search = ready.open(side) if pair is None else ready.open(side, searched[pair])
        yield from _with_translations(plan, [_cell(plan, search, judgements) for judgements in group])


def _cell(plan: Plan, search: Search, judgements: Judgements) -> Cell:
    has_candidates = judgements.pair in plan.collection.candidates
    run = search(judgements, candidate_positions(plan.collection, judgements) if has_candidates else None)
    if plan.collection.excludes_own_ids:
        run = without_own_ids(run, plan.collection)
    return Cell(judgements, run, score(run, judgements, plan.metrics, plan.collection))


def _with_translations(plan: Plan, done: Sequence[Cell]) -> list[Cell]:
    """Fill in the metrics that compare the runs of translated queries on one passage side."""
    rows = [i for i, name in enumerate(plan.metrics) if metrics.parse(name).inputs == "translations"]
    if rows:
        names = [plan.metrics[i] for i in rows]
        for cell, values in zip(
            done, score_translations([cell.run for cell in done], plan.collection, names), strict=True
        ):
            cell.values[rows] = values
    return list(done)


def score_table(plan: Plan, cell: Cell) -> pa.Table:
    """Return a cell's scores as rows of scores.parquet."""
    pair, rows = cell.pair, pa.array(cell.judgements.query_rows)
    count = len(rows)
    clusters = pa.array(plan.collection.clusters[pair.query], pa.string())
    columns = {
        "query_language": pa.repeat(pair.query, count),
        "passage_language": pa.repeat(pair.passage, count),
        "query_id": plan.collection.queries[pair.query].ids.take(rows),
        "cluster_id": clusters.take(rows),
    }
    # A query that a metric does not count is missing there, never NaN.
    values = {name: pa.array(cell.values[i], from_pandas=True) for i, name in enumerate(plan.metrics)}
    return pa.table(columns | values)


def run_table(plan: Plan, cell: Cell) -> pa.Table:
    """Return a cell's hits, to the run depth, as rows of run.parquet, with each name stored once."""
    run, pair = cell.run, cell.pair
    positions = run.positions[:, : plan.run_depth]
    hit = positions >= 0
    rows, ranks = np.nonzero(hit)
    ids = plan.collection.passage_ids(pair.passage)
    passages, found = _distinct(positions[hit], len(ids))
    one = np.zeros(len(rows), dtype=np.int32)
    return pa.table(
        {
            "query_language": _named(one, pa.array([pair.query])),
            "passage_language": _named(one, pa.array([pair.passage])),
            "query_id": _named(rows, plan.collection.queries[pair.query].ids.take(pa.array(run.query_rows))),
            "rank": pa.array(ranks + 1, pa.int32()),
            "passage_id": _named(found, take_ascending(ids, passages)),
            "similarity": pa.array(run.similarities[:, : plan.run_depth][hit], pa.float32()),
        }
    )


def _distinct(positions: NDArray[np.int64], passages: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ascending positions that hold all of these, and the place of each; all positions of a small corpus."""
    if passages <= len(positions):
        return np.arange(passages), positions
    distinct, places = np.unique(positions, return_inverse=True)
    return distinct, places


def _named(codes: NDArray[np.integer], names: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    whole = names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), whole.cast(pa.string()))
