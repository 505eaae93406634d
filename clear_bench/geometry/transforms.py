"""Linear maps that take language out of vectors without training, estimated on texts and applied row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_bench.stats.clusters import Floats

Vectors = NDArray[np.float32]
Blocks = Callable[[], Iterable[Vectors]]
"""Loads the vectors of one language, block by block."""

SHRINK = 1.0
"""Mean variances of a dimension that whitening adds to each: few texts leave directions with next to none."""
PIECE = 4096
"""Rows worked on at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """One language's map: less the offset, without the part along `removed`, times the matrix, at unit length."""

    offset: Vectors | None = None
    """[d]"""
    removed: Vectors | None = None
    """Orthonormal columns, [d, r]."""
    matrix: Vectors | None = None
    """[d, d]"""
    is_unit: bool = True
    """Whether rows are scaled to length 1, as where they are compared by cosine."""

    def apply(self, vectors: Vectors) -> Vectors:
        """Map rows, [n, d]."""
        found = np.array(vectors, dtype=np.float32)
        if self.offset is not None:
            found -= self.offset
        if self.removed is not None:
            found -= (found @ self.removed) @ self.removed.T
        if self.matrix is not None:
            found = found @ self.matrix
        if self.is_unit:
            lengths = np.sqrt(np.einsum("nd,nd->n", found, found, dtype=np.float64))
            found /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None].astype(np.float32)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class MappedRows:
    """Stored rows that are mapped where they are read, by slice or by position."""

    rows: NDArray[np.floating]
    """[n, d], often memory-mapped."""
    map: Map

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return len(self.rows), int(self.rows.shape[1])

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """What they read as."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Vectors:
        return self.map.apply(np.asarray(self.rows[rows], dtype=np.float32))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.floating]:  # Any: NumPy's protocol
        return self[:].astype(dtype or np.float32, copy=False)


def mean(blocks: Blocks) -> Floats:
    """Return the mean vector, [d]."""
    total, count = np.zeros(1), 0
    for block in blocks():
        total = total + block.sum(axis=0, dtype=np.float64)
        count += len(block)
    return np.asarray(total / count)


def center(blocks: Blocks) -> Map:
    """Subtract the mean."""
    return Map(offset=mean(blocks).astype(np.float32))


def whitening(languages: Sequence[Blocks]) -> Vectors:
    """Return the matrix [d, d] that evens out what all languages vary by, each around its own mean (shrunk ZCA)."""
    total, count = np.zeros((1, 1)), 0
    for blocks in languages:
        centre = mean(blocks).astype(np.float32)
        for block in _pieces(blocks):
            away = block - centre
            total = total + (away.T @ away).astype(np.float64)
            count += len(away)
    values, axes = np.linalg.eigh(total / count)
    scales = 1 / np.sqrt(values.clip(0) + SHRINK * values.clip(0).mean())
    return np.asarray((axes * scales) @ axes.T, dtype=np.float32)


def leading(blocks: Blocks, count: int = 1) -> Map:
    """Remove the leading right singular vectors of a language's vectors (LIR; Yang et al. 2021)."""
    gram = np.zeros((1, 1))
    for block in _pieces(blocks):
        gram = gram + (block.T @ block).astype(np.float64)
    axes = np.linalg.eigh(gram)[1]
    return Map(removed=np.asarray(axes[:, : -count - 1 : -1], dtype=np.float32))


def shift(language: Vectors, english: Vectors) -> Map:
    """Subtract how far translations lie from their English texts on average, [n, d] each (SHIFT; Jang et al. 2026)."""
    away: Floats = language.mean(axis=0, dtype=np.float64) - english.mean(axis=0, dtype=np.float64)
    return Map(offset=away.astype(np.float32))


def _pieces(blocks: Blocks) -> Iterable[Vectors]:
    for block in blocks():
        for row in range(0, len(block), PIECE):
            yield block[row : row + PIECE]


Maps = Mapping[str, Map]
"""Language -> its map."""
