"""Plan the scoring of given runs by TREC qrels alone, without a card and without texts."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from clear_bench import metrics
from clear_bench.api.countable import keep_countable
from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.given import KIND
from clear_bench.qrels import judge_all
from clear_bench.readers.trec import Grades, read_trec_run
from clear_bench.store.results import check_task_name
from clear_bench.tasks import Task
from clear_bench.types import (
    Collection,
    LanguagePair,
    Qrels,
    Texts,
    make_qrels,
    make_texts,
)

log = logging.getLogger(__name__)


def plan_by_qrels(
    name: str,
    grades: Mapping[LanguagePair, Grades],
    runs: Mapping[LanguagePair, Path],
    names: Sequence[str],
    depth: int,
) -> Plan:
    """Plan the scoring of runs by TREC qrels alone: there are no texts, and each query is a cluster of its own."""
    check_task_name(name)
    pairs = tuple(runs)
    wanted = tuple(metric.name for metric in metrics.expand(names))
    languages = tuple(dict.fromkeys(code for pair in pairs for code in (pair.query, pair.passage)))
    task = Task(
        name=name,
        title=name,
        reader=KIND,
        languages=languages,
        pairs=pairs,
        metrics=wanted,
        main_metric=wanted[0],
        licence="unknown",
        folder=Path(),
        source={"qrels": "TREC"},
        run_depth=depth,
    )
    collection = _collection(grades, runs)
    judgements = tuple(judge_all(collection, sorted(pairs, key=lambda p: p.passage)))
    return keep_countable([Plan(task, collection, judgements, wanted, depth)], asked=True)[0]


def _collection(grades: Mapping[LanguagePair, Grades], runs: Mapping[LanguagePair, Path]) -> Collection:
    """Make up a collection of ids: the queries and passages that qrels and runs speak of."""
    qrels: dict[LanguagePair, Qrels] = {}
    asked: dict[str, dict[str, None]] = {}
    passages: dict[str, dict[str, None]] = {}
    for pair, path in runs.items():
        judged = [(query, passage, grade) for query, row in grades[pair].items() for passage, grade in row.items()]
        qrels[pair] = make_qrels(*zip(*judged, strict=True))
        asked.setdefault(pair.query, {}).update(dict.fromkeys(grades[pair]))
        hits = (passage for row in read_trec_run(path).values() for passage in row)
        passages.setdefault(pair.passage, {}).update(dict.fromkeys([*(row[1] for row in judged), *hits]))
    content = "".join(sorted(qrels[pair].digest for pair in qrels))
    return Collection(
        queries={code: _ids(code, sorted(names), content) for code, names in asked.items()},
        corpora={code: _ids(code, sorted(names), content) for code, names in passages.items()},
        qrels=qrels,
        clusters={code: sorted(names) for code, names in asked.items()},
    )


def _ids(language: str, names: Sequence[str], judged: str) -> Texts:
    column = pa.chunked_array([pa.array(names, pa.string())])
    texts = make_texts(language, column, column)
    # Systems find different passages; what makes them comparable is the judgements.
    digest = hashlib.sha256(f"{language} {judged}".encode()).hexdigest()
    return Texts(language, texts.ids, texts.text, digest, texts.text_digest)
