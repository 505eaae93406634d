"""Measure the vector space of a model on a task, from stored vectors: alignment, language, hubs and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from clear_bench import geometry
from clear_bench.api.plan import Plan
from clear_bench.api.space import Group, apart, groups, ids_of, unit
from clear_bench.geometry import Cell, Hub, Picture, Space
from clear_bench.stats.clusters import Floats, Ints
from clear_bench.types import ENGLISH, Embeddings, Judgements, Side, Similarity

SAMPLE = 2000
"""Texts of a language that are measured at most: what compares all with all grows with their square."""
SHOWN = 8
"""Texts of the picture."""
WORST = 10
"""Hubs that are named."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """How texts are drawn."""

    size: int = SAMPLE
    seed: int = 0


def survey(
    model: str,
    plan: Plan,
    queries: Mapping[str, Embeddings],
    passages: Mapping[str, Embeddings],
    similarity: Similarity,
    drawn: Drawn = Drawn(),
) -> Space:
    """Measure everything that a plan's vectors allow; `queries` and `passages` are embeddings by language."""
    collection = plan.collection
    sides: dict[Side, list[Group]] = {
        "query": groups(collection, queries, "query", drawn.size, drawn.seed),
        "passage": groups(collection, passages, "passage", drawn.size, drawn.seed),
    }
    found: list[Cell] = []
    for of_side in sides.values():
        found += chain.from_iterable(_alignment(group) for group in of_side)
        found += _language(_mixed(of_side, drawn.size), drawn.seed)
        found += chain.from_iterable(_shape(group, similarity) for group in of_side)
    found += _gaps(plan, queries, passages, drawn)
    cells, hubs = _searches(plan, sides["query"], sides["passage"])
    order = list(geometry.MEASURES)
    return Space(
        model,
        plan.task.name,
        sorted([*found, *cells], key=lambda cell: order.index(cell.name)),
        hubs,
        _picture(plan, sides["passage"], drawn),
        notes=list(_notes(plan, sides, drawn)),
        texts={"query": _largest(sides["query"]), "passage": _largest(sides["passage"])},
    )


def _alignment(group: Group) -> Iterator[Cell]:
    """Measure every two languages that have translations of each other."""
    for one, other in group.pairs():
        columns = group.columns(one, other)
        if len(columns) < 2:
            continue
        left, right = group.vectors(one, columns), group.vectors(other, columns)
        clusters = group.clusters[columns]

        def cell(name: str, ways: Sequence[tuple[str, str]], parts: Floats, at: Ints = clusters) -> Iterator[Cell]:
            for language, beside in ways:
                yield Cell(name, group.side, language, beside, float(parts.mean()), parts, at, len(parts))

        both = ((one, other), (other, one))
        same, others = geometry.translation_cosine(left, right), geometry.random_cosine(left, right)
        yield from cell("translation_cosine", both, same)
        yield from cell("random_cosine", both, others)
        yield from cell("translation_contrast", both, same - others)
        yield from cell("centroid_distance", both, geometry.centroid_distance(left, right))
        for way, parts in zip(both, geometry.bitext_accuracy(left, right), strict=True):
            yield from cell("bitext_accuracy", [way], parts)
        if ENGLISH in group.languages and ENGLISH not in (one, other):
            columns = group.columns(one, other, ENGLISH)
            if len(columns):
                trio = [group.vectors(language, columns) for language in (one, other, ENGLISH)]
                yield from cell("english_pull", both, geometry.english_pull(*trio), group.clusters[columns])


def _mixed(of_side: Sequence[Group], size: int) -> Group | None:
    """Choose the languages that are told apart: those with translations, else all of them with texts of their own."""
    return of_side[0] if of_side and len(of_side[0].together) > 1 else apart(of_side, size)


