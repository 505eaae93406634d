"""Metrics of mixed-language pools, where a passage has copies in several languages.

LPR, Lang-nDCG and the four-way split follow the idea of MLAIRE (arXiv 2605.07249), in this project's own definitions.
All values are float64 [q]; NaN stands for a query that the metric does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clear_bench.metrics.ranking import Values, discounted_gain, find, ndcg, ratio

Ints = NDArray[np.signedinteger]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PoolHits:
    """Ranked hits of queries in one language over a pool of parallel passages."""

    content: Ints
    """What each passage of the pool says, [n]: copies in other languages have the same number."""
    language: Ints
    """Language of each passage of the pool, [n], counted from 0."""
    query_language: int
    """Number of the queries' language; -1 where the pool lacks it."""
    positions: Ints
    """Passages in rank order, [q, depth]; -1 where there is no hit."""
    grades: Ints
    """Grades of the hits, [q, depth]; 0 where unjudged or no hit."""
    relevant: Ints
    """All passages with a positive grade, [q, r], padded with -1."""
    relevant_grades: Ints
    """[q, r], padded with 0."""

    @property
    def languages(self) -> int:
        """Number of languages in the pool."""
        return int(self.language.max()) + 1

    def language_of(self, positions: Ints) -> Ints:
        """Return the languages of passages; -1 for a missing one."""
        return np.where(positions >= 0, self.language[positions], -1)

    @property
    def has_own_copy(self) -> Flags:
        """Whether a relevant passage exists in the query's language, [q]."""
        own = self.language_of(self.relevant) == self.query_language
        return np.asarray(own.any(axis=1)) & (self.query_language >= 0)


def semantic_ndcg(hits: PoolHits, k: int) -> Values:
    """Compute nDCG over contents (sem-nDCG@k): copies after a content's first are removed and ranks close up."""
    positions = hits.positions[:, : k * hits.languages]
    first = _first_of_content(hits, positions)
    order = np.argsort(~first, axis=1, kind="stable")[:, :k]
    closed = np.take_along_axis(np.where(first, hits.grades[:, : positions.shape[1]], 0), order, axis=1)
    return ndcg(closed, _content_grades(hits), k)


def language_preference(hits: PoolHits, k: int | None) -> Values:
    """Return whether the best-ranked relevant copy is in the query's language (LPR); chance is 1 / languages.

    A query none of whose copies is found scores 0; one without a copy in its own language does not count.
    """
    relevant = hits.grades[:, :k] > 0
    best = hits.positions[np.arange(len(relevant)), relevant.argmax(axis=1)]
    own = relevant.any(axis=1) & (hits.language_of(best) == hits.query_language)
    return np.where(hits.has_own_copy, own, np.nan)


def language_preference_at_top(hits: PoolHits, k: None = None) -> Values:
    """Return LPR of the queries whose first hit is relevant; others do not count."""
    content, language = _top(hits)
    return np.where(content & hits.has_own_copy, language, np.nan)


def language_ndcg(hits: PoolHits, k: int, gain: float = 0.5) -> Values:
    """Compute nDCG with gain 1 for a relevant copy in the query's language and `gain` for one in another (Lang-nDCG@k).

    The ideal puts the query's language first: 1 + gain * sum over i = 2 .. min(k, languages) of 1 / log2(i + 1), where
    every language has one copy. A query without a copy in its own language does not count.
    """
    gains = _language_gains(hits, hits.positions[:, :k], hits.grades[:, :k] > 0, gain)
    ideal = -np.sort(-_language_gains(hits, hits.relevant, hits.relevant >= 0, gain), axis=1)
    return np.where(hits.has_own_copy, ratio(discounted_gain(gains, k), discounted_gain(ideal, k)), np.nan)


def language_ndcg_strict(hits: PoolHits, k: int) -> Values:
    """Compute Lang-nDCG@k where a translation gains nothing."""
    return language_ndcg(hits, k, gain=0.0)


def language_ndcg_all(hits: PoolHits, k: int) -> Values:
    """Compute Lang-nDCG@k where a translation gains as much as the query's language."""
    return language_ndcg(hits, k, gain=1.0)


def top_both(hits: PoolHits, k: None = None) -> Values:
    """Return whether the first hit has the right content and the query's language; the four `top_` values sum to 1."""
    content, language = _top(hits)
    return (content & language).astype(np.float64)


def top_content(hits: PoolHits, k: None = None) -> Values:
    """Return whether the first hit has the right content in another language."""
    content, language = _top(hits)
    return (content & ~language).astype(np.float64)


def top_language(hits: PoolHits, k: None = None) -> Values:
    """Return whether the first hit has the query's language and a wrong content."""
    content, language = _top(hits)
    return (~content & language).astype(np.float64)


def top_neither(hits: PoolHits, k: None = None) -> Values:
    """Return whether the first hit has wrong content in another language, or there is no hit."""
    content, language = _top(hits)
    return (~content & ~language).astype(np.float64)


def worst_rank(hits: PoolHits, k: None = None) -> Values:
    """Return the rank of the last relevant copy (Max@R); lower is better.

    A copy that the ranking lacks takes the last rank of the pool. A query without a relevant passage does not count.
    """
    relevant = hits.grades > 0
    last = relevant.shape[1] - relevant[:, ::-1].argmax(axis=1)
    ranks = np.where(_found_all(hits, relevant), last, len(hits.language)).astype(np.float64)
    return np.where(_has_relevant(hits), ranks, np.nan)


