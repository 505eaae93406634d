"""The values that pass between stages. Records are frozen; invariants are checked where a value is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

ENGLISH = "eng-Latn"

PairKind = Literal["english", "monolingual", "x-en", "en-x", "direct", "pool"]
Similarity = Literal["cosine", "dot"]
Side = Literal["query", "passage"]


@dataclass(frozen=True, slots=True, order=True)
class LanguagePair:
    """A query language and a passage language (or the name of a pool), in that order.

    >>> str(LanguagePair("deu-Latn", "eng-Latn")), LanguagePair("deu-Latn", "eng-Latn").kind
    ('deu-Latn:eng-Latn', 'x-en')
    """

    query: str
    passage: str

    def __str__(self) -> str:
        return f"{self.query}:{self.passage}"

    @property
    def is_pool(self) -> bool:
        """Whether the passage side mixes languages: pool names are no language codes."""
        return not re.fullmatch(r"[a-z]{3}-[A-Z][a-z]{3}", self.passage)

    @property
    def kind(self) -> PairKind:
        """The column of the result table that this pair belongs to."""
        if self.is_pool:
            return "pool"
        if self.query == self.passage:
            return "english" if self.query == ENGLISH else "monolingual"
        if self.passage == ENGLISH:
            return "x-en"
        return "en-x" if self.query == ENGLISH else "direct"


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
        """Select rows as a new value with its own digests."""
        return make_texts(self.language, self.ids.take(_index(rows)), self.text.take(_index(rows)))


@dataclass(frozen=True, slots=True, eq=False)
class Qrels:
    """Relevance judgements by id: row i says that `passage_ids[i]` has `grades[i]` for `query_ids[i]`."""

    query_ids: pa.Array
    passage_ids: pa.Array
    grades: NDArray[np.int32]
    digest: str
    """SHA-256 (hex) over the rows, sorted by query id and passage id."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A corpus of several languages; its passage ids are `prefix/id`."""

    name: str
    languages: tuple[str, ...]
    prefixes: tuple[str, ...]
    """The card's own code of each language."""


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """What a benchmark is made of. Texts are shared between pairs: a 12 x 12 matrix holds 24 of them."""

    queries: Mapping[str, Texts]
    corpora: Mapping[str, Texts]
    qrels: Mapping[LanguagePair, Qrels]
    """Pairs whose ids are equal share one object; a pool's rows carry the prefixed ids."""
    clusters: Mapping[str, Sequence[str]]
    """Query language -> resampling cluster of each row of its queries."""
    pools: Mapping[str, Pool] = field(default_factory=dict)
    answers: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    """Query language -> gold answer strings of each row, where a benchmark judges by answer."""
    merged: Mapping[str, int] = field(default_factory=dict)
    """Passage language -> rows dropped because id and text were both seen before."""
    candidates: Mapping[LanguagePair, Qrels] = field(default_factory=dict)
    """The passages that may be a query's hits, where a task reranks; the grades mean nothing."""
    searched: Mapping[LanguagePair, NDArray[np.int64]] = field(default_factory=dict)
    """Positions of the passages that a pair searches, ascending, where it is not its whole passage side."""
    excludes_own_ids: bool = False
    """Whether a passage that has the query's own id is no hit: the query itself, in some collections."""
    drops_unanswerable: bool = False
    """Whether queries that are judged without a relevant passage are left out, instead of counting as 0."""
    bodies: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)
    """Passage language -> characters of each text before its body, where answers are judged without titles."""

    def parts(self, passage: str) -> tuple[Texts, ...]:
        """Give the text sets behind a passage side: one for a language, several for a pool."""
        if passage in self.pools:
            return tuple(self.corpora[language] for language in self.pools[passage].languages)
        return (self.corpora[passage],)

    def passage_ids(self, passage: str) -> pa.ChunkedArray:
        """Give the ids of a passage side in position order, prefixed where it is a pool."""
        if passage not in self.pools:
            return self.corpora[passage].ids
        import pyarrow as pa
        import pyarrow.compute as pc

        pool = self.pools[passage]
        chunks: list[pa.Array] = []
        for language, prefix in zip(pool.languages, pool.prefixes, strict=True):
            prefixed = pc.binary_join_element_wise(prefix, self.corpora[language].ids, "/")
            chunks.extend(prefixed.chunks)
        return pa.chunked_array(chunks, pa.string())


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """The qrels of one pair in positions: row i of a run is judged by `positions[indptr[i]:indptr[i + 1]]`."""

    pair: LanguagePair
    query_rows: NDArray[np.int64]
    """Rows of the pair's query texts that count, ascending, [q]."""
    indptr: NDArray[np.int64]
    positions: NDArray[np.int64]
    """Passage positions, ascending within a query, [j]."""
    grades: NDArray[np.int32]
    unjudged: int = 0
    """Queries left out: without any judgement."""
    untranslated: int = 0
    """Queries left out: they have relevant passages, but none in the passage language."""
    unanswerable: int = 0
    """Queries that count as 0: judged, but without a relevant passage in any language."""
    dropped: int = 0
    """Such queries, left out because the card says so."""


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

    A block may also be `codes.CodedRows`, which read as float32 wherever some of them are taken.
    They have unit length where the checkpoint's similarity is cosine.
    """

    blocks: tuple[NDArray[Any], ...]

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


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Ranked hits of one pair, ties settled: similarity, then passage id by bytes, both descending."""

    pair: LanguagePair
    query_rows: NDArray[np.int64]
    """Rows of the pair's query texts, [q]."""
    positions: NDArray[np.int64]
    """Passage positions, [q, depth]; -1 where there is no hit."""
    similarities: NDArray[np.float32]
    """[q, depth]; NaN where there is no hit."""
    ties: int = 0
    """Hits that share their similarity with another hit of the same query."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One value per (pair, query, metric), unrounded, with where they come from."""

    table: pa.Table
    """query_language, passage_language, query_id, cluster_id (strings), one float64 column per metric."""
    metrics: tuple[str, ...]
    provenance: Mapping[str, Any]  # Any: the manifest is JSON
    """The manifest: model, task, digests, versions, settings, counts."""

    def to_pandas(self) -> pd.DataFrame:
        """Give the long form: one row per pair and query."""
        return self.table.to_pandas()


