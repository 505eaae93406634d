"""Runs of other systems, from TREC files: they are ranked, scored and saved like our own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from clear_bench import metrics
from clear_bench.api.plan import Plan
from clear_bench.api.retriever import Json, Search
from clear_bench.disk import sha256_file
from clear_bench.qrels import judge_all
from clear_bench.rerank import rank_named
from clear_bench.store.trec_files import Grades, Hits, read_trec_run
from clear_bench.tasks import Task
from clear_bench.types import (
    Checkpoint,
    Collection,
    Judgements,
    LanguagePair,
    Qrels,
    Run,
    Texts,
    make_qrels,
    make_texts,
)

log = logging.getLogger(__name__)

KIND = "trec"


@dataclass(frozen=True, slots=True)
class TrecRetriever:
    """A system that is known by its runs alone."""

    checkpoint: Checkpoint
    runs: Mapping[LanguagePair, Path]
    kind: str = KIND

    @property
    def settings(self) -> Json:
        """Nothing is known of how the runs were made."""
        return {"index": KIND}

    def prepare(self, plan: Plan) -> ReadyRuns:
        """Nothing is encoded."""
        return ReadyRuns(plan, self.runs)


@dataclass(frozen=True, slots=True)
class ReadyRuns:
    """The run files of a plan's pairs."""

    plan: Plan
    runs: Mapping[LanguagePair, Path]

    @property
    def counts(self) -> Json:
        """No text was read for it."""
        return {"texts": 0, "encoded_texts": 0, "tokens": None, "truncated_share": None}

    def open(self, passage: str) -> Search:
        """Read the runs of a passage side, one pair after the other."""
        return lambda judgements: self._search(judgements, passage)

    def recalls(self) -> Json:
        """Say nothing: no index is known."""
        return {}

    def _search(self, judgements: Judgements, passage: str) -> Run:
        path, collection = self.runs[judgements.pair], self.plan.collection
        ids = collection.passage_ids(passage)
        keys = collection.queries[judgements.pair.query].ids.take(pa.array(judgements.query_rows)).to_pylist()
        hits = read_trec_run(path)
        _warn_of_queries(path, hits, keys)
        found = [hits.get(key, {}) for key in keys]
        return rank_named(judgements.pair, judgements.query_rows, found, ids, self.plan.depth(passage))


def foreign_system(name: str, runs: Mapping[LanguagePair, Path]) -> TrecRetriever:
    """Name a system by its name and the content of its run files."""
    content = "".join(f"{pair} {sha256_file(path)}\n" for pair, path in sorted(runs.items()))
    digest = hashlib.sha256(f"{KIND} {name}\n{content}".encode()).hexdigest()
    return TrecRetriever(Checkpoint(name, None, digest, "", prompts={}), runs)


def plan_by_qrels(
    name: str,
    grades: Mapping[LanguagePair, Grades],
    runs: Mapping[LanguagePair, Path],
    names: Sequence[str],
    depth: int,
) -> Plan:
    """Plan the scoring of runs by TREC qrels alone: there are no texts, and each query is a cluster of its own."""
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
    return Plan(task, collection, tuple(judge_all(collection, sorted(pairs, key=lambda p: p.passage))), wanted, depth)


def _collection(grades: Mapping[LanguagePair, Grades], runs: Mapping[LanguagePair, Path]) -> Collection:
    """Make up a collection of ids: the queries and passages that qrels and runs speak of."""
    qrels: dict[LanguagePair, Qrels] = {}
    asked: dict[str, dict[str, None]] = {}
    passages: dict[str, dict[str, None]] = {}
    for pair, path in runs.items():
        rows = [(query, passage, grade) for query, row in grades[pair].items() for passage, grade in row.items()]
        qrels[pair] = make_qrels(*zip(*rows, strict=True))
        asked.setdefault(pair.query, {}).update(dict.fromkeys(grades[pair]))
        hits = (passage for row in read_trec_run(path).values() for passage in row)
        passages.setdefault(pair.passage, {}).update(dict.fromkeys([*(row[1] for row in rows), *hits]))
    judged = "".join(sorted(qrels[pair].digest for pair in qrels))
    return Collection(
        queries={code: _ids(code, sorted(names), judged) for code, names in asked.items()},
        corpora={code: _ids(code, sorted(names), judged) for code, names in passages.items()},
        qrels=qrels,
        clusters={code: sorted(names) for code, names in asked.items()},
    )


def _ids(language: str, names: Sequence[str], judged: str) -> Texts:
    column = pa.chunked_array([pa.array(names, pa.string())])
    texts = make_texts(language, column, column)
    # Systems find different passages; what makes them comparable is the judgements.
    digest = hashlib.sha256(f"{language} {judged}".encode()).hexdigest()
    return Texts(language, texts.ids, texts.text, digest, texts.text_digest)


def _warn_of_queries(path: Path, hits: Hits, keys: Sequence[str]) -> None:
    lacking = sum(key not in hits for key in keys)
    if lacking:
        log.warning("%s: %d of %d judged queries have no hit and score 0", path, lacking, len(keys))