def complete(hits: PoolHits, k: int) -> Values:
    """Return whether every relevant copy is among the first k hits (Complete@k)."""
    return (_has_relevant(hits) & _found_all(hits, hits.grades[:, :k] > 0)).astype(np.float64)


def equal_expected_rank(hits: PoolHits, k: int) -> Values:
    """Return the Kruskal-Wallis p over the ranks of the pool's passages, grouped by language (PEER@k).

    Passages after k are tied. Near 1, no language is favoured; values of different k are not comparable. It follows
    PEER (Yang et al. 2024, arXiv 2405.00978) without conditioning on relevance: with one relevant copy a language, as
    in parallel pools, PEER over the relevant passages is a constant. A query without hits gives 1.
    """
    sizes = np.bincount(hits.language, minlength=hits.languages)
    return _kruskal(hits.language_of(hits.positions[:, :k]), np.broadcast_to(sizes, (len(hits.grades), len(sizes))))


def equal_expected_rank_of_relevant(hits: PoolHits, k: int) -> Values:
    """Return PEER@k over the relevant passages: one test for each positive grade, averaged with equal weights.

    Those after k are tied behind the found ones. The authors' package `peer_measure` gives them instead a rank that
    depends on their number, so that it can come before a found one. A grade in one language alone gives 1. A query
    without a relevant passage does not count.
    """
    languages = hits.language_of(hits.positions[:, :k])
    levels = np.unique(hits.relevant_grades[hits.relevant_grades > 0])
    p, judged = np.zeros((len(levels), len(languages))), np.zeros((len(levels), len(languages)), dtype=bool)
    for i, level in enumerate(levels):
        same = hits.relevant_grades == level
        sizes = _count(np.where(same, hits.language_of(hits.relevant), -1), hits.languages)
        p[i] = _kruskal(np.where(hits.grades[:, :k] == level, languages, -1), sizes)
        judged[i] = same.any(axis=1)
    return np.where(_has_relevant(hits), ratio((p * judged).sum(axis=0), judged.sum(axis=0)), np.nan)


def _top(hits: PoolHits) -> tuple[Flags, Flags]:
    """Return whether each first hit has the right content, and whether it has the right language."""
    language = hits.language_of(hits.positions[:, 0])
    return hits.grades[:, 0] > 0, (language == hits.query_language) & (language >= 0)


def _has_relevant(hits: PoolHits) -> Flags:
    return np.asarray((hits.relevant >= 0).any(axis=1))


def _found_all(hits: PoolHits, relevant: Flags) -> Flags:
    return np.asarray(relevant.sum(axis=1) == (hits.relevant >= 0).sum(axis=1))


def _language_gains(hits: PoolHits, positions: Ints, relevant: Flags, gain: float) -> Values:
    own = hits.language_of(positions) == hits.query_language
    return np.where(relevant, np.where(own, 1.0, gain), 0.0)


def _first_of_content(hits: PoolHits, positions: Ints) -> Flags:
    """Mark the first passage of each content in every row."""
    content = np.where(positions >= 0, hits.content[positions], -1)
    order = np.argsort(content, axis=1, kind="stable")
    ordered = np.take_along_axis(content, order, axis=1)
    first = np.ones(content.shape, dtype=bool)
    np.put_along_axis(first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    return first & (positions >= 0)


def _content_grades(hits: PoolHits) -> Ints:
    """Return the grade of every relevant content, that of its highest copy, in descending order."""
    order = np.argsort(-hits.relevant_grades, axis=1, kind="stable")
    relevant = np.take_along_axis(hits.relevant, order, axis=1)
    grades = np.take_along_axis(hits.relevant_grades, order, axis=1)
    once = np.where(_first_of_content(hits, relevant), grades, 0)
    return np.asarray(-np.sort(-once, axis=1))


def _count(languages: Ints, n_languages: int) -> Ints:
    """Count the languages of each row, [q, languages]; -1 is left out."""
    rows, columns = find(languages >= 0)
    keys = rows * n_languages + languages[rows, columns]
    return np.bincount(keys, minlength=len(languages) * n_languages).reshape(len(languages), n_languages)


def _kruskal(languages: Ints, sizes: Ints) -> Values:
    """Test whether the languages of each row have equal expected ranks; p by the chi-square approximation, [q].

    `languages` [q, m] names the ranked passages in order, -1 where another kind of passage stands; `sizes`
    [q, languages] counts all passages, of which the ones that are not ranked are tied behind.
    """
    from scipy.special import chdtrc

    listed = languages >= 0
    rank = np.cumsum(listed, axis=1) * listed
    found, total = listed.sum(axis=1), sizes.sum(axis=1)
    middle, tied = (total + 1) / 2, (found + 1 + total) / 2
    rows, columns = find(listed)
    keys = rows * sizes.shape[1] + languages[rows, columns]
    ranked = np.bincount(keys, rank[rows, columns], sizes.size).reshape(sizes.shape)
    sums = ranked + (sizes - _count(languages, sizes.shape[1])) * tied[:, None]
    apart = (sums - sizes * middle[:, None]) ** 2
    between = np.divide(apart, sizes, out=np.zeros(sizes.shape), where=sizes > 0).sum(axis=1)
    within = (np.square(rank - middle[:, None]) * listed).sum(axis=1) + (total - found) * (tied - middle) ** 2
    groups = np.count_nonzero(sizes, axis=1)
    testable = (groups > 1) & (within > 0)
    statistic = np.divide((total - 1) * between, within, out=np.zeros(len(total)), where=testable)
    return np.where(testable, chdtrc(np.maximum(groups - 1, 1), statistic), 1.0)
