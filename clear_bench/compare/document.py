"""A comparison as JSON, `clear-bench/compare/1`: full precision, and null with a reason for what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clear_bench.compare.comparison import Comparison, Worst
from clear_bench.compare.differences import Difference
from clear_bench.compare.families import FamilyOfTests, Resampling
from clear_bench.documents import as_document

COMPARE_SCHEMA = "clear-bench/compare/1"


def document(comparisons: Sequence[Comparison], resampling: Resampling) -> dict[str, Any]:  # Any: JSON
    """Return comparisons as one JSON document."""
    return {
        "schema": COMPARE_SCHEMA,
        "confidence": 0.95,
        "replicates": resampling.replicates,
        "seed": resampling.seed,
        "comparisons": [_comparison(one) for one in comparisons],
    }


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """A difference as documents hold it; scores and differences are 0-1, `percent` is relative to the base."""

    name: str
    query_language: str | None
    passage_language: str | None
    metric: str
    base: float
    candidate: float
    delta: float
    percent: float | None
    headroom: float | None
    lower: float | None
    upper: float | None
    bootstrap_lower: float | None
    bootstrap_upper: float | None
    p: float | None
    p_sign_flip: float | None
    p_adjusted: float | None
    effect_size: float | None
    wins: int | None
    ties: int | None
    losses: int | None
    n_queries: int | None
    n_clusters: int | None
    minimum_detectable: float | None
    base_spread: float | None
    candidate_spread: float | None
    reason: str | None


def difference_row(difference: Difference) -> DifferenceRow:
    """Return a difference with all that is computed from it."""
    low, high = difference.bootstrap or (None, None)
    counted = difference.n > 0
    return DifferenceRow(
        name=difference.name,
        query_language=difference.pair.query if difference.pair else None,
        passage_language=difference.pair.passage if difference.pair else None,
        metric=difference.metric,
        base=difference.base,
        candidate=difference.candidate,
        delta=difference.delta,
        percent=difference.percent,
        headroom=difference.headroom,
        lower=difference.lower,
        upper=difference.upper,
        bootstrap_lower=low,
        bootstrap_upper=high,
        p=difference.p,
        p_sign_flip=difference.p_sign_flip,
        p_adjusted=difference.p_adjusted,
        effect_size=difference.effect,
        wins=difference.wins,
        ties=difference.ties,
        losses=difference.losses,
        n_queries=difference.n if counted else None,
        n_clusters=difference.clusters if counted else None,
        minimum_detectable=difference.mde,
        base_spread=difference.spread[0],
        candidate_spread=difference.spread[1],
        reason=difference.reason,
    )


def _comparison(one: Comparison) -> dict[str, object]:
    return {
        "task": one.task,
        "title": one.title,
        "metric": one.metric,
        "base": {"name": one.base, "seeds": one.seeds[0]},
        "candidate": {"name": one.candidate, "seeds": one.seeds[1]},
        "identical": one.is_identical,
        "cells": _family(FamilyOfTests(tuple(one.cells.values()), "benjamini-hochberg")),
        "tables": {name: _family(family) for name, family in one.families.items()},
        "trends": as_document(one.trends),
        "worst": {group: _worst(worst) for group, worst in one.worst.items()},
        "notes": list(one.notes),
    }


def _family(family: FamilyOfTests) -> Mapping[str, object]:
    return {"adjustment": family.adjustment, "rows": [as_document(difference_row(one)) for one in family.rows]}


def _worst(worst: Worst) -> Mapping[str, object]:
    return {name: as_document(difference_row(getattr(worst, name))) for name in ("base", "candidate", "loss")}
