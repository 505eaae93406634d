"""Rows of files and hub data sets with role columns; mined negatives and translated queries are joined to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_bench.errors import MissingExtraError, UsageError
from clear_bench.losses.objectives import REPEATED, ROLES, Role
from clear_bench.losses.roles import resolve_roles
from clear_bench.train.files import read_negatives, read_translations, source_of, text_id
from clear_bench.train.parts import DataPart
from clear_bench.train.rows import Rows, as_texts, refuse_unknown_languages

Translations = Mapping[str, Mapping[str, str]]
"""Language -> English query -> the query in that language."""


@dataclass(frozen=True, slots=True, eq=False)
class _Passages:
    """The passages of a table by key, and the queries that ask for them."""

    texts: Mapping[str, str]
    own: Mapping[str, set[str]]
    """English query -> keys of its passages."""
    queries: Mapping[str, Mapping[str, Mapping[str, str]]]
    """Language -> key of a passage -> query in that language -> its English original, empty where unknown."""

    def choose(self, anchor: str, ranked: Sequence[str], count: int) -> dict[str, str | None]:
        """Take the first passages that are none of the anchor's."""
        usable = dict.fromkeys(key for key in ranked if key in self.texts and key not in self.own[anchor])
        return dict.fromkeys(list(usable)[:count])

    def choose_paired(
        self, anchor: str, cross: str | None, language: str, ranked: Sequence[str], count: int
    ) -> dict[str, str | None]:
        """Take the first such passages that have a query in a language, one that asks for no passage of the anchor."""
        asked, own, found = self.queries.get(language, {}), self.own[anchor], dict[str, str | None]()
        for key in self.choose(anchor, ranked, len(ranked)):
            free = (
                query
                for query, english in asked.get(key, {}).items()
                if query not in (cross, *found.values()) and not own & self.own.get(english, set())
            )
            if len(found) < count and (query := next(free, None)) is not None:
                found[key] = query
        return found


def read_table(data: DataPart, needed: tuple[Role, ...]) -> Rows:
    """Read role columns and complete them with mined negatives and translated queries, where the recipe has those."""
    filled: set[Role] = set()
    if data.negatives_file is not None:
        filled |= {"negative", "neg_query"}
    if data.translations_file is not None:
        filled |= {"cross_anchor", "neg_query"}
    given = tuple(role for role in needed if role not in filled)
    rows = read_given(data, given, None if filled else data.negatives)
    if filled:
        paired = "neg_query" in needed if data.query_negatives is None else data.query_negatives
        rows = _completed(rows, data, paired)
    if data.languages:
        refuse_unknown_languages(data.languages, rows.languages)
        rows = rows.keep([code in data.languages for code in rows.languages], "language not asked for")
    return rows


def read_given(data: DataPart, needed: tuple[Role, ...] = ("anchor", "positive"), negatives: int | None = None) -> Rows:
    """Read the role columns as they stand, `negatives` of the numbered ones or all, through the datasets library."""
    table, sources = _load_table(data)
    roles = resolve_roles(table.column_names, needed, data.roles)
    for role in REPEATED:
        if role in needed and roles.count(role) < data.negatives:
            msg = f"data.negatives is {data.negatives}, but the data has {roles.count(role)} columns of {role}"
            raise UsageError(msg)
    kept = {role: names[:negatives] if role in REPEATED else names for role, names in roles.columns.items()}
    where = data.hub or ", ".join(data.files)
    names = [name for role in ROLES for name in kept.get(role, ())]
    columns = {name: as_texts(name, table[name], where) for name in names}
    has_language = data.language_column in table.column_names
    languages = [str(code) for code in table[data.language_column]] if has_language else ["und"] * len(table)
    named = {role: column for role, column in data.roles.items() if column in names}
    ids = {name: list(map(str, table[f"{name}_id"])) for name in names if f"{name}_id" in table.column_names}
    return Rows(columns, languages, resolve_roles(names, (), named), {}, sources, ids)


def english_table(rows: Rows) -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    """Give the English queries and the passages by id, and the ids of the passages that each query asks for."""
    passages = _passages(rows, _keys(rows))
    queries = {text_id(anchor): anchor for anchor in passages.own}
    return queries, dict(passages.texts), {text_id(anchor): sorted(keys) for anchor, keys in passages.own.items()}


