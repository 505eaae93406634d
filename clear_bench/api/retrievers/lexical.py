"""BM25 as a retriever: the lexical baseline that every board needs. It finds passages by shared words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.protocol import Candidates, Rows, Search, of_whole_side
from clear_bench.documents import digest_of
from clear_bench.errors import InputError
from clear_bench.indexes.bm25 import BM25, K1, B
from clear_bench.indexes.rows import Hits, check_depth
from clear_bench.rerank import ranked_run, tie_order
from clear_bench.search import Recall
from clear_bench.types import Checkpoint, Judgements, LanguagePair, ResultKind, Run, Texts
from clear_bench.types.manifest import CountsPart

NAME = "bm25"
"""What `--model` takes for it."""

_SCHEME = {"method": "lucene", "k1": K1, "b": B, "terms": 1}
"""Everything that decides a similarity; `terms` counts up when `indexes.bm25.terms` splits texts differently."""


def lexical_checkpoint() -> Checkpoint:
    """Name the baseline the way a model is named."""
    digest = digest_of(_SCHEME)
    return Checkpoint(NAME, None, digest, digest, prompts={}, similarity="dot", cache_digest=digest)


@dataclass(frozen=True, slots=True)
class LexicalRetriever:
    """Finds passages by shared words."""

    kind = ResultKind.MEASURED
    checkpoint: Checkpoint = field(default_factory=lexical_checkpoint)
    settings: dict[str, str] = field(default_factory=lambda: {"index": NAME})

    def prepare(self, plan: Plan) -> ReadyWords:
        """Return the plan's texts; nothing is encoded."""
        return ReadyWords(plan)


@dataclass(frozen=True, slots=True)
class ReadyWords:
    """The texts of a plan; a passage side is indexed when it is opened."""

    plan: Plan

    @property
    def counts(self) -> CountsPart:
        """Texts of both sides."""
        sets = [*self.plan.query_texts.values(), *self.plan.passage_texts.values()]
        return CountsPart(texts=sum(map(len, sets)))

    def open(self, passage: str, rows: Rows | None = None) -> Search:
        """Index the words of a passage side; how rare a word is follows from the passages that are searched."""
        collection = self.plan.collection
        parts, ids = collection.parts(passage), collection.passage_ids(passage)
        if rows is not None:
            parts, ids = tuple(part.head(rows) for part in parts), ids.take(pa.array(rows))
        searcher, depth = LexicalSearcher(parts, ids), self.plan.depth(passage)

        def search(judgements: Judgements, candidates: Candidates | None = None) -> Run:
            queries, pair = collection.queries[judgements.pair.query], judgements.pair
            return searcher.search(queries, judgements.query_rows, pair, depth, candidates)

        return of_whole_side(search, self.plan, passage, rows)

    def recalls(self) -> dict[str, Recall]:
        """Return nothing: the search is exact."""
        return {}


class LexicalSearcher:
    """A passage side, indexed once and searched with every query language.

    Hits share a term with the query. Ties go as in every `Run`: by passage id, by bytes, descending.
    """

    def __init__(self, corpus: Sequence[Texts], passage_ids: pa.ChunkedArray) -> None:
        """Index the parts of a passage side (several for a pool) with their ids, in position order."""
        if not len(passage_ids):
            msg = "the corpus is empty: there is no passage to search"
            raise InputError(msg)
        self._index = BM25(text for part in corpus for chunk in part.text.chunks for text in chunk.to_pylist())
        self._order = tie_order(passage_ids)

    def search(
        self,
        queries: Texts,
        rows: NDArray[np.int64],
        pair: LanguagePair,
        depth: int,
        candidates: Sequence[NDArray[np.int64]] | None = None,
    ) -> Run:
        """Rank passages, or only the candidates of each row (positions): a `Run` with min(depth, n) columns."""
        check_depth(depth)
        found = self._index.search(queries.text.take(pa.array(rows)).to_pylist())
        if candidates is not None:
            found = (_among(hits, allowed) for hits, allowed in zip(found, candidates, strict=True))
        return ranked_run(pair, rows, found, self._order, depth)


def _among(hits: Hits, allowed: NDArray[np.int64]) -> Hits:
    kept = np.isin(hits[1], allowed)
    return hits[0][kept], hits[1][kept]
