"""Plan a gate before a run: the margin that the English queries of a task can resolve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from clear_bench import stats
from clear_bench.gate.rules import Rule, choose_pairs, refuse_unusable
from clear_bench.types import ENGLISH

if TYPE_CHECKING:
    from clear_bench.store.results import Result

GATE_PLAN_SCHEMA = "clear-bench/gate-plan/1"
SPREADS = (0.10, 0.15, 0.20)
"""Standard deviations of per-query differences that a plan assumes: the real one is known only after the run."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The margins that the English queries of one task can resolve."""

    task: str
    metric: str
    n_queries: int
    n_clusters: int
    correlation: float
    """Of the base's scores within a cluster; the differences' own is known only after the run."""
    design_effect: float
    margins: Mapping[float, float | None]
    """Assumed spread -> smallest margin that passes with 80 % power when nothing changed; None with one cluster."""
    needed: Mapping[float, int | None]
    """Assumed spread -> queries for the margin that was asked for; None for a margin of 0."""


def margin_plan(result: Result, metric: str, margin: float) -> Resolution:
    """Return the margin that the English queries of a result can resolve, for several spreads of the differences.

    The correlation within clusters is that of the result's own scores. Raise `InputError` for a partial
    result and for one without an English cell.
    """
    refuse_unusable([result])
    choose_pairs(result, Rule().pairs)
    table = result.scores.table
    is_english = pc.and_(pc.equal(table["query_language"], ENGLISH), pc.equal(table["passage_language"], ENGLISH))
    english = table.filter(pc.and_(is_english, pc.is_valid(table[metric])))  # a null is a query that does not count
    scores = english[metric].to_numpy()
    labels = english["cluster_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    sizes = np.bincount(labels)
    alike = stats.intraclass_correlation(scores, labels)
    effect = stats.planned_design_effect(sizes.tolist(), alike)
    return Resolution(
        task=result.task,
        metric=metric,
        n_queries=len(scores),
        n_clusters=len(sizes),
        correlation=alike,
        design_effect=effect,
        margins={sd: stats.resolvable_margin(sd, len(scores), len(sizes), effect) for sd in SPREADS},
        needed={sd: stats.queries_needed(sd, margin, effect) if margin else None for sd in SPREADS},
    )


def margin_plan_document(plans: Sequence[Resolution], margin: float) -> dict[str, Any]:  # Any: JSON
    """Return a plan as JSON, `clear-bench/gate-plan/1`."""
    tasks = [
        {
            "task": one.task,
            "metric": one.metric,
            "n_queries": one.n_queries,
            "n_clusters": one.n_clusters,
            "correlation_within_clusters": one.correlation,
            "design_effect": one.design_effect,
            "assumed": [{"sd": sd, "margin": one.margins[sd], "queries_needed": one.needed[sd]} for sd in one.margins],
        }
        for one in plans
    ]
    return {"schema": GATE_PLAN_SCHEMA, "margin": margin, "power": 0.8, "confidence": 0.95, "tasks": tasks}
