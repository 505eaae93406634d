"""From scores to what tables and pages show: means by pair, by group of pairs and by language, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from clear_bench import stats
from clear_bench.compare.families import PAIR_GROUPS, other_language
from clear_bench.compare.pairing import align, require_metric
from clear_bench.render.records import Summary, Value
from clear_bench.stats.clusters import Floats, Ints
from clear_bench.store.results import Result
from clear_bench.types import LanguagePair, Manifest, Scores


def summarise(scores: Scores, metric: str | None = None) -> Summary:
    """Sum up one evaluation, with a metric in front: the task's main metric unless given."""
    pairs = scores.provenance.language_pairs
    columns = {name: scores.table[name].to_numpy(zero_copy_only=False) for name in scores.metrics}
    cells = _cell_labels(scores.table, pairs)
    clusters = _labels(scores.table["cluster_id"])
    return _summarise(pairs, columns, cells, clusters, [scores.provenance], metric)


def summarise_results(results: Sequence[Result], metric: str | None = None) -> Summary:
    """Sum up the seeds of one model on one task; several seeds are averaged query by query.

    Raises `NotComparableError` where the seeds do not answer the same questions, or lack the metric.
    """
    require_metric(results, metric or results[0].manifest.task.main_metric)
    if len(results) == 1:
        return replace(summarise(results[0].scores, metric), paths=(str(results[0].path),))
    aligned = align(list(results))
    shared = [name for name in results[0].scores.metrics if all(name in one.scores.metrics for one in results)]
    columns = {name: aligned.scores(name).mean(axis=0) for name in shared}
    manifests = [result.manifest for result in results]
    summary = _summarise(aligned.pairs, columns, aligned.cells, aligned.clusters, manifests, metric)
    return replace(summary, paths=tuple(str(result.path) for result in results))


@dataclass(frozen=True, slots=True, eq=False)
class _Metric:
    """One metric, added up by cluster and pair."""

    sums: stats.ClusterSums
    place: Mapping[LanguagePair, int]
    """Pair -> column of the sums; pairs in which no query counts are left out."""
    has_queries: bool
    """False where the scores were imported as means."""

    def cells(self) -> dict[LanguagePair, Value]:
        known = stats.estimates(self.sums) if self.place else []
        return {pair: self._value(one) for pair, one in zip(self.place, known, strict=True)}

    def groups(self) -> dict[str, Value]:
        found = {name: [pair for pair in self.place if pair.kind in kinds] for name, kinds in PAIR_GROUPS.items()}
        return {name: self.mean(chosen) for name, chosen in found.items() if chosen}

    def counted(self, chosen: Iterable[LanguagePair]) -> list[LanguagePair]:
        """Keep the pairs in which a query counts."""
        return [pair for pair in chosen if pair in self.place]

    def mean(self, chosen: Sequence[LanguagePair]) -> Value:
        """Average over pairs; clusters that they share are kept together."""
        weights = np.zeros(len(self.place))
        weights[[self.place[pair] for pair in chosen]] = 1 / len(chosen)
        return replace(self._value(stats.contrast(self.sums, weights)), pairs=len(chosen))

    def _value(self, estimate: stats.Estimate) -> Value:
        if not self.has_queries:
            return Value(estimate.delta, 0, 0)
        lower, upper = stats.interval(estimate) or (None, None)
        return Value(estimate.delta, estimate.n, estimate.clusters, lower, upper)


def _summarise(
    pairs: tuple[LanguagePair, ...],
    columns: Mapping[str, Floats],
    cells: Ints,
    clusters: Ints,
    manifests: Sequence[Manifest],
    metric: str | None,
) -> Summary:
    first = manifests[0]
    has_queries = all(manifest.has_queries for manifest in manifests)
    found = {name: _metric(values, cells, clusters, pairs, has_queries) for name, values in columns.items()}
    metric = metric or first.task.main_metric
    main = found[metric]
    pools = {name: [pair for pair in metric.place if pair.is_pool] for name, metric in found.items()}
    return Summary(
        model=first.model.name,
        fingerprint=first.model.fingerprint,
        task=first.task.name,
        title=first.task.title or first.task.name,
        metric=metric,
        cells=main.cells(),
        languages={
            code: {group: main.mean(known) for group, chosen in row.items() if (known := main.counted(chosen))}
            for code, row in _rows(pairs).items()
        },
        metrics={name: metric.cells() for name, metric in found.items()},
        pooled={name: found[name].mean(chosen) for name, chosen in pools.items() if chosen},
        manifests=tuple(manifests),
        pairs=pairs,
        by_group={name: metric.groups() for name, metric in found.items()},
    )


def _metric(values: Floats, cells: Ints, clusters: Ints, pairs: Sequence[LanguagePair], has_queries: bool) -> _Metric:
    counts = np.isfinite(values)
    present, labels = np.unique(cells[counts], return_inverse=True)
    sums = stats.cluster_sums(values[counts], clusters[counts], labels, stats.reachable(values[counts]))
    return _Metric(sums, {pairs[i]: row for row, i in enumerate(present)}, has_queries)


def _rows(pairs: Iterable[LanguagePair]) -> dict[str, dict[str, list[LanguagePair]]]:
    """Return the pairs of each language by group: its own, to and from English, and the direct ones that it asks."""
    rows: dict[str, dict[str, list[LanguagePair]]] = {}
    for pair in pairs:
        if not pair.is_pool:
            group = "monolingual" if pair.kind == "english" else pair.kind
            rows.setdefault(other_language(pair), {}).setdefault(group, []).append(pair)
    return rows


def _cell_labels(table: pa.Table, pairs: Sequence[LanguagePair]) -> Ints:
    queries, passages = (
        table[name].combine_chunks().dictionary_encode() for name in ("query_language", "passage_language")
    )
    wanted = {pair: i for i, pair in enumerate(pairs)}
    known = [
        [wanted.get(LanguagePair(query, passage), -1) for passage in passages.dictionary.to_pylist()]
        for query in queries.dictionary.to_pylist()
    ]
    return np.asarray(np.array(known, dtype=np.int64)[queries.indices.to_numpy(), passages.indices.to_numpy()])


def _labels(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)
