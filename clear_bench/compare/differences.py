"""The differences of all pairs under one metric, and the single difference that a table row shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clear_bench import stats
from clear_bench.compare.pairing import Aligned, Seeds, align, require_metric
from clear_bench.languages import side
from clear_bench.stats import ClusterSums, Estimate
from clear_bench.stats.clusters import Floats, Ints
from clear_bench.types import LanguagePair

ROUNDING = 1e-12
"""Scores nearer than this are equal: an average over seeds does not come out to the last bit."""

NO_QUERIES = "imported as means: without per-query scores there is no interval"
ONE_CLUSTER = "all queries belong to one cluster, so the error of the {} is unknown"


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus base, for one pair or a combination of pairs; scores are unrounded, 0 to 1 for most metrics."""

    name: str
    pair: LanguagePair | None
    metric: str
    base: float
    candidate: float
    estimate: Estimate
    outcomes: tuple[int, int, int] | None = None
    """Queries won, tied and lost; None for combinations and imported means."""
    bootstrap: tuple[float, float] | None = None
    p_sign_flip: float | None = None
    p_adjusted: float | None = None
    """Adjusted for the table it stands in."""
    spread: tuple[float | None, float | None] = (None, None)
    """Standard deviation over the seeds of the base and of the candidate."""
    reason: str | None = None
    """Why there is no interval."""

    @property
    def delta(self) -> float:
        """The difference."""
        return self.estimate.delta

    @property
    def lower(self) -> float | None:
        """Of the 95 % interval (`clear_bench.stats.inference`)."""
        bounds = stats.interval(self.estimate)
        return bounds[0] if bounds else None

    @property
    def upper(self) -> float | None:
        """Of the 95 % interval."""
        bounds = stats.interval(self.estimate)
        return bounds[1] if bounds else None

    @property
    def p(self) -> float | None:
        """The level at which the interval would reach 0; not adjusted."""
        return stats.p_value(self.estimate)

    @property
    def percent(self) -> float | None:
        """The difference in percent of the base; None where the base is 0 or, as for pivot statistics, below."""
        return 100 * self.delta / self.base if self.base > 0 else None

    @property
    def headroom(self) -> float | None:
        """The share of the base's possible gain: gain / (1 - base); None where the base is not within 0 and 1."""
        return self.delta / (1 - self.base) if 0 <= self.base < 1 else None

    @property
    def effect(self) -> float | None:
        """Cohen's d of the per-query differences."""
        return stats.effect_size(self.estimate)

    @property
    def mde(self) -> float | None:
        """The true difference that this test finds with 80 % power."""
        return stats.minimum_detectable(self.estimate)

    @property
    def wins(self) -> int | None:
        """Queries that the candidate answers better."""
        return self.outcomes[0] if self.outcomes else None

    @property
    def ties(self) -> int | None:
        """Queries with equal scores."""
        return self.outcomes[1] if self.outcomes else None

    @property
    def losses(self) -> int | None:
        """Queries that the candidate answers worse."""
        return self.outcomes[2] if self.outcomes else None

    @property
    def n(self) -> int:
        """Queries behind it, 0 where unknown."""
        return self.estimate.n

    @property
    def clusters(self) -> int:
        """Independent clusters of queries behind it, 0 where unknown."""
        return self.estimate.clusters


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """All pairs of a task under one metric."""

    metric: str
    pairs: tuple[LanguagePair, ...]
    base: Floats
    """Mean of each pair, [seeds, cells]."""
    candidate: Floats
    sums: ClusterSums | None
    """None where a side has means only."""
    outcomes: Ints
    """Won, tied, lost, [3, cells]."""

    def of_kind(self, *kinds: str) -> list[int]:
        """Return the positions of the pairs of a kind: english, x-en, en-x, monolingual, direct, pool."""
        return [i for i, pair in enumerate(self.pairs) if pair.kind in kinds]


