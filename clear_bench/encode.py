"""Checkpoint + Texts -> Embeddings: each text once, in shards that survive a kill, checked before they are used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import CheckpointError, UsageError
from clear_bench.models.prompts import passage_prompt, query_prompt
from clear_bench.models.rows import Advance, EncodedRows, mean_bytes, strings
from clear_bench.progress import Progress
from clear_bench.quantise import CODINGS
from clear_bench.settings import StoreDtype
from clear_bench.store.embeddings import EmbeddingKey, EmbeddingStore, Shards
from clear_bench.types import Checkpoint, Embeddings, Side, Texts

if TYPE_CHECKING:
    from clear_bench.models import Encoder


@dataclass(frozen=True, slots=True, eq=False)
class PromptedTexts:
    """One language's queries or passages as a checkpoint reads them: behind a prompt."""

    checkpoint: Checkpoint
    texts: Texts
    side: Side
    prompt: str

    @classmethod
    def of(cls, checkpoint: Checkpoint, texts: Texts, side: Side, instruction: str | None = None) -> PromptedTexts:
        """Put the checkpoint's prompt of a side before texts; a task's instruction fills the query prompt."""
        prompt = query_prompt(checkpoint, instruction) if side == "query" else passage_prompt(checkpoint)
        return cls(checkpoint, texts, side, prompt)

    def strings(self, rows: range) -> list[str]:
        """Return some rows as Python strings, each behind the prompt."""
        return [self.prompt + text for text in strings(self.texts, rows)]

    @property
    def mean_bytes(self) -> float:
        """Bytes of a text on average: passages take longer than queries."""
        return mean_bytes(self.texts)


