"""What explains the scores of pairs: a regression over all pairs, whose intervals resample languages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clear_bench.stats.clusters import Floats, Ints

FLAT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """Least squares over pairs of languages."""

    coefficients: Floats
    """Change of the score with one standard deviation of each predictor, the others held, [predictors]."""
    lower: Floats
    upper: Floats
    """95 % percentile intervals; NaN where too few languages are left to draw from."""
    explained: float
    """Share of the variance of scores."""
    pairs: int
    languages: int


def regress(scores: Floats, predictors: Floats, pairs: Ints, *, replicates: int, seed: int = 0) -> Regression | None:
    """Regress the scores of pairs [p] on predictors [p, k]; `pairs` [p, 2] are the two languages of each.

    None where pairs are too few for the predictors, or nothing varies. Pairs share languages, so languages are what is
    drawn again; a pair counts as often as both of its languages together.
    """
    spread = predictors.std(axis=0)
    if len(scores) < 3 * (predictors.shape[1] + 1) or (spread <= FLAT).any() or scores.std() <= FLAT:
        return None
    design = np.hstack([np.ones((len(scores), 1)), (predictors - predictors.mean(axis=0)) / spread])
    found = _solve(design, scores, np.ones(len(scores)))
    if found is None:
        return None
    left = scores - design @ found
    count = int(pairs.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(replicates):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        one = _solve(design, scores, (times[pairs[:, 0]] * times[pairs[:, 1]]).astype(np.float64))
        if one is not None:
            drawn.append(one[1:])
    few = len(drawn) < 0.9 * replicates or not drawn
    low, high = (np.full(len(found) - 1, np.nan),) * 2 if few else np.quantile(drawn, [0.025, 0.975], axis=0)
    explained = 1 - float(left.var() / scores.var())
    return Regression(found[1:], low, high, explained, len(scores), count)


def _solve(design: Floats, scores: Floats, weights: Floats) -> Floats | None:
    """Solve weighted least squares; None where the pairs that are left do not settle it."""
    weighted = design * weights[:, None]
    gram = design.T @ weighted
    if (weights > 0).sum() <= design.shape[1] or np.linalg.cond(gram) > 1e10:
        return None
    return np.asarray(np.linalg.solve(gram, weighted.T @ scores))
