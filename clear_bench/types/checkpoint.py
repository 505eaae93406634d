"""A model as it is evaluated, and the vectors that it gives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Similarity = Literal["cosine", "dot"]
Side = Literal["query", "passage"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as it is evaluated: what changes its vectors is in the fingerprint, a path never is."""

    name: str
    """What the user typed: a folder, a hub id, `embedded:NAME`, or a name given to an object."""
    path: Path | None
    """Local folder, already fetched; None for encoder objects and precomputed vectors."""
    fingerprint: str
    """SHA-256 (hex) of weights, configuration, prompts and encoding settings."""
    weights_digest: str
    prompts: Mapping[str, str]
    """Under `query` and `passage`: the text put before each one. A `query` prompt may hold `{instruction}`, and
    `instruction` is then what stands there where a task gives none."""
    similarity: Similarity = "cosine"
    max_seq_length: int | None = None
    precision: str | None = None
    """Of the weights; None where there are none here: words, a stored run, vectors of others."""
    revision: str | None = None
    licence: str | None = None
    trained_on: tuple[str, ...] = ()
    """Names of training sets that its card or manifest lists."""
    truncate_dim: int | None = None
    """Dimensions kept of each vector."""
    cache_digest: str = ""
    """Names cached embeddings: the fingerprint as it would be without `truncate_dim`, which is applied after them."""
    is_by_row: bool = False
    """Whether its vectors belong to the rows of a language, whatever their texts say: they were computed elsewhere."""

    @property
    def slug(self) -> str:
        """Folder name: the sanitised model name and 8 digits of the fingerprint."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name.rstrip("/").replace("embedded:", "")).strip("-.")
        return f"{stem[-60:].strip('-.') or 'model'}-{self.fingerprint[:8]}"


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """The vectors of one `Texts`: consecutive row blocks [n_i, d], float32 or float16, often memory-mapped.

    A block may also be `quantise.CodedRows`, which read as float32 wherever some of them are taken.
    They have unit length where the checkpoint's similarity is cosine.
    """

    blocks: tuple[NDArray[Any], ...]  # Any: floats of either width, or coded rows

    def __len__(self) -> int:
        return sum(len(block) for block in self.blocks)

    @property
    def dimensions(self) -> int:
        """Width of the vectors."""
        return int(self.blocks[0].shape[1])

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Gather rows as float32, [len(rows), d]."""
        import numpy as np

        if len(self.blocks) == 1:
            return np.asarray(self.blocks[0][rows], dtype=np.float32)
        starts = np.cumsum([0, *(len(block) for block in self.blocks)])
        out = np.empty((len(rows), self.dimensions), dtype=np.float32)
        order = np.argsort(rows)
        cuts = np.searchsorted(rows[order], starts)
        for i in np.flatnonzero(np.diff(cuts)):
            chosen = order[cuts[i] : cuts[i + 1]]
            out[chosen] = self.blocks[i][rows[chosen] - starts[i]]
        return out

    def stream(self) -> Iterator[NDArray[np.float32]]:
        """Yield the blocks as float32, one at a time."""
        import numpy as np

        for block in self.blocks:
            yield np.asarray(block, dtype=np.float32)
