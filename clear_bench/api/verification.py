"""Recompute the metrics of a stored result from its run and the collection, and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clear_bench import metrics, readers
from clear_bench.api.identity import plan_again
from clear_bench.api.plan import Plan, Read
from clear_bench.errors import TamperedError
from clear_bench.qrels import find_rows
from clear_bench.score import hits_needed, score
from clear_bench.store.results import SCORES, Result
from clear_bench.store.trec import read_run
from clear_bench.tasks import Task
from clear_bench.types import Judgements, Run

TOLERANCE = 1e-12
"""The same code over the same hits: nothing but the last bits of a sum may differ."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was recomputed and found equal, and what the stored depth does not allow."""

    path: Path
    task: str
    recomputed: tuple[str, ...]
    not_recomputed: Mapping[str, str]
    """Metric -> why."""


def has_no_qrels(result: Result) -> Verified | None:
    """Return what can be said of a result whose judgements stand in no card; None where a card has them."""
    made = result.manifest
    if not made.has_queries:
        reason = "imported as means, without a run"
    elif "qrels" in made.task.source:
        reason = "imported with TREC qrels, which are not kept"
    else:
        return None
    return Verified(result.path, result.task, (), dict.fromkeys(result.scores.metrics, reason))


def verify_result(result: Result, task: Task, read: Read = readers.read) -> Verified:
    """Recompute a result's metrics from its stored run, with a task that `read` can read.

    Raises `TamperedError` naming the first pair and metric that differ, and `NotComparableError` when the collection on
    this machine is not the one that was evaluated.
    """
    hits = read_run(result)
    plan = plan_again(result, task, read)
    beyond = {name: reason for name in plan.metrics if (reason := _why_not(name, plan))}
    able = tuple(name for name in plan.metrics if name not in beyond)
    for judgements in plan.judgements:
        run = _stored_run(plan, hits, judgements)
        _compare(result, plan, judgements, able, score(run, judgements, able, plan.collection))
    return Verified(result.path, result.task, able, beyond)


def _why_not(name: str, plan: Plan) -> str | None:
    metric = metrics.parse(name)
    if metric.inputs == "translations":
        return "it compares the runs of several languages"
    needed = max(hits_needed([metric], plan.collection, side) for side in {pair.passage for pair in plan.pairs})
    return f"it looks at {needed} ranks, {plan.run_depth} are stored" if needed > plan.run_depth else None


def _stored_run(plan: Plan, hits: pa.Table, judgements: Judgements) -> Run:
    """Return a run in positions from the stored ids."""
    pair = judgements.pair
    mine = hits.filter(
        pc.and_(pc.equal(hits["query_language"], pair.query), pc.equal(hits["passage_language"], pair.passage))
    )
    rows = find_rows(mine["query_id"].combine_chunks(), plan.collection.queries[pair.query].ids)
    found = find_rows(mine["passage_id"].combine_chunks(), plan.collection.passage_ids(pair.passage))
    ranks, depth = mine["rank"].to_numpy(), min(plan.run_depth, sum(map(len, plan.collection.parts(pair.passage))))
    foreign = ~np.isin(rows, judgements.query_rows) | (found < 0) | (ranks > depth)
    if foreign.any():
        row = {name: mine[name][int(np.flatnonzero(foreign)[0])].as_py() for name in ("query_id", "passage_id", "rank")}
        msg = f"the run of {pair} holds a hit of another question, or after {depth}: {row}; run the evaluation again"
        raise TamperedError(msg)
    positions = np.full((len(judgements.query_rows), depth), -1, dtype=np.int64)
    similarities = np.full(positions.shape, np.nan, dtype=np.float32)
    at = np.searchsorted(judgements.query_rows, rows), ranks - 1
    positions[at], similarities[at] = found, mine["similarity"].to_numpy()
    return Run(pair, judgements.query_rows, positions, similarities)


def _compare(
    result: Result, plan: Plan, judgements: Judgements, names: tuple[str, ...], values: NDArray[np.float64]
) -> None:
    pair, table = judgements.pair, result.scores.table
    stored = table.filter(
        pc.and_(pc.equal(table["query_language"], pair.query), pc.equal(table["passage_language"], pair.passage))
    )
    _require_same_queries(result, plan, judgements, stored)
    for name, computed in zip(names, values, strict=True):
        kept = stored[name].to_numpy()
        wrong = ~np.isclose(kept, computed, rtol=0, atol=TOLERANCE, equal_nan=True)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            msg = (
                f"{result.path}: {name} of {pair}, query {stored['query_id'][row]}, is stored as {kept[row]},"
                f" but its run gives {computed[row]}"
            )
            raise TamperedError(msg)


def _require_same_queries(result: Result, plan: Plan, judgements: Judgements, stored: pa.Table) -> None:
    """Raise where the rows are not the queries that count, in their order and their clusters."""
    collection, pair, rows = plan.collection, judgements.pair, judgements.query_rows
    ids = collection.queries[pair.query].ids.take(pa.array(rows)).to_pylist()
    clusters = [collection.clusters[pair.query][row] for row in rows.tolist()]
    for name, wanted in (("query_id", ids), ("cluster_id", clusters)):
        if stored[name].to_pylist() != wanted:
            what = "queries" if name == "query_id" else "clusters"
            msg = f"{result.path}: the {what} of {pair} in {SCORES} are not those that its task counts there"
            raise TamperedError(msg)
