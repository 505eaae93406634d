"""Reads the files of training data: texts by id, negatives, translated queries, and their provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clear_bench.disk import sha256_file
from clear_bench.documents import Document
from clear_bench.errors import DataError, UsageError
from clear_bench.languages import canonical
from clear_bench.readers import read
from clear_bench.readers.json_lines import objects
from clear_bench.readers.rows import checked_id, checked_text, read_rows, stream_rows
from clear_bench.tasks import find_task, task_names
from clear_bench.types import ENGLISH

TRANSLATIONS = "clear-bench/translations/1"


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """The files of a collection by the code that their names carry."""

    path: Path
    queries: Mapping[str, Path]
    corpus: Mapping[str, Path]

    @property
    def english(self) -> str:
        """Code of English; raises `DataError` unless both sides have English, in one spelling."""
        codes = [code for code in self.queries if spelled(code) == ENGLISH]
        if len(codes) == 1 and codes[0] in self.corpus:
            return codes[0]
        msg = (
            f"{self.path}: a training collection has queries/en.jsonl(.gz), corpus/en.jsonl(.gz) and "
            f"negatives.jsonl(.gz); this one has queries in {', '.join(self.queries) or 'no language'} and passages in "
            f"{', '.join(self.corpus) or 'no language'}"
        )
        raise DataError(msg)


def open_folder(path: Path) -> Folder:
    """Return the files of a collection; raises `DataError` for two files of one language on one side."""
    return Folder(path, by_code(path / "queries"), by_code(path / "corpus"))


def by_code(folder: Path) -> dict[str, Path]:
    """Return the .jsonl and .jsonl.gz files of a folder by the code in their name, sorted."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        code, ending, _ = path.name.removesuffix(".gz").rpartition(".jsonl")
        if not ending or path.name.removesuffix(".gz") != f"{code}.jsonl":
            continue
        if (other := found.setdefault(code, path)) != path:
            msg = f"{other} and {path.name} beside it are of one language: keep one of them"
            raise DataError(msg)
    return found


def spelled(code: str) -> str:
    """Return the canonical spelling of a language code; an unknown code stays as it is."""
    try:
        return canonical(code)
    except UsageError:
        return code


def read_texts(path: Path, split: str) -> dict[str, str]:
    """Read id -> text; a title is joined with a space, and items of other splits are left out."""
    return read_split(path, split)[0]


def read_split(path: Path, split: str) -> tuple[dict[str, str], frozenset[str]]:
    """Read id -> text of the items that are in a split or name none, and the ids of all items."""
    rows = read_rows(path, " ", fields=("split",))
    ids: list[str] = rows.ids.to_pylist()
    found = zip(ids, rows.text.to_pylist(), rows.fields["split"], strict=True)
    return {item: text for item, text, own in found if own in (None, split)}, frozenset(ids)


def read_negatives(path: Path, queries: Container[str], passages: Container[str]) -> dict[str, list[str]]:
    """Read id of a query -> ids of passages; raises `DataError` for an id that the data lacks."""
    found: dict[str, list[str]] = {}
    for where, row in objects(path):
        item = checked_id(row.get("_id"), "_id", where)
        listed = row.get("neg")
        if not isinstance(listed, list):
            shown = "missing" if listed is None else repr(listed)[:60]
            msg = f"{where}: 'neg' is {shown}, but must be a list of passage ids"
            raise DataError(msg)
        negatives = [checked_id(negative, "neg", where) for negative in listed]
        if item not in queries:
            msg = f"{where}: the query {item!r} is not in the training data"
            raise DataError(msg)
        if unknown := [negative for negative in negatives if negative not in passages]:
            msg = f"{where}: the passage {unknown[0]!r} is not in the training data"
            raise DataError(msg)
        if found.setdefault(item, negatives) != negatives:
            msg = f"{where}: the query {item!r} was on an earlier line with other negatives"
            raise DataError(msg)
    return found


def read_translations(path: Path) -> dict[str, dict[str, str]]:
    """Read language -> English query -> the query in that language."""
    found: dict[str, dict[str, str]] = {}
    for where, row in objects(path):
        language, query, text = (checked_text(row.get(key), key, where) for key in ("language", "query", "translation"))
        if found.setdefault(language, {}).setdefault(query, text) != text:
            msg = f"{where}: the query {query[:60]!r} was on an earlier line with another translation to {language}"
            raise DataError(msg)
    return found


def place_texts(place: str, parts: Sequence[Literal["queries", "corpus"]], key: str) -> Iterator[tuple[str, str]]:
    """Yield (where, text) for the texts of a file, of a collection's folder, or of a task by its name.

    Raises `UsageError` for any other place; `key` is the recipe's key, for that message.
    """
    path = Path(place)
    files = [path] if path.is_file() else [file for part in parts for file in by_code(path / part).values()]
    if files:
        for file in files:
            yield from ((f"{file}: {item}", text) for item, text in stream_rows(file, " "))
    elif not path.exists() and place in task_names():
        collection = read(find_task(place))
        sides = {"queries": collection.queries, "corpus": collection.corpora}
        for found in (texts for part in parts for texts in sides[part].values()):
            names = (f"{place}, {found.language}: {item}" for item in found.ids.to_pylist())
            yield from zip(names, found.text.to_pylist(), strict=True)
    else:
        msg = f"{key}: {place} is neither a file, nor a folder with {' and '.join(parts)}, nor the name of a task"
        raise UsageError(msg)


def given_file(name: str | None, key: str) -> Path | None:
    """Return the path of a file that a recipe names, or None; raises `UsageError` where the file is missing."""
    if name is not None and not Path(name).is_file():
        msg = f"data.{key}: there is no file {name}"
        raise UsageError(msg)
    return None if name is None else Path(name)


def text_id(text: str) -> str:
    """Return a digest of a text, which serves as its id."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def provenance_file(path: Path) -> Path:
    """Return the path of the file that says how negatives or translations were made."""
    return path.with_name(f"{path.name.split('.')[0]}.provenance.json")


def source_of(path: Path, folder: Path) -> dict[str, str]:
    """Return path and digest of a file, and how it was made where a file beside it says so."""
    shown = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    source = {"path": shown.as_posix(), "sha256": sha256_file(path)}
    made = provenance_file(path)
    if not made.is_file():
        return source
    read_provenance(made)
    return source | {"provenance": made.read_text(encoding="utf-8")}


def read_provenance(path: Path) -> Document:
    """Read how negatives or translations were made; raises `DataError` for a file that is not a JSON object."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"{path}: not valid JSON: {error}; delete it together with the file that it describes"
        raise DataError(msg) from None
    if not isinstance(record, dict):
        msg = f"{path}: {str(record)[:60]!r} is not a JSON object"
        raise DataError(msg)
    return record


def translation_records(sources: Iterable[Mapping[str, str]]) -> list[Document]:
    """Return how the translated queries among some sources were made."""
    made = [json.loads(source["provenance"]) for source in sources if "provenance" in source]
    return [record for record in made if record.get("schema") == TRANSLATIONS]
