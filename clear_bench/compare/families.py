"""Families of differences: the tables of a comparison, each adjusted for the number of its own tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from clear_bench import stats
from clear_bench.compare.differences import Cells, Difference, combine, mean_of
from clear_bench.stats.clusters import Floats, Ints
from clear_bench.types import ENGLISH, LanguagePair

Adjustment = Literal["holm", "max-t", "benjamini-hochberg"]

PAIR_GROUPS: Mapping[str, tuple[str, ...]] = {
    "english": ("english",),
    "monolingual": ("english", "monolingual"),
    "x-en": ("x-en",),
    "en-x": ("en-x",),
    "direct": ("direct",),
    "cross": ("x-en", "en-x", "direct"),
    "pool": ("pool",),
    "all": ("english", "monolingual", "x-en", "en-x", "direct"),
}
"""Group of pairs -> the kinds of pairs in it."""
CLAIMS = ("monolingual", "x-en", "en-x", "direct", "pool")
"""The groups whose gains are claimed together, and so adjusted for each other."""


@dataclass(frozen=True, slots=True)
class FamilyOfTests:
    """Differences that are tested together."""

    rows: tuple[Difference, ...]
    adjustment: Adjustment = "holm"


@dataclass(frozen=True, slots=True)
class Resampling:
    """Number of replicates, and their seed."""

    replicates: int = stats.REPLICATES
    seed: int = 0


NO_DRAWS = Resampling(replicates=0)
"""The t tests alone."""


def with_resampling(cells: Cells, rows: Sequence[Difference], settings: Resampling) -> list[Difference]:
    """Return the rows with their bootstrap intervals and sign-flip p values."""
    if cells.sums is None or not settings.replicates:
        return list(rows)
    low, high = stats.bootstrap(cells.sums, replicates=settings.replicates, seed=settings.seed)
    flips = stats.sign_flip(cells.sums, replicates=settings.replicates, seed=settings.seed)
    return [
        row
        if row.reason
        else replace(row, bootstrap=None if np.isnan(a) else (float(a), float(b)), p_sign_flip=float(p))
        for row, a, b, p in zip(rows, low, high, flips, strict=True)
    ]


def holm(rows: Sequence[Difference]) -> FamilyOfTests:
    """Adjust rows that are claims (Holm 1979): the chance of any false claim stays below the level."""
    return FamilyOfTests(_adjusted(rows, stats.holm([row.p for row in rows if row.p is not None])), "holm")


def heat_map(rows: Sequence[Difference]) -> FamilyOfTests:
    """Adjust the cells of a map (Benjamini & Hochberg 1995): the expected share of false ones stays below the level."""
    p = [row.p for row in rows if row.p is not None]
    return FamilyOfTests(_adjusted(rows, stats.benjamini_hochberg(p)), "benjamini-hochberg")


def of_pairs(cells: Cells, rows: Sequence[Difference], chosen: Sequence[int], settings: Resampling) -> FamilyOfTests:
    """Adjust the cells of a table: by max-T (Westfall & Young 1993) where they share clusters, else by Holm."""
    picked = [rows[i] for i in chosen]
    testable = np.array([i for i in chosen if rows[i].p is not None], dtype=np.int64)
    if cells.sums is None or not settings.replicates or not _share_clusters(cells, testable):
        return holm(picked)
    adjusted = stats.max_t(cells.sums.take(testable), replicates=settings.replicates, seed=settings.seed)
    # Sign flips suppose that differences are even; an adjusted p is never below the p that it adjusts.
    adjusted = np.maximum(adjusted, [row.p for row in picked if row.p is not None])
    return FamilyOfTests(_adjusted(picked, adjusted), "max-t")


def groups(cells: Cells, rows: Sequence[Difference]) -> FamilyOfTests:
    """Average each group of pairs (macro means over pairs).

    Holm runs over the groups in `CLAIMS`. English is a question of its own, and so is each group that joins others.
    """
    chosen = {name: cells.of_kind(*kinds) for name, kinds in PAIR_GROUPS.items()}
    means = [
        replace(rows[found[0]], name=name) if len(found) == 1 else mean_of(cells, found, name)
        for name, found in chosen.items()
        if found
    ]
    claims = {row.name: row for row in holm([row for row in means if row.name in CLAIMS]).rows}
    return FamilyOfTests(tuple(claims.get(row.name, replace(row, p_adjusted=row.p)) for row in means), "holm")


def seen(cells: Cells, trained: Collection[str]) -> FamilyOfTests:
    """Average the direct pairs by how many of their two languages training saw: `both`, `one`, `none`."""
    return holm([mean_of(cells, found, name) for name, found in _by_seen(cells, trained).items()])


def pivots(cells: Cells) -> FamilyOfTests:
    """Return each direct pair's own gain: dG(a->b) = ds(a->b) - (ds(a->en) + ds(en->b)) / 2.

    Clearly below 0: the pair gained less than its two legs through English, so the gain is English-centred.
    """
    legs = _legs(cells)
    return holm(
        [replace(combine(cells, _pivot(cells, [places]), str(pair)), pair=pair) for pair, places in legs.items()]
    )


def pivot_means(cells: Cells, trained: Collection[str] | None) -> FamilyOfTests:
    """Average the pivot statistic over all direct pairs, and by how many of their languages training saw."""
    legs = _legs(cells)
    parts = {"all": list(legs)}
    if trained is not None:
        for name, found in _by_seen(cells, trained).items():
            parts[name] = [cells.pairs[i] for i in found if cells.pairs[i] in legs]
    means = {name: _pivot(cells, [legs[pair] for pair in pairs]) for name, pairs in parts.items() if pairs}
    return holm([combine(cells, share, name) for name, share in means.items()])


def resources(cells: Cells, group: str, classes: Mapping[str, int | None]) -> FamilyOfTests:
    """Average the gains of a group by the resource class of the language that is not English."""
    by_class: dict[int, list[int]] = {}
    for i in cells.of_kind(*PAIR_GROUPS[group]):
        level = classes[other_language(cells.pairs[i])]
        if level is not None:
            by_class.setdefault(level, []).append(i)
    return holm([mean_of(cells, by_class[level], str(level)) for level in sorted(by_class)])


def other_language(pair: LanguagePair) -> str:
    """Return the side of a pair that is not English; English for the English cell."""
    return pair.passage if pair.query == ENGLISH else pair.query


def _by_seen(cells: Cells, trained: Collection[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"both": [], "one": [], "none": []}
    for i in cells.of_kind("direct"):
        pair = cells.pairs[i]
        found[("none", "one", "both")[(pair.query in trained) + (pair.passage in trained)]].append(i)
    return {name: chosen for name, chosen in found.items() if chosen}


def _legs(cells: Cells) -> dict[LanguagePair, tuple[int, int, int]]:
    """Return the cells of each direct pair a->b that has both its legs: a->b, a->en, en->b."""
    place = {pair: i for i, pair in enumerate(cells.pairs)}
    out = {}
    for i in cells.of_kind("direct"):
        pair = cells.pairs[i]
        legs = place.get(LanguagePair(pair.query, ENGLISH)), place.get(LanguagePair(ENGLISH, pair.passage))
        if legs[0] is not None and legs[1] is not None:
            out[pair] = (i, legs[0], legs[1])
    return out


def _pivot(cells: Cells, legs: Sequence[tuple[int, int, int]]) -> Floats:
    """Return the weights of the mean pivot statistic of these pairs; a shared leg adds up."""
    shares = np.tile([1.0, -0.5, -0.5], len(legs)) / len(legs)
    return np.asarray(np.bincount(np.ravel(legs), weights=shares, minlength=len(cells.pairs)), dtype=np.float64)


def _share_clusters(cells: Cells, chosen: Sequence[int] | Ints) -> bool:
    if cells.sums is None or len(chosen) < 2:
        return False
    return bool(((cells.sums.counts[:, chosen] > 0).sum(axis=1) > 1).any())


def _adjusted(rows: Sequence[Difference], values: Sequence[float] | Floats) -> tuple[Difference, ...]:
    left = iter(values)
    return tuple(row if row.p is None else replace(row, p_adjusted=float(next(left))) for row in rows)
