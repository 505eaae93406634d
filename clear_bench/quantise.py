"""Code rows as 8 bits or 1 bit a number, with a scale for each row, and read them back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Coding = Literal["int8", "binary"]
CODINGS: tuple[Coding, ...] = ("int8", "binary")

_SCALE = 4
"""Bytes of a row's scale, a little-endian float32 before its codes."""
_PIECE = 1024
"""Rows worked on at once, so that a shard needs little more memory than its vectors."""


def row_bytes(coding: Coding, dimensions: int) -> int:
    """Return the bytes of one coded row."""
    return _SCALE + (dimensions if coding == "int8" else -(-dimensions // 8))


def code(vectors: NDArray[np.float32], coding: Coding) -> NDArray[np.uint8]:
    """Code rows, [n, row_bytes]. A row's bytes depend on that row alone.

    int8: multiples of a 127th of the row's largest magnitude, so that no number moves by more than half of that.
    binary: signs. Their scale is such that the product of the row with its coded self is what it was.
    """
    raw = np.empty((len(vectors), row_bytes(coding, vectors.shape[1])), dtype=np.uint8)
    for part in _parts(len(vectors)):
        scales, codes = _code(vectors[part], coding)
        raw[part, :_SCALE] = scales.astype("<f4")[:, None].view(np.uint8)
        raw[part, _SCALE:] = codes
    return raw


def _code(vectors: NDArray[np.float32], coding: Coding) -> tuple[NDArray[np.floating], NDArray[np.uint8]]:
    magnitudes = np.abs(vectors)
    if coding == "int8":
        scales = magnitudes.max(axis=1) / np.float32(127)
        return scales, np.rint(vectors / _divisor(scales)[:, None]).astype(np.int8).view(np.uint8)
    squares = np.square(vectors, dtype=np.float64).sum(axis=1)
    return squares / _divisor(magnitudes.sum(axis=1, dtype=np.float64)), np.packbits(vectors >= 0, axis=1)


def _divisor(sizes: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(sizes > 0, sizes, sizes.dtype.type(1))


def _parts(rows: int) -> Iterator[slice]:
    return (slice(row, row + _PIECE) for row in range(0, rows, _PIECE))


@dataclass(frozen=True, slots=True, eq=False)
class CodedRows:
    """Coded rows that are read as float32, by slice or by position."""

    raw: NDArray[np.uint8]
    """[n, row_bytes], often memory-mapped."""
    coding: Coding
    dimensions: int
    axis: NDArray[np.float32] | None = None
    """A unit vector (or zero), [d]: what a row has along it was taken away before the row was coded."""
    along: NDArray[np.float32] | None = None
    """What each row has along the axis, [n]."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width, as they read."""
        return len(self.raw), self.dimensions

    @property
    def ndim(self) -> int:
        """Two."""
        return 2

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """What they read as."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        raw = np.asarray(self.raw[rows])
        codes = raw[:, _SCALE:]
        if self.coding == "int8":
            vectors = codes.view(np.int8).astype(np.float32)
        else:
            vectors = np.unpackbits(codes, axis=1, count=self.dimensions).astype(np.float32)
            vectors *= 2
            vectors -= 1
        vectors *= raw[:, :_SCALE].view("<f4")
        if self.axis is not None and self.along is not None:
            vectors += (self.along[rows] - vectors @ self.axis)[:, None] * self.axis
        return vectors

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.floating]:  # Any: NumPy's protocol
        return self[:].astype(dtype or np.float32, copy=False)


def cosines(vectors: NDArray[np.float32], coded: CodedRows) -> NDArray[np.float64]:
    """Return the cosine of each row with its coded self, [n]."""
    found = np.empty(len(vectors))
    for part in _parts(len(vectors)):
        a, b = vectors[part].astype(np.float64), coded[part].astype(np.float64)
        found[part] = np.vecdot(a, b) / np.sqrt(np.vecdot(a, a) * np.vecdot(b, b))
    return found
