"""Reader `squad`: question answering sets as retrieval, a question's passage is the paragraph that answers it.

`[files] data` is a table with the columns id, question and context (XQuAD) or JSON in SQuAD's nesting (MLQA, XQuAD-R).
It stands for the language that both are in, or for a pair where its entry has `{query}` and `{passage}`: then the
corpus of a language holds the paragraphs of all files with that passage language, so that cells can be compared.
A paragraph is named by the smallest id of its questions.

    [options]   candidates = "sentences": a passage is one sentence, followed by its paragraph, and ids are `id#number`
                view = "mteb": of files by pair, only the pair's own paragraphs; one query language for each corpus
                hashes: of files by name
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clear_bench.errors import CardError, DataError, UsageError
from clear_bench.json_schema import violation
from clear_bench.readers import questions
from clear_bench.readers.arrow import Corpus, in_memory
from clear_bench.readers.assemble import Cell, Raw, asked, assemble, cells
from clear_bench.readers.columns import read_columns
from clear_bench.readers.fetch import source, warn_unpinned
from clear_bench.readers.judged import Judged
from clear_bench.readers.origins import entry, has_placeholder, origin
from clear_bench.registry import refuse_unknown_keys
from clear_bench.types import Collection, LanguagePair

if TYPE_CHECKING:
    from clear_bench.tasks import Task


@dataclass(frozen=True, slots=True)
class Item:
    """One question and where it is answered."""

    id: str
    question: str
    context: str
    sentences: tuple[str, ...] = ()
    answer: int = 0
    """The sentence that the answer starts in."""


def check(task: Task, pairs: Sequence[LanguagePair]) -> None:
    """Check the keys that only this reader knows, without any file or network."""
    where = f"card {task.name}"
    refuse_unknown_keys(task.files, ("data",), f"{where}: [files]")
    refuse_unknown_keys(task.options, ("candidates", "view", "hashes"), f"{where}: [options]")
    for key, allowed in (("candidates", ("paragraphs", "sentences")), ("view", ("union", "mteb"))):
        if task.options.get(key, allowed[0]) not in allowed:
            msg = f"{where}: [options] {key} is {task.options[key]!r}, but must be {' or '.join(map(repr, allowed))}"
            raise CardError(msg)
    if "data" not in task.files:
        msg = f"{where}: [files] has no 'data'"
        raise CardError(msg)
    for query, passage in cells(task, pairs):
        origin(task, entry(task, "data", query, passage))
    if _is_own_view(task):
        _check_own_view(task, pairs)


def read(task: Task, pairs: Sequence[LanguagePair], offline: bool = False) -> Collection:
    """Read the languages that the pairs need; `offline` fails for what is not on this machine."""
    check(task, pairs)
    warn_unpinned(task)
    items = _Items(task, offline)
    wanted = cells(task, pairs)
    whole = [(query, passage) for query in task.languages for passage in task.languages]
    files = wanted if _is_own_view(task) else whole
    corpora: dict[str, Corpus] = {}
    names: dict[str, Mapping[str, str]] = {}
    for passage in dict.fromkeys(passage for _, passage in wanted):
        sides = [query for query, other in files if other == passage] if _by_pair(task) else [passage]
        corpora[passage], names[passage] = _corpus(task, passage, [items[query, passage] for query in sides])
    queries = {}
    for query in asked(pairs):
        sides = [passage for other, passage in files if other == query] if _by_pair(task) else [query]
        # A question comes in the file of every passage language that has it: that does not count as repeated.
        found = {(item.id, item.question): item for passage in sides for item in items[query, passage]}
        queries[query] = questions.rows(items.path(query, sides[0]), _questions(found.values()))
    judged = _Judgements(task, items, names)
    clustered = {query: [_paragraphs(items, query)] for query in queries} if task.cluster == "passage" else {}
    return assemble(task, pairs, Raw(queries, corpora, {cell: judged[cell] for cell in wanted}, clustered, True))


class _Items(dict[Cell, list[Item]]):
    """The questions of every file; a file is read when it is first needed."""

    def __init__(self, task: Task, offline: bool) -> None:
        self._task, self._offline = task, offline
        self._paths: dict[str, list[Path]] = {}
        self._read: dict[str, list[Item]] = {}

    def path(self, query: str, passage: str) -> Path:
        """Return the file of a cell; a file that holds one language is that of the passage language."""
        return self._paths[self._entry(query, passage)][0]

    def __missing__(self, cell: Cell) -> list[Item]:
        name = self._entry(*cell)
        if name not in self._read:
            self._read[name] = [item for path in self._paths[name] for item in _read(path)]
        self[cell] = self._read[name]
        return self[cell]

    def _entry(self, query: str, passage: str) -> str:
        """Return the entry of a cell and make sure that its files are known."""
        side = (query, passage) if _by_pair(self._task) else (passage, passage)
        files = source(self._task, "data", *side, offline=self._offline)
        if files.entry not in self._paths:
            self._paths[files.entry] = files.paths()
        return files.entry


class _Judgements(dict[Cell, Judged]):
    """The judgements of every cell; one object for all cells of a parallel set whose ids are equal."""

    def __init__(self, task: Task, items: _Items, names: Mapping[str, Mapping[str, str]]) -> None:
        self._task, self._items, self._names = task, items, names
        self._made: dict[frozenset[tuple[tuple[str, str], int]], Judged] = {}

    def __missing__(self, cell: Cell) -> Judged:
        query, passage = cell
        found = self._items[query, passage]
        named = self._names[passage]
        grades = {(item.id, _candidate(self._task, item, named[item.context])): 1 for item in found}
        key = frozenset(grades.items())
        self[cell] = self._made.setdefault(key, Judged(self._items.path(query, passage), grades))
        return self[cell]


def _by_pair(task: Task) -> bool:
    return has_placeholder(task, "data", "query", "passage")


def _is_own_view(task: Task) -> bool:
    return task.options.get("view") == "mteb"


def _check_own_view(task: Task, pairs: Iterable[LanguagePair]) -> None:
    corpora: dict[str, str] = {}
    for pair in pairs:
        if corpora.setdefault(pair.passage, pair.query) != pair.query:
            msg = (
                f"{task.name}: in mteb's view {pair.passage} has a corpus for each query language; run pairs with "
                f"{corpora[pair.passage]} and with {pair.query} apart"
            )
            raise UsageError(msg)


def _questions(items: Iterable[Item]) -> Iterator[questions.Question]:
    for item in items:
        yield item.id, item.question, {}


def _corpus(task: Task, passage: str, files: Iterable[list[Item]]) -> tuple[Corpus, Mapping[str, str]]:
    """Return the corpus of a language, and the name of each paragraph."""
    contexts: dict[str, Item] = {}
    for item in (item for items in files for item in items):
        if item.id <= contexts.setdefault(item.context, item).id:
            contexts[item.context] = item
    names = {context: item.id for context, item in contexts.items()}
    texts = [
        row for context, item in sorted(contexts.items(), key=lambda pair: pair[1].id) for row in _passages(task, item)
    ]
    columns = [pa.chunked_array([column], pa.string()) for column in zip(*texts, strict=True)]
    return in_memory(passage, f"{task.name}, passages of {passage}", *columns), names


def _passages(task: Task, item: Item) -> Iterator[tuple[str, str]]:
    if task.options.get("candidates") != "sentences":
        yield item.id, item.context.strip()
        return
    for number, sentence in enumerate(item.sentences):
        yield f"{item.id}#{number}", f"{sentence}{task.join}{item.context}".strip()


def _candidate(task: Task, item: Item, name: str) -> str:
    return f"{name}#{item.answer}" if task.options.get("candidates") == "sentences" else name


def _paragraphs(items: _Items, query: str) -> Judged:
    """Return the paragraph of every question in its own language."""
    found = items[query, query]
    names: dict[str, str] = {}
    for item in found:
        names[item.context] = min(item.id, names.get(item.context, item.id))
    return Judged(items.path(query, query), {(item.id, names[item.context]): 1 for item in found})


def _read(path: Path) -> list[Item]:
    items = _items(path)
    if not items:
        msg = f"{path}: no questions were found"
        raise DataError(msg)
    return items


def _items(path: Path) -> list[Item]:
    if path.name.removesuffix(".gz").endswith(".json"):
        return list(_nested(path))
    found = read_columns(path, ["id", "question", "context"])
    return [Item(*row) for columns in found for row in zip(*(c.to_pylist() for c in columns), strict=True)]


_TEXT, _COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
_ANSWERS = {"type": "array", "items": {"type": "object", "properties": {"answer_start": _COUNT}}}
_QUESTION = {"type": "object", "properties": {"id": _TEXT, "question": _TEXT, "answers": _ANSWERS}}
_PARAGRAPH = {
    "type": "object",
    "properties": {
        "context": _TEXT,
        "qas": {"type": "array", "items": _QUESTION},
        "sentences": {"type": "array", "items": {"type": "string"}},
        "sentence_breaks": {"type": "array", "items": {"type": "array", "items": _COUNT}},
    },
}
"""JSON Schema of the fields that are read."""


def _nested(path: Path) -> Iterator[Item]:
    """Read SQuAD's nesting: articles, paragraphs, questions; with `sentences` and `sentence_breaks` where they are."""
    try:
        content = json.loads(path.read_bytes())
        for paragraph in (one for article in content["data"] for one in article["paragraphs"]):
            if problem := violation(paragraph, _PARAGRAPH, "a paragraph"):
                raise ValueError(problem)
            for question in paragraph["qas"]:
                yield _item(paragraph, question)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        msg = f"{path}: not JSON in SQuAD's nesting ({type(error).__name__}: {error})"
        raise DataError(msg) from None


def _item(paragraph: Mapping[str, Any], question: Mapping[str, Any]) -> Item:  # Any: JSON
    context = paragraph["context"]
    if "sentences" not in paragraph:
        return Item(question["id"], question["question"], context)
    start = question["answers"][0]["answer_start"]
    starts = [begin for begin, _ in paragraph["sentence_breaks"]]
    answer = max((i for i, begin in enumerate(starts) if begin <= start), default=0)
    return Item(question["id"], question["question"], context, tuple(paragraph["sentences"]), answer)