_SAME_SET = {
    "natural-questions": "nq",
    "msmarco": "ms-marco",
    "mrtydi": "mr-tydi",
    "mrtidy": "mr-tydi",
    "tydiqa": "tydi-qa",
}
"""Spellings of training sets on model cards -> the one that task cards use."""


def seen_in_training(manifest: Mapping[str, Any]) -> tuple[str, ...]:  # Any: JSON
    """List the training sets of a result's model that overlap its task, as the task's card names them.

    >>> seen_in_training({"model": {"trained_on": ["miracl/miracl", "squad"]}, "task": {"overlaps": ["miracl-train"]}})
    ('miracl-train',)
    """

    def key(name: str) -> str:
        plain = name.lower().rsplit("/", 1)[-1].replace("_", "-").removesuffix("-train")
        return _SAME_SET.get(plain, plain)

    known = {key(name) for name in manifest["model"].get("trained_on") or ()}
    return tuple(name for name in manifest["task"].get("overlaps") or () if key(name) in known)


def make_texts(language: str, ids: pa.ChunkedArray, text: pa.ChunkedArray) -> Texts:
    """Build a `Texts` with its digests; both columns must be free of nulls and may be memory-mapped."""
    return Texts(language, ids, text, _digest(ids, text), _digest(text))


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


def make_qrels(query_ids: Sequence[str], passage_ids: Sequence[str], grades: Sequence[int]) -> Qrels:
    """Build `Qrels` sorted by query id and passage id, with their digest; the three columns have equal length."""
    import hashlib

    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table(
        {
            "query": pa.array(query_ids, pa.string()),
            "passage": pa.array(passage_ids, pa.string()),
            "grade": pa.array(grades, pa.int32()),
        }
    )
    order = pc.sort_indices(table, sort_keys=[("query", "ascending"), ("passage", "ascending")])
    table = table.take(order).combine_chunks()
    numbers = table["grade"].to_numpy().astype(np.int32)
    ids = _digest(table["query"], table["passage"])
    digest = hashlib.sha256(ids.encode() + numbers.tobytes()).hexdigest()
    return Qrels(_one_chunk(table["query"]), _one_chunk(table["passage"]), numbers, digest)


def _digest(*columns: pa.ChunkedArray) -> str:
    """Hash string columns from their buffers: the same for any chunking and any offset width."""
    import hashlib

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


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _index(rows: Sequence[int] | NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    return pa.array(rows, pa.int64())
