"""Reads training rows: a collection folder to join, or files and hub data sets with role columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clear_bench.errors import DataError, UsageError
from clear_bench.languages import canonical
from clear_bench.losses.objectives import Role
from clear_bench.losses.roles import resolve_roles
from clear_bench.train.files import read_negatives, read_texts, read_translations, source_of
from clear_bench.train.parts import DataPart
from clear_bench.train.rows import Rows, clean, join_rows, refuse_unknown_languages
from clear_bench.train.tables import english_table, read_given, read_table

ENGLISH_CODES = ("en", "eng-Latn", "eng", "eng_Latn")


@dataclass(frozen=True, slots=True)
class EnglishSide:
    """What negatives are mined from."""

    queries: Mapping[str, str]
    """Id -> text."""
    passages: Mapping[str, str]
    positives: Mapping[str, Sequence[str]]
    """Id of a query -> ids of its passages."""


def read_rows(data: DataPart, needed: tuple[Role, ...]) -> Rows:
    """Read, join and clean the rows of a recipe; `needed` are the roles that the loss cannot do without."""
    if data.collection is not None:
        return clean(_read_collection(Path(data.collection), data))
    return clean(read_table(data, needed))


def english_side(data: DataPart) -> EnglishSide:
    """Read the English queries and passages of the training data."""
    if data.collection is None:
        return EnglishSide(*english_table(read_given(data)))
    queries, passages = (read_texts(path, data.split) for path in english_files(Path(data.collection)))
    return EnglishSide(queries, passages, {item: [item] for item in queries})


def english_queries(data: DataPart, languages: Iterable[str]) -> list[str]:
    """List the English queries that rows in further languages need, each once; refuses languages that are there."""
    if data.collection is None:
        rows = read_given(data)
        if rows.of("cross_anchor"):
            msg = (
                f"[translate] is for data without translated queries, but column {rows.roles.order(('cross_anchor',))} "
                "has them: leave one of them out"
            )
            raise UsageError(msg)
        columns = [*rows.of("anchor"), *rows.of("neg_query")]
        return list(dict.fromkeys(text for column in columns for text in column if text.strip()))
    folder = Path(data.collection)
    known = {_canonical(_code(path)): path for path in (folder / "queries").glob("*.jsonl*")}
    if there := [language for language in languages if canonical(language) in known]:
        msg = f"translate.languages lists {', '.join(there)}, but {folder / 'queries'} has them: leave them out there"
        raise UsageError(msg)
    texts = read_texts(english_files(folder)[0], data.split).values()
    return list(dict.fromkeys(text for text in texts if text.strip()))


def _read_collection(folder: Path, data: DataPart) -> Rows:
    queries = {_code(path): path for path in sorted((folder / "queries").glob("*.jsonl*"))}
    english = next((code for code in ENGLISH_CODES if code in queries), None)
    if english is None:
        msg = (
            f"{folder}: no queries/en.jsonl(.gz); a training collection has queries/, corpus/ and negatives.jsonl(.gz)"
        )
        raise DataError(msg)
    refuse_unknown_languages(data.languages, queries)
    if english in data.languages:
        msg = f"data.languages lists {english!r}: the target language cannot be English"
        raise UsageError(msg)
    targets = [code for code in queries if code != english and (not data.languages or code in data.languages)]
    corpus = {_code(path): path for path in sorted((folder / "corpus").glob("*.jsonl*"))}
    negatives = _negatives_file(folder, data)
    translated = None if data.translations_file is None else Path(data.translations_file)
    bridge = None if data.bridge is None else corpus[data.bridge]
    anchors = read_texts(queries[english], data.split)
    joined = join_rows(
        anchors,
        read_texts(corpus[english], data.split),
        read_negatives(negatives) if negatives else {},
        {code: read_texts(queries[code], data.split) for code in targets} | _translated(translated, anchors),
        count=data.negatives,
        bridge=None if bridge is None else read_texts(bridge, data.split),
    )
    roles = resolve_roles(joined.columns, ())
    used = [queries[english], corpus[english], *(queries[code] for code in targets), negatives, translated, bridge]
    sources = tuple(source_of(path, folder) for path in used if path is not None)
    return Rows(joined.columns, joined.languages, roles, dict(joined.drops), sources, joined.ids)


def _negatives_file(folder: Path, data: DataPart) -> Path | None:
    own = next(iter(folder.glob("negatives.jsonl*")), None)
    negatives = Path(data.negatives_file) if data.negatives_file is not None else own
    if data.negatives and negatives is None:
        msg = f"{folder}: no negatives.jsonl(.gz), but data.negatives is {data.negatives}: set mine.model, or it to 0"
        raise DataError(msg)
    return negatives


def _translated(path: Path | None, anchors: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Give language -> id -> translated query."""
    found = {} if path is None else read_translations(path)
    return {
        language: {item: texts[text] for item, text in anchors.items() if text in texts}
        for language, texts in found.items()
    }


def english_files(folder: Path) -> tuple[Path, Path]:
    """Find the English queries and passages of a collection."""
    for code in ENGLISH_CODES:
        found = [next(iter(sorted((folder / part).glob(f"{code}.jsonl*"))), None) for part in ("queries", "corpus")]
        if found[0] is not None and found[1] is not None:
            return found[0], found[1]
    msg = f"{folder}: no queries/en.jsonl(.gz) and corpus/en.jsonl(.gz)"
    raise DataError(msg)


def _code(path: Path) -> str:
    return path.name.split(".")[0]


def _canonical(code: str) -> str:
    """Spell a language of a collection as elsewhere; a code of its own stays."""
    try:
        return canonical(code)
    except UsageError:
        return code
