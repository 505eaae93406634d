"""The lexical baseline as a retriever: it finds passages by shared words."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from clear_bench.api.plan import Plan
from clear_bench.api.retriever import Json, Rows, Search
from clear_bench.lexical import NAME as BM25
from clear_bench.lexical import LexicalSearcher, lexical_checkpoint
from clear_bench.rerank import candidate_positions, on_whole_side
from clear_bench.types import Checkpoint, Judgements, Run


@dataclass(frozen=True, slots=True)
class LexicalRetriever:
    """Finds passages by shared words: the baseline that every board needs."""

    checkpoint: Checkpoint = field(default_factory=lexical_checkpoint)
    settings: Json = field(default_factory=lambda: {"index": BM25})

    def prepare(self, plan: Plan) -> ReadyWords:
        """Nothing is encoded."""
        return ReadyWords(plan)


@dataclass(frozen=True, slots=True)
class ReadyWords:
    """The texts of a plan, indexed side by side as they are opened."""

    plan: Plan

    @property
    def counts(self) -> Json:
        """Texts searched with and in."""
        sets = [*self.plan.query_texts.values(), *self.plan.passage_texts.values()]
        return {"texts": sum(map(len, sets)), "encoded_texts": 0, "tokens": None, "truncated_share": None}

    def open(self, passage: str, rows: Rows | None = None) -> Search:
        """Index the words of a passage side; how rare a word is follows from the passages that are searched."""
        collection = self.plan.collection
        parts, ids = collection.parts(passage), collection.passage_ids(passage)
        total = len(ids)
        if rows is not None:
            parts, ids = tuple(part.head(rows) for part in parts), ids.take(pa.array(rows))
        searcher = LexicalSearcher(parts, ids)

        def search(judgements: Judgements) -> Run:
            pair, asked, depth = judgements.pair, judgements.query_rows, self.plan.depth(passage)
            given = candidate_positions(collection, pair, asked) if pair in collection.candidates else None
            run = searcher.search(collection.queries[pair.query], asked, pair, depth, given)
            return run if rows is None else on_whole_side(run, rows, min(depth, total))

        return search

    def recalls(self) -> Json:
        """Say nothing: the search is exact."""
        return {}
