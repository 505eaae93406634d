"""Check that results answer the same questions, and put their scores on the same queries in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clear_bench.errors import InputError, NotComparableError
from clear_bench.metrics import parse
from clear_bench.question import differences
from clear_bench.registry import unknown
from clear_bench.render.numbers import points
from clear_bench.stats.clusters import Floats, Ints
from clear_bench.store.results import read_manifest, read_result, result_folders
from clear_bench.types import LanguagePair

if TYPE_CHECKING:
    from clear_bench.store.results import Result

"""The kind of a result that was imported without per-query scores."""
KEYS = ["query_language", "passage_language", "query_id"]

Seeds = Sequence["Result"]
"""One side of a comparison on one task: the results of its seeds."""


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Results on the same queries: row i of every table is the same query of the same pair."""

    pairs: tuple[LanguagePair, ...]
    cells: Ints
    """Position of each row's pair, [rows]."""
    clusters: Ints
    """Cluster label of each row, shared by all pairs, [rows]."""
    tables: tuple[pa.Table, ...]
    has_queries: bool = True
    """False where a result was imported as means: each pair is one row then."""

    def scores(self, metric: str) -> Floats:
        """Return a metric of every result, [results, rows]; NaN (null in the file) for a query that does not count."""
        values = np.stack([table[metric].to_numpy() for table in self.tables])
        if self.has_queries and not parse(metric).family.ranking_decides:
            lacking = np.isnan(values)
            if not np.array_equal(lacking, np.broadcast_to(lacking[0], lacking.shape)):
                msg = f"{metric} counts other queries in one result than in another; run the evaluations again"
                raise NotComparableError(msg)
        return values


def read_side(argument: str, tasks: Sequence[str] = ()) -> dict[str, tuple[Result, ...]]:
    """Read `OUT/<slug>`, `OUT/<slug>/<task>` or several seeds joined by commas: task -> one result per seed.

    Raise `InputError` where a folder does not hold a result, and where the seeds do not share a task.
    """
    folders = [argument] if Path(argument).exists() else [part for part in argument.split(",") if part.strip()]
    seeds = [_read_folder(Path(folder), tasks) for folder in folders]
    shared = [name for name in seeds[0] if all(name in seed for seed in seeds)] if seeds else []
    if not shared:
        found = "; ".join(f"{folder}: {', '.join(seed)}" for folder, seed in zip(folders, seeds, strict=True))
        msg = f"{argument!r} holds no task that all seeds share ({found or 'no folder given'})"
        raise InputError(msg)
    return {name: tuple(seed[name] for seed in seeds) for name in shared}


def match_tasks(base: Mapping[str, Seeds], candidate: Mapping[str, Seeds]) -> tuple[str, ...]:
    """Return the tasks that both sides have. Raise `NotComparableError` where there is none."""
    both = tuple(name for name in base if name in candidate)
    if not both:
        msg = f"no task in common: one side has {', '.join(base)}, the other {', '.join(candidate)}"
        raise NotComparableError(msg)
    return both


def labels(sides: Sequence[Seeds]) -> tuple[str, ...]:
    """Return a name for each side. Two models of the same name get their fingerprints."""
    prints = [seeds[0].manifest.model.fingerprint for seeds in sides]
    names = [_name(seeds) for seeds in sides]
    return tuple(
        f"{name} ({mark[:8]})" if any(n == name and p != mark for n, p in zip(names, prints, strict=True)) else name
        for name, mark in zip(names, prints, strict=True)
    )