def _language(group: Group | None, seed: int) -> Iterator[Cell]:
    """Measure how much language shows in vectors of the same texts."""
    if group is None:
        return
    languages = group.together
    columns = group.columns(*languages)
    clusters = group.clusters[columns]
    if len(np.unique(clusters)) < 2:
        return
    loads, n = group.loads(columns, languages), len(columns) * len(languages)

    def cell(name: str, language: str | None, value: float, parts: Floats, count: int) -> Cell:
        return Cell(name, group.side, language, None, value, parts, clusters, count)

    share, parts = geometry.language_variance_share(loads)
    yield cell("language_variance_share", None, share, parts, n)
    names = ("language_probe_accuracy", "language_centroid_accuracy")
    for name, told in zip(names, geometry.language_probes(loads, clusters, seed), strict=True):
        yield cell(name, None, float(told.mean()), told.mean(axis=0), n)
        for language, mine in zip(languages, told, strict=True):
            yield cell(name, language, float(mine.mean()), mine, len(columns))
    one = np.zeros(1, dtype=np.int64)
    chance = 1 / len(languages)
    yield Cell("language_chance", group.side, None, None, chance, np.array([chance]), one, n)


def _shape(group: Group, similarity: Similarity) -> Iterator[Cell]:
    """Measure how evenly each language uses the space."""
    for language in group.languages:
        columns = group.columns(language)
        if len(columns) < 2:
            continue
        raw, clusters = group.raw(language, columns), group.clusters[columns]
        vectors = unit(raw)

        def cell(name: str, value: float, parts: Floats, of: str = language, at: Ints = clusters) -> Cell:
            return Cell(name, group.side, of, None, value, parts, at, len(parts))

        alike = geometry.mean_cosine(vectors)
        yield cell("mean_cosine", float(alike.mean()), alike)
        yield cell("effective_rank", *geometry.effective_rank(vectors))
        if similarity == "dot":  # else the stored vectors have length 1
            lengths = np.linalg.norm(raw.astype(np.float64), axis=1)
            yield cell("mean_norm", float(lengths.mean()), lengths)


def _gaps(
    plan: Plan, queries: Mapping[str, Embeddings], passages: Mapping[str, Embeddings], drawn: Drawn
) -> Iterator[Cell]:
    """Measure how far queries lie from the passages that are relevant to them, on average, within each language."""
    for judged in plan.judgements:
        language = judged.pair.query
        if judged.pair.passage != language or language not in queries or language not in passages:
            continue
        asked, answering = _relevant(judged)
        if not len(asked):
            continue
        chosen = np.sort(np.random.default_rng(drawn.seed).permutation(len(asked))[: drawn.size])
        asked, answering = asked[chosen], answering[chosen]
        parts = geometry.centroid_distance(
            unit(queries[language].take(asked)), unit(passages[language].take(answering))
        )
        names = [plan.collection.clusters[language][row] for row in asked.tolist()]
        clusters = np.unique(names, return_inverse=True)[1].astype(np.int64)
        yield Cell("query_passage_gap", "query", language, None, float(parts.mean()), parts, clusters, len(parts))


def _relevant(judged: Judgements) -> tuple[Ints, Ints]:
    """Return the rows of queries that have a relevant passage, and the position of the first one."""
    owner = np.repeat(np.arange(len(judged.query_rows)), np.diff(judged.indptr))
    good = np.flatnonzero(judged.grades > 0)
    which, first = np.unique(owner[good], return_index=True)
    return judged.query_rows[which], judged.positions[good[first]]


