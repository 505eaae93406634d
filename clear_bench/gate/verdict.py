"""Judge one difference against one margin, and word the reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from clear_bench import stats

if TYPE_CHECKING:
    from clear_bench.compare import Difference

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]

GATE_SCHEMA = "clear-bench/gate/1"


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict and the numbers behind it; a row of `gate --json`."""

    task: str
    query_language: str
    """`*` for the mean of several pairs, as the passage language is then."""
    passage_language: str
    metric: str
    delta: float
    lower: float | None
    """One-sided 95 % bounds; None where a single cluster leaves them unknown."""
    upper: float | None
    margin: float
    n_queries: int
    n_clusters: int
    verdict: Verdict
    reason: str


def check(difference: Difference, margin: float, task: str, subject: str, against: str = "") -> Check:
    """Judge one difference; `subject` is what the sentence is about, `against` what else it was compared with."""
    bounds = stats.one_sided_bounds(difference.estimate)
    pair = difference.pair
    return Check(
        task=task,
        query_language=pair.query if pair else "*",
        passage_language=pair.passage if pair else "*",
        metric=difference.metric,
        delta=difference.delta,
        lower=bounds[0] if bounds else None,
        upper=bounds[1] if bounds else None,
        margin=margin,
        n_queries=difference.n,
        n_clusters=difference.clusters,
        verdict=judge(bounds, margin),
        reason=_sentence(difference, bounds, margin, f"{subject} {difference.metric}", task, against),
    )


def judge(bounds: tuple[float, float] | None, margin: float) -> Verdict:
    """Apply the rule to one-sided 95 % bounds.

    PASS when the lower bound lies above -margin; FAIL when it does not and the upper bound lies below 0; INCONCLUSIVE
    otherwise, and where there are no bounds.
    """
    if bounds is None:
        return "INCONCLUSIVE"
    if bounds[0] > -margin:
        return "PASS"
    return "FAIL" if bounds[1] < 0 else "INCONCLUSIVE"


def overall(checks: Sequence[Check]) -> Verdict:
    """Combine verdicts: PASS where all pass, FAIL where one fails, else INCONCLUSIVE.

    Several checks need no correction: a wrong PASS needs the worst of them to pass wrongly, which is as unlikely as for
    that check alone (the intersection-union principle, Berger 1982).
    """
    verdicts = {one.verdict for one in checks}
    return "FAIL" if "FAIL" in verdicts else "PASS" if verdicts == {"PASS"} else "INCONCLUSIVE"


def document(checks: Sequence[Check]) -> dict[str, Any]:  # Any: JSON
    """Return the verdict as JSON, `clear-bench/gate/1`."""
    return {"schema": GATE_SCHEMA, "verdict": overall(checks), "checks": [asdict(one) for one in checks]}


def _sentence(
    difference: Difference, bounds: tuple[float, float] | None, margin: float, subject: str, task: str, against: str
) -> str:
    """Return a sentence: the change, its bounds, and how many queries an open verdict lacks."""
    verdict = judge(bounds, margin)
    digits = _digits(bounds, margin) if bounds else 1
    told = f"{verdict}: {subject} {_moved(difference.delta, digits)}"
    size = f"on {_number(difference.n, 'query', 'queries')} of {task}"
    if difference.clusters < difference.n:
        size += f" in {_number(difference.clusters, 'cluster', 'clusters')}"
    size += f" against {against}" if against else ""
    if bounds is None:
        return f"{told} {size}; {difference.reason}"
    low, high = (_points(bound, digits) for bound in bounds)
    told = f"{told} (one-sided 95 % bounds {low} and {high}, margin {100 * margin:.{digits}f}) {size}"
    return f"{told}; {_remedy(difference, margin)}" if verdict == "INCONCLUSIVE" else told


def _remedy(difference: Difference, margin: float) -> str:
    """Return how many more queries would settle it: for equal models, else for the observed loss."""
    estimate = difference.estimate
    if margin == 0:
        return "no number of queries settles a margin of 0 between equal models"
    effect = max(1.0, estimate.unseen[0] * estimate.n)  # queries that one event would move
    # The standard error of one query, clusters included; by chance it can come out below that of independent queries.
    spread = max((estimate.se or 0.0) * math.sqrt(estimate.n), estimate.sd or 0.0) / math.sqrt(effect)
    missing = stats.queries_needed(spread, margin, effect) - estimate.n
    if missing > 0:
        return f"about {_about(missing)} more would settle it if the models are equal"
    left = margin + estimate.delta
    missing = stats.queries_needed(spread, left, effect) - estimate.n if left > 0 else 0
    if missing > 0:
        return f"about {_about(missing)} more would settle it if the true loss is no larger"
    return "so few independent clusters leave the error uncertain; more of them would settle it"


def _moved(delta: float, digits: int) -> str:
    if delta == 0:
        return "did not change"
    size = f"{100 * abs(delta):.{digits}f}"
    if float(size) == 0:
        return f"changed by less than {10**-digits:.{digits}f} points"
    return f"{'rose' if delta > 0 else 'fell'} {size} points"


def _points(value: float, digits: int) -> str:
    shown = f"{100 * value:+.{digits}f}"
    return shown if float(shown) else shown[1:]


def _digits(bounds: tuple[float, float], margin: float) -> int:
    """Return the fewest decimals at which the rounded numbers still tell the verdict."""
    for digits in (1, 2, 3, 4):
        low, high, limit = (round(100 * value, digits) for value in (*bounds, margin))
        if judge((low, high), limit) == judge(bounds, margin):
            return digits
    return 5


def _about(count: int) -> str:
    """Round up to two digits, the precision of an estimated sample size."""
    step = 10 ** max(0, len(str(count)) - 2)
    return f"{math.ceil(count / step) * step:,}"


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
