"""BM25 over positions: the library bm25s weighs the terms, a sparse product adds them up for a block of queries."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import MissingExtraError
from clear_bench.indexes.rows import Hits
from clear_bench.indexes.terms import terms

if TYPE_CHECKING:
    from scipy.sparse import csr_array

K1, B = 0.9, 0.4
"""Anserini's defaults, with which the published BM25 rows of MIRACL, Mr.TyDi and CIRAL were made."""

_ENTRIES = 2**24
"""Similarities that one block of queries may give."""


class BM25:
    """An index of texts. Passages that share a term with the query are its hits; their similarities are above 0."""

    def __init__(self, texts: Iterable[str], k1: float = K1, b: float = B) -> None:
        """Count the terms of passages, in position order."""
        self._vocabulary: dict[str, int] = {}
        number = self._vocabulary.setdefault
        passages = [[number(term, len(self._vocabulary)) for term in terms(text)] for text in texts]
        # A text of punctuation alone has no term; where no passage has one, there is nothing to weigh.
        self._weights = _weigh(passages, len(self._vocabulary), k1, b) if self._vocabulary else None

    def search(self, queries: Sequence[str]) -> Iterator[Hits]:
        """Yield the hits of each query, all of them and in no order: similarities and positions.

        A similarity depends on the query and on what the corpus holds, never on its order.
        """
        if self._weights is None:
            yield from [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(queries)
            return
        passages = np.diff(self._weights.indptr)
        for block in _blocks([self._known(query) for query in queries], passages):
            yield from _add_up(block, self._weights)

    def _known(self, query: str) -> dict[int, int]:
        # In the order of the terms, so that sums do not depend on the order in which the corpus brought them.
        counts = sorted(Counter(terms(query)).items())
        return {self._vocabulary[term]: count for term, count in counts if term in self._vocabulary}


def _weigh(passages: list[list[int]], n_terms: int, k1: float, b: float) -> csr_array:
    """Compute what each term adds to a passage's similarity, [terms, passages]."""
    try:
        import bm25s
    except ModuleNotFoundError as error:
        if error.name != "bm25s":
            raise
        raise MissingExtraError("bm25s", "cpu") from None
    from scipy.sparse import csr_array

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # the library asks for its debug messages
    model = bm25s.BM25(k1=k1, b=b, method="lucene", dtype="float64", csc_backend="scipy")
    made = model.build_index_from_ids(range(n_terms), passages, show_progress=False)
    return csr_array((made["data"], made["indices"], made["indptr"]), shape=(n_terms, len(passages)))


def _blocks(queries: Sequence[dict[int, int]], passages: NDArray[np.int32]) -> Iterator[list[dict[int, int]]]:
    """Cut queries into blocks whose terms occur in a bounded number of passages."""
    block: list[dict[int, int]] = []
    size = 0
    for query in queries:
        added = int(passages[list(query)].sum())
        if block and size + added > _ENTRIES:
            yield block
            block, size = [], 0
        block.append(query)
        size += added
    if block:
        yield block


def _add_up(queries: Sequence[dict[int, int]], weights: csr_array) -> Iterator[Hits]:
    from scipy.sparse import csr_array

    counts = np.array([count for query in queries for count in query.values()], dtype=np.float64)
    columns = np.array([term for query in queries for term in query], dtype=np.int32)
    starts = np.cumsum([0, *map(len, queries)])
    sums = csr_array((counts, columns, starts), shape=(len(queries), weights.shape[0])) @ weights
    similarities, positions = sums.data.astype(np.float32), sums.indices.astype(np.int64)
    for start, end in zip(sums.indptr[:-1], sums.indptr[1:], strict=True):
        yield similarities[start:end], positions[start:end]
