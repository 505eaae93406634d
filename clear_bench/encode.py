"""Checkpoint + Texts -> Embeddings: each text once, in shards that outlive a kill, checked before anybody uses them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import CheckpointError, UsageError
from clear_bench.models.rows import Advance, EncodedRows
from clear_bench.quantise import CODINGS
from clear_bench.settings import StoreDtype
from clear_bench.store.embeddings import EmbeddingKey, EmbeddingStore, Shards
from clear_bench.types import Checkpoint, Embeddings, Side, Texts

if TYPE_CHECKING:
    from clear_bench.models import Encoder


class Pool(Protocol):
    """Encodes parts of a text set on several workers."""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended; then it waits for no other process."""
        ...

    def encode(
        self, texts: Texts, parts: Sequence[range], side: Side, prompt: str, advance: Advance
    ) -> Iterator[tuple[range, EncodedRows]]:
        """Give the vectors of each part as soon as they are there, in any order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """The embeddings of one text set, and what they took, whether now or in an earlier run."""

    embeddings: Embeddings
    texts: int
    tokens: int | None
    """Tokens encoded, specials and prompts included; None where the encoder does not count them."""
    truncated: int | None
    """Texts that were longer than the model reads."""
    fresh: int
    """Texts encoded by this call; the others were there."""
    cosines: tuple[float, float] | None = None
    """Mean and least cosine of the vectors with what they were, where the store keeps int8 or binary ones."""

    @property
    def truncated_share(self) -> float | None:
        """Share of texts that were cut, 0-1."""
        return None if self.truncated is None else self.truncated / self.texts


def encode(
    checkpoint: Checkpoint,
    texts: Texts,
    side: Side,
    prompt: str,
    store: EmbeddingStore,
    encoder: Callable[[], Encoder],
    *,
    store_dtype: StoreDtype = "float32",
    advance: Advance = lambda _: None,
    tell: Callable[[float], None] = lambda _: None,
    pool: Pool | None = None,
) -> Encoding:
    """Give the vectors of a text set, from the store as far as they are there.

    `encoder` is called only when something is missing, so a complete cache loads no model; where there is a `pool`, its
    workers encode instead. `advance` gets the number of texts just encoded, `tell` the share of the device's peak that
    a shard was encoded at, where it is known. Vectors have unit length where the checkpoint's similarity is cosine.
    Raises `CheckpointError` for a vector that is zero, not finite or of another width, naming text and language.
    """
    shards = _open(checkpoint, texts, side, prompt, store, store_dtype, checkpoint.truncate_dim)
    fresh = 0
    if shards.missing():
        full = _open(checkpoint, texts, side, prompt, store, store_dtype)

        def by_model(parts: Sequence[range]) -> Iterator[tuple[range, EncodedRows]]:
            done = (
                pool.encode(texts, parts, side, prompt, advance)
                if pool
                else ((rows, encoder().encode(texts, rows, side, prompt, advance)) for rows in parts)
            )
            for rows, encoded in done:
                if encoded.share is not None:
                    tell(encoded.share)
                yield rows, _checked(encoded, texts, rows, checkpoint, full.dimensions)

        fresh = _fill(full, by_model, pool)
        if checkpoint.truncate_dim is not None:
            _fill(shards, lambda parts: ((rows, _cut(full, rows, texts, checkpoint)) for rows in parts), pool)
        shards.read()
    embeddings = Embeddings(shards.blocks())
    tokens, truncated = shards.total("tokens"), shards.total("truncated")
    return Encoding(embeddings, len(texts), tokens, truncated, fresh, shards.cosines)


def pending(
    checkpoint: Checkpoint,
    texts: Texts,
    side: Side,
    prompt: str,
    store: EmbeddingStore,
    store_dtype: StoreDtype = "float32",
) -> int:
    """Count the texts that `encode` would still have to encode."""
    if not _open(checkpoint, texts, side, prompt, store, store_dtype, checkpoint.truncate_dim).missing():
        return 0
    return _open(checkpoint, texts, side, prompt, store, store_dtype).missing_rows


def stored_dtype(store_dtype: StoreDtype, side: Side) -> StoreDtype:
    """Say how one side is stored: queries are few, and stay as they are where passages are coded."""
    return "float32" if side == "query" and store_dtype in CODINGS else store_dtype


def _open(
    checkpoint: Checkpoint,
    texts: Texts,
    side: Side,
    prompt: str,
    store: EmbeddingStore,
    store_dtype: StoreDtype,
    truncate_dim: int | None = None,
) -> Shards:
    dtype = stored_dtype(store_dtype, side)
    known = texts.text_digest
    if checkpoint.is_by_row:  # two languages may have equal texts and other vectors
        known = hashlib.sha256(f"{texts.language} {texts.digest}".encode()).hexdigest()
    key = EmbeddingKey(checkpoint.cache_digest, known, side, prompt, dtype, truncate_dim)
    return store.open(key, len(texts), {"model": checkpoint.name, "language": texts.language})


def _fill(
    shards: Shards, make: Callable[[Sequence[range]], Iterable[tuple[range, EncodedRows]]], pool: Pool | None
) -> int:
    """Make the missing shards, each written as soon as it is there; gives how many rows were made."""
    made = 0
    if shards.missing():
        with shards.lock(lambda: pool is not None and pool.is_over):
            for rows, encoded in make([shards.rows_of(shard) for shard in shards.missing()]):
                shard = rows.start // shards.step
                _check_range(encoded.vectors, shards.key.dtype)
                shards.write(shard, encoded.vectors, encoded.tokens, encoded.truncated)
                made += len(rows)
    return made


def _checked(
    encoded: EncodedRows, texts: Texts, rows: range, checkpoint: Checkpoint, dimensions: int | None
) -> EncodedRows:
    """Refuse vectors that would give a wrong number, and normalise the others where the similarity is cosine."""
    vectors = encoded.vectors
    if vectors.ndim != 2 or len(vectors) != len(rows) or vectors.shape[1] != (dimensions or vectors.shape[1]):
        msg = (
            f"{checkpoint.name} gave vectors of shape {list(vectors.shape)} for {len(rows)} texts in {texts.language}, "
            f"from {texts.ids[rows.start].as_py()!r} on; expected {[len(rows), dimensions or 'd']}"
        )
        raise CheckpointError(msg)
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        row, length = int(bad[0]), lengths[bad[0]]
        what = "zero" if length == 0 else "not finite (NaN or infinity)"
        msg = (
            f"{checkpoint.name} gave a vector that is {what} for text {texts.ids[rows[row]].as_py()!r} in "
            f"{texts.language}, and {len(bad) - 1} more in this shard; try --precision fp32, or look at the weights"
        )
        raise CheckpointError(msg)
    if checkpoint.similarity == "cosine":
        vectors = vectors / lengths[:, None].astype(np.float32)
    return EncodedRows(vectors, encoded.tokens, encoded.truncated)


def _cut(full: Shards, rows: range, texts: Texts, checkpoint: Checkpoint) -> EncodedRows:
    """Keep the first dimensions of a shard, normalised anew where the similarity is cosine."""
    line = full.line(rows.start // full.step)
    wanted = checkpoint.truncate_dim or line.dim
    if wanted > line.dim:
        msg = f"--truncate-dim {wanted} is more than the {line.dim} dimensions of {checkpoint.name}"
        raise UsageError(msg)
    block = full.block(line.shard)[:][:, :wanted].astype(np.float32)
    return _checked(EncodedRows(block, line.tokens, line.truncated), texts, rows, checkpoint, wanted)


def _check_range(vectors: NDArray[np.float32], dtype: StoreDtype) -> None:
    if dtype == "float16" and np.abs(vectors).max(initial=0) > np.finfo(np.float16).max:
        msg = "these vectors have values above 65,504, which float16 cannot hold; use --store-dtype float32"
        raise UsageError(msg)
