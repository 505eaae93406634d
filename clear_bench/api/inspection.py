"""Show what stands behind a score: the queries of a result, what should have been found and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clear_bench import compare as stage
from clear_bench import languages, metrics
from clear_bench.api.changes import find_passages
from clear_bench.api.comparing import column
from clear_bench.api.found import Found, Grades, Key, find_hits, first_ranks, read_grades, read_texts
from clear_bench.api.inspected import Hit, Inspection, Query, Relevant
from clear_bench.api.sides import FindCard, Source, as_side, named_card
from clear_bench.compare.pairing import Aligned, align, require_metric
from clear_bench.errors import InputError, UsageError
from clear_bench.gate.rules import choose_pairs
from clear_bench.qrels import find_rows
from clear_bench.store.results import Result
from clear_bench.types import Collection, LanguagePair

Sort = Literal["gain", "loss", "score", "rank"]
Passages = Mapping[tuple[str, str], tuple[str, str]]
"""Passage side and id -> language and text."""
HITS = 10
"""Hits shown of each query at most."""
ROUNDING = 1e-9
"""How far a difference of two floats may lie from the decimal number that a user types."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which queries are wanted, and in which order."""

    pairs: tuple[str, ...] = ("all",)
    language: tuple[str, ...] = ()
    """Languages of which a pair must have one, as query or passage; any unless given."""
    metric: str | None = None
    sort: Sort | None = None
    """`loss` where there is another result, else `score`."""
    min_delta: float = 0.0
    top: int = 10
    """Queries of each task."""


def inspect(
    result: Source,
    other: Source | None = None,
    *,
    tasks: Sequence[str] = (),
    asked: Asked | None = None,
    find_card: FindCard = named_card,
) -> Inspection:
    """Return queries of a result, or of two results side by side, with their passages and hits.

    The texts come from the collections on this machine, which are never downloaded for it.

    Args:
        result: A result folder (`OUT/<model>` or `OUT/<model>/<task>`), or what `evaluate` returned.
        other: The same of the model that it is compared with.
        tasks: Tasks to look at; all that both have unless given.
        asked: Which queries; those that lose most, or score lowest, unless given.
        find_card: Returns the task of a result; reads the card that the manifest names unless given.

    Raises `NotComparableError` where the results do not answer the same questions.
    """
    asked, notes = asked or Asked(), list[str]()
    _refuse_without_other(asked, other is not None)
    sides = [as_side(source, tasks) for source in (result, other) if source is not None]
    names = stage.match_tasks(sides[0], sides[-1])
    notes += [f"{name} is on one side only and is left out" for name in sorted(set(sides[0]) ^ set(sides[-1]))]
    queries: list[Query] = []
    for name in names:
        results = [_only(side[name]) for side in sides]
        queries += _queries(results, asked, find_card, notes)
    return Inspection(stage.labels([side[names[0]] for side in sides]), tuple(queries), tuple(dict.fromkeys(notes)))


def _refuse_without_other(asked: Asked, has_other: bool) -> None:
    """Refuse what speaks of a difference where there is none."""
    if not has_other and (asked.sort in ("gain", "loss") or asked.min_delta):
        flag = f"--sort {asked.sort}" if asked.sort in ("gain", "loss") else "--min-delta"
        msg = f"{flag} speaks of the difference of two results; give the second one, or leave it out"
        raise UsageError(msg)


def _only(seeds: Sequence[Result]) -> Result:
    if len(seeds) > 1:
        msg = f"{', '.join(str(one.path) for one in seeds)} are seeds of one side; name one of them to inspect"
        raise UsageError(msg)
    return seeds[0]


def _queries(results: Sequence[Result], asked: Asked, find_card: FindCard, notes: list[str]) -> list[Query]:
    """Return the queries of one task that are asked for."""
    for one in results:
        if not one.manifest.has_queries:
            raise InputError(f"{one.path} was imported as means, so it has no queries; run the checkpoint here")
    metric = column(results[0].scores.metrics, asked.metric) or results[0].manifest.task.main_metric
    require_metric(results, metric)
    aligned = align(results)
    scores = aligned.scores(metric)
    rows = np.flatnonzero(_is_asked(results[0], aligned, asked) & np.isfinite(scores).all(axis=0))
    delta = scores[-1] - scores[0]
    rows = rows[np.abs(delta[rows]) >= asked.min_delta - ROUNDING]
    if not len(rows):
        return []
    keys = {
        int(row): (aligned.pairs[aligned.cells[row]], aligned.tables[0]["query_id"][int(row)].as_py()) for row in rows
    }
    sort, collection = asked.sort or ("loss" if len(results) > 1 else "score"), None
    if sort == "rank":
        collection = read_texts(results[0], {pair for pair, _ in keys.values()}, find_card, notes)
        order = _by_rank(results, rows, keys, read_grades(_required(collection, notes), keys.values()))
    else:
        order = _by_score(scores, rows, sort, metrics.parse(metric).family.higher_is_better)
    chosen = order[: asked.top].tolist()
    wanted = [keys[row] for row in chosen]
    collection = collection or read_texts(results[0], {pair for pair, _ in wanted}, find_card, notes)
    values = [[float(one) for one in scores[:, row]] for row in chosen]
    return _described(results, metric, wanted, values, collection, notes)


