"""Dense retrieval for a plan: each text is encoded once, each passage side indexed once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.protocol import Candidates, Rows, Search, of_whole_side
from clear_bench.cluster import RayCluster
from clear_bench.cluster.devices import Crew
from clear_bench.encode import Encoding, Pool, PromptedTexts, encode, pending
from clear_bench.indexes import INDEXES, Index
from clear_bench.progress import Progress, progress
from clear_bench.rerank import rerank
from clear_bench.search import Recall, Searcher, recall_against_exact
from clear_bench.settings import StoreDtype
from clear_bench.store.embeddings import EmbeddingStore
from clear_bench.types import Checkpoint, Embeddings, Judgements, ResultKind, Run, Side
from clear_bench.types.manifest import CountsPart

if TYPE_CHECKING:
    from clear_bench.models import Encoder

log = logging.getLogger(__name__)

SIDES: tuple[Side, ...] = ("query", "passage")
MUCH_TRUNCATED = 0.05
"""Share of truncated texts above which a warning is given."""
SHOWN = 500
"""Characters kept of the first texts; a passage may be a whole document, and a benchmark's texts belong to others."""


@dataclass(frozen=True, slots=True)
class DenseRetriever:
    """Finds passages by the similarity of vectors; each text is encoded once, whatever the number of pairs."""

    kind = ResultKind.MEASURED
    checkpoint: Checkpoint
    encoder: Callable[[], Encoder]
    """Called only where the store lacks something."""
    store: EmbeddingStore
    store_dtype: StoreDtype = "float32"
    index: str = "auto"
    device: str | None = None
    cluster: RayCluster | None = None
    """Encodes and searches instead of this process; its numbers are the same."""
    crew: Crew | None = None
    """Encodes instead of this process; its numbers are the same."""

    @property
    def settings(self) -> dict[str, str]:
        """Index and stored precision."""
        return {"index": self.index, "store_dtype": self.store_dtype}

    def prepare(self, plan: Plan) -> ReadyVectors:
        """Encode the texts of a plan that the store does not have yet."""
        sets = prompted_texts(plan, self.checkpoint)
        counts = [pending(one, self.store, self.store_dtype) for one in sets]
        work = sum(count * one.mean_bytes for count, one in zip(counts, sets, strict=True))
        with progress(sum(counts), f"encoding {plan.task.name}", work=work) as shown:
            if self.crew is None or not any(counts):
                encodings = [self._encode(self.cluster, shown, one) for one in sets]
            else:
                with self.crew.start() as workers:
                    encodings = workers.each(partial(self._encode, workers, shown), sets)
        done: dict[Side, dict[str, Encoding]] = {"query": {}, "passage": {}}
        for one, encoding in zip(sets, encodings, strict=True):
            done[one.side][one.texts.language] = encoding
        _warn_of_truncation(done)
        _tell_of_coding(self.store_dtype, done["passage"])
        return ReadyVectors(plan, done["query"], done["passage"], self.index, self.device, self.cluster)

    def _encode(self, pool: Pool | None, shown: Progress, texts: PromptedTexts) -> Encoding:
        return encode(texts, self.store, self.encoder, store_dtype=self.store_dtype, shown=shown, pool=pool)


