"""The worker that encodes and searches for a run, and the values that travel to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clear_bench.disk import cache_at
from clear_bench.encode import PromptedTexts
from clear_bench.errors import CheckpointError
from clear_bench.indexes import Precision, open_index
from clear_bench.indexes.rows import Hits
from clear_bench.models import open_checkpoint
from clear_bench.models.rows import Advance, EncodedRows, strings
from clear_bench.settings import ModelSettings
from clear_bench.types import Side, Texts

if TYPE_CHECKING:
    from clear_bench.models import Encoder


@dataclass(frozen=True, slots=True)
class Loading:
    """How a worker loads the model that the run was asked for."""

    spec: str
    fingerprint: str
    settings: ModelSettings
    cache: Path
    """Where the process of the run keeps built models."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The texts of one shard, and how a worker encodes them."""

    loading: Loading
    texts: Texts
    side: Side
    prompt: str


@dataclass(frozen=True, slots=True)
class Opening:
    """How a worker opens an index."""

    spec: str
    device: str | None = None
    precision: Precision = "fp32"


@dataclass(frozen=True, slots=True)
class Part:
    """One block of rows: the path of a file that the workers see, or the rows themselves."""

    rows: int
    path: str | None = None
    content: Any = None  # Any: Ray's reference to an array, float32 or float16

    def read(self) -> NDArray[np.floating]:
        """Return the rows; a file is memory-mapped."""
        if self.path is None:
            import ray

            return np.asarray(ray.get(self.content))
        return np.asarray(np.load(self.path, mmap_mode="r", allow_pickle=False))


class Worker:
    """Encodes and searches in a process of its own. It keeps the model that it loaded last."""

    def __init__(self) -> None:
        self._encoder: Encoder | None = None
        self._loaded = ""

    def encode(self, unit: Unit, advance: Advance = lambda _: None) -> EncodedRows:
        """Encode one shard's texts."""
        if self._encoder is None or self._loaded != unit.loading.fingerprint:
            self._encoder = None  # its memory goes first
            self._encoder, self._loaded = _load(unit.loading), unit.loading.fingerprint
        return self._encoder.encode(unit.texts, range(len(unit.texts)), unit.side, unit.prompt, advance)

    def search(
        self, parts: Sequence[Part], opening: Opening, queries: NDArray[np.float32], k: int
    ) -> tuple[Hits, float, bool]:
        """Search one group. Return its hits, the index's error bound, and whether the index is coarse."""
        index = open_index(opening.spec, queries.shape[1], opening.device, opening.precision)
        for part in parts:
            index.add(part.read())
        return index.search(queries, k), index.error, index.is_coarse

    def sees(self, path: str) -> bool:
        """Whether the worker sees a file of the run's process."""
        return Path(path).is_file()


def unit_of(loading: Loading, texts: PromptedTexts, rows: range) -> Unit:
    """Copy some rows out, so that only they travel to the worker."""
    import pyarrow as pa

    whole = texts.texts
    ids: list[str] = whole.ids.slice(rows.start, len(rows)).to_pylist()
    copied, text = (pa.chunked_array([pa.array(column, pa.string())]) for column in (ids, strings(whole, rows)))
    return Unit(loading, Texts(whole.language, copied, text, "", ""), texts.side, texts.prompt)


def _load(loading: Loading) -> Encoder:
    from clear_bench.models.loading import load_encoder

    with cache_at(loading.cache):
        checkpoint = open_checkpoint(loading.spec, loading.settings)
    if checkpoint.fingerprint != loading.fingerprint:
        msg = (
            f"a worker found other weights under {loading.spec!r} than the machine that started the run: fingerprint "
            f"{checkpoint.fingerprint[:8]} instead of {loading.fingerprint[:8]}; put the same model on every node"
        )
        raise CheckpointError(msg)
    encoder = load_encoder(checkpoint, loading.settings)
    device = loading.settings.device or ""
    if device.startswith("cuda:"):
        import torch

        torch.cuda.set_device(device)  # pinned memory would open a context on the first GPU, too
    return encoder