def align(results: Seeds) -> Aligned:
    """Return the scores of results of one task on the same queries.

    Raise `NotComparableError`, with the values, where tasks, texts, judgements, queries or clusters differ.
    """
    _require_equal(results, "task", [result.task for result in results])
    others = [set(other.pairs) for other in results[1:]]
    pairs = tuple(pair for pair in results[0].pairs if all(pair in other for other in others))
    if not pairs:
        shown = "; ".join(f"{result.path}: {', '.join(map(str, result.pairs[:6]))}" for result in results)
        raise NotComparableError(f"no language pair in common ({shown})")
    _require_same_texts(results, pairs)
    if not all(result.manifest.has_queries for result in results):
        tables = tuple(_pair_means(result, pairs) for result in results)
        rows = np.arange(len(pairs), dtype=np.int64)
        return Aligned(pairs, rows, rows, tables, has_queries=False)
    tables = _in_one_order(results, [_rows_of(result, pairs) for result in results])
    return Aligned(pairs, _cell_of_rows(tables[0], pairs), _cluster_labels(results, tables), tables)


def fewer_judged(base: Seeds, candidate: Seeds, aligned: Aligned) -> str | None:
    """Return a sentence where the candidate finds fewer judged passages than the base; None elsewhere.

    `aligned` holds the results of both, the base's first. An unjudged passage counts as not relevant, so a candidate
    that finds more of them may look worse than it is.
    """
    for name in base[0].scores.metrics:
        if name.startswith("judged@") and all(name in table.column_names for table in aligned.tables):
            values = aligned.scores(name)
            old, new = (float(np.nanmean(part)) for part in (values[: len(base)], values[len(base) :]))
            if new < old:
                return (
                    f"{candidate[0].model} finds fewer judged passages than {base[0].model} ({name} {points(new)} "
                    f"against {points(old)}); unjudged ones count as not relevant, so a loss may be smaller than shown"
                )
    return None


def require_metric(results: Seeds, metric: str) -> None:
    """Raise `NotComparableError` where a result lacks a metric."""
    for result in results:
        if metric not in result.scores.metrics:
            raise NotComparableError(
                f"{result.path} ({result.task}): {unknown('metric', metric, result.scores.metrics)}"
            )


def _read_folder(path: Path, tasks: Sequence[str]) -> dict[str, Result]:
    places: dict[str, Path] = {}
    for folder in result_folders(path):
        name = read_manifest(folder).task.name
        if name in places:
            msg = f"{folder} and {places[name]} are both results of {name!r}; give one of them"
            raise InputError(msg)
        places[name] = folder
    for name in tasks:
        if name not in places:
            raise InputError(f"{path}: {unknown('task', name, places)}")
    return {name: read_result(folder) for name, folder in places.items() if not tasks or name in tasks}


def _name(seeds: Seeds) -> str:
    names = list(dict.fromkeys(result.model for result in seeds))
    shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return f"{shown} ({len(seeds)} seeds)" if len(seeds) > 1 else shown


def _require_equal(results: Seeds, what: str, values: Sequence[object]) -> None:
    for result, value in zip(results[1:], values[1:], strict=True):
        if value != values[0]:
            msg = f"{what} differs: {values[0]!r} in {results[0].path}, {value!r} in {result.path}"
            raise NotComparableError(msg)


def _require_same_texts(results: Seeds, pairs: Sequence[LanguagePair]) -> None:
    """Raise where the digest of an input that moves scores differs; an imported result may lack it."""
    one = results[0]
    for other in results[1:]:
        found = differences(one.manifest.digests.inputs, other.manifest.digests.inputs, pairs)
        for words, key, here, there in found:
            where = f"{here[:12]} in {one.path}, {there[:12]} in {other.path}"
            raise NotComparableError(f"the {words} of {key} differ: {where}{_limits(one, other)}")


def _limits(one: Result, other: Result) -> str:
    limits = [result.manifest.limit for result in (one, other)]
    return f" (run with --limit {limits[0]} and {limits[1]})" if limits[0] != limits[1] else ""


