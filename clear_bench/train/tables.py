"""Reads rows of files and hub data sets with role columns, and joins mined negatives and translated queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clear_bench.errors import UsageError
from clear_bench.losses.objectives import REPEATED, ROLES, Role
from clear_bench.losses.roles import resolve_roles
from clear_bench.readers.cells import Cells, column_names, read_cells
from clear_bench.train.files import given_file, read_negatives, read_translations, source_of, text_id
from clear_bench.train.parts import DataPart
from clear_bench.train.rows import Rows, append_row, choose_negatives, keep_distinct, refuse_unknown_languages

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

    def choose_paired(
        self, anchor: str, cross: str | None, language: str, ranked: Sequence[str], count: int
    ) -> dict[str, str | None]:
        """Return passage -> query for the first passages with a query in a language that is not one of the anchor's."""
        asked, own, found = self.queries.get(language, {}), self.own[anchor], dict[str, str | None]()
        for key in ranked:
            free = (
                query
                for query, english in asked.get(key, {}).items()
                if query not in (cross, *found.values()) and not own & self.own.get(english, set())
            )
            if len(found) < count and (query := next(free, None)) is not None:
                found[key] = query
        return found


def read_table(data: DataPart, needed: tuple[Role, ...]) -> Rows:
    """Read role columns, and join the mined negatives and translated queries that the recipe names."""
    filled: set[Role] = set()
    if data.negatives_file is not None:
        filled |= {"negative", "neg_query"}
    if data.translations_file is not None:
        filled |= {"cross_anchor", "neg_query"}
    given = tuple(role for role in needed if role not in filled)
    rows = read_given(data, given, None if filled else data.negatives)
    paired = "neg_query" in needed if data.query_negatives is None else data.query_negatives
    rows = _completed(rows, data, paired) if filled else keep_distinct(rows)
    if data.languages:
        refuse_unknown_languages(data.languages, rows.languages)
        rows = rows.keep([code in data.languages for code in rows.languages], "language not asked for")
    return rows


def read_given(data: DataPart, needed: tuple[Role, ...] = ("anchor", "positive"), negatives: int | None = None) -> Rows:
    """Read the role columns of the data, with the first `negatives` of the numbered ones, or all."""
    found = _open_hub(data) if data.hub is not None else _open_files(data)
    roles = resolve_roles(found.names, needed, data.roles)
    for role in REPEATED:
        if role in needed and roles.count(role) < data.negatives:
            msg = f"data.negatives is {data.negatives}, but the data has {roles.count(role)} columns of {role}"
            raise UsageError(msg)
    kept = {role: names[:negatives] if role in REPEATED else names for role, names in roles.columns.items()}
    names = [name for role in ROLES for name in kept.get(role, ())]
    numbered = [f"{name}_id" for name in names if f"{name}_id" in found.names]
    spoken = [data.language_column] if data.language_column in found.names else []
    parts = found.read(list(dict.fromkeys([*names, *numbered, *spoken])))
    columns = {name: [text for part in parts for text in part.texts(name)] for name in names}
    ids = {name.removesuffix("_id"): [item for part in parts for item in part.ids(name)] for name in numbered}
    languages = [code for part in parts for code in (part.texts(spoken[0]) if spoken else ["und"] * len(part))]
    named = {role: column for role, column in data.roles.items() if column in names}
    return Rows(columns, languages, resolve_roles(names, (), named), {}, found.sources, ids)


def english_table(rows: Rows) -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    """Return English queries by id, passages by id, and the ids of each query's passages."""
    passages = _passages(rows, _keys(rows))
    queries = {text_id(anchor): anchor for anchor in passages.own}
    return queries, dict(passages.texts), {text_id(anchor): sorted(keys) for anchor, keys in passages.own.items()}


