"""Reader `jsonl`: local files in the BEIR shape, a corpus and a query file per language and tab-separated judgements.

`qrels` is one file where ids mean the same in every language, or one per pair (`qrels/{query}-{passage}.tsv`).
In the first case queries with equal ids are resampled together across languages, in the second they are not;
`parallel = true` or `false` in the card's `[options]` overrules that. `answers = "FIELD"` names the queries' field
of gold answers, and `unanswerable = "drop"` leaves out queries that are judged without a relevant passage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clear_bench.errors import CardError
from clear_bench.readers import view
from clear_bench.readers.arrow import Corpus, in_memory
from clear_bench.readers.assemble import Raw, asked, assemble, cells
from clear_bench.readers.judged import Judged, read_judged
from clear_bench.readers.lines import resolve
from clear_bench.readers.rows import read_rows
from clear_bench.registry import refuse_unknown_keys
from clear_bench.types import Collection, LanguagePair

if TYPE_CHECKING:
    import pyarrow as pa

    from clear_bench.tasks import Task

_PLACEHOLDERS = {"corpus": {"code"}, "queries": {"code"}, "qrels": {"code", "query", "passage"}}
"""Key of `[files]` -> what may stand in braces there; `{code}` in `qrels` is the query language's."""


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
    for key, languages in (("queries", asked(pairs)), ("corpus", _searched(task, pairs))):
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
    gold = task.options.get("answers", "")
    fields = {*task.select, *({task.cluster} - {"query", "passage"}), *([gold] if gold else [])}
    queries = {language: read_rows(_file(task, "queries", language), fields=fields) for language in asked(pairs)}
    corpora = {language: _corpus(task, language) for language in _searched(task, pairs)}
    judged = _Judgements(task)
    ids = {
        "queries": {language: rows.ids for language, rows in queries.items()},
        "corpus": {language: corpus.texts.ids for language, corpus in corpora.items()},
    }
    return assemble(
        task,
        pairs,
        Raw(
            queries,
            corpora,
            {cell: judged[_name(task, *cell)] for cell in cells(task, pairs)},
            clustered={language: _clustered(task, language, judged) for language in queries},
            is_parallel=task.options.get("parallel", "{" not in task.files["qrels"]),
            answers=gold,
            others=lambda key: _ids(task, key, ids[key]),
        ),
    )


class _Judgements(dict[str, Judged]):
    """Judgements by file name; a file is read when it is first needed."""

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


def _searched(task: Task, pairs: Iterable[LanguagePair]) -> tuple[str, ...]:
    return task.corpora_of(tuple(pair.passage for pair in pairs))


def _file(task: Task, key: str, language: str) -> Path:
    return _resolve(task, key, task.files[key].replace("{code}", task.codes[language]))


def _resolve(task: Task, key: str, name: str) -> Path:
    return resolve(task.folder / task.source["path"] / name, f"card {task.name}: [files] {key}")


def _judgement_names(task: Task, pairs: Iterable[LanguagePair]) -> tuple[str, ...]:
    """Return the files of judgements of pairs, each once; a pool has one for every member."""
    return tuple(dict.fromkeys(_name(task, query, passage) for query, passage in cells(task, pairs)))


def _name(task: Task, query: str, passage: str) -> str:
    name = task.files["qrels"]
    for placeholder, language in (("code", query), ("query", query), ("passage", passage)):
        name = name.replace(f"{{{placeholder}}}", task.codes[language])
    return name


def _corpus(task: Task, language: str) -> Corpus:
    rows = read_rows(_file(task, "corpus", language), task.join)
    return in_memory(language, str(rows.path), rows.ids, rows.text, rows.merged)


def _ids(task: Task, key: str, loaded: Mapping[str, pa.ChunkedArray]) -> Iterator[pa.ChunkedArray]:
    """Yield the ids of every file of the card: those at hand, then the others, read only when asked for."""
    yield from loaded.values()
    for language in task.query_languages if key == "queries" else task.passage_languages:
        if language not in loaded:
            yield read_rows(_file(task, key, language), task.join if key == "corpus" else None).ids


def _clustered(task: Task, language: str, judged: _Judgements) -> list[Judged]:
    """Return the judgements of all pairs of the card, so that clusters do not depend on which of them run."""
    own = [pair for pair in task.pairs if pair.query == language] if task.cluster == "passage" else []
    return [judged[name] for name in _judgement_names(task, own)]
