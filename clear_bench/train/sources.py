"""Reads training rows: a collection folder to join, or files and hub data sets with role columns."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clear_bench.errors import DataError, UsageError
from clear_bench.losses.objectives import Role
from clear_bench.losses.roles import resolve_roles
from clear_bench.train.files import (
    Folder,
    by_code,
    given_file,
    open_folder,
    read_negatives,
    read_split,
    read_texts,
    read_translations,
    source_of,
    spelled,
)
from clear_bench.train.parts import DataPart
from clear_bench.train.rows import Rows, clean, join_rows, refuse_unknown_languages
from clear_bench.train.tables import english_table, read_given, read_table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EnglishSide:
    """The English queries and passages from which negatives are mined."""

    queries: Mapping[str, str]
    """Id -> text."""
    passages: Mapping[str, str]
    positives: Mapping[str, Sequence[str]]
    """Id of a query -> ids of its passages."""


def read_rows(data: DataPart, needed: tuple[Role, ...]) -> Rows:
    """Read, join and clean the rows of a recipe; `needed` are the roles that the loss takes."""
    rows = read_table(data, needed) if data.collection is None else _read_collection(Path(data.collection), data)
    for reason, count in rows.left_out.items():
        log.warning("%d negatives are left out of their rows: %s", count, reason)
    return clean(rows)


def english_side(data: DataPart) -> EnglishSide:
    """Read the English queries and passages of the training data."""
    if data.collection is None:
        return EnglishSide(*english_table(read_given(data)))
    folder = open_folder(Path(data.collection))
    queries, passages = (read_texts(side[folder.english], data.split) for side in (folder.queries, folder.corpus))
    return EnglishSide(queries, passages, {item: [item] for item in queries})


def english_queries(data: DataPart, languages: Iterable[str]) -> list[str]:
    """Return the English queries that rows in further languages need, each once.

    Raises `UsageError` where the data has queries in one of these languages already.
    """
    if data.collection is None:
        rows = read_given(data)
        if rows.of("cross_anchor"):
            msg = (
                f"[translate] is for data without translated queries, but column {rows.roles.order(('cross_anchor',))} "
                "has them: leave one of them out"
            )
            raise UsageError(msg)
        columns = [*rows.of("anchor"), *rows.of("neg_query")]
        return list(dict.fromkeys(text for column in columns for text in column))
    folder = open_folder(Path(data.collection))
    _refuse_there(folder, languages, "translate.languages")
    return list(dict.fromkeys(read_texts(folder.queries[folder.english], data.split).values()))


def _refuse_there(folder: Folder, languages: Iterable[str], key: str) -> None:
    """Raise `UsageError` for translated queries in a language that a collection has queries in."""
    known = set(map(spelled, folder.queries))
    if there := [language for language in languages if spelled(language) in known]:
        msg = f"{key} lists {', '.join(there)}, but {folder.path / 'queries'} has them: leave them out there"
        raise UsageError(msg)


def _read_collection(place: Path, data: DataPart) -> Rows:
    folder = open_folder(place)
    english = folder.english
    refuse_unknown_languages(data.languages, folder.queries)
    if english in data.languages:
        msg = f"data.languages lists {english!r}: the target language cannot be English"
        raise UsageError(msg)
    bridge = _bridge_file(folder, data)
    anchors, queries = read_split(folder.queries[english], data.split)
    passages, known = read_split(folder.corpus[english], data.split)
    _refuse_no_item(folder.queries[english], anchors, data.split)
    targets = [code for code in folder.queries if code != english and (not data.languages or code in data.languages)]
    translated = given_file(data.translations_file, "translations_file")
    translations = {} if translated is None else _translated(folder, translated, anchors)
    negatives = _negatives_file(place, data)
    joined = join_rows(
        anchors,
        passages,
        {} if negatives is None else read_negatives(negatives, queries, known),
        {code: read_texts(folder.queries[code], data.split) for code in targets} | translations,
        count=data.negatives,
        bridge=None if bridge is None else read_texts(bridge, data.split),
    )
    roles = resolve_roles(joined.columns, ())
    used = [folder.queries[english], folder.corpus[english], *(folder.queries[code] for code in targets)]
    sources = tuple(source_of(path, place) for path in (*used, negatives, translated, bridge) if path is not None)
    return Rows(joined.columns, joined.languages, roles, dict(joined.drops), sources, joined.ids, dict(joined.left_out))


def _refuse_no_item(path: Path, texts: Mapping[str, str], split: str) -> None:
    if not texts:
        msg = f"{path}: no query has split = {split!r}; set data.split to one that it has"
        raise DataError(msg)


def _bridge_file(folder: Folder, data: DataPart) -> Path | None:
    if data.bridge is None or data.bridge in folder.corpus:
        return None if data.bridge is None else folder.corpus[data.bridge]
    msg = f"data.bridge is {data.bridge!r}, but {folder.path / 'corpus'} has only {', '.join(folder.corpus)}"
    raise DataError(msg)


def _negatives_file(folder: Path, data: DataPart) -> Path | None:
    own = next((path for code, path in by_code(folder).items() if code == "negatives"), None)
    negatives = given_file(data.negatives_file, "negatives_file") or own
    if data.negatives and negatives is None:
        msg = f"{folder}: no negatives.jsonl(.gz), but data.negatives is {data.negatives}: set mine.model, or it to 0"
        raise DataError(msg)
    return negatives


def _translated(folder: Folder, path: Path, anchors: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return language -> id -> translated query."""
    found = read_translations(path)
    _refuse_there(folder, found, "data.translations_file")
    return {
        language: {item: texts[text] for item, text in anchors.items() if text in texts}
        for language, texts in found.items()
    }