class Pool(Protocol):
    """Encodes parts of a text set on several workers."""

    @property
    def is_over(self) -> bool:
        """Whether the run has ended. Then it waits for no other process."""
        ...

    def encode(
        self, texts: PromptedTexts, parts: Sequence[range], advance: Advance
    ) -> Iterator[tuple[range, EncodedRows]]:
        """Yield the vectors of each part as soon as they are there, in any order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """The embeddings of one text set and their cost, in this run or an earlier one."""

    embeddings: Embeddings
    texts: int
    tokens: int | None
    """Tokens encoded, with special tokens and prompts; None if the encoder does not count them."""
    truncated: int | None
    """Texts that were longer than the model reads."""
    fresh: int
    """Texts encoded by this call; the others were in the store."""
    cosines: tuple[float, float] | None = None
    """Mean and least cosine of the stored vectors with the original ones, when the store keeps int8 or binary."""

    @property
    def truncated_share(self) -> float | None:
        """Share of texts that were cut, 0-1."""
        return None if self.truncated is None else self.truncated / self.texts


def encode(
    texts: PromptedTexts,
    store: EmbeddingStore,
    encoder: Callable[[], Encoder],
    *,
    store_dtype: StoreDtype = "float32",
    shown: Progress | None = None,
    pool: Pool | None = None,
) -> Encoding:
    """Return the vectors of a text set; only those that the store lacks are encoded.

    `encoder` is called only when something is missing, so a complete cache loads no model. With a `pool`, its workers
    encode instead. Vectors have unit length where the checkpoint's similarity is cosine. Raises `CheckpointError` for a
    vector that is zero, not finite or of another width, naming text and language.
    """
    shards = _open(texts, store, store_dtype, texts.checkpoint.truncate_dim)
    fresh = 0
    if shards.missing():
        full = _open(texts, store, store_dtype)
        shown = shown or Progress(len(texts.texts), 0.0)
        fresh = _fill(full, lambda parts: _by_model(texts, parts, full, encoder, shown, pool), pool)
        if texts.checkpoint.truncate_dim is not None:
            _fill(shards, lambda parts: ((rows, _cut(full, rows, texts)) for rows in parts), pool)
        shards.read()
    tokens, truncated = shards.total("tokens"), shards.total("truncated")
    return Encoding(Embeddings(shards.blocks()), len(texts.texts), tokens, truncated, fresh, shards.cosines)


def pending(texts: PromptedTexts, store: EmbeddingStore, store_dtype: StoreDtype = "float32") -> int:
    """Count the texts that `encode` would still have to encode."""
    if not _open(texts, store, store_dtype, texts.checkpoint.truncate_dim).missing():
        return 0
    return _open(texts, store, store_dtype).missing_rows


def stored_dtype(store_dtype: StoreDtype, side: Side) -> StoreDtype:
    """Return how one side is stored: queries are few, and stay as they are where passages are coded."""
    return "float32" if side == "query" and store_dtype in CODINGS else store_dtype


def _open(
    texts: PromptedTexts, store: EmbeddingStore, store_dtype: StoreDtype, truncate_dim: int | None = None
) -> Shards:
    checkpoint, known = texts.checkpoint, texts.texts.text_digest
    if checkpoint.is_by_row:  # two languages may have equal texts and other vectors
        known = hashlib.sha256(f"{texts.texts.language} {texts.texts.digest}".encode()).hexdigest()
    dtype = stored_dtype(store_dtype, texts.side)
    key = EmbeddingKey(checkpoint.cache_digest, known, texts.side, texts.prompt, dtype, truncate_dim)
    return store.open(key, len(texts.texts), {"model": checkpoint.name, "language": texts.texts.language})


def _by_model(
    texts: PromptedTexts,
    parts: Sequence[range],
    shards: Shards,
    encoder: Callable[[], Encoder],
    shown: Progress,
    pool: Pool | None,
) -> Iterator[tuple[range, EncodedRows]]:
    """Encode parts of a text set by the pool or here, and check what comes back."""
    advance = partial(shown, each=texts.mean_bytes)
    here = ((rows, encoder().encode(texts.texts, rows, texts.side, texts.prompt, advance)) for rows in parts)
    for rows, encoded in pool.encode(texts, parts, advance) if pool else here:
        if encoded.share is not None:
            shown.tell(encoded.share)
        yield rows, _checked(encoded, texts, rows, shards.dimensions)  # known from the first shard on


def _fill(
    shards: Shards, make: Callable[[Sequence[range]], Iterable[tuple[range, EncodedRows]]], pool: Pool | None
) -> int:
    """Make the missing shards, each written as soon as it is there. Return how many rows were made."""
    made = 0
    if shards.missing():
        with shards.lock(lambda: pool is not None and pool.is_over):
            for rows, encoded in make([shards.rows_of(shard) for shard in shards.missing()]):
                shard = rows.start // shards.step
                _check_range(encoded.vectors, shards.key.dtype)
                shards.write(shard, encoded.vectors, encoded.tokens, encoded.truncated)
                made += len(rows)
    return made


def _checked(encoded: EncodedRows, texts: PromptedTexts, rows: range, dimensions: int | None) -> EncodedRows:
    """Refuse vectors that would give a wrong number, and normalise the others where the similarity is cosine."""
    vectors, name, language = encoded.vectors, texts.checkpoint.name, texts.texts.language
    if vectors.ndim != 2 or len(vectors) != len(rows) or vectors.shape[1] != (dimensions or vectors.shape[1]):
        msg = (
            f"{name} gave vectors of shape {list(vectors.shape)} for {len(rows)} texts in {language}, "
            f"from {texts.texts.ids[rows.start].as_py()!r} on; expected {[len(rows), dimensions or 'd']}"
        )
        raise CheckpointError(msg)
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        row, length = int(bad[0]), lengths[bad[0]]
        what = "zero" if length == 0 else "not finite (NaN or infinity)"
        msg = (
            f"{name} gave a vector that is {what} for text {texts.texts.ids[rows[row]].as_py()!r} in {language}, "
            f"and {len(bad) - 1} more in this shard; try --precision fp32, or look at the weights"
        )
        raise CheckpointError(msg)
    if texts.checkpoint.similarity == "cosine":
        vectors = vectors / lengths[:, None].astype(np.float32)
    return EncodedRows(vectors, encoded.tokens, encoded.truncated)


def _cut(full: Shards, rows: range, texts: PromptedTexts) -> EncodedRows:
    """Keep the first dimensions of a shard, normalised anew where the similarity is cosine."""
    line = full.line(rows.start // full.step)
    wanted = texts.checkpoint.truncate_dim or line.dim
    if wanted > line.dim:
        msg = f"--truncate-dim {wanted} is more than the {line.dim} dimensions of {texts.checkpoint.name}"
        raise UsageError(msg)
    block = full.block(line.shard)[:][:, :wanted].astype(np.float32)
    return _checked(EncodedRows(block, line.tokens, line.truncated), texts, rows, wanted)


def _check_range(vectors: NDArray[np.float32], dtype: StoreDtype) -> None:
    if dtype == "float16" and np.abs(vectors).max(initial=0) > np.finfo(np.float16).max:
        msg = "these vectors have values above 65,504, which float16 cannot hold; use --store-dtype float32"
        raise UsageError(msg)
