"""Reader `jsonl`: local files in the BEIR shape, a corpus and a query file per language and tab-separated judgements.

`qrels` is one file where ids mean the same in every language, or one per pair (`qrels/{query}-{passage}.tsv`).
In the first case queries with equal ids are resampled together across languages, in the second they are not;
`parallel = true` or `false` in the card's `[options]` overrules that. `answers = "FIELD"` names the queries' field
of gold answers, and `unanswerable = "drop"` leaves out queries that are judged without a relevant passage.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clear_bench.errors import CardError
from clear_bench.readers import view
from clear_bench.readers.judged import Judged, check_known, read_judged
from clear_bench.readers.lines import resolve
from clear_bench.readers.rows import Rows, read_rows
from clear_bench.registry import refuse_unknown_keys
from clear_bench.types import Collection, LanguagePair, Qrels, make_texts

if TYPE_CHECKING:
    import pyarrow as pa

    from clear_bench.tasks import Task

_PLACEHOLDERS = {"corpus": {"code"}, "queries": {"code"}, "qrels": {"code", "query", "passage"}}
"""Key of `[files]` -> what may stand in braces there; `{code}` in `qrels` is the query language's."""

logger = logging.getLogger(__name__)


def check(task: Task, pairs: Sequence[LanguagePair]) -> None:
    """Check the keys that only this reader knows, and that every file of the pairs is there."""
    where = f"card {task.name}"
    refuse_unknown_keys(task.files, _PLACEHOLDERS, f"{where}: [files]")
    refuse_unknown_keys(task.options, ("parallel", "answers", "unanswerable"), f"{where}: [options]")
    for key, kind in (("parallel", bool), ("answers", str)):
        if not isinstance(task.options.get(key, kind()), kind):
            msg = f"{where}: [options] {key!r} is {task.options[key]!r}, but must be a {kind.__name__}"
            raise CardError(msg)
    view.drops_unanswerable(task)
    if "path" not in task.source:
        msg = f"{where}: the reader 'jsonl' reads local files; give [source] path = \".\" instead of hub"
        raise CardError(msg)
    for key in _PLACEHOLDERS:
        _check_name(task, key, where)
    for key, languages in (("queries", _asked(pairs)), ("corpus", _searched(task, pairs))):
        if len(languages) > 1 and "{code}" not in task.files[key]:
            served = ", ".join(languages)
            msg = f"{where}: [files] {key} = {task.files[key]!r} lacks {{code}}, but has to serve {served}"
            raise CardError(msg)
        for language in languages:
            _file(task, key, language)
    for name in _judgement_names(task, pairs):
        _resolve(task, "qrels", name)


def read(task: Task, pairs: Sequence[LanguagePair], offline: bool = False) -> Collection:
    """Read the languages that the pairs need; `offline` makes no difference to local files."""
    check(task, pairs)
    gold = task.options.get("answers")
    fields = {*task.select, *({task.cluster} - {"query", "passage"}), *([gold] if gold else [])}
    queries = {language: read_rows(_file(task, "queries", language), fields=fields) for language in _asked(pairs)}
    corpora = {language: read_rows(_file(task, "corpus", language), task.join) for language in _searched(task, pairs)}
    judged = _Judgements(task)
    for name in _judgement_names(task, pairs):
        check_known(judged[name], _ids(task, "queries", queries), _ids(task, "corpus", corpora))
    for language, rows in queries.items():
        if rows.merged:
            logger.warning("%s: merged %d repeated queries of %s", task.name, rows.merged, language)
    queries = {language: view.select(rows, task.select) for language, rows in queries.items()}
    renamed: dict[str, dict[str, str]] = {language: {} for language in queries}
    if task.dedupe == "text":
        for language, rows in queries.items():
            queries[language], renamed[language] = view.merge_same_text(rows)
    view.check_counts(task, "queries", queries)
    view.check_counts(task, "passages", corpora)
    return Collection(
        queries={language: make_texts(language, rows.ids, rows.text) for language, rows in queries.items()},
        corpora={language: make_texts(language, rows.ids, rows.text) for language, rows in corpora.items()},
        qrels=_qrels(task, pairs, corpora, judged, renamed),
        clusters=_clusters(task, queries, judged, renamed),
        pools=view.make_pools(task, [pair.passage for pair in pairs]),
        answers={language: view.answers(rows, gold) for language, rows in queries.items()} if gold else {},
        merged={language: rows.merged for language, rows in corpora.items() if rows.merged},
        drops_unanswerable=view.drops_unanswerable(task),
    )