def _is_asked(result: Result, aligned: Aligned, asked: Asked) -> NDArray[np.bool_]:
    chosen = set(choose_pairs(result, asked.pairs))
    spoken = {languages.canonical(code) for code in asked.language}
    kept = [pair in chosen and (not spoken or bool(spoken & {pair.query, pair.passage})) for pair in aligned.pairs]
    if not any(kept):
        msg = f"{result.path}: no pair of {', '.join(asked.pairs)} has {', '.join(asked.language) or 'a shared query'}"
        raise InputError(f"{msg}; it has {', '.join(map(str, aligned.pairs[:8]))}")
    return np.array(kept)[aligned.cells]


def _by_score(
    scores: NDArray[np.float64], rows: NDArray[np.int64], sort: Sort, higher_is_better: bool
) -> NDArray[np.int64]:
    """Sort rows: the largest gains or losses alone, or the worst scores first."""
    sign = 1 if higher_is_better else -1
    if sort == "score":
        by = sign * scores[0, rows]
    else:
        by = (-sign if sort == "gain" else sign) * (scores[-1] - scores[0])[rows]
        rows, by = rows[by < 0], by[by < 0]
    return rows[np.argsort(by, kind="stable")]


def _required(collection: Collection | None, notes: Sequence[str]) -> Collection:
    if collection is None:
        raise InputError(f"--sort rank needs the judgements, but {notes[-1]}")
    return collection


def _by_rank(
    results: Sequence[Result], rows: NDArray[np.int64], keys: dict[int, Key], grades: Grades
) -> NDArray[np.int64]:
    """Sort rows by how far the first relevant passage moved; of one result, by how far down it is."""
    ranks = []
    for one in results:
        found = first_ranks(one, grades)
        ranks.append([found.get(keys[int(row)], one.manifest.run_depth + 1) for row in rows])
    moved = np.abs(np.subtract(ranks[-1], ranks[0])) if len(ranks) > 1 else np.array(ranks[0])
    return rows[np.argsort(-moved, kind="stable")]


def _described(
    results: Sequence[Result],
    metric: str,
    keys: Sequence[Key],
    values: Sequence[Sequence[float]],
    collection: Collection | None,
    notes: list[str],
) -> list[Query]:
    """Add to queries and their scores what was asked, should have been found and was found."""
    found = [find_hits(one, keys, notes) for one in results]
    grades = read_grades(collection, keys) if collection else {}
    shown = _passages(collection, keys, grades, found)
    made = []
    for key, scores in zip(keys, values, strict=True):
        pair, name = key
        hits = [_hits(key, side, grades, shown) for side in found]
        other = scores[1] if len(results) > 1 else None
        made.append(
            Query(
                task=results[0].task,
                query_language=pair.query,
                passage_language=pair.passage,
                query_id=name,
                text=_query_text(collection, pair, name),
                metric=metric,
                value=scores[0],
                other=other,
                delta=None if other is None else other - scores[0],
                relevant=_relevant(key, found, grades, shown),
                hits=hits[0],
                other_hits=hits[1] if len(hits) > 1 else None,
            )
        )
    return made


def _hits(key: Key, found: Found, grades: Grades, shown: Passages) -> tuple[Hit, ...]:
    judged = grades.get(key, {})
    return tuple(
        Hit(row.rank, row.passage_id, language, row.similarity, judged.get(row.passage_id), text)
        for row in found.get(key, ())[:HITS]
        for language, text in [_passage(key, row.passage_id, shown)]
    )


def _relevant(key: Key, found: Sequence[Found], grades: Grades, shown: Passages) -> tuple[Relevant, ...]:
    """Return the relevant passages that exist on the passage side, those that the first result ranks highest first."""
    ranks = [{row.passage_id: row.rank for row in side.get(key, ())} for side in found]
    made = [
        Relevant(name, language, grade, ranks[0].get(name), ranks[1].get(name) if len(ranks) > 1 else None, text)
        for name, grade in grades.get(key, {}).items()
        for language, text in [_passage(key, name, shown)]
        if grade > 0 and text is not None
    ]
    return tuple(sorted(made, key=lambda one: (one.rank is None, one.rank, one.passage_id)))


def _passages(collection: Collection | None, keys: Sequence[Key], grades: Grades, found: Sequence[Found]) -> Passages:
    """Look up the language and text of every passage that is shown, in one pass over each passage side."""
    names: dict[str, set[str]] = {}
    for key in keys:
        wanted = names.setdefault(key[0].passage, set())
        wanted |= {row.passage_id for side in found for row in side.get(key, ())[:HITS]}
        wanted |= {name for name, grade in grades.get(key, {}).items() if grade > 0}
    if collection is None:
        return {}
    return {
        (side, name): passage
        for side, wanted in names.items()
        for name, passage in find_passages(collection, side, sorted(wanted)).items()
    }


def _passage(key: Key, name: str, shown: Passages) -> tuple[str | None, str | None]:
    """Return the language and text of a passage; without its text, the language of a side that has only one."""
    pair = key[0]
    return shown.get((pair.passage, name), (None if pair.is_pool else pair.passage, None))


def _query_text(collection: Collection | None, pair: LanguagePair, name: str) -> str | None:
    if collection is None:
        return None
    queries = collection.queries[pair.query]
    row = int(find_rows(pa.array([name], pa.string()), queries.ids)[0])
    return None if row < 0 else str(queries.text[row].as_py())
