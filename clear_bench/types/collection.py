"""A benchmark as it is read: texts, relevance judgements, pools of languages, gold answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clear_bench.types.judgements import Qrels
from clear_bench.types.pairs import LanguagePair
from clear_bench.types.texts import Texts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


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
    """Whether a passage with the query's own id is left out of the hits; in some collections it is the query itself."""
    drops_unanswerable: bool = False
    """Whether queries that are judged without a relevant passage are left out, instead of counting as 0."""
    bodies: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)
    """Passage language -> characters of each text before its body, where answers are judged without titles."""

    def parts(self, passage: str) -> tuple[Texts, ...]:
        """Return the text sets behind a passage side: one for a language, several for a pool."""
        if passage in self.pools:
            return tuple(self.corpora[language] for language in self.pools[passage].languages)
        return (self.corpora[passage],)

    def passage_ids(self, passage: str) -> pa.ChunkedArray:
        """Return the ids of a passage side in position order, prefixed where it is a pool."""
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
