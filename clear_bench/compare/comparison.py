"""The whole comparison of two models on one task."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clear_bench import languages, stats
from clear_bench.compare import families
from clear_bench.compare.differences import Cells, Difference, difference, mean_of, measure
from clear_bench.compare.families import PAIR_GROUPS, FamilyOfTests, Resampling
from clear_bench.compare.pairing import Aligned, Seeds, align, fewer_judged, labels
from clear_bench.errors import NotComparableError
from clear_bench.types import LanguagePair

PER_LANGUAGE = ("x-en", "en-x", "monolingual")
"""The groups that have one pair for each language."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The slope of a group's gains on the languages' resource class (Joshi et al. 2020), tested over languages."""

    slope: float
    """Gain per class."""
    p: float | None
    languages: int
    headroom_slope: float
    """The same for gain / (1 - base)."""
    headroom_p: float | None


@dataclass(frozen=True, slots=True)
class Worst:
    """The weakest pair of a group under each model, and the pair that lost most."""

    base: Difference
    candidate: Difference
    loss: Difference


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The gains and losses of a candidate against a base on one task, under one metric; values are unrounded."""

    task: str
    title: str
    metric: str
    base: str
    """Name of the base in text: its model's name, with the fingerprint where names alone are ambiguous."""
    candidate: str
    seeds: tuple[int, int]
    cells: Mapping[LanguagePair, Difference]
    """Every pair; `p_adjusted` is Benjamini-Hochberg's, for the heat map."""
    families: Mapping[str, FamilyOfTests]
    """The tables: macro, english, x-en, en-x, monolingual, direct, seen, pivot, pivot-macro, resource:GROUP, pool."""
    languages: Mapping[str, Mapping[str, Difference]]
    """Language -> group -> gain; direct pairs are averaged by query language."""
    trends: Mapping[str, Trend]
    worst: Mapping[str, Worst]
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> Mapping[str, Difference]:
        """Macro means by group: english, monolingual (English included), x-en, en-x, direct, cross, pool, all."""
        return {row.name: row for row in self.families["macro"].rows}

    @property
    def seen(self) -> Mapping[str, Difference]:
        """Direct pairs by how many of their languages training saw; empty where that is not known."""
        return {row.name: row for row in self.families["seen"].rows} if "seen" in self.families else {}

    @property
    def pivot(self) -> Difference | None:
        """Mean of the pivot statistic over the direct pairs."""
        return self.families["pivot-macro"].rows[0] if "pivot-macro" in self.families else None

    @property
    def is_identical(self) -> bool:
        """Whether no score differs at all."""
        return all(row.delta == 0 and not row.wins and not row.losses for row in self.cells.values())


def compare(
    base: Seeds,
    candidate: Seeds,
    *,
    metric: str | None = None,
    trained: Collection[str] | None = None,
    resampling: Resampling = Resampling(),  # noqa: B008 - frozen
    names: Sequence[str] | None = None,
) -> Comparison:
    """Compare two models on one task, query by query.

    Args:
        base: Results of one model on the task, one per seed; their scores are averaged query by query.
        candidate: The same of the other model.
        metric: A column of the scores; the task's main metric unless given.
        trained: Canonical codes of the languages that training saw; the candidate's manifest unless given.
        resampling: Replicates (0: none) and seed of bootstrap, sign-flip and max-T.
        names: How to call the two sides; their models' names unless given.

    Raises `NotComparableError` where the results do not answer the same questions.
    """
    aligned = align([*base, *candidate])
    task = base[0].manifest.task
    cells = measure(base, candidate, metric or task.main_metric, aligned)
    if not cells.pairs:
        msg = f"{cells.metric} counts no query on both sides of {task.name}; choose another with --metric"
        raise NotComparableError(msg)
    rows = _rows(cells, resampling)
    told = trained if trained is not None else candidate[0].manifest.model.trained_languages
    names = names or labels([base, candidate])
    return Comparison(
        task=task.name,
        title=task.title or task.name,
        metric=cells.metric,
        base=names[0],
        candidate=names[1],
        seeds=(len(base), len(candidate)),
        cells=dict(zip(cells.pairs, families.heat_map(rows).rows, strict=True)),
        families=_families(cells, rows, told, resampling) | _pools(base, candidate, aligned, resampling),
        languages=_languages(cells, rows),
        trends=_trends(cells, rows, resampling),
        worst=_worst(cells, rows),
        notes=_notes(base, candidate, cells, aligned),
    )


def _rows(cells: Cells, resampling: Resampling) -> list[Difference]:
    known = stats.estimates(cells.sums) if cells.sums else [None] * len(cells.pairs)
    rows = [difference(cells, i, estimate) for i, estimate in enumerate(known)]
    return families.with_resampling(cells, rows, resampling)


