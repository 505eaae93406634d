"""Search int8 or binary codes in memory for candidates, and rank those by the rows on disk."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from clear_bench.indexes import Index
from clear_bench.indexes.rows import Hits, Rows, check_width, empty_hits
from clear_bench.quantise import CodedRows, Coding, code, row_bytes

_PASSAGES = 8192
_SAMPLE = 4096
"""Rows whose mean is taken."""
_CELLS = 2**24
"""Candidates held at once; queries are searched in blocks of that size."""
_RESCORED = 4096
_WIDEST = 131_072
"""Candidates of one query at most, where fewer hits than that are asked for."""


def code_bytes(coding: Coding, dimensions: int) -> int:
    """Return the bytes of memory that a row takes: its codes, and a float32 along the mean."""
    return row_bytes(coding, dimensions) + 4


class Quantised:
    """Finds `oversampling` times the hits asked for among coded rows, and ranks those by the stored rows.

    What a row has along the mean of all rows is kept as a float32, and the rest is coded: the vectors of most models
    have much in common, which tells no passage from another and would drown what does. Queries are not coded.
    """

    is_exact = False
    is_coarse = False
    error = 0.0

    def __init__(self, coding: Coding, oversampling: int, dimensions: int, candidates: Index) -> None:
        """Use an empty exact index to search the codes."""
        self.name = f"{coding}:{oversampling}"
        self._coding, self._oversampling, self._candidates = coding, oversampling, candidates
        self._rows = Rows(dimensions)
        self.add = self._rows.add
        self._axis: NDArray[np.float32] | None = None
        self._coded = 0

    def build(self) -> None:
        """Code every row that is not coded yet."""
        if self._coded == len(self._rows):
            return
        if self._axis is None:
            self._axis = self._mean()
        width, count = self._rows.dimensions, len(self._rows) - self._coded
        raw = np.empty((count, row_bytes(self._coding, width)), dtype=np.uint8)
        along = np.empty(count, dtype=np.float32)
        for start, vectors in self._rows.stream(_PASSAGES):
            if start >= self._coded:
                part = slice(start - self._coded, start - self._coded + len(vectors))
                along[part] = vectors @ self._axis
                raw[part] = code(vectors - along[part, None] * self._axis, self._coding)
        coded = CodedRows(raw, self._coding, width, self._axis, along)
        self._candidates.add(cast("NDArray[np.float32]", coded))
        self._coded = len(self._rows)

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """See `Index.search`."""
        check_width(queries, self._rows.dimensions, "query")
        if self._rows.is_small:
            return self._rows.search_small(queries, k)
        self.build()
        k = min(k, len(self._rows))
        wanted = min(len(self._rows), max(k, min(self._oversampling * k, _WIDEST)))
        similarities, positions = empty_hits(len(queries), k)
        step = max(1, _CELLS // wanted)
        for row in range(0, len(queries), step):
            part = slice(row, row + step)
            _, found = self._candidates.search(queries[part], wanted)
            similarities[part], positions[part] = self._best(queries[part], found, k)
        return similarities, positions

    def _mean(self) -> NDArray[np.float32]:
        """Return the direction of the mean of a sample, a unit vector; zero when the mean is zero."""
        chosen = np.unique(np.linspace(0, len(self._rows) - 1, _SAMPLE).astype(np.int64))
        with np.errstate(invalid="ignore"):  # rows that are not finite are refused when they are coded
            mean: NDArray[np.float64] = self._rows.take(chosen).mean(axis=0, dtype=np.float64)
        length = float(np.linalg.norm(mean))
        return (mean / length if 0 < length < np.inf else np.zeros_like(mean)).astype(np.float32)

    def _best(self, queries: NDArray[np.float32], candidates: NDArray[np.int64], k: int) -> Hits:
        exact = self._similarities(queries, candidates)
        # By position where equal, so that the cut depends on nothing but the corpus.
        order = np.lexsort((candidates, -exact), axis=1)[:, :k]
        return np.take_along_axis(exact, order, axis=1), np.take_along_axis(candidates, order, axis=1)

    def _similarities(self, queries: NDArray[np.float32], candidates: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute each product by itself, in float64. Rows are read in the order in which they are stored."""
        exact = np.empty(candidates.size, dtype=np.float32)
        flat, order = candidates.ravel(), np.argsort(candidates, axis=None, kind="stable")
        for start in range(0, len(order), _RESCORED):
            chosen = order[start : start + _RESCORED]
            passages = self._rows.take(flat[chosen]).astype(np.float64)
            exact[chosen] = np.vecdot(queries[chosen // candidates.shape[1]].astype(np.float64), passages)
        return exact.reshape(candidates.shape)
