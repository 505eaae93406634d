"""Reader `ir`: corpora, queries and judgements in files of their own, on a hub, on official sites or in a folder.

The card's `[options]` say how the files are written; what their entries may be stands in `origins`.

    [options.corpus]    id, text, title: names of columns; header, quoted: of tab-separated files
    [options.queries]   id, text, header, quoted; format = "table" | "neuclir" | "xor" | "mkqa"; total: rows of a file
                        that holds all languages
    [options.qrels]     query, passage, grade: names of columns; header = [...] for files split at blanks, as TREC's
                        are, and where = { COLUMN = "VALUE" } to keep some of their lines
    [options]           parallel: ids mean the same in all languages; judge = "text": no answers from titles;
                        names: a second name of each code, for entries; hashes: of files by name;
                        unanswerable = "drop": leave out queries that are judged without a relevant passage

A query file that differs by passage language (`{passage}` in its entry) gives ids of the form `code/id`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clear_bench.errors import CardError, DataError
from clear_bench.readers import questions, trec, view
from clear_bench.readers.arrow import Corpus, convert, passages
from clear_bench.readers.assemble import Cell, Raw, asked, assemble, cells
from clear_bench.readers.columns import Layout, read_columns
from clear_bench.readers.fetch import Source, source, warn_unpinned
from clear_bench.readers.judged import Judged, Row, collect
from clear_bench.readers.lines import lines
from clear_bench.readers.origins import entry, has_placeholder, origin
from clear_bench.readers.rows import Rows
from clear_bench.registry import lookup, refuse_unknown_keys
from clear_bench.types import Collection, LanguagePair

if TYPE_CHECKING:
    from clear_bench.tasks import Task

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "corpus": ("id", "text", "title", "header", "quoted"),
    "queries": ("id", "text", "header", "quoted", "format", "total"),
    "qrels": ("query", "passage", "grade", "header", "where"),
}
FORMATS_WITH_ANSWERS = ("xor", "mkqa")
"""Formats of queries that carry gold answers; such a card needs no judgements."""


def check(task: Task, pairs: Sequence[LanguagePair]) -> None:
    """Check the keys that only this reader knows, without any file or network."""
    where = f"card {task.name}"
    refuse_unknown_keys(task.files, ("corpus", "queries", "qrels"), f"{where}: [files]")
    refuse_unknown_keys(
        task.options, (*_OPTIONS, "parallel", "judge", "names", "hashes", "unanswerable"), f"{where}: [options]"
    )
    view.drops_unanswerable(task)
    for table, keys in _OPTIONS.items():
        refuse_unknown_keys(task.options.get(table, {}), keys, f"{where}: [options.{table}]")
    lookup(questions.FORMATS, _format(task), f"{where}: [options.queries] format")
    for key in ("corpus", "queries", *(() if _is_answered(task) else ("qrels",))):
        if key not in task.files:
            msg = f"{where}: [files] has no {key!r}"
            raise CardError(msg)
        for pair in pairs:
            for passage in task.corpora_of((pair.passage,)):
                origin(task, entry(task, key, None if key == "corpus" else pair.query, passage))


def read(task: Task, pairs: Sequence[LanguagePair], offline: bool = False) -> Collection:
    """Read the languages that the pairs need; `offline` fails for what is not on this machine."""
    check(task, pairs)
    warn_unpinned(task)
    wanted = cells(task, pairs)
    # Queries before corpora: what is small and may be wrong comes before what is large.
    queries = _queries(task, asked(pairs), offline)
    judged = _all_judged(task, wanted, offline)
    corpora = {passage: _corpus(task, passage, offline) for passage in dict.fromkeys(cell[1] for cell in wanted)}
    return assemble(
        task,
        pairs,
        Raw(
            queries,
            corpora,
            judged,
            clustered=_clustered(task, judged, offline) if task.cluster == "passage" else {},
            is_parallel=task.options.get("parallel", False),
            answers="answers" if _is_answered(task) else "",
            judges_body=task.options.get("judge") == "text",
        ),
    )


def _format(task: Task) -> str:
    return str(task.options.get("queries", {}).get("format", "table"))


def _is_answered(task: Task) -> bool:
    return _format(task) in FORMATS_WITH_ANSWERS


def _corpus(task: Task, passage: str, offline: bool) -> Corpus:
    files = source(task, "corpus", passage=passage, offline=offline)
    options = task.options.get("corpus", {})
    identity = f"{files.identity()} {sorted(options.items())} {task.join!r}"

    def batches() -> Iterator[pa.RecordBatch]:
        layout = Layout(tuple(options.get("header", ())), options.get("quoted", False))
        title = options.get("title", "title")
        for path in files.paths():
            found = read_columns(path, [options.get("id", "_id"), options.get("text", "text")], [title], layout)
            for ids, text, titles in found:
                yield passages(ids, titles, text, task.join)

    return convert(passage, identity, files.entry, batches)


def _queries(task: Task, languages: Sequence[str], offline: bool) -> dict[str, Rows]:
    """Read the queries of all pairs of the card, so that they do not depend on which of them run.

    A file that holds several languages is read once.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    passages: dict[str, str] = {}
    for language in languages:
        own = [passage for query, passage in cells(task, task.pairs) if query == language] or [language]
        entries = {entry(task, "queries", language, passage): passage for passage in reversed(own)}
        groups.setdefault(tuple(entries), []).append(language)
        passages |= entries
    found: dict[str, Rows] = {}
    for texts, members in groups.items():
        paths = {passages[text]: Source(task, origin(task, text), offline).paths() for text in texts}
        _check_total(task, next(iter(paths.values())))
        found |= _rows(task, members, paths)
    return {language: found[language] for language in languages}


