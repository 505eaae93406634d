"""What a result folder holds already, and what a plan adds to it: finished pairs and metrics stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from clear_bench import metrics, question
from clear_bench.api.countable import uncountable
from clear_bench.api.plan import Plan, make_plan
from clear_bench.api.retrievers.given import KIND as TREC
from clear_bench.api.retrievers.lexical import NAME as BM25
from clear_bench.errors import TamperedError, UsageError
from clear_bench.indexes import INDEXES
from clear_bench.store.results import KEYS, RUN, Result
from clear_bench.store.trec import read_run
from clear_bench.tasks import select_pairs
from clear_bench.types import Judgements, LanguagePair, Manifest, Scores
from clear_bench.types.manifest import CountsPart, EarlierPart

EXACT = ("auto", *INDEXES, BM25, TREC)
"""Indexes whose first hits do not depend on how many are asked for."""


RUN_COLUMNS: Mapping[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]] = {
    "query_language": lambda column: column.cast(pa.string()).dictionary_encode(),
    "passage_language": lambda column: column.cast(pa.string()).dictionary_encode(),
    "query_id": lambda column: column.cast(pa.string()).dictionary_encode(),
    "rank": lambda column: column.cast(pa.int32()),
    "passage_id": lambda column: column.cast(pa.string()).dictionary_encode(),
    "similarity": lambda column: column.cast(pa.float32()),
}
"""How `cells.run_table` lays out what run.parquet holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Extension:
    """A stored result, and the plan of everything that it will hold."""

    old: Result
    plan: Plan

    @property
    def added(self) -> tuple[str, ...]:
        """The metrics that the result lacks."""
        return tuple(name for name in self.plan.metrics if name not in self.old.scores.metrics)

    @property
    def missing(self) -> tuple[Judgements, ...]:
        """The pairs to search: new ones, and old ones that lack ranks, or a metric that they can have."""
        known, never = set(self.old.pairs), uncountable(self.plan)
        is_short = self.plan.run_depth > self.old.manifest.run_depth or not (self.old.path / RUN).is_file()
        return tuple(
            judged
            for judged in self.plan.judgements
            if is_short
            or judged.pair not in known
            or any(str(judged.pair) not in never.get(name, {}) for name in self.added)
        )

    def kept_hits(self) -> Iterator[pa.Table]:
        """Yield the stored hits of the pairs that are not searched again, as `cells.run_table` lays them out."""
        searched = {judged.pair for judged in self.missing}
        kept = [pair for pair in self.old.pairs if pair not in searched]
        for pair, table in by_pair(read_run(self.old)).items() if kept else ():
            if pair in kept:
                yield pa.table({name: laid(table[name]) for name, laid in RUN_COLUMNS.items()})

    def joined(self, measured: pa.Table) -> pa.Table:
        """Return measured scores beside the stored ones, pair by pair. A stored score never changes."""
        before, after = by_pair(self.old.scores.table), by_pair(measured)
        return pa.concat_tables([self._rows(before.get(pair), after.get(pair)) for pair in self.plan.pairs])

    def told(self, made: Manifest) -> Manifest:
        """Return the manifest of the whole: of the new measurement, and of what the result holds already."""
        before = self.old.manifest
        earlier = EarlierPart(
            created=before.created, seconds=before.seconds, command=before.command, versions=before.versions
        )
        return replace(
            made,
            counts=self._counts(before.counts, made.counts),
            earlier=(*before.earlier, earlier),
            recall_against_exact={**before.recall_against_exact, **made.recall_against_exact},
        )

    def _counts(self, before: CountsPart, made: CountsPart) -> CountsPart:
        sets = [*self.plan.query_texts.values(), *self.plan.passage_texts.values()]
        old, new = before.truncated_share or {}, made.truncated_share or {}
        return CountsPart(
            texts=sum(map(len, sets)),
            encoded_texts=before.encoded_texts + made.encoded_texts,
            tokens=None,  # texts that both have would count twice
            truncated_share={side: {**old.get(side, {}), **new[side]} for side in new} or None,
            stored_cosine={**before.stored_cosine, **made.stored_cosine},
            pairs=len(self.plan.pairs),
            hits=before.hits + made.hits,
            ties=before.ties + made.ties,
        )

    def _rows(self, old: pa.Table, new: pa.Table) -> pa.Table:
        """Return the rows of one pair; a metric that it cannot have is null."""
        if old is not None and new is not None and old["query_id"].to_pylist() != new["query_id"].to_pylist():
            raise TamperedError(f"{self.old.path}: its queries are not those that its texts have; run it with --force")
        sources = {name: new if old is None or name in self.added else old for name in self.plan.metrics}
        base = new if old is None else old
        nothing = pa.nulls(len(base), pa.float64())
        columns = {name: base[name].cast(pa.string()) for name in KEYS}
        columns |= {name: nothing if table is None else table[name] for name, table in sources.items()}
        return pa.table(columns)


def is_answered(plan: Plan, old: Result) -> bool:
    """Return whether a result holds everything that a plan asks for."""
    return (
        set(plan.pairs) <= set(old.pairs)
        and set(plan.metrics) <= set(old.scores.metrics)
        and plan.run_depth <= old.manifest.run_depth
    )


