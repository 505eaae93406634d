"""Reader `belebele`: multiple-choice questions on FLORES passages, parallel in all languages, as retrieval.

`[files] data` is one table for each language with the columns link, question_number, flores_passage and question. A
query is named `link#question_number` and a passage by its link, so ids are equal in every language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from clear_bench.errors import CardError, DataError
from clear_bench.readers import questions
from clear_bench.readers.arrow import Corpus, in_memory
from clear_bench.readers.assemble import Raw, asked, assemble, cells
from clear_bench.readers.columns import read_columns
from clear_bench.readers.fetch import source, warn_unpinned
from clear_bench.readers.judged import Judged
from clear_bench.readers.origins import entry, origin
from clear_bench.registry import refuse_unknown_keys
from clear_bench.types import Collection, LanguagePair

if TYPE_CHECKING:
    from clear_bench.tasks import Task

COLUMNS = ("link", "question_number", "flores_passage", "question")
Row = tuple[str, str, str, str]


def check(task: Task, pairs: Sequence[LanguagePair]) -> None:
    """Check the keys that only this reader knows, without any file or network."""
    where = f"card {task.name}"
    refuse_unknown_keys(task.files, ("data",), f"{where}: [files]")
    refuse_unknown_keys(task.options, ("hashes",), f"{where}: [options]")
    if "data" not in task.files:
        msg = f"{where}: [files] has no 'data'"
        raise CardError(msg)
    for pair in pairs:
        origin(task, entry(task, "data", pair.query))


def read(task: Task, pairs: Sequence[LanguagePair], offline: bool = False) -> Collection:
    """Read the languages that the pairs need; `offline` fails for what is not on this machine."""
    check(task, pairs)
    warn_unpinned(task)
    wanted = cells(task, pairs)
    found = {
        language: _rows(task, language, offline) for language in dict.fromkeys(side for cell in wanted for side in cell)
    }
    queries = {
        language: questions.rows(found[language][0], _questions(found[language][1])) for language in asked(pairs)
    }
    corpora = {
        passage: _corpus(task, passage, *found[passage]) for passage in dict.fromkeys(cell[1] for cell in wanted)
    }
    made: dict[frozenset[tuple[str, str]], Judged] = {}
    judged = {}
    for language in queries:
        path, rows = found[language]
        grades = {(_name(row), row[0]): 1 for row in rows}
        judged[language] = made.setdefault(frozenset(grades), Judged(path, grades))
    return assemble(
        task,
        pairs,
        Raw(
            queries,
            corpora,
            {(query, passage): judged[query] for query, passage in wanted},
            clustered={language: [one] for language, one in judged.items()},
            is_parallel=True,
        ),
    )


def _rows(task: Task, language: str, offline: bool) -> tuple[Path, list[Row]]:
    paths = source(task, "data", language, offline=offline).paths()
    columns = [each for path in paths for each in read_columns(path, COLUMNS)]
    return paths[0], [row for each in columns for row in zip(*(one.to_pylist() for one in each), strict=True)]


def _name(row: Row) -> str:
    return f"{row[0]}#{row[1]}"


def _questions(rows: list[Row]) -> Iterator[questions.Question]:
    for row in rows:
        yield _name(row), row[3], {}


def _corpus(task: Task, language: str, path: Path, rows: list[Row]) -> Corpus:
    """Return the passages in the order of their links. Raises `DataError` for a link with two passages."""
    texts: dict[str, str] = {}
    for link, _, passage, _ in rows:
        if texts.setdefault(link, passage.strip()) != passage.strip():
            msg = f"{path}: the link {link!r} comes with two different passages"
            raise DataError(msg)
        if not passage.strip():
            msg = f"{path}: the passage of {link!r} is blank"
            raise DataError(msg)
    links = sorted(texts)
    columns = [pa.chunked_array([column], pa.string()) for column in (links, [texts[link] for link in links])]
    return in_memory(language, f"{task.name}, passages of {language}", *columns)
