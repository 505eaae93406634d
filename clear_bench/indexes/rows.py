"""What all indexes share: rows kept by reference, their streaming and checks, and the search of a small corpus."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import InputError, UsageError
from clear_bench.types import Embeddings

Arithmetic = Literal["fp64", "fp32", "tf32", "fp16", "bf16"]
Hits = tuple[NDArray[np.float32], NDArray[np.int64]]

SMALL = 1024
"""Up to this many rows, one product in float64 and one sort beat every index. A power of two."""
_SORTED = 384
"""Up to this many, sorting all of them takes less time than finding the best and sorting those."""
_QUERIES = 4096
_ROUNDING = {"fp64": 0.0, "fp32": 0.0, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}


class Rows:
    """The rows of an index in the order they were added. Memory-mapped arrays stay on disk."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.largest_norm = 0.0
        self._parts: list[NDArray[np.floating]] = []
        self._small: NDArray[np.float64] | None = None
        self._measured = 0

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def add(self, vectors: NDArray[np.floating]) -> None:
        """Append a block of rows."""
        check_width(vectors, self.dimensions, "passage")
        if isinstance(vectors, np.ndarray):  # coded rows stay coded, and are read as they are needed
            exact = vectors.dtype in (np.float32, np.float16)
            vectors = np.asarray(vectors) if exact else np.asarray(vectors, dtype=np.float32)
        self._parts.append(vectors)
        self._small = None

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Gather rows as float32."""
        return Embeddings(tuple(self._parts)).take(positions)

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[np.floating]]]:
        """Yield (first position, rows as they are stored): the cuts depend on the stored parts and `size` alone."""
        start = 0
        for part in self._parts:
            for row in range(0, len(part), size):
                block = part[row : row + size]
                yield start, block
                start += len(block)

    def stream(self, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (first position, rows as float32), without a copy if stored as such. New rows are checked."""
        for start, block in self.blocks(size):
            vectors = np.ascontiguousarray(block, dtype=np.float32)
            if start >= self._measured:
                self.largest_norm = max(self.largest_norm, float(norms(vectors, "passage", start).max()))
                self._measured = start + len(block)
            yield start, vectors

    @property
    def is_small(self) -> bool:
        """Whether there are so few rows that `search_small` is faster than an index."""
        return len(self) <= SMALL

    def error(self, arithmetic: Arithmetic = "fp32") -> float:
        """Bound the error of a similarity for a query of length 1, once the rows were searched in this arithmetic."""
        return self.largest_norm * rounding_error(self.dimensions, "fp64" if self.is_small else arithmetic)

    @property
    def is_measured(self) -> bool:
        """Whether every row was checked."""
        return self._measured == len(self)

    def measured(self, smallest: float, largest: float, size: int) -> None:
        """Store the extreme norms of all rows that a device has measured. Find and refuse the row when one is bad."""
        if not (smallest > 0 and largest < np.inf):
            for _ in self.stream(size):
                pass
        self.largest_norm, self._measured = largest, len(self)

    def sample(self, count: int) -> NDArray[np.float32]:
        """Gather at most `count` rows at even distances, in order."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64))
        taken = [
            vectors[chosen[(chosen >= start) & (chosen < start + len(vectors))] - start]
            for start, vectors in self.stream(_QUERIES)
        ]
        return np.concatenate(taken)

    def search_small(self, queries: NDArray[np.float32], k: int) -> Hits:
        """Search at most `SMALL` rows. In float64 almost nothing but true ties is left for the caller to settle."""
        if self._small is None:
            self._small = np.concatenate([vectors for _, vectors in self.stream(SMALL)], dtype=np.float64)
        hits = empty_hits(len(queries), min(k, len(self)))
        for row in range(0, len(queries), _QUERIES):
            part = slice(row, row + _QUERIES)
            _top(queries[part].astype(np.float64) @ self._small.T, hits[0][part], hits[1][part])
        return hits


def empty_hits(queries: int, k: int) -> Hits:
    """Return uninitialised arrays for the hits of a search."""
    return np.empty((queries, k), dtype=np.float32), np.empty((queries, k), dtype=np.int64)


def rounding_error(dimensions: int, arithmetic: Arithmetic = "fp32") -> float:
    """Bound |computed - true| of the inner product of two unit vectors, whatever the order of the summation.

    A sum of d products stays within d unit roundoffs (Higham 2002, Accuracy and Stability of Numerical Algorithms,
    section 3.1), and within 6 sqrt(d) of them but for a chance below 1e-7 d (Higham and Mary 2019, A new approach to
    probabilistic rounding error analysis). Narrower arithmetic also rounds both vectors and the result, and fp16 loses
    what lies below its smallest step. The similarity is a float32 in the end.
    """
    narrow = _ROUNDING[arithmetic]
    unit = 2.0**-53 if arithmetic == "fp64" else 2.0**-24
    underflow = 2.0**-24 * math.sqrt(dimensions) if arithmetic == "fp16" else 0.0
    steps = min(float(dimensions), 6 * math.sqrt(dimensions))
    return 1.01 * (steps * unit + 2.0**-24) + 3.1 * narrow + underflow


def check_width(vectors: NDArray[np.floating], dimensions: int, side: str) -> None:
    """Refuse vectors of another width than the index."""
    if vectors.ndim != 2 or vectors.shape[1] != dimensions:
        msg = f"{side} vectors have the shape {vectors.shape}, not [n, {dimensions}]; encode both sides with one model"
        raise InputError(msg)


def check_depth(depth: int) -> None:
    """Refuse a search for no hits."""
    if depth < 1:
        msg = f"depth {depth}: at least 1 hit must be asked for"
        raise UsageError(msg)


def count_ties(similarities: NDArray[np.float32]) -> int:
    """Count the hits that share their similarity with another hit of the same query; each row is descending."""
    return int(both_sides(similarities[:, :-1] == similarities[:, 1:]).sum())


def both_sides(gaps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the hits on either side of the marked gaps between neighbours."""
    hits = np.zeros((len(gaps), gaps.shape[1] + 1), dtype=bool)
    hits[:, :-1] = gaps
    hits[:, 1:] |= gaps
    return hits


def norms(vectors: NDArray[np.float32], side: str, start: int = 0) -> NDArray[np.float32]:
    """Return the lengths of rows. Refuse NaN, infinite and all-zero rows: their scores would be meaningless."""
    squares: NDArray[np.float32] = np.vecdot(vectors, vectors)
    bad = np.flatnonzero(~((squares > 0) & (squares < np.inf)))
    if len(bad):
        what = "all zero" if squares[bad[0]] == 0 else "not finite (NaN, infinite or too large to square)"
        msg = f"the {side} vector of row {start + bad[0]} is {what}; encode again, or mend the precomputed vectors"
        raise InputError(msg)
    return np.sqrt(squares)


def _top(products: NDArray[np.float64], similarities: NDArray[np.float32], positions: NDArray[np.int64]) -> None:
    """Write the largest of each row, descending. Positions ride in the lowest bits, so that one sort moves both."""
    bits = products.view(np.int64)
    bits &= -SMALL
    bits |= np.arange(products.shape[1])
    rest = products.shape[1] - similarities.shape[1]
    if products.shape[1] > _SORTED:
        products.partition(rest, axis=1)
        products = products[:, rest:]
    products.sort(axis=1)
    best = products[:, -similarities.shape[1] :]
    similarities[:] = best[:, ::-1]
    np.bitwise_and(best.view(np.int64)[:, ::-1], SMALL - 1, out=positions)