def narrow(scores: Scores, plan: Plan) -> Scores:
    """Return the part of a result's scores that a plan asks for."""
    made, rows = scores.provenance, by_pair(scores.table)
    task = replace(made.task, metrics=plan.metrics, main_metric=plan.main_metric)
    table = pa.concat_tables([rows[pair] for pair in plan.pairs]).select([*KEYS, *plan.metrics])
    return Scores(table, plan.metrics, replace(made, task=task, pairs=tuple(map(str, plan.pairs))))


def widen(plan: Plan, old: Result) -> Plan:
    """Plan everything that a result has and a plan asks for; the texts of all its pairs are read again."""
    names = list(dict.fromkeys([*old.scores.metrics, *plan.metrics]))
    depth = max(plan.run_depth, old.manifest.run_depth)
    if set(old.pairs) <= set(plan.pairs):
        task = plan.task
        if task.reader == TREC:  # there is no card: the metrics asked for first say which one is the main one
            task = replace(task, main_metric=old.manifest.task.main_metric)
        return replace(plan, task=task, metrics=tuple(names), run_depth=depth)
    pairs = select_pairs(plan.task, [str(pair) for pair in (*old.pairs, *plan.pairs)])
    return make_plan(
        plan.task,
        pairs,
        metric_names=names,
        limit=plan.limit,
        run_depth=depth,
        read=plan.read,
        offline=plan.offline,
    )


def refuse_conflict(old: Result, new: Manifest, plan: Plan) -> None:
    """Raise `UsageError` where a plan's scores and a result's would not be of the same kind, and say what differs."""
    shared = [pair for pair in old.pairs if str(pair) in new.pairs]
    for words in (*_settings(old.manifest, new), *_texts(old.manifest, new, shared), *_sets(old, plan)):
        msg = f"{old.path} holds another result: {words}; give --force to replace it, or another --out"
        raise UsageError(msg)


def refuse_other_depth(extension: Extension) -> None:
    """Raise `UsageError` where an approximate index would search deeper than it did, which moves the first hits too."""
    old, whole = extension.old, extension.plan
    index = old.manifest.index
    before = replace(whole, metrics=old.scores.metrics, run_depth=old.manifest.run_depth)
    for side in dict.fromkeys(pair.passage for pair in old.pairs) if index not in EXACT else ():
        if before.depth(side) != whole.depth(side):
            depths = f"{before.depth(side)} hits there, {whole.depth(side)} now"
            msg = f"{old.path}: hits of --index {index} depend on how many are asked for ({depths}); give another --out"
            raise UsageError(msg)


def by_pair(table: pa.Table) -> dict[LanguagePair, pa.Table]:
    """Cut a table of scores or hits into its pairs, in the order in which they come; rows keep their order."""
    queries, passages = (table[name].cast(pa.string()).combine_chunks().dictionary_encode() for name in KEYS[:2])
    width = max(1, len(passages.dictionary))
    codes = queries.indices.to_numpy().astype(np.int64) * width + passages.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    ends = [*starts[1:], len(order)]
    names = queries.dictionary.to_pylist(), passages.dictionary.to_pylist()
    cut = {
        LanguagePair(names[0][code // width], names[1][code % width]): order[start:end]
        for code, start, end in zip(present.tolist(), starts, ends, strict=True)
    }
    return {pair: table.take(pa.array(rows)) for pair, rows in sorted(cut.items(), key=lambda one: one[1][0])}


def _settings(old: Manifest, new: Manifest) -> Iterator[str]:
    rows = [
        ("the model (weights, prompts, settings)", old.model.fingerprint[:12], new.model.fingerprint[:12]),
        ("its kind", old.kind, new.kind),
        ("--limit", old.limit, new.limit),
        ("the instruction", old.task.instruction, new.task.instruction),
        *((f"--{key.replace('_', '-')}", old.settings.get(key), value) for key, value in new.settings.items()),
    ]
    for words, there, now in rows:
        if there != now:
            yield f"{words} is {_shown(there)} there, {_shown(now)} now"


def _texts(old: Manifest, new: Manifest, shared: list[LanguagePair]) -> Iterator[str]:
    there, now = old.digests.inputs, new.digests.inputs
    for words, key, before, after in question.differences(there, now, shared):
        yield f"the {words} of {key} were {before[:12]}, and are {after[:12]} now"
    for key in {pair.query for pair in shared}:
        if there.get("clusters", {}).get(key) != now["clusters"][key]:
            yield f"the clusters of the queries in {key} were others"


def _sets(old: Result, plan: Plan) -> Iterator[str]:
    """Return where a metric that compares query languages would have other ones to compare."""
    before, asked = _asking(old.pairs), _asking(plan.pairs)
    whole = _asking([*old.pairs, *plan.pairs])
    for known, names in ((before, old.scores.metrics), (asked, plan.metrics)):
        for name in names:
            for side, queries in known.items() if metrics.parse(name).inputs == "translations" else ():
                if queries != whole[side]:
                    yield f"{name} compares the query languages on {side} passages, which would be others"


def _asking(pairs: Iterable[LanguagePair]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pair in pairs:
        found.setdefault(pair.passage, set()).add(pair.query)
    return found


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