def _families(
    cells: Cells, rows: Sequence[Difference], trained: Collection[str] | None, resampling: Resampling
) -> dict[str, FamilyOfTests]:
    found = {"macro": families.groups(cells, rows)}
    for group in ("english", *PER_LANGUAGE, "direct"):
        if chosen := cells.of_kind(*PAIR_GROUPS[group]):
            found[group] = families.of_pairs(cells, rows, chosen, resampling)
    if trained is not None and "direct" in found:
        found["seen"] = families.seen(cells, trained)
    pivots = families.pivots(cells)
    if pivots.rows:
        found |= {"pivot": pivots, "pivot-macro": families.pivot_means(cells, trained)}
    classes = _classes(cells)
    for group in PER_LANGUAGE:
        by_class = families.resources(cells, group, classes)
        if by_class.rows:
            found[f"resource:{group}"] = by_class
    return found


def _pools(base: Seeds, candidate: Seeds, aligned: Aligned, resampling: Resampling) -> dict[str, FamilyOfTests]:
    """Compare every metric where the passages mix languages: language preference has no single number."""
    if not any(pair.is_pool for pair in aligned.pairs):
        return {}
    shared = [name for name in base[0].scores.metrics if all(name in r.scores.metrics for r in (*base, *candidate))]
    rows: list[Difference] = []
    for metric in shared:
        cells = measure(base, candidate, metric, aligned)
        rows += [difference(cells, i) for i in cells.of_kind("pool")]
    return {"pool": families.holm(rows)}


def _languages(cells: Cells, rows: Sequence[Difference]) -> dict[str, dict[str, Difference]]:
    found: dict[str, dict[str, Difference]] = {}
    direct: dict[str, list[int]] = {}
    for i, pair in enumerate(cells.pairs):
        if pair.kind == "direct":
            direct.setdefault(pair.query, []).append(i)
        elif not pair.is_pool:
            group = "monolingual" if pair.kind == "english" else pair.kind
            found.setdefault(families.other_language(pair), {})[group] = rows[i]
    for language, chosen in direct.items():
        found.setdefault(language, {})["direct"] = mean_of(cells, chosen, language)
    return found


def _classes(cells: Cells) -> dict[str, int | None]:
    known = {pair.query for pair in cells.pairs} | {pair.passage for pair in cells.pairs if not pair.is_pool}
    return {code: languages.resource_class(code) for code in known}


def _trends(cells: Cells, rows: Sequence[Difference], resampling: Resampling) -> dict[str, Trend]:
    classes, found = _classes(cells), {}
    for group in PER_LANGUAGE:
        chosen = [rows[i] for i in cells.of_kind(*PAIR_GROUPS[group])]
        points = [(classes[families.other_language(row.pair)], row) for row in chosen if row.pair]
        known = [(level, row) for level, row in points if level is not None and row.headroom is not None]
        x = np.array([float(level) for level, _ in known])
        draws = {"replicates": resampling.replicates or stats.REPLICATES, "seed": resampling.seed}
        gains = stats.slope_test(x, np.array([row.delta for _, row in known]), **draws)
        shares = stats.slope_test(x, np.array([row.headroom or 0.0 for _, row in known]), **draws)
        if gains and shares:
            found[group] = Trend(gains[0], gains[1], len(known), shares[0], shares[1])
    return found


def _worst(cells: Cells, rows: Sequence[Difference]) -> dict[str, Worst]:
    found = {}
    for group in (*PER_LANGUAGE, "direct"):
        chosen = [rows[i] for i in cells.of_kind(*PAIR_GROUPS[group])]
        if chosen:
            weakest = (min(chosen, key=lambda row: row.base), min(chosen, key=lambda row: row.candidate))
            found[group] = Worst(*weakest, min(chosen, key=lambda row: row.delta))
    return found


def _notes(base: Seeds, candidate: Seeds, cells: Cells, aligned: Aligned) -> tuple[str, ...]:
    unjudged = fewer_judged(base, candidate, aligned)
    notes = [unjudged] if unjudged else []
    for result in (*base, *candidate):
        extra = len(set(result.pairs) - set(cells.pairs))
        if extra:
            notes.append(f"{extra} pairs of {result.path} are not in every result and are left out")
        if result.manifest.partial:
            notes.append(f"{result.path} is partial (--limit {result.manifest.limit})")
        known = result.manifest.seen_in_training
        if known:
            notes.append(f"{result.model} was trained on {', '.join(known)}, which overlaps {result.task}")
        if not result.manifest.has_queries:
            notes.append(f"{result.path} was imported as means: no intervals and no tests")
    return tuple(dict.fromkeys(notes))