class _Judgements(dict[str, Judged]):
    """Files of judgements by name, each read when it is first asked for."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __missing__(self, name: str) -> Judged:
        self[name] = read_judged(_resolve(self._task, "qrels", name))
        return self[name]


def _check_name(task: Task, key: str, where: str) -> None:
    if key not in task.files:
        msg = f"{where}: [files] has no {key!r}; the reader 'jsonl' needs {', '.join(_PLACEHOLDERS)}"
        raise CardError(msg)
    for name in re.findall(r"\{(.*?)\}", task.files[key]):
        if name not in _PLACEHOLDERS[key]:
            known = ", ".join(f"{{{known}}}" for known in sorted(_PLACEHOLDERS[key]))
            msg = f"{where}: [files] {key} = {task.files[key]!r}: {{{name}}} means nothing there; known: {known}"
            raise CardError(msg)


def _asked(pairs: Iterable[LanguagePair]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pair.query for pair in pairs))


def _searched(task: Task, pairs: Iterable[LanguagePair]) -> tuple[str, ...]:
    return task.corpora_of(tuple(pair.passage for pair in pairs))


def _file(task: Task, key: str, language: str) -> Path:
    return _resolve(task, key, task.files[key].replace("{code}", task.codes[language]))


def _resolve(task: Task, key: str, name: str) -> Path:
    return resolve(task.folder / task.source["path"] / name, f"card {task.name}: [files] {key}")


def _judgement_names(task: Task, pairs: Iterable[LanguagePair]) -> tuple[str, ...]:
    """Name the files of judgements of pairs, each once; a pool has one for every member."""
    sides = ((pair.query, task.pools.get(pair.passage, (pair.passage,))) for pair in pairs)
    return tuple(dict.fromkeys(_name(task, query, passage) for query, members in sides for passage in members))


def _name(task: Task, query: str, passage: str) -> str:
    name = task.files["qrels"]
    for placeholder, language in (("code", query), ("query", query), ("passage", passage)):
        name = name.replace(f"{{{placeholder}}}", task.codes[language])
    return name


def _ids(task: Task, key: str, loaded: dict[str, Rows]) -> Iterator[pa.ChunkedArray]:
    """Yield the ids of every file of the card: those at hand, then the others, read only when asked for."""
    yield from (rows.ids for rows in loaded.values())
    languages = task.query_languages if key == "queries" else task.passage_languages
    for language in languages:
        if language not in loaded:
            yield read_rows(_file(task, key, language), task.join if key == "corpus" else None).ids


def _qrels(
    task: Task,
    pairs: Iterable[LanguagePair],
    corpora: dict[str, Rows],
    judged: _Judgements,
    renamed: dict[str, dict[str, str]],
) -> dict[LanguagePair, Qrels]:
    """Build the qrels of every pair, once where pairs share them."""
    made: dict[object, Qrels] = {}
    qrels: dict[LanguagePair, Qrels] = {}
    for pair in pairs:
        members = task.pools.get(pair.passage)
        files = [judged[_name(task, pair.query, language)] for language in members or (pair.passage,)]
        names = renamed[pair.query]
        key = (*(file.path for file in files), pair.query if names else None, members)
        if key not in made:
            prefixes = [task.codes[language] for language in members or ()]
            ids = [corpora[language].ids for language in members or ()]
            parts = zip(prefixes, files, ids, strict=True)
            made[key] = view.pooled_qrels(parts, names) if members else view.plain_qrels(files[0], names)
        qrels[pair] = made[key]
    return qrels


def _clusters(
    task: Task, queries: dict[str, Rows], judged: _Judgements, renamed: dict[str, dict[str, str]]
) -> dict[str, list[str]]:
    """Label the queries by all pairs of the card, so that labels do not depend on which of them run."""
    is_parallel = task.options.get("parallel", "{" not in task.files["qrels"])
    relevant: dict[object, dict[str, str]] = {}
    labels = {}
    for language, rows in queries.items():
        own = [pair for pair in task.pairs if pair.query == language] if task.cluster == "passage" else []
        names = _judgement_names(task, own)
        key = (names, language if renamed[language] else None)
        if key not in relevant:
            relevant[key] = view.relevant_passages([judged[name] for name in names], renamed[language])
        prefix = "" if is_parallel else f"{task.codes[language]}/"
        labels[language] = view.clusters(task, rows, relevant[key], prefix)
    return labels