@dataclass(slots=True)
class ReadyVectors:
    """The embeddings of a plan."""

    plan: Plan
    queries: Mapping[str, Encoding]
    passages: Mapping[str, Encoding]
    index: str
    device: str | None
    cluster: RayCluster | None = None
    _recalls: dict[str, Recall] = field(default_factory=dict)

    @property
    def counts(self) -> CountsPart:
        """Texts and tokens encoded, now and ever, and what was lost: texts truncated and vectors coded, by language."""
        every = [*self.queries.values(), *self.passages.values()]
        coded = {language: one.cosines for language, one in self.passages.items() if one.cosines}
        lost = {language: {"mean": mean, "least": least} for language, (mean, least) in coded.items()}
        return CountsPart(
            texts=sum(one.texts for one in every),
            encoded_texts=sum(one.fresh for one in every),
            tokens=_total(one.tokens for one in every),
            truncated_share={
                "query": {language: one.truncated_share for language, one in self.queries.items()},
                "passage": {language: one.truncated_share for language, one in self.passages.items()},
            },
            stored_cosine=lost,
        )

    def open(self, passage: str, rows: Rows | None = None) -> Search:
        """Build the index of a passage side; an approximate one is compared with exact search at the first pair."""
        collection = self.plan.collection
        parts = [self.passages[part.language].embeddings for part in collection.parts(passage)]
        ids = collection.passage_ids(passage)
        if rows is not None:
            whole = Embeddings(tuple(block for part in parts for block in part.blocks))
            parts, ids = [Embeddings((whole.take(rows),))], ids.take(pa.array(rows))
        index: str | Index = self.index
        if self.cluster is not None and self.index in ("auto", *INDEXES):  # others are approximate, and searched here
            index = self.cluster.index(self.index, parts[0].dimensions, self.device)
        searcher, depth = Searcher(parts, ids, index, self.device), self.plan.depth(passage)

        def search(judgements: Judgements, candidates: Candidates | None = None) -> Run:
            pair, asked = judgements.pair, judgements.query_rows
            queries = self.queries[pair.query].embeddings
            if candidates is not None:
                return rerank(queries, asked, parts, ids, pair, depth, candidates)
            opened = passage if rows is None else str(pair)
            if not searcher.index.is_exact and opened not in self._recalls:
                recall = self._recalls[opened] = recall_against_exact(searcher, queries, asked, depth)
                log.warning("%s: recall@%d against exact search is %.4f", self.index, depth, recall.recall)
            return searcher.search(queries, asked, pair, depth)

        return of_whole_side(search, self.plan, passage, rows)

    def recalls(self) -> Mapping[str, Recall]:
        """Return the recall of an approximate index, by passage side."""
        return self._recalls


def prompted_texts(plan: Plan, checkpoint: Checkpoint) -> list[PromptedTexts]:
    """List what a plan needs encoded: its query sets, then its passage sets."""
    sets = {"query": plan.query_texts, "passage": plan.passage_texts}
    return [
        PromptedTexts.of(checkpoint, texts, side, plan.task.instruction)
        for side in SIDES
        for texts in sets[side].values()
    ]


def first_texts(plan: Plan, checkpoint: Checkpoint) -> dict[str, str]:
    """Return the first query and the first passage exactly as they are encoded, to show a missing or doubled prompt.

    Only `SHOWN` characters of each are kept. Empty for what encodes nothing: BM25, and runs of other systems.
    """
    if not checkpoint.prompts:
        return {}
    sets = [one for one in prompted_texts(plan, checkpoint) if len(one.texts)]
    first = {side: next((one.strings(range(1))[0] for one in sets if one.side == side), "") for side in SIDES}
    return {side: whole if len(whole) <= SHOWN else whole[:SHOWN] + "…" for side, whole in first.items()}


def _total(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(filter(None, known))


def _warn_of_truncation(done: Mapping[Side, Mapping[str, Encoding]]) -> None:
    """Warn of the languages in which many texts were truncated."""
    for side, encodings in done.items():
        shares = {language: one.truncated_share or 0.0 for language, one in encodings.items()}
        many = [f"{language} {share:.0%}" for language, share in shares.items() if share > MUCH_TRUNCATED]
        if many:
            log.warning("texts cut at the model's length, %s side: %s; see --max-seq-length", side, ", ".join(many))


def _tell_of_coding(dtype: StoreDtype, passages: Mapping[str, Encoding]) -> None:
    """Warn how far coded vectors are from the original ones."""
    found = [one.cosines for one in passages.values() if one.cosines]
    if found:
        mean, least = min(mean for mean, _ in found), min(least for _, least in found)
        log.warning(
            "%s passages: a stored vector's cosine with what it was is %.5f on average (worst language), %.5f at least",
            dtype, mean, least,
        )  # fmt: skip
