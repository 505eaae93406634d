"""The queries or passages of one language, with the digests that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """One language's queries or passages; the columns may be memory-mapped and larger than memory."""

    language: str
    ids: pa.ChunkedArray
    """Strings, unique, [n]."""
    text: pa.ChunkedArray
    """Strings, never blank, [n]; a passage's title is joined already."""
    digest: str
    """SHA-256 (hex) over ids and texts in order: names what was judged."""
    text_digest: str
    """SHA-256 (hex) over the texts alone: names cached embeddings, whatever the ids."""

    def __len__(self) -> int:
        return len(self.text)

    def head(self, rows: Sequence[int] | NDArray[np.int64]) -> Texts:
        """Return some rows as a new value with its own digests."""
        return make_texts(self.language, self.ids.take(_index(rows)), self.text.take(_index(rows)))


def make_texts(language: str, ids: pa.ChunkedArray, text: pa.ChunkedArray) -> Texts:
    """Build a `Texts` with its digests; both columns must be free of nulls and may be memory-mapped."""
    return Texts(language, ids, text, digest_columns(ids, text), digest_columns(text))


def take_ascending(column: pa.ChunkedArray, positions: NDArray[np.int64]) -> pa.Array:
    """Gather a column's values at ascending positions, chunk by chunk.

    `ChunkedArray.take` may join all chunks first, which is 100 M strings.
    """
    import numpy as np
    import pyarrow as pa

    starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
    cuts = np.searchsorted(positions, starts)
    parts = [
        chunk.take(pa.array(positions[first:last] - start))
        for chunk, start, first, last in zip(column.chunks, starts[:-1], cuts[:-1], cuts[1:], strict=True)
        if last > first
    ]
    return pa.concat_arrays(parts) if parts else pa.array([], column.type)


def digest_columns(*columns: pa.ChunkedArray) -> str:
    """Hash string columns from their buffers: the same for any chunking and any offset width."""
    import numpy as np
    import pyarrow as pa

    lengths, content = hashlib.sha256(), hashlib.sha256()
    for column in columns:
        lengths.update(len(column).to_bytes(8, "little"))
        for chunk in column.chunks:
            wide = pa.types.is_large_string(chunk.type)
            raw = np.frombuffer(chunk.buffers()[1], dtype=np.int64 if wide else np.int32)
            offsets = raw[chunk.offset : chunk.offset + len(chunk) + 1].astype(np.int64)
            lengths.update(np.diff(offsets).tobytes())
            if len(chunk) and offsets[-1] > offsets[0]:
                content.update(memoryview(chunk.buffers()[2])[offsets[0] : offsets[-1]])
    return hashlib.sha256(lengths.digest() + content.digest()).hexdigest()


def _index(rows: Sequence[int] | NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    return pa.array(rows, pa.int64())
