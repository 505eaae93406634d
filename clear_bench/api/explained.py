"""Regress the scores of pairs on measures of the vector space, and those of direct pairs on their legs via English."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from clear_bench.api.geometry import Drawn
from clear_bench.api.plan import Read
from clear_bench.api.stored import survey_result
from clear_bench.geometry import Cell, Measure, Regression, Space, regress
from clear_bench.score import means
from clear_bench.stats.clusters import Floats
from clear_bench.store.results import Result
from clear_bench.tasks import Task
from clear_bench.types import ENGLISH, LanguagePair, Side

PREDICTORS: Sequence[tuple[str, Side]] = (
    ("translation_cosine", "query"),
    ("translation_cosine", "passage"),
    ("centroid_distance", "passage"),
    ("hub_skewness", "passage"),
)
"""What could make a pair's score: how near its languages lie on either side, and the hubs of its passages."""
ENOUGH = 10
"""Languages below which an interval that resamples them says little."""


def explained_space(
    result: Result, task: Task, read: Read, drawn: Drawn, *, replicates: int, offline: bool = False
) -> Space:
    """Measure the vectors that a result was made of, and what of it goes with the scores of its pairs."""
    space = survey_result(result, task, read, drawn, offline=offline)
    averages = means(result.scores, result.manifest.task.main_metric)
    scores = {pair: mean.value for pair, mean in averages.items() if mean.value is not None}
    found, notes = explain(scores, space.cells, replicates=replicates, seed=drawn.seed)
    return replace(space, explained=found, notes=[*space.notes, *notes])


def explain(
    scores: Mapping[LanguagePair, float], cells: Sequence[Cell], *, replicates: int, seed: int = 0
) -> tuple[list[Measure], list[str]]:
    """Regress the scores of cross-lingual pairs on the measures, and of direct pairs on their legs; with notes."""
    cross = {pair: value for pair, value in scores.items() if not pair.is_pool and pair.query != pair.passage}
    known = {cell.key: cell.value for cell in cells}
    found = list(_by_measures(cross, known, replicates, seed)) + list(_by_legs(cross, replicates, seed))
    languages = {code for pair in cross for code in (pair.query, pair.passage)}
    if not found:
        return [], ["the pairs are too few, or too alike, to say what explains their scores"]
    few = f"{len(languages)} languages are few: what explains the scores is a hint, whatever the number of pairs"
    return found, [few] if len(languages) < ENOUGH else []


def _by_measures(
    scores: Mapping[LanguagePair, float],
    known: Mapping[tuple[str, Side, str | None, str | None], float],
    replicates: int,
    seed: int,
) -> Iterator[Measure]:
    rows, values = [], []
    for pair, score in scores.items():
        # A hub is a passage of the passage language, found by the query language; distances are the same both ways.
        row = [known.get((name, side, pair.passage, pair.query)) for name, side in PREDICTORS]
        if None not in row:
            rows.append(pair)
            values.append((score, *row))
    if not rows:
        return
    table = np.array(values, dtype=np.float64)
    varied = [i for i in range(len(PREDICTORS)) if table[:, i + 1].std() > 0]
    done = _regress(rows, table[:, 0], table[:, [i + 1 for i in varied]], replicates, seed)
    if done:
        for i, (value, lower, upper) in zip(varied, _coefficients(done), strict=True):
            name, side = PREDICTORS[i]
            yield Measure(f"score_by_{name}", side, None, None, value, lower, upper, done.pairs)
        yield Measure("score_explained", "query", None, None, done.explained, None, None, done.pairs)


def _by_legs(scores: Mapping[LanguagePair, float], replicates: int, seed: int) -> Iterator[Measure]:
    direct, values = [], []
    for pair, score in scores.items():
        legs = scores.get(LanguagePair(pair.query, ENGLISH)), scores.get(LanguagePair(ENGLISH, pair.passage))
        if pair.kind == "direct" and None not in legs:
            direct.append(pair)
            values.append((score, np.mean(legs)))  # type: ignore[arg-type]  # neither is None
    if not direct:
        return
    table = np.array(values, dtype=np.float64)
    done = _regress(direct, table[:, 0], table[:, 1:], replicates, seed)
    if done:
        value, lower, upper = next(_coefficients(done))
        yield Measure("direct_by_legs", "query", None, None, value, lower, upper, done.pairs)
        yield Measure("direct_explained", "query", None, None, done.explained, None, None, done.pairs)


def _regress(
    pairs: Sequence[LanguagePair], scores: Floats, predictors: Floats, replicates: int, seed: int
) -> Regression | None:
    codes = sorted({code for pair in pairs for code in (pair.query, pair.passage)})
    ends = np.array([(codes.index(pair.query), codes.index(pair.passage)) for pair in pairs], dtype=np.int64)
    return regress(scores, predictors, ends, replicates=replicates, seed=seed)


def _coefficients(done: Regression) -> Iterator[tuple[float, float | None, float | None]]:
    for value, lower, upper in zip(*(x.tolist() for x in (done.coefficients, done.lower, done.upper)), strict=True):
        known = np.isfinite(lower) and np.isfinite(upper)
        yield value, lower if known else None, upper if known else None
