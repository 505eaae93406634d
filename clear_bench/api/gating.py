"""Apply the rules of a gate to a base and a candidate, and return every check with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clear_bench import metrics
from clear_bench.api.sides import Side, Source, as_side
from clear_bench.compare import Cells, align, difference, fewer_judged, mean_of, measure
from clear_bench.compare.pairing import Seeds, require_metric
from clear_bench.errors import InputError, UsageError
from clear_bench.gate import (
    ENGLISH_PAIR,
    MARGIN,
    Check,
    Resolution,
    Rule,
    Verdict,
    check,
    choose_pairs,
    document,
    margin_plan,
    overall,
    refuse_unusable,
)
from clear_bench.render import escape
from clear_bench.store.results import Result

ENGLISH_GATE = Rule()
"""English may lose one point under each task's main metric."""


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """The checks of a gate, and what has to be known to trust them."""

    checks: tuple[Check, ...]
    warnings: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict of all checks together."""
        return overall(self.checks)

    def __str__(self) -> str:
        """Return what `clear-bench gate` prints: a sentence for each check, and the verdict where there are several."""
        lines = [escape.plain(one.reason) for one in self.checks]
        if len(self.checks) > 1:
            passed = sum(one.verdict == "PASS" for one in self.checks)
            lines.append(f"{self.verdict}: {passed} of {len(self.checks)} checks passed")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document that `clear-bench gate --json` prints."""
        return document(self.checks)


def gate(
    base: Source,
    candidate: Source,
    rules: Rule | Sequence[Rule] = ENGLISH_GATE,
    *,
    tasks: Sequence[str] = (),
    anchor: Source | None = None,
) -> GateOutcome:
    """Judge whether a candidate is shown to be as good as a base, in English unless the rules say otherwise.

    Args:
        base: A result folder (`OUT/<model>` or `OUT/<model>/<task>`; a comma joins seeds), or what `evaluate` returned.
        candidate: The same for the model that is judged.
        rules: What must not be lost, and how much may be: `clear_bench.gate.Rule` values.
        tasks: Tasks that have to pass; all tasks of the base unless given.
        anchor: A fixed release that the candidate has to hold against, too.

    Raises `InputError` where a result that is needed is missing or cannot carry a verdict: a partial one, for example.
    """
    demands = [rules] if isinstance(rules, Rule) else list(rules)
    new = as_side(candidate, tasks)
    found = _check_all(as_side(base, tasks), new, demands)
    if anchor is None:
        return found
    further = _check_all(as_side(anchor, tasks), new, demands, "the release anchor")
    return GateOutcome(found.checks + further.checks, found.warnings + further.warnings)


def plan_gate(
    base: Source, *, margin: float = MARGIN, tasks: Sequence[str] = (), metric: str | None = None
) -> list[Resolution]:
    """Return the margin that the English queries of each task can resolve, before a candidate is trained.

    Args:
        base: A result folder, or what `evaluate` returned.
        margin: The margin that you would like to use, 0 to 1.
        tasks: Tasks to plan for; all tasks of the base unless given.
        metric: A metric in place of each task's main metric.
    """
    Rule(margin=margin)  # refuses a margin that cannot be meant
    plans = []
    for results in as_side(base, tasks).values():
        chosen = _metric_of(results[0], metric)
        require_metric(results[:1], chosen)
        plans.append(margin_plan(results[0], chosen, margin))
    return plans


def _check_all(base: Side, candidate: Side, rules: Sequence[Rule], against: str = "") -> GateOutcome:
    """Apply every rule to every task that it names, or to all tasks of the base."""
    checks: list[Check] = []
    warnings: list[str] = []
    measured: dict[tuple[str, str], Cells] = {}
    for rule in rules:
        for task in rule.tasks or base:
            old, new = _of_task(base, task, "base"), _of_task(candidate, task, "candidate")
            refuse_unusable([*old, *new])
            metric = _metric_of(old[0], rule.metric)
            if (task, metric) not in measured:
                aligned = align([*old, *new])
                warnings += filter(None, [fewer_judged(old, new, aligned)])
                measured[task, metric] = measure(old, new, metric, aligned)
            checks += _checks(measured[task, metric], old[0], rule, against)
    return GateOutcome(tuple(checks), tuple(warnings))


def _metric_of(result: Result, asked: str | None) -> str:
    """Return the metric that a gate judges: the one asked for in its canonical spelling, else the task's main metric.

    Raise `UsageError` for a metric that does not exist, and for one that is better when it is lower.
    """
    name = result.manifest.task.main_metric
    if asked is not None:
        name = asked if asked in result.scores.metrics else metrics.parse(asked).name
    known = {row for row, family in metrics.METRICS.items() if not family.higher_is_better}
    if name in known:
        msg = f"{name} is better when it is lower; a gate needs a metric that is better when it is higher"
        raise UsageError(msg)
    return name


def _of_task(side: Side, task: str, which: str) -> Seeds:
    if task not in side:
        msg = f"the {which} has no result of task {task!r}, only {', '.join(side)}; evaluate it, or choose with --tasks"
        raise InputError(msg)
    return side[task]


def _checks(cells: Cells, base: Result, rule: Rule, against: str) -> list[Check]:
    place = {pair: i for i, pair in enumerate(cells.pairs)}
    wanted = choose_pairs(base, rule.pairs)
    missing = [str(pair) for pair in wanted if pair not in place]
    if missing:
        msg = (
            f"the results of task {base.task!r} share no query of {', '.join(missing[:5])} that {cells.metric} counts; "
            "evaluate these pairs too, or choose another --metric"
        )
        raise InputError(msg)
    if rule.over == "mean":
        row = mean_of(cells, [place[pair] for pair in wanted], rule.name)
        return [check(row, rule.margin, base.task, f"{rule.name} (mean of {len(wanted)} pairs)", against)]
    rows = [difference(cells, place[pair]) for pair in wanted]
    names = ["English" if row.pair == ENGLISH_PAIR else row.name for row in rows]
    return [check(row, rule.margin, base.task, name, against) for row, name in zip(rows, names, strict=True)]
