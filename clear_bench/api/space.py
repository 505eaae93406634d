"""Sample the vectors of a plan for measuring: the texts of each language, and which of them are translations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clear_bench.languages import english_first
from clear_bench.qrels import find_rows
from clear_bench.stats.clusters import Ints
from clear_bench.types import Collection, Embeddings, Side, Texts

WIDER = 4
"""Candidates drawn for each text of a sample: languages may lack some of them."""
COVERED = 0.5
"""Share of the candidates that a language needs to be measured together with the others."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Languages of one side whose texts are translations of each other where their ids are equal; perhaps one alone."""

    side: Side
    languages: tuple[str, ...]
    rows: Mapping[str, Ints]
    """Language -> row of each candidate text, -1 where the language lacks it; in random order."""
    clusters: Ints
    """Resampling cluster of each candidate."""
    embeddings: Mapping[str, Embeddings]
    size: int
    """Texts of a sample."""

    def columns(self, *languages: str) -> Ints:
        """Return the candidates that all of these languages have, at most `size` of them."""
        has_all = np.logical_and.reduce([self.rows[language] >= 0 for language in languages])
        return np.sort(np.flatnonzero(has_all)[: self.size]).astype(np.int64)

    def vectors(self, language: str, columns: Ints) -> NDArray[np.float32]:
        """Load the vectors of candidates, at unit length."""
        return unit(self.raw(language, columns))

    def raw(self, language: str, columns: Ints) -> NDArray[np.float32]:
        """Load the vectors of candidates as they are stored."""
        return self.embeddings[language].take(self.rows[language][columns])

    def loads(self, columns: Ints, languages: Sequence[str]) -> list[Callable[[], NDArray[np.float32]]]:
        """Return what loads the same candidates in each language."""
        return [partial(self.vectors, language, columns) for language in languages]

    @property
    def together(self) -> tuple[str, ...]:
        """The languages that have enough of the candidates to be measured together."""
        most = max((rows >= 0).sum() for rows in self.rows.values())
        return tuple(one for one in self.languages if (self.rows[one] >= 0).sum() >= COVERED * most)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield every two languages once."""
        for i, one in enumerate(self.languages):
            for other in self.languages[i + 1 :]:
                yield one, other


def groups(
    collection: Collection, embeddings: Mapping[str, Embeddings], side: Side, size: int, seed: int
) -> list[Group]:
    """Group the languages of a side by translation, the largest group first, and draw texts of each."""
    texts = collection.queries if side == "query" else collection.corpora
    known = [language for language in english_first(texts) if language in embeddings]
    made = [_group(collection, embeddings, side, part, size, seed) for part in parallel(collection, side, known)]
    return sorted(made, key=lambda group: -len(group.languages))


def parallel(collection: Collection, side: Side, languages: Sequence[str]) -> list[tuple[str, ...]]:
    """Divide languages into those whose equal ids mean translations.

    Judgements that hold for several pairs as they are say so: the same questions have the same passages there.
    """
    found = {language: {language} for language in languages}
    shared: dict[str, str] = {}
    for pair, qrels in collection.qrels.items():
        language = pair.query if side == "query" else pair.passage
        if language not in found or pair.is_pool or not len(qrels.query_ids):
            continue
        joined = found[language] | found[shared.setdefault(qrels.digest, language)]
        for member in joined:
            found[member] = joined
    return list(dict.fromkeys(tuple(one for one in languages if one in found[language]) for language in languages))


def apart(groups: Sequence[Group], size: int) -> Group | None:
    """Put languages that have no translations side by side, text i of each; None where there is one language."""
    languages = tuple(language for group in groups for language in group.languages)
    if len(languages) < 2:
        return None
    own = {language: group.rows[language][group.columns(language)] for group in groups for language in group.languages}
    least = min(map(len, own.values()))
    rows = {language: mine[:least] for language, mine in own.items()}
    embeddings = {language: group.embeddings[language] for group in groups for language in group.languages}
    return Group(groups[0].side, languages, rows, np.arange(least), embeddings, size)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny)[:, None].astype(np.float32))


def _group(
    collection: Collection,
    embeddings: Mapping[str, Embeddings],
    side: Side,
    languages: tuple[str, ...],
    size: int,
    seed: int,
) -> Group:
    texts = {one: (collection.queries if side == "query" else collection.corpora)[one] for one in languages}
    fullest = max(languages, key=lambda one: len(texts[one]))
    drawn = _draw(len(texts[fullest]), WIDER * size if len(languages) > 1 else size, seed)
    ids = texts[fullest].ids.take(pa.array(drawn)).combine_chunks()
    rows = {one: drawn if one == fullest else find_rows(ids, texts[one].ids) for one in languages}
    labels = drawn
    if side == "query":
        names = [str(collection.clusters[fullest][row]) for row in drawn.tolist()]
        labels = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return Group(side, languages, rows, labels, {one: embeddings[one] for one in languages}, size)


def _draw(total: int, size: int, seed: int) -> Ints:
    """Draw rows without repeats, in random order."""
    return np.random.default_rng(seed).choice(total, min(size, total), replace=False).astype(np.int64)


def ids_of(texts: Texts, rows: Ints) -> list[str]:
    """Return the ids of rows."""
    return [str(name) for name in texts.ids.take(pa.array(rows)).to_pylist()]