def _rows(task: Task, languages: Sequence[str], paths: Mapping[str, list[Path]]) -> dict[str, Rows]:
    """Read the files of some languages; `paths` has those of every passage language that they differ by."""
    make = questions.FORMATS[_format(task)]
    every: dict[str, list[questions.Question]] = {language: [] for language in languages}
    for passage, files in paths.items():
        prefix = _prefix(task, passage)
        for language, key, text, fields in make(task, languages, files):
            every[language].append((f"{prefix}{key}", text, fields))
    first = next(iter(paths.values()))[0]
    return {language: questions.rows(first, found) for language, found in every.items()}


def _prefix(task: Task, passage: str) -> str:
    return f"{task.codes[passage]}/" if has_placeholder(task, "queries", "passage", "passage_name") else ""


def _check_total(task: Task, paths: Sequence[Path]) -> None:
    """Compare the rows of a file that holds all languages with the count that the card states."""
    total = task.options.get("queries", {}).get("total")
    if total is None:
        return
    found = sum(1 for path in paths for _ in lines(path))
    if found != total:
        msg = f"{paths[0]}: {found} queries in all languages, but the card {task.name} expects {total}"
        raise DataError(msg)


def _all_judged(task: Task, wanted: Sequence[Cell], offline: bool) -> dict[Cell, Judged]:
    """Read the judgements of cells, each file once where cells share it."""
    if "qrels" not in task.files:
        return {}
    made: dict[object, Judged] = {}
    judged: dict[Cell, Judged] = {}
    for query, passage in wanted:
        files = source(task, "qrels", query, passage, offline=offline)
        prefix, where = _prefix(task, passage), _where(task, passage)
        key = (files.entry, prefix, *where.items())
        if key not in made:
            made[key] = _judged(task, files, where, prefix)
        judged[query, passage] = made[key]
    return judged


def _where(task: Task, passage: str) -> dict[str, str]:
    """Return the values that columns must have, with the code of the passage language filled in."""
    wanted = task.options.get("qrels", {}).get("where", {})
    return {column: str(value).replace("{passage}", task.codes[passage]) for column, value in wanted.items()}


def _clustered(task: Task, judged: Mapping[Cell, Judged], offline: bool) -> dict[str, list[Judged]]:
    whole = _all_judged(task, cells(task, task.pairs), offline) | dict(judged)
    return {language: [one for (query, _), one in whole.items() if query == language] for language, _ in whole}


def _judged(task: Task, files: Source, where: Mapping[str, str], prefix: str) -> Judged:
    paths = files.paths()
    return collect(paths[0], lambda: (row for path in paths for row in _judgements(task, path, where, prefix)))


def _judgements(task: Task, path: Path, where: Mapping[str, str], prefix: str) -> Iterator[Row]:
    options: Mapping[str, Any] = task.options.get("qrels", {})
    names = [options.get("query", "query-id"), options.get("passage", "corpus-id"), options.get("grade", "score")]
    header = options.get("header")
    if header is None:
        found = (zip(*(column.to_pylist() for column in columns), strict=True) for columns in read_columns(path, names))
        for number, (query, docid, grade) in enumerate((row for rows in found for row in rows), 1):
            yield f"{path}, row {number}", f"{prefix}{query}", docid, grade
        return
    at = [header.index(name) for name in names]
    needed = {header.index(column): value for column, value in where.items()}
    for place, parts in trec.rows(path, header):
        if all(parts[column] == value for column, value in needed.items()):
            query, docid, grade = (parts[column] for column in at)
            yield place, f"{prefix}{query}", docid, grade
