"""The inputs that decide a score whatever the model: one table, by which results are named, compared and grouped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from clear_bench.documents import digest_of
from clear_bench.types import Collection, Judgements, LanguagePair

By = Literal["query", "passage", "pool", "pair"]
"""What an input belongs to: a query language, a passage language, a pool, or a pair."""
Digests = Mapping[str, Mapping[str, str]]
"""Input -> query language, passage language, pool or pair -> digest, as in a manifest."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that moves scores or their intervals."""

    words: str
    """Its name in messages."""
    by: By
    digest: Callable[[Collection, Judgements, str], str | None]
    """Returns the digest of what a pair has under one key; None for nothing."""
    is_optional: bool = True
    """Whether a question may do without it; a manifest that does not list it then says that there is none."""
    moves: Literal["scores", "intervals"] = "scores"


INPUTS: Mapping[str, Input] = {
    "queries": Input("queries", "query", lambda made, _, key: made.queries[key].digest, is_optional=False),
    # Titles, `join` and merged rows are in the texts.
    "corpora": Input("passages", "passage", lambda made, _, key: made.corpora[key].digest, is_optional=False),
    "qrels": Input("relevance judgements", "pair", lambda made, judged, _: _qrels(made, judged), is_optional=False),
    "pools": Input("languages of the pool", "pool", lambda made, _, key: _pool(made, key)),
    "answers": Input("gold answers", "query", lambda made, _, key: _answers(made, key)),
    "bodies": Input("passage bodies", "passage", lambda made, _, key: _body(made, key)),
    "candidates": Input("candidates", "pair", lambda made, judged, _: _candidates(made, judged)),
    "searched": Input("passages that are searched", "pair", lambda made, judged, _: _searched(made, judged)),
    "own_ids": Input("hits that share the query's id", "pair", lambda made, _, __: _own_ids(made)),
    "unanswerable": Input("queries without a relevant passage", "pair", lambda _, judged, __: _unanswerable(judged)),
    "clusters": Input(
        "clusters", "query", lambda made, _, key: digest_of(list(made.clusters[key]), ascii=True), moves="intervals"
    ),
}
"""Name in a manifest's `digests` -> where it is found. What a card says of the data acts through one of these rows."""


def digests(collection: Collection, judgements: Iterable[Judgements]) -> dict[str, dict[str, str]]:
    """Return the digest of every input of some pairs. Optional inputs that no pair has are left out."""
    found: dict[str, dict[str, str]] = {name: {} for name, one in INPUTS.items() if not one.is_optional}
    for judged in judgements:
        for name, one in INPUTS.items():
            for key in _keys(collection, judged.pair, one.by):
                if key not in found.get(name, {}) and (value := one.digest(collection, judged, key)) is not None:
                    found.setdefault(name, {})[key] = value
    return found


def asked(found: Digests) -> dict[str, Mapping[str, str]]:
    """Return the digests of a manifest that belong to inputs that move scores."""
    return {name: found[name] for name, one in INPUTS.items() if one.moves == "scores" and name in found}


def differences(one: Digests, other: Digests, pairs: Sequence[LanguagePair]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the inputs of some pairs that differ between two manifests: words for the input, its key, both digests.

    Empty digests, as in results that were imported as means, differ from nothing.
    """
    if not any(one.values()) or not any(other.values()):
        return
    for name, row in INPUTS.items():
        here, there = one.get(name, {}), other.get(name, {})
        for key in _named(row.by, pairs, [*here, *there]) if row.moves == "scores" else ():
            pair = here.get(key), there.get(key)
            if pair[0] != pair[1] and (row.is_optional or None not in pair):
                yield row.words, key, pair[0] or "none", pair[1] or "none"


def _keys(collection: Collection, pair: LanguagePair, by: By) -> tuple[str, ...]:
    if by == "passage":
        return tuple(part.language for part in collection.parts(pair.passage))
    if by == "pool":
        return (pair.passage,) if pair.passage in collection.pools else ()
    return (pair.query,) if by == "query" else (str(pair),)


def _named(by: By, pairs: Sequence[LanguagePair], known: Sequence[str]) -> Iterator[str]:
    """Yield the keys that belong to pairs. A pool contains all passages, so its pairs need them all."""
    wanted = {pair.query if by == "query" else str(pair) if by == "pair" else pair.passage for pair in pairs}
    is_pooled = by == "passage" and any(pair.is_pool for pair in pairs)
    yield from (key for key in dict.fromkeys(known) if is_pooled or key in wanted)


def _qrels(collection: Collection, judged: Judgements) -> str | None:
    qrels = collection.qrels.get(judged.pair)
    return None if qrels is None else qrels.digest


def _candidates(collection: Collection, judged: Judgements) -> str | None:
    given = collection.candidates.get(judged.pair)
    return None if given is None else given.digest


def _searched(collection: Collection, judged: Judgements) -> str | None:
    rows = collection.searched.get(judged.pair)
    return None if rows is None else hashlib.sha256(rows.tobytes()).hexdigest()


def _pool(collection: Collection, name: str) -> str:
    pool = collection.pools[name]
    return digest_of([list(pool.languages), list(pool.prefixes)], ascii=True)


def _own_ids(collection: Collection) -> str | None:
    return "left out" if collection.excludes_own_ids else None


def _answers(collection: Collection, language: str) -> str | None:
    given = collection.answers.get(language)
    return None if given is None else digest_of([list(gold) for gold in given], ascii=True)


def _body(collection: Collection, language: str) -> str | None:
    if language not in collection.bodies:
        return None
    state = hashlib.sha256()
    for chunk in collection.bodies[language].chunks:
        state.update(chunk.to_numpy().tobytes())
    return state.hexdigest()


def _unanswerable(judged: Judgements) -> str | None:
    if judged.unanswerable:
        return "count as 0"
    return "left out" if judged.dropped else None