def _searches(plan: Plan, asking: Sequence[Group], found: Sequence[Group]) -> tuple[list[Cell], list[Hub]]:
    """Search the samples: who is a hub, and at which rank another language comes first."""
    pairs, cells = {(pair.query, pair.passage) for pair in plan.pairs}, list[Cell]()
    sides = {language: (group, group.columns(language)) for group in found for language in group.languages}
    totals: dict[str, tuple[Ints, float]] = {}
    for group in asking:
        for language in group.languages:
            columns = group.columns(language)
            asked, own = group.vectors(language, columns), None
            foreign = np.full(len(asked), -np.inf, dtype=np.float32)
            for passage, (side, places) in sides.items():
                similar = asked @ side.vectors(passage, places).T
                if (language, passage) in pairs and len(places) > 1:
                    occurrence = geometry.k_occurrence(similar)
                    cells += _hubness(passage, language, occurrence, side.clusters[places])
                    before, expected = totals.get(passage, (np.zeros(len(places), np.int64), 0.0))
                    totals[passage] = before + occurrence, expected + float(occurrence.mean())
                if passage == language:
                    own = similar
                else:
                    foreign = np.maximum(foreign, similar.max(axis=1))
            if own is not None and len(sides) > 1:
                ranks = _first_below(own, foreign)
                cells.append(
                    Cell("first_foreign_rank", "query", language, None, float(ranks.mean()), ranks,
                         group.clusters[columns], len(ranks))
                )  # fmt: skip
    return cells, _hubs(plan, sides, totals)


def _first_below(own: NDArray[np.float32], foreign: NDArray[np.float32]) -> Floats:
    return np.asarray(1.0 + (own > foreign[:, None]).sum(axis=1))


def _hubness(passage: str, query: str, occurrence: Ints, clusters: Ints) -> Iterator[Cell]:
    skewness, parts = geometry.hub_skewness(occurrence)
    yield Cell("hub_skewness", "passage", passage, query, skewness, parts, clusters, len(parts))
    absent = geometry.antihub_share(occurrence)
    yield Cell("antihub_share", "passage", passage, query, float(absent.mean()), absent, clusters, len(absent))


def _hubs(plan: Plan, sides: Mapping[str, tuple[Group, Ints]], totals: Mapping[str, tuple[Ints, float]]) -> list[Hub]:
    worst = []
    for language, (counts, expected) in totals.items():
        group, places = sides[language]
        top = np.argsort(-counts, kind="stable")[:WORST]
        names = ids_of(plan.collection.corpora[language], group.rows[language][places[top]])
        worst += [Hub(language, name, int(counts[i]), expected) for name, i in zip(names, top, strict=True)]
    return sorted(worst, key=lambda hub: (-hub.count / hub.expected, hub.language, hub.passage_id))[:WORST]


def _picture(plan: Plan, found: Sequence[Group], drawn: Drawn) -> Picture | None:
    """Project passages that are translations of each other; None where there are none."""
    group = found[0] if found else None
    if group is None or len(group.together) < 2:
        return None
    columns = group.columns(*group.together)
    if len(columns) < 2:
        return None
    shown = np.random.default_rng(drawn.seed).permutation(len(columns))[:SHOWN]
    centroids, texts, shares = geometry.project(group.loads(columns, group.together), shown)
    names = ids_of(plan.collection.corpora[group.together[0]], group.rows[group.together[0]][columns[shown]])
    return Picture(group.together, centroids, texts, tuple(names), shares)


def _largest(of_side: Sequence[Group]) -> int:
    return max((len(group.columns(language)) for group in of_side for language in group.languages), default=0)


def _notes(plan: Plan, sides: Mapping[Side, Sequence[Group]], drawn: Drawn) -> Iterator[str]:
    """Yield what was left out, and what the numbers cannot tell."""
    for side, of_side in sides.items():
        texts = plan.collection.queries if side == "query" else plan.collection.corpora
        word = "queries" if side == "query" else "passages"
        most = max((len(texts[language]) for group in of_side for language in group.languages), default=0)
        if most > drawn.size:
            yield f"{word}: a sample of {drawn.size:,} of up to {most:,} a language; --sample takes more"
        if sum(len(group.languages) for group in of_side) > 1 and len(of_side[0].together) < 2:
            yield f"{word}: no translations here, so alignment is not measured, and language goes with topic"
        elif left := [one for group in of_side for one in group.languages if one not in of_side[0].together]:
            yield f"{word}: the language measures leave out {', '.join(left)}, which have few of the others' texts"
