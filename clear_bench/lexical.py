"""The lexical baseline: search a passage side by its words. No vectors, no model, and the same `Run` as any other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clear_bench.documents import digest_of
from clear_bench.errors import InputError, UsageError
from clear_bench.indexes.bm25 import BM25, K1, B
from clear_bench.indexes.ranked import ranked_run, tie_order
from clear_bench.indexes.rows import Hits
from clear_bench.types import Checkpoint, LanguagePair, Run, Texts

NAME = "bm25"
"""What `--model` takes for it."""

_SCHEME = {"method": "lucene", "k1": K1, "b": B, "terms": 1}
"""Everything that decides a similarity; `terms` counts up when `indexes.terms` cuts texts differently."""


def lexical_checkpoint() -> Checkpoint:
    """Name the baseline the way a model is named."""
    digest = digest_of(_SCHEME)
    return Checkpoint(NAME, None, digest, digest, prompts={}, similarity="dot", cache_digest=digest)


class LexicalSearcher:
    """The passage side of pairs, indexed once and searched with every query language.

    Hits share a term with the query. Ties go as in every `Run`: by passage id, by bytes, descending.
    """

    def __init__(self, corpus: Sequence[Texts], passage_ids: pa.ChunkedArray) -> None:
        """Take the parts of a passage side (several for a pool) and their ids, in position order."""
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
        if depth < 1:
            msg = f"depth {depth}: at least 1 hit must be asked for"
            raise UsageError(msg)
        texts = queries.text.take(pa.array(rows)).to_pylist()
        found = self._index.search(texts)
        if candidates is not None:
            found = (_among(hits, allowed) for hits, allowed in zip(found, candidates, strict=True))
        return ranked_run(pair, rows, found, self._order, depth)


def _among(hits: Hits, allowed: NDArray[np.int64]) -> Hits:
    kept = np.isin(hits[1], allowed)
    return hits[0][kept], hits[1][kept]
