"""Join the subsets of a task of mteb into one collection, also where every subset has its own texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clear_bench.errors import DataError
from clear_bench.qrels import find_rows
from clear_bench.types import LanguagePair, Qrels, Texts, make_qrels, make_texts


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """The texts of all subsets, by language."""

    texts: Mapping[str, Texts]
    rows: Mapping[LanguagePair, NDArray[np.int64]]
    """Rows of a pair, ascending, where the subsets of its language differ."""
    prefixes: Mapping[LanguagePair, str]
    """Text before the ids of a pair, where one id names different texts in different subsets."""


def joined(sets: Mapping[LanguagePair, Texts], named: Mapping[LanguagePair, str]) -> Joined:
    """Join the texts of subsets by language. An id occurs once if it names one text, else once in each subset."""
    groups: dict[str, dict[LanguagePair, Texts]] = {}
    for pair, texts in sets.items():
        groups.setdefault(texts.language, {})[pair] = texts
    whole: dict[str, Texts] = {}
    rows: dict[LanguagePair, NDArray[np.int64]] = {}
    prefixes: dict[LanguagePair, str] = {}
    for language, own in groups.items():
        whole[language] = next(iter(own.values()))
        if len({one.digest for one in own.values()}) == 1:
            continue
        whole[language] = _stacked(language, own.values())
        if (first := _first_rows(whole[language])) is not None:
            whole[language] = whole[language].head(first)
        else:
            prefixes |= {pair: f"{named[pair]}/" for pair in own}
            own = {pair: _prefixed(one, prefixes[pair]) for pair, one in own.items()}
            whole[language] = _stacked(language, own.values())
        ids = whole[language].ids
        rows |= {pair: np.sort(find_rows(one.ids.combine_chunks(), ids)) for pair, one in own.items()}
    return Joined(whole, rows, prefixes)


def once(texts: Texts) -> Texts:
    """Return the texts without repeats of an id. Raise `DataError` for an id with two texts."""
    first = _first_rows(texts)
    if first is None:
        known: dict[str, str] = {}
        pairs = zip(texts.ids.to_pylist(), texts.text.to_pylist(), strict=True)
        twice = next(name for name, text in pairs if known.setdefault(name, text) != text)
        msg = f"two passages in {texts.language} have the id {twice!r} and different texts"
        raise DataError(msg)
    return texts if len(first) == len(texts) else texts.head(first)


def with_prefixes(qrels: Qrels, query: str | None, passage: str | None) -> Qrels:
    """Return the judgements with a prefix before the ids of queries and passages."""
    if query is None and passage is None:
        return qrels
    queries, passages = (
        pc.binary_join_element_wise(prefix or "", ids, "").to_pylist()
        for prefix, ids in ((query, qrels.query_ids), (passage, qrels.passage_ids))
    )
    return make_qrels(queries, passages, qrels.grades.tolist())


def _first_rows(texts: Texts) -> NDArray[np.int64] | None:
    """Return the row of each id's first occurrence; None where an id has two texts."""
    codes = texts.ids.combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    if len(first) < len(codes):
        same = pc.equal(texts.text.take(pa.array(first[codes])), texts.text)
        if not pc.all(same).as_py():
            return None
    return np.sort(first).astype(np.int64)


def _stacked(language: str, sets: Iterable[Texts]) -> Texts:
    parts = list(sets)
    ids = [chunk for one in parts for chunk in one.ids.cast(pa.string()).chunks]
    text = [chunk for one in parts for chunk in one.text.cast(pa.string()).chunks]
    return make_texts(language, pa.chunked_array(ids, pa.string()), pa.chunked_array(text, pa.string()))


def _prefixed(texts: Texts, prefix: str) -> Texts:
    return make_texts(texts.language, pc.binary_join_element_wise(prefix, texts.ids, ""), texts.text)
