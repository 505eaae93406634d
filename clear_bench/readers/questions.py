"""Read the queries of benchmarks into `Rows`: one function for each shape of their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clear_bench.errors import DataError
from clear_bench.json_schema import violation
from clear_bench.readers.columns import Layout, read_columns
from clear_bench.readers.json_lines import objects
from clear_bench.readers.rows import Rows, merge

if TYPE_CHECKING:
    from clear_bench.tasks import Task

Question = tuple[str, str, Mapping[str, Any]]  # id, text, fields; Any: JSON
Asked = tuple[str, str, str, Mapping[str, Any]]  # language, and a question in it


_TEXT, _TEXTS, _ID = {"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": ["string", "integer"]}
_TOPIC = {"lang": _TEXT, "topic_title": _TEXT, "topic_description": _TEXT}
_ANSWER = {"type": _TEXT, "aliases": _TEXTS, "text": {"type": ["string", "null"]}}
_NEUCLIR = {"topic_id": _ID, "topics": {"type": "array", "items": {"type": "object", "properties": _TOPIC}}}
_XOR = {"id": _ID, "question": _TEXT, "lang": _TEXT, "answers": _TEXTS}
_MKQA = {
    "example_id": _ID,
    "queries": {"type": "object", "additionalProperties": _TEXT},
    "answers": {
        "type": "object",
        "properties": {
            "en": {"type": "array", "items": {"type": "object", "properties": _ANSWER, "required": ["type"]}},
        },
    },
}
"""JSON Schemas of the fields that are read."""


def table(task: Task, languages: Sequence[str], paths: list[Path]) -> Iterator[Asked]:
    """Read a table with a column of ids and one of texts, named in `[options.queries]`."""
    options = task.options.get("queries", {})
    names = [options.get("id", "_id"), options.get("text", "text")]
    fields = [*task.select, *({task.cluster} - {"query", "passage"})]
    layout = Layout(tuple(options.get("header", ())), options.get("quoted", False))
    for path in paths:
        for columns in read_columns(path, [*names, *fields], layout=layout):
            for key, text, *rest in zip(*(column.to_pylist() for column in columns), strict=True):
                for language in languages:
                    yield language, key, text, dict(zip(fields, rest, strict=True))


def neuclir(task: Task, languages: Sequence[str], paths: list[Path]) -> Iterator[Asked]:
    """Read the topics of TREC NeuCLIR: title and description in the language, which they name by ISO 639-3."""
    for where, topic in _objects(paths, _NEUCLIR):
        for language in languages:
            own = [text for text in _get(topic, "topics", where) if text.get("lang") == language[:3]]
            if not own:
                msg = f"{where}: topic {topic.get('topic_id')!r} has no text in {language}"
                raise DataError(msg)
            title, description = (_get(own[0], name, where) for name in ("topic_title", "topic_description"))
            yield language, str(_get(topic, "topic_id", where)), f"{title} {description}".strip(), {}


def xor(task: Task, languages: Sequence[str], paths: list[Path]) -> Iterator[Asked]:
    """Read the questions of XOR-Retrieve, with their gold answers."""
    by_code = {task.codes[language]: language for language in languages}
    for where, row in _objects(paths, _XOR):
        language = by_code.get(_get(row, "lang", where))
        if language is not None:
            answers = {"answers": _get(row, "answers", where)}
            yield language, str(_get(row, "id", where)), _get(row, "question", where), answers


def mkqa(task: Task, languages: Sequence[str], paths: list[Path]) -> Iterator[Asked]:
    """Read MKQA with the English answers and their aliases, by the filter of Contriever's authors.

    A question stays when one of its English answers is neither unanswerable nor yes/no nor a long answer.
    """
    for where, row in _objects(paths, _MKQA):
        given = _get(_get(row, "answers", where), "en", where)
        kept = [one for one in given if one["type"] not in ("unanswerable", "binary", "long_answer")]
        answers = [text for one in kept for text in (*one.get("aliases", []), one.get("text")) if text]
        for language in languages if kept else ():
            text = _get(_get(row, "queries", where), task.codes[language], where)
            yield language, str(_get(row, "example_id", where)), text, {"answers": answers}


FORMATS: dict[str, Callable[[Task, Sequence[str], list[Path]], Iterable[Asked]]] = {
    "table": table,
    "neuclir": neuclir,
    "xor": xor,
    "mkqa": mkqa,
}
"""What `format` in a card's `[options.queries]` may be."""


def rows(path: Path, questions: Iterable[Question]) -> Rows:
    """Put questions into columns; those that come twice are merged.

    Raises `DataError` where there are none, one is blank, or an id comes back with another text.
    """
    ids, texts, found = list[str](), list[str](), list[Mapping[str, Any]]()
    for key, text, fields in questions:
        if not key.strip() or not text.strip():
            msg = f"{path}: the query {key!r} has a blank id or text: {text!r:.60}"
            raise DataError(msg)
        ids.append(key)
        texts.append(text)
        found.append(fields)
    if not ids:
        msg = f"{path}: no queries were found"
        raise DataError(msg)
    keys, text = (pa.chunked_array([column], pa.string()) for column in (ids, texts))
    return merge(Rows(path, keys, text, {name: [fields.get(name) for fields in found] for name in found[0]}))


def _objects(paths: Iterable[Path], schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for where, row in (found for path in paths for found in objects(path)):
        if problem := violation(row, {"type": "object", "properties": schema}):
            msg = f"{where}: {problem}"
            raise DataError(msg)
        yield where, row


def _get(row: Mapping[str, Any], name: str, where: str) -> Any:  # Any: JSON
    try:
        return row[name]
    except (KeyError, TypeError):
        have = ", ".join(map(repr, row)) if isinstance(row, dict) else repr(row)[:60]
        msg = f"{where}: has no {name!r}, but {have}"
        raise DataError(msg) from None
