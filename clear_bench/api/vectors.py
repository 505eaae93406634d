"""The embeddings of a plan, searched; and what was lost on the way to them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from clear_bench.api.plan import Plan
from clear_bench.api.retriever import Json, Rows, Search
from clear_bench.cluster import RayCluster
from clear_bench.encode import Encoding
from clear_bench.indexes import INDEXES, Index
from clear_bench.rerank import candidate_positions, on_whole_side, rerank
from clear_bench.search import Searcher, recall_against_exact
from clear_bench.settings import StoreDtype
from clear_bench.types import Embeddings, Judgements, Run, Side

log = logging.getLogger(__name__)

MUCH_TRUNCATED = 0.05
"""Share of cut texts above which a warning is given."""


@dataclass(slots=True)
class ReadyVectors:
    """The embeddings of a plan."""

    plan: Plan
    queries: Mapping[str, Encoding]
    passages: Mapping[str, Encoding]
    index: str
    device: str | None
    cluster: RayCluster | None = None
    _recalls: Json = field(default_factory=dict)

    @property
    def counts(self) -> Json:
        """Texts and tokens encoded, now and ever, and what was lost: texts cut, and vectors coded, by language."""
        every = [*self.queries.values(), *self.passages.values()]
        coded = {language: one.cosines for language, one in self.passages.items() if one.cosines}
        lost = {language: {"mean": mean, "least": least} for language, (mean, least) in coded.items()}
        return {
            "texts": sum(one.texts for one in every),
            "encoded_texts": sum(one.fresh for one in every),
            "tokens": _total(one.tokens for one in every),
            "truncated_share": {
                "query": {language: one.truncated_share for language, one in self.queries.items()},
                "passage": {language: one.truncated_share for language, one in self.passages.items()},
            },
            **({"stored_cosine": lost} if lost else {}),
        }

    def open(self, passage: str, rows: Rows | None = None) -> Search:
        """Build the index of a passage side; an approximate one is compared with exact search at the first pair."""
        collection = self.plan.collection
        parts = [self.passages[part.language].embeddings for part in collection.parts(passage)]
        ids = collection.passage_ids(passage)
        total = len(ids)
        if rows is not None:
            whole = Embeddings(tuple(block for part in parts for block in part.blocks))
            parts, ids = [Embeddings((whole.take(rows),))], ids.take(pa.array(rows))
        index: str | Index = self.index
        if self.cluster is not None and self.index in ("auto", *INDEXES):  # others are approximate, and searched here
            index = self.cluster.index(self.index, parts[0].dimensions, self.device)
        searcher = Searcher(parts, ids, index, self.device)

        def search(judgements: Judgements) -> Run:
            queries, pair = self.queries[judgements.pair.query].embeddings, judgements.pair
            depth = self.plan.depth(passage)
            if pair in collection.candidates:
                given = candidate_positions(collection, pair, judgements.query_rows)
                return rerank(queries, judgements.query_rows, parts, ids, pair, depth, given)
            opened = passage if rows is None else str(pair)
            if not searcher.index.is_exact and opened not in self._recalls:
                recall = recall_against_exact(searcher, queries, judgements.query_rows, depth)
                self._recalls[opened] = asdict(recall)
                log.warning("%s: recall@%d against exact search is %.4f", self.index, depth, recall.recall)
            run = searcher.search(queries, judgements.query_rows, pair, depth)
            return run if rows is None else on_whole_side(run, rows, min(depth, total))

        return search

    def recalls(self) -> Json:
        """Give the recall of an approximate index, by passage side."""
        return self._recalls


def _total(counts: Any) -> int | None:  # Any: an iterable of int | None
    known = list(counts)
    return None if None in known else sum(known)


def warn_of_truncation(done: Mapping[Side, Mapping[str, Encoding]]) -> None:
    """Say in which languages many texts were cut."""
    for side, encodings in done.items():
        shares = {language: one.truncated_share or 0.0 for language, one in encodings.items()}
        many = [f"{language} {share:.0%}" for language, share in shares.items() if share > MUCH_TRUNCATED]
        if many:
            log.warning("texts cut at the model's length, %s side: %s; see --max-seq-length", side, ", ".join(many))


def tell_of_coding(dtype: StoreDtype, passages: Mapping[str, Encoding]) -> None:
    """Say how close coded vectors are to what they were."""
    found = [one.cosines for one in passages.values() if one.cosines]
    if found:
        mean, least = min(mean for mean, _ in found), min(least for _, least in found)
        log.warning(
            "%s passages: a stored vector's cosine with what it was is %.5f on average (worst language), %.5f at least",
            dtype, mean, least,
        )  # fmt: skip