def _rows_of(result: Result, pairs: Sequence[LanguagePair]) -> pa.Table:
    """Return the rows of the pairs, with plain string keys in one chunk."""
    table = result.scores.table
    if len(pairs) < len(result.pairs):
        named = pc.binary_join_element_wise(*(table[name].cast(pa.string()) for name in KEYS[:2]), ":")
        table = table.filter(pc.is_in(named, pa.array([str(pair) for pair in pairs])))
    for name in (*KEYS, "cluster_id"):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.string()))
    return table.combine_chunks()


def _in_one_order(results: Seeds, tables: Sequence[pa.Table]) -> tuple[pa.Table, ...]:
    first = tables[0].select(KEYS)
    if all(table.select(KEYS).equals(first) for table in tables[1:]):
        return tuple(tables)
    ordered = [table.sort_by([(key, "ascending") for key in KEYS]) for table in tables]
    for result, table in zip(results[1:], ordered[1:], strict=True):
        if not table.select(KEYS).equals(ordered[0].select(KEYS)):
            raise NotComparableError(_different_queries(results[0], ordered[0], result, table))
    return tuple(ordered)


def _different_queries(one: Result, mine: pa.Table, other: Result, theirs: pa.Table) -> str:
    """Return a message that names the queries of one side only."""
    left, right = (set(zip(*(table[key].to_pylist() for key in KEYS), strict=True)) for table in (mine, theirs))
    parts = []
    for result, only in ((one, left - right), (other, right - left)):
        if only:
            query, passage, name = min(only)
            parts.append(f"{len(only)} only in {result.path}, for example {name!r} of {query}:{passage}")
    return f"the queries differ: {'; '.join(parts) or 'an id occurs twice'}{_limits(one, other)}"


def _cell_of_rows(table: pa.Table, pairs: Sequence[LanguagePair]) -> Ints:
    """Return the position in `pairs` of each row's pair, [rows]."""
    query, passage = (table[key].combine_chunks().dictionary_encode() for key in KEYS[:2])
    places = np.full((len(query.dictionary), len(passage.dictionary)), -1, dtype=np.int64)
    rows = {code: i for i, code in enumerate(query.dictionary.to_pylist())}
    columns = {code: i for i, code in enumerate(passage.dictionary.to_pylist())}
    for i, pair in enumerate(pairs):
        if pair.query not in rows or pair.passage not in columns:
            raise InputError(f"the manifest lists {pair}, but no score stands under it; run the evaluation again")
        places[rows[pair.query], columns[pair.passage]] = i
    cells = places[query.indices.to_numpy(), passage.indices.to_numpy()]
    if len(np.unique(cells)) < len(pairs) or (cells < 0).any():
        raise InputError("the scores do not fit the pairs that the manifest lists; run the evaluation again")
    return np.asarray(cells)


def _cluster_labels(results: Seeds, tables: Sequence[pa.Table]) -> Ints:
    first = tables[0]["cluster_id"]
    for result, table in zip(results[1:], tables[1:], strict=True):
        if not table["cluster_id"].equals(first):
            units = [one.manifest.task.cluster for one in (results[0], result)]
            msg = f"the clusters of queries differ: by {units[0]} in {results[0].path}, by {units[1]} in {result.path}"
            raise NotComparableError(msg)
    return np.asarray(first.combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)


def _pair_means(result: Result, pairs: Sequence[LanguagePair]) -> pa.Table:
    """Return the mean of each pair, in the order of `pairs`, for a comparison where one side has only means."""
    table = _rows_of(result, pairs)
    cells = _cell_of_rows(table, pairs)
    return pa.table({name: _cell_means(table[name].to_numpy(), cells, len(pairs)) for name in result.scores.metrics})


def _cell_means(values: Floats, cells: Ints, size: int) -> Floats:
    """Average the queries that count; NaN where none does."""
    counted = np.isfinite(values)
    found: Floats = np.full(size, np.nan)
    totals = np.bincount(cells[counted], minlength=size)
    np.divide(np.bincount(cells[counted], values[counted], size), totals, out=found, where=totals > 0)
    return found
