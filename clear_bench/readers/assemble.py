"""Turn the queries, corpora and judgements that a reader found into a `Collection`, as the card wants it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from clear_bench.errors import DataError
from clear_bench.readers import view
from clear_bench.readers.arrow import Corpus
from clear_bench.readers.judged import Judged, check_known
from clear_bench.readers.rows import Rows
from clear_bench.types import Collection, LanguagePair, Qrels, make_qrels, make_texts

if TYPE_CHECKING:
    import pyarrow as pa

    from clear_bench.tasks import Task

log = logging.getLogger(__name__)

Cell = tuple[str, str]
"""Query language and passage language."""


@dataclass(frozen=True, slots=True)
class Raw:
    """What a reader found for the pairs that it was asked for."""

    queries: Mapping[str, Rows]
    corpora: Mapping[str, Corpus]
    judged: Mapping[Cell, Judged] = field(default_factory=dict)
    """Equal judgements are one object; a cell without an entry is judged by answers."""
    clustered: Mapping[str, Sequence[Judged]] = field(default_factory=dict)
    """Query language -> all judgements of the card in which a query's relevant passage is looked for."""
    is_parallel: bool = False
    """Whether equal query ids mean the same question in every language."""
    answers: str = ""
    """Field of the queries that holds gold answers."""
    judges_body: bool = False
    """Whether answers are looked for in the body of a passage alone, without its title."""
    others: Callable[[str], Iterable[pa.ChunkedArray]] = lambda key: ()
    """Ids of all other `queries` or `corpus` files of the card, read only where a judged id is in none of its own."""


def assemble(task: Task, pairs: Sequence[LanguagePair], raw: Raw) -> Collection:
    """Return the collection of a card: selected, merged, checked and counted.

    Raises `DataError` for judgements of unknown ids and for unexpected counts.
    """
    for judged in {id(one): one for one in raw.judged.values()}.values():
        cells = [cell for cell, one in raw.judged.items() if one is judged]
        queries_of = [raw.queries[query].ids for query, _ in cells]
        passages_of = [raw.corpora[passage].texts.ids for _, passage in cells]
        check_known(judged, chain(queries_of, raw.others("queries")), chain(passages_of, raw.others("corpus")))
    queries: dict[str, Rows] = {}
    renamed: dict[str, dict[str, str]] = {language: {} for language in raw.queries}
    for language, rows in raw.queries.items():
        if rows.merged:
            log.warning("%s: merged %d repeated queries of %s", task.name, rows.merged, language)
        queries[language] = view.select(rows, task.select)
        if task.dedupe == "text":
            queries[language], renamed[language] = view.merge_same_text(queries[language])
    view.check_counts(task, "queries", queries)
    _check_passages(task, raw.corpora)
    made: dict[object, Qrels] = {}
    return Collection(
        queries={language: make_texts(language, rows.ids, rows.text) for language, rows in queries.items()},
        corpora={language: corpus.texts for language, corpus in raw.corpora.items()},
        qrels={pair: _qrels(task, pair, raw, renamed, made) for pair in pairs},
        clusters={
            language: _clusters(task, language, rows, raw, renamed[language]) for language, rows in queries.items()
        },
        pools=view.make_pools(task, [pair.passage for pair in pairs]),
        answers={language: view.answers(rows, raw.answers) for language, rows in queries.items()}
        if raw.answers
        else {},
        merged={language: corpus.merged for language, corpus in raw.corpora.items() if corpus.merged},
        bodies={language: corpus.body for language, corpus in raw.corpora.items()} if raw.judges_body else {},
        drops_unanswerable=view.drops_unanswerable(task),
    )


def asked(pairs: Iterable[LanguagePair]) -> tuple[str, ...]:
    """Return the query languages of pairs."""
    return tuple(dict.fromkeys(pair.query for pair in pairs))


def cells(task: Task, pairs: Iterable[LanguagePair]) -> tuple[Cell, ...]:
    """Return the query and passage language of pairs, with pools resolved to their members."""
    found = ((pair.query, passage) for pair in pairs for passage in task.corpora_of((pair.passage,)))
    return tuple(dict.fromkeys(found))


def _check_passages(task: Task, corpora: Mapping[str, Corpus]) -> None:
    """Compare with the card's counts, which are published before or after repeated passages are merged."""
    for language, corpus in corpora.items():
        counts = task.expected.get(language)
        wanted = counts.passages if counts else None
        if wanted not in (None, corpus.rows, len(corpus.texts)):
            merged = f" ({corpus.merged} of them repeated)" if corpus.merged else ""
            found = f"{corpus.rows} passages{merged} in {language}"
            msg = f"{corpus.where}: {found}, but the card {task.name} expects {wanted}"
            raise DataError(msg)


def _qrels(
    task: Task, pair: LanguagePair, raw: Raw, renamed: Mapping[str, Mapping[str, str]], made: dict[object, Qrels]
) -> Qrels:
    """Build the qrels of a pair, once where pairs share them; empty where answers judge."""
    members = task.pools.get(pair.passage)
    parts = [raw.judged.get((pair.query, passage)) for passage in members or (pair.passage,)]
    names = renamed[pair.query]
    key = (*map(id, parts), pair.query if names else None, members)
    if key not in made:
        judged = [part for part in parts if part is not None]
        if not judged:
            made[key] = make_qrels([], [], [])
        elif members is None:
            made[key] = view.plain_qrels(judged[0], names)
        else:
            prefixes = [task.codes[language] for language in members]
            ids = [raw.corpora[language].texts.ids for language in members]
            made[key] = view.pooled_qrels(zip(prefixes, judged, ids, strict=True), names)
    return made[key]


def _clusters(task: Task, language: str, rows: Rows, raw: Raw, renamed: Mapping[str, str]) -> list[str]:
    relevant = view.relevant_passages(raw.clustered.get(language, ()), renamed) if task.cluster == "passage" else {}
    prefix = "" if raw.is_parallel else f"{task.codes[language]}/"
    return view.clusters(task, rows, relevant, prefix)
