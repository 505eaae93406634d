"""Which metrics a pair can have at all, known before anything is encoded; the others are told with their reason."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from clear_bench import metrics
from clear_bench.errors import UsageError
from clear_bench.metrics import Metric
from clear_bench.types import Collection, Judgements

if TYPE_CHECKING:
    from clear_bench.api.plan import Plan

log = logging.getLogger(__name__)

Reasons = dict[str, dict[str, str]]
"""Metric -> pair -> why it has no value there."""

NOT_COUNTED = "no query of the pair counts for this metric"
"""The reason where it took a run to find out."""


def uncountable(plan: Plan) -> Reasons:
    """Return the metrics that cannot count any query of a pair, whatever is found."""
    asking: dict[str, int] = {}
    for pair in plan.pairs:
        asking[pair.passage] = asking.get(pair.passage, 0) + 1
    found: Reasons = {}
    for name in plan.metrics:
        for judged in plan.judgements:
            if reason := _why(metrics.parse(name), judged, plan.collection, asking[judged.pair.passage]):
                found.setdefault(name, {})[str(judged.pair)] = reason
    return found


def keep_countable(plans: Sequence[Plan], asked: bool) -> list[Plan]:
    """Leave out of each plan the metrics that none of its pairs can have, and the plans without a metric left.

    Each is told with a warning where metrics were `asked` for; a card's own are left out without a word. Raises
    `UsageError` for a metric that was asked for and that no plan can have, and where no metric is left.
    """
    lacking = {
        plan.task.name: {name: pairs for name, pairs in uncountable(plan).items() if len(pairs) == len(plan.pairs)}
        for plan in plans
    }
    names = list(dict.fromkeys(name for plan in plans for name in plan.metrics))
    never = [name for name in names if all(name in lacking[p.task.name] for p in plans if name in p.metrics)]
    if plans and (len(never) == len(names) or (asked and never)):
        raise UsageError(_refusal(never[0], lacking))
    for task, found in lacking.items() if asked else ():
        for name, pairs in found.items():
            log.warning("%s is left out of %s: %s", name, task, next(iter(pairs.values())))
    kept = [
        replace(plan, metrics=tuple(name for name in plan.metrics if name not in lacking[plan.task.name]))
        for plan in plans
    ]
    return [plan for plan in kept if plan.metrics]


def _refusal(name: str, lacking: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    reasons = {task: next(iter(found[name].items())) for task, found in lacking.items() if name in found}
    told = "; ".join(f"{task}, {pair}: {reason}" for task, (pair, reason) in list(reasons.items())[:3])
    return f"{name} counts no query of the pairs asked for ({told}); leave it out, or ask for other pairs"


def _why(metric: Metric, judged: Judgements, collection: Collection, asking: int) -> str | None:
    """Return why a metric cannot count any query of a pair; None where it can. `asking`: query languages there."""
    query, passage = judged.pair.query, judged.pair.passage
    if metric.inputs == "answers":
        answers = collection.answers.get(query, ())
        return (
            None
            if any(answers[row] for row in judged.query_rows if row < len(answers))
            else "its queries have no gold answers"
        )
    if metric.inputs == "translations":
        return None if asking > 1 else "it compares query languages, and only one asks these passages"
    if not len(judged.positions):
        return "its queries are judged by gold answers, not by passages"
    if metric.inputs != "pool":
        return None
    if passage not in collection.pools:
        return "it tells the languages of a mixed pool apart, and these passages are in one language"
    is_lacking = metric.family.needs_own_language and query not in collection.pools[passage].languages
    return "the pool has no passages in the language of the queries" if is_lacking else None