def _completed(rows: Rows, data: DataPart, paired: bool) -> Rows:
    """Return the rows with their negatives and, where `paired`, a query of each negative in the row's language."""
    made = [given_file(getattr(data, key), key) for key in ("negatives_file", "translations_file")]
    translations = None if made[1] is None else read_translations(made[1])
    keys, (anchors,) = _keys(rows), rows.of("anchor")
    passages = _passages(rows, keys, translations)
    left_out: Counter[str] = Counter()
    listed = [choose_negatives(passages.own[anchor], ranked, left_out)
              for anchor, ranked in zip(anchors, _ranked(rows, keys, passages, made[0]), strict=True)]  # fmt: skip
    columns: dict[str, list[str]] = {}
    ids: dict[str, list[str]] = {}
    languages: list[str] = []
    drops: Counter[str] = Counter()
    for i, language, cross in _targets(rows, translations):
        chosen = (passages.choose_paired(anchors[i], cross, language, listed[i], data.negatives) if paired
                  else dict.fromkeys(listed[i][: data.negatives]))  # fmt: skip
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
            append_row(columns, texts)
            append_row(ids, kept)
            languages.append(language)
    sources = (*rows.sources, *(source_of(path, path.parent) for path in made if path is not None))
    return Rows(columns, languages, resolve_roles(columns, ()), dict(drops), sources, ids, dict(left_out))


def _ranked(
    rows: Rows, keys: Mapping[str, Sequence[str]], passages: _Passages, mined: Path | None
) -> list[Sequence[str]]:
    """Return each row's negatives by key: those mined for its query, else its own columns."""
    if mined is None:
        own = [keys[name] for name in rows.roles.order(("negative",))]
        return [[column[i] for column in own] for i in range(len(rows))]
    queries = {text_id(anchor) for anchor in passages.own}
    found = read_negatives(mined, queries, passages.texts)
    return [found.get(text_id(anchor), []) for anchor in rows.of("anchor")[0]]


def _targets(rows: Rows, translations: Translations | None) -> Iterator[tuple[int, str, str | None]]:
    """Yield the rows to make: number of the given row, its language, its query in that language."""
    if translations is None:
        cross = rows.of("cross_anchor")
        yield from ((i, language, cross[0][i] if cross else None) for i, language in enumerate(rows.languages))
        return
    (anchors,) = rows.of("anchor")
    for language, texts in translations.items():
        yield from ((i, language, texts.get(anchor)) for i, anchor in enumerate(anchors))


def _keys(rows: Rows) -> dict[str, list[str]]:
    """Return a key for each passage of each column: the id that an equal text has anywhere, else a digest."""
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
    """Yield each query of each passage: language, passage key, query, and its English original, empty where unknown.

    The query of a positive is that of its row, the query of a negative is the query negative of the same number. With
    `translations`, query negatives are English.
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


class _Table(NamedTuple):
    """A table whose cells are read when it is known which columns are needed."""

    names: Sequence[str]
    read: Callable[[Sequence[str]], Sequence[Cells]]
    sources: tuple[dict[str, str], ...]


def _open_files(data: DataPart) -> _Table:
    paths = [Path(name) for name in data.files]
    for path in paths:
        if not path.is_file():
            msg = f"no training file {path}"
            raise UsageError(msg)
    return _table_of(paths, tuple(source_of(path, path.parent) for path in paths))


def _table_of(paths: Sequence[Path], sources: tuple[dict[str, str], ...]) -> _Table:
    names = list(dict.fromkeys(name for path in paths for name in column_names(path)))
    return _Table(names, lambda wanted: [read_cells(path, wanted) for path in paths], sources)


def _open_hub(data: DataPart) -> _Table:
    """Return the table of a hub data set, read from its files, or by the datasets library where they are not tables.

    Columns that the library reads as dates or numbers are refused when their texts are read.
    """
    from clear_bench.train.hub import load, plain_files

    source = {"hub": str(data.hub), "revision": data.revision or "unpinned", "split": data.hub_split}
    if paths := plain_files(data):
        return _table_of(paths, (source,))
    table = load(data)

    def read(wanted: Sequence[str]) -> list[Cells]:
        return [Cells({name: list(table[name]) for name in wanted}, lambda i: f"{data.hub}, row {i + 1}")]

    return _Table(table.column_names, read, (source,))