def _completed(rows: Rows, data: DataPart, paired: bool) -> Rows:
    """Give each row the negatives that are its own and, where `paired`, a query of each in the row's language."""
    translations = None if data.translations_file is None else read_translations(Path(data.translations_file))
    mined = None if data.negatives_file is None else read_negatives(Path(data.negatives_file))
    keys, (anchors,) = _keys(rows), rows.of("anchor")
    passages = _passages(rows, keys, translations)
    given = [keys[name] for name in rows.roles.order(("negative",))]
    columns: dict[str, list[str]] = {}
    ids: dict[str, list[str]] = {}
    languages: list[str] = []
    drops: Counter[str] = Counter()
    for i, language, cross in _targets(rows, translations):
        ranked = [column[i] for column in given] if mined is None else mined.get(text_id(anchors[i]), [])
        chosen = (passages.choose_paired(anchors[i], cross, language, ranked, data.negatives) if paired
                  else passages.choose(anchors[i], ranked, data.negatives))  # fmt: skip
        if translations is not None and cross is None:
            drops["no translated query"] += 1
        elif len(chosen) < data.negatives:
            drops["too few translated negatives" if paired else "too few negatives"] += 1
        else:
            kept = {"positive": keys[rows.roles.order(("positive",))[0]][i]}
            kept |= {f"negative_{k}": key for k, key in enumerate(chosen, 1)}
            texts = {"anchor": anchors[i], **{name: passages.texts[key] for name, key in kept.items()}}
            texts |= {} if cross is None else {"cross_anchor": cross}
            texts |= {f"neg_query_{k}": query for k, query in enumerate(chosen.values(), 1) if query is not None}
            texts |= {name: rows.columns[name][i] for name in rows.roles.order(("bridge",))}
            _append(columns, texts)
            _append(ids, kept)
            languages.append(language)
    made = [Path(name) for name in (data.negatives_file, data.translations_file) if name is not None]
    sources = (*rows.sources, *(source_of(path, path.parent) for path in made))
    return Rows(columns, languages, resolve_roles(columns, ()), dict(drops), sources, ids)


def _append(columns: dict[str, list[str]], row: Mapping[str, str]) -> None:
    for name, text in row.items():
        columns.setdefault(name, []).append(text)


def _targets(rows: Rows, translations: Translations | None) -> Iterator[tuple[int, str, str | None]]:
    """Walk the rows to make: number of the given row, its language, its query in that language."""
    if translations is None:
        cross = rows.of("cross_anchor")
        yield from ((i, language, cross[0][i] if cross else None) for i, language in enumerate(rows.languages))
        return
    (anchors,) = rows.of("anchor")
    for language, texts in translations.items():
        yield from ((i, language, texts.get(anchor)) for i, anchor in enumerate(anchors))


def _keys(rows: Rows) -> dict[str, list[str]]:
    """Name the passages of each column: by the id that an equal text has somewhere, else by a digest."""
    names = rows.roles.order(("positive", "negative"))
    known: dict[str, str] = {}
    for name in names:
        for text, key in zip(rows.columns[name], rows.ids.get(name, ()), strict=False):  # all ids, or none
            known.setdefault(text, key)
    return {name: [known.setdefault(text, text_id(text)) for text in rows.columns[name]] for name in names}


def _passages(rows: Rows, keys: Mapping[str, Sequence[str]], translations: Translations | None = None) -> _Passages:
    (anchors,), (positive,) = rows.of("anchor"), rows.roles.order(("positive",))
    texts: dict[str, str] = {}
    for name, column in keys.items():
        for key, text in zip(column, rows.columns[name], strict=True):
            texts.setdefault(key, text)
    own: dict[str, set[str]] = {}
    for anchor, key in zip(anchors, keys[positive], strict=True):
        own.setdefault(anchor, set()).add(key)
    queries: dict[str, dict[str, dict[str, str]]] = {}
    for language, key, query, english in _queries(rows, keys, translations):
        queries.setdefault(language, {}).setdefault(key, {}).setdefault(query, english)
    return _Passages(texts, own, queries)


def _queries(
    rows: Rows, keys: Mapping[str, Sequence[str]], translations: Translations | None
) -> Iterator[tuple[str, str, str, str]]:
    """Walk what asks for each passage: language, key, query and its English original, empty where that is unknown.

    A passage's own query is that of its row, or the query negative of the same number; where queries are to be
    translated, query negatives are English as well.
    """
    (positive, *negatives), (anchors,), cross = list(keys), rows.of("anchor"), rows.of("cross_anchor")
    numbered = list(zip(negatives, rows.of("neg_query"), strict=False))
    if translations is None:
        given = [(positive, cross[0], anchors), *((*pair, [""] * len(rows)) for pair in numbered)] if cross else []
        for name, column, originals in given:
            yield from zip(rows.languages, keys[name], column, originals, strict=True)
        return
    for language, texts in translations.items():
        for name, originals in [(positive, anchors), *numbered]:
            yield from (
                (language, key, texts[original], original)
                for key, original in zip(keys[name], originals, strict=True)
                if original in texts
            )


def _load_table(data: DataPart) -> tuple[Any, tuple[dict[str, str], ...]]:  # Any: a datasets.Dataset
    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingExtraError("datasets", "train") from None
    if data.hub is not None:
        table = load_dataset(data.hub, data.subset, split=data.hub_split, revision=data.revision)
        return table, ({"hub": data.hub, "revision": data.revision or "unpinned", "split": data.hub_split},)
    paths = [Path(name) for name in data.files]
    for path in paths:
        if not path.is_file():
            msg = f"no training file {path}"
            raise UsageError(msg)
    kinds = {".jsonl": "json", ".json": "json", ".gz": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
    kind = kinds.get(paths[0].suffix)
    if kind is None:
        msg = f"{paths[0]}: training rows are read from .jsonl, .jsonl.gz, .csv, .tsv or .parquet"
        raise UsageError(msg)
    options = {"sep": "\t"} if paths[0].suffix == ".tsv" else {}
    table = load_dataset(kind, data_files=[str(path) for path in paths], split="train", **options)
    return table, tuple(source_of(path, path.parent) for path in paths)
