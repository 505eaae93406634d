"""What a run will do, settled before any model is loaded: pairs, queries that count, metrics, depth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc

from clear_bench import metrics, readers
from clear_bench.api.countable import keep_countable
from clear_bench.errors import UsageError
from clear_bench.qrels import find_rows, judge_all
from clear_bench.score import hits_needed
from clear_bench.tasks import Task, find_tasks, plan_pairs
from clear_bench.types import Collection, Judgements, LanguagePair, Texts

log = logging.getLogger(__name__)

Read = Callable[[Task, Sequence[LanguagePair], bool], Collection]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One task as it will be run: everything that decides which question the scores answer."""

    task: Task
    collection: Collection
    judgements: tuple[Judgements, ...]
    """One per pair, grouped by passage side so that an index is built once."""
    metrics: tuple[str, ...]
    run_depth: int
    """Ranks of every run that are stored."""
    limit: int | None = None
    read: Read = readers.read
    """What has read the collection, and reads more of it."""
    offline: bool = False

    @property
    def pairs(self) -> tuple[LanguagePair, ...]:
        """The pairs in the order in which they run."""
        return tuple(judgements.pair for judgements in self.judgements)

    @property
    def main_metric(self) -> str:
        """The task's own main metric, or the first of the metrics asked for instead."""
        main = metrics.parse(self.task.main_metric).name
        return main if main in self.metrics else self.metrics[0]

    def depth(self, passage: str) -> int:
        """Ranks to search on a passage side: what the metrics look at, and at least what is stored."""
        needed = hits_needed(map(metrics.parse, self.metrics), self.collection, passage)
        return max(self.run_depth, needed) + self.collection.excludes_own_ids

    @property
    def query_texts(self) -> dict[str, Texts]:
        """The query sets that the pairs need, each once."""
        return {pair.query: self.collection.queries[pair.query] for pair in self.pairs}

    @property
    def passage_texts(self) -> dict[str, Texts]:
        """The passage sets that the pairs need, each once, members of pools included."""
        parts = (part for pair in self.pairs for part in self.collection.parts(pair.passage))
        return {part.language: part for part in parts}


def look_up(tasks: Sequence[str | Task]) -> list[Task]:
    """Return the tasks of names, as `find_tasks` finds them, and those that are tasks already."""
    return [task for name in tasks for task in ([name] if isinstance(name, Task) else find_tasks(name))]


def make_plans(
    tasks: Sequence[str | Task],
    pairs: Sequence[str] = (),
    *,
    metric_names: Sequence[str] = (),
    limit: int | None = None,
    run_depth: int | None = None,
    offline: bool = False,
    read: Read = readers.read,
) -> list[Plan]:
    """Read the tasks and settle what will run; `read` may know of tasks that `readers` does not.

    Raises `UsageError` for unknown names, and for a pair or metric that all tasks lack; what only some of them lack is
    skipped there with a warning. Raise `InputError` for collections that cannot be judged.
    """
    chosen = look_up(tasks)
    selected, warnings = plan_pairs(chosen, pairs or ["all"])
    for warning in warnings:
        log.warning(warning)
    plans = [
        make_plan(
            task,
            selected[task.name],
            metric_names=metric_names,
            limit=limit,
            run_depth=run_depth,
            offline=offline,
            read=read,
        )
        for task in chosen
        if selected[task.name]
    ]
    return keep_countable(plans, bool(metric_names))


def make_plan(
    task: Task,
    pairs: Sequence[LanguagePair],
    *,
    metric_names: Sequence[str] = (),
    limit: int | None = None,
    run_depth: int | None = None,
    offline: bool = False,
    read: Read = readers.read,
) -> Plan:
    """Read one task and settle what will run; see `make_plans`."""
    if limit is not None and limit < 1:
        msg = f"--limit {limit} leaves no query; give 1 or more"
        raise UsageError(msg)
    wanted = metrics.expand(metric_names or [task.main_metric, *task.metrics])
    collection = read(task, pairs, offline)
    if limit is not None:
        collection = first_queries(collection, limit)
    sides = list(dict.fromkeys(pair.passage for pair in pairs))
    judgements = tuple(judge_all(collection, sorted(pairs, key=lambda pair: sides.index(pair.passage))))
    kept = run_depth or task.run_depth
    names = tuple(dict.fromkeys([*(metric.name for metric in wanted), *_share_judged(wanted[0], judgements)]))
    return Plan(task, collection, judgements, names, kept, limit, read, offline)


def _share_judged(metric: metrics.Metric, judgements: Sequence[Judgements]) -> list[str]:
    """Return `judged@k` where assessors saw non-relevant passages too, so that a hit may lack a judgement by accident.

    Where a benchmark lists relevant passages alone, the share of judged hits says what recall says.
    """
    pooled = any((judged.grades < 1).any() for judged in judgements)
    return [f"judged@{metric.cutoff or 10}"] if pooled else []


def first_queries(collection: Collection, limit: int) -> Collection:
    """Keep the first `limit` queries of each language by id; corpora stay whole.

    Where pairs have queries and passages of their own, those are the first of each pair.
    """
    queries, clusters, answers = {}, {}, {}
    for language, texts in collection.queries.items():
        order = pc.array_sort_indices(texts.ids.combine_chunks()).to_numpy().astype(np.int64)
        own = [
            find_rows(collection.qrels[pair].query_ids, texts.ids)
            for pair in collection.searched
            if pair.query == language
        ]
        rows = np.unique([row for asked in own or [order] for row in order[np.isin(order, asked)][:limit]])
        queries[language] = texts.head(rows)
        clusters[language] = [collection.clusters[language][row] for row in rows]
        if language in collection.answers:
            answers[language] = [collection.answers[language][row] for row in rows]
    return replace(collection, queries=queries, clusters=clusters, answers=answers)