def measure(base: Seeds, candidate: Seeds, metric: str, aligned: Aligned | None = None) -> Cells:
    """Return the differences of one task under one metric, query by query, averaged over the seeds of each side.

    Raise `NotComparableError` where the results do not answer the same questions.
    """
    results = [*base, *candidate]
    require_metric(results, metric)
    aligned = aligned or align(results)
    scores = aligned.scores(metric)
    # A metric may leave queries out, such as LPR of right first hits: what one model leaves out cannot be paired.
    counted = np.isfinite(scores).all(axis=0)
    places, cells = np.unique(aligned.cells[counted], return_inverse=True)
    clusters, scores = aligned.clusters[counted] if aligned.has_queries else cells, scores[:, counted]
    pairs = tuple(aligned.pairs[i] for i in places)
    ours, theirs = scores[: len(base)], scores[len(base) :]
    change = theirs.mean(axis=0) - ours.mean(axis=0)
    change[np.abs(change) <= ROUNDING] = 0.0
    ends = (0.0, 0.0) if is_same(base, candidate) and not change.any() else _ends(scores)
    sums = stats.cluster_sums(change, clusters, cells, ends) if aligned.has_queries and pairs else None
    outcomes = np.stack([np.bincount(cells[np.sign(change) == sign], minlength=len(pairs)) for sign in (1, 0, -1)])
    return Cells(metric, pairs, _means(ours, cells), _means(theirs, cells), sums, outcomes)


def is_same(base: Seeds, candidate: Seeds) -> bool:
    """Whether both sides are one model's results: the same vectors, questions and settings.

    A model differs from itself on no query, seen or unseen; two models that were equal on every query may yet differ.
    """
    ours, theirs = ([result.manifest.identity or str(result.path) for result in side] for side in (base, candidate))
    return ours == theirs


def difference(cells: Cells, i: int, estimate: Estimate | None = None) -> Difference:
    """Return the difference of one pair. Give its `estimate` where those of all pairs are computed already."""
    pair = cells.pairs[i]
    if cells.sums is None:
        return _mean_only(cells, _one(cells, i), pair_name(pair), pair)
    estimate = estimate or stats.estimates(cells.sums.take(np.array([i])))[0]
    won, tied, lost = (int(count) for count in cells.outcomes[:, i])
    return Difference(
        pair_name(pair),
        pair,
        cells.metric,
        float(cells.base[:, i].mean()),
        float(cells.candidate[:, i].mean()),
        estimate,
        outcomes=(won, tied, lost),
        spread=(_spread(cells.base[:, i]), _spread(cells.candidate[:, i])),
        reason=None if estimate.se is not None else ONE_CLUSTER.format("difference"),
    )


def combine(cells: Cells, weights: Floats, name: str) -> Difference:
    """Return a weighted sum of pairs as one difference: a macro mean or a pivot statistic."""
    if cells.sums is None:
        return _mean_only(cells, weights, name, None)
    estimate = stats.contrast(cells.sums, weights)
    base, candidate = cells.base @ weights, cells.candidate @ weights
    return Difference(
        name,
        None,
        cells.metric,
        float(base.mean()),
        float(candidate.mean()),
        estimate,
        spread=(_spread(base), _spread(candidate)),
        reason=None if estimate.se is not None else ONE_CLUSTER.format("difference"),
    )


def mean_of(cells: Cells, chosen: Sequence[int], name: str) -> Difference:
    """Return the plain mean over pairs (macro) as one difference."""
    weights = np.zeros(len(cells.pairs))
    weights[list(chosen)] = 1 / len(chosen)
    return combine(cells, weights, name)


def pair_name(pair: LanguagePair) -> str:
    """Return the name of a pair in short codes: `de:en`, or `de` where both sides are one language."""
    return side(pair.query) if pair.query == pair.passage else f"{side(pair.query)}:{side(pair.passage)}"


def _ends(scores: Floats) -> tuple[float, float]:
    low, high = stats.reachable(scores)
    return low - high, high - low


def _means(scores: Floats, cells: Ints) -> Floats:
    size = np.bincount(cells)
    return np.stack([np.bincount(cells, weights=seed) / size for seed in scores])


def _mean_only(cells: Cells, weights: Floats, name: str, pair: LanguagePair | None) -> Difference:
    base, candidate = cells.base @ weights, cells.candidate @ weights
    means = float(base.mean()), float(candidate.mean())
    unknown = Estimate(means[1] - means[0], None, None, 0, 0)
    spread = (_spread(base), _spread(candidate))
    return Difference(
        name, pair, cells.metric, *means, unknown, spread=spread, reason=f"one side was {NO_QUERIES} and no test"
    )


def _one(cells: Cells, i: int) -> Floats:
    weights = np.zeros(len(cells.pairs))
    weights[i] = 1.0
    return weights


def _spread(seeds: Floats) -> float | None:
    return float(seeds.std(ddof=1)) if len(seeds) > 1 else None
