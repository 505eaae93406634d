"""Read a task card from TOML into a `Task`: every key must be known, have the right type and fit the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from clear_bench.disk import is_plain_name
from clear_bench.documents import read_toml
from clear_bench.errors import CardError, UsageError
from clear_bench.languages import canonical
from clear_bench.registry import refuse_unknown_keys, unknown
from clear_bench.tasks.pairs import match
from clear_bench.tasks.task import Counts, Scalar, Task
from clear_bench.types import LanguagePair

Raw: TypeAlias = Mapping[str, Any]  # Any: TOML, checked key by key

_EVERY, _LISTED = "*", "listed"
"""All languages of the card; their codes in the files are the spellings of `languages`."""

_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "text": (lambda value: isinstance(value, str) and bool(value.strip()), "a text that is not blank"),
    "string": (lambda value: isinstance(value, str), "a text"),
    "texts": (lambda value: _is_texts(value) and len(set(value)) == len(value), "a list of different texts"),
    "pairs": (lambda value: isinstance(value, str) or _is_texts(value), 'a word such as "all", or a list of pairs'),
    "count": (lambda value: type(value) is int and value > 0, "a whole number above 0"),
    "table": (lambda value: isinstance(value, dict), "a table"),
    "dedupe": (lambda value: value in ("none", "text"), '"none" or "text"'),
}
_REQUIRED = {
    "name": "text",
    "reader": "text",
    "languages": "texts",
    "pairs": "pairs",
    "metrics": "texts",
    "main_metric": "text",
    "licence": "text",
    "source": "table",
}
_VERBATIM = {
    "title": "text",
    "cluster": "text",
    "join": "string",
    "dedupe": "dedupe",
    "run_depth": "count",
    "instruction": "text",
    "description": "text",
    "citation": "text",
    "grades": "text",
    "options": "table",
}
_OPTIONAL = _VERBATIM | {
    "files": "table",
    "codes": "table",
    "pools": "table",
    "select": "table",
    "expected": "table",
    "overlaps": "texts",
    "groups": "texts",
    "size": "table",
}


def load_card(path: str | Path) -> Task:
    """Read a card, or the `card.toml` of a folder.

    Raises `CardError` for a card that cannot be used, `UsageError` for a key or a language that does not exist.
    Whether its files are there is for `readers.check`, whether its metrics exist for whoever computes them.
    """
    file = Path(path) / "card.toml" if Path(path).is_dir() else Path(path)
    where = f"card {file}"
    if not file.is_file():
        msg = f"there is no card at {file}"
        raise CardError(msg)
    raw = read_toml(file, CardError)
    _check_keys(raw, where)
    languages = _languages(raw["languages"], f"{where}: 'languages'")
    codes = _codes(raw, languages, where)
    pools = {
        name: languages if members == _EVERY else _languages(members, f"{where}: pool {name!r}", languages)
        for name, members in raw.get("pools", {}).items()
    }
    _check_names(raw, codes, pools, where)
    return Task(
        **{"title": raw["name"]} | {key: raw[key] for key in _VERBATIM if key in raw},
        name=raw["name"],
        reader=raw["reader"],
        languages=languages,
        pairs=_pairs(raw["pairs"], languages, codes, pools, where),
        metrics=tuple(raw["metrics"]),
        main_metric=raw["main_metric"],
        licence=raw["licence"],
        folder=file.parent,
        source=_source(raw["source"], where),
        files=_texts(raw.get("files", {}), f"{where}: [files]"),
        codes=codes,
        pools=pools,
        select=_select(raw.get("select", {}), where),
        expected=_expected(raw, languages, where),
        overlaps=tuple(raw.get("overlaps", ())),
        groups=tuple(raw.get("groups", ())),
        size=_size(raw.get("size", {}), f"{where}: [size]"),
        card=file,
    )


def _check_keys(raw: Raw, where: str) -> None:
    refuse_unknown_keys(raw, [*_REQUIRED, *_OPTIONAL], where)
    for key in _REQUIRED:
        if key not in raw:
            msg = f"{where} has no {key!r}; every card needs {', '.join(_REQUIRED)}"
            raise CardError(msg)
    for key, kind in (_REQUIRED | _OPTIONAL).items():
        if key in raw:
            _check(raw[key], kind, f"{where}: {key!r}")


def _check(value: object, kind: str, where: str) -> None:
    is_valid, words = _KINDS[kind]
    if not is_valid(value):
        msg = f"{where} is {value!r}, but must be {words}"
        raise CardError(msg)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) and item.strip() for item in value)


def _languages(spellings: Any, where: str, allowed: Sequence[str] | None = None) -> tuple[str, ...]:
    _check(spellings, "texts", where)
    languages = tuple(canonical(spelling) for spelling in spellings)
    for language, spelling in zip(languages, spellings, strict=True):
        if languages.count(language) > 1:
            msg = f"{where} has {language!r} twice, as {[s for s in spellings if canonical(s) == language]}"
            raise CardError(msg)
        if allowed is not None and language not in allowed:
            msg = f"{where} has {spelling!r}, which is none of the card's languages: {', '.join(allowed)}"
            raise CardError(msg)
    return languages


def _by_language(raw: Raw, key: str, languages: Sequence[str], where: str) -> dict[str, Any]:
    """Return a table of the card with its keys spelled canonically; the row `"*"` is left out."""
    table = {spelling: row for spelling, row in raw.get(key, {}).items() if spelling != _EVERY}
    keys = _languages(list(table), f"{where}: [{key}]", languages) if table else ()
    return dict(zip(keys, table.values(), strict=True))


def _codes(raw: Raw, languages: Sequence[str], where: str) -> dict[str, Any]:
    """Return the files' code of every language: canonical, or as `languages` spells it, unless it has its own row."""
    every = raw.get("codes", {}).get(_EVERY)
    if every not in (None, _LISTED):
        msg = f'{where}: [codes] "*" is {every!r}, but must be "{_LISTED}": spelled in the files as in \'languages\''
        raise CardError(msg)
    spellings = raw["languages"] if every else languages
    return dict(zip(languages, spellings, strict=True)) | _by_language(raw, "codes", languages, where)


def _check_names(raw: Raw, codes: Mapping[str, Any], pools: Iterable[str], where: str) -> None:
    """Raise `CardError` for names that are ambiguous or cannot be a folder or a part of an id."""
    msg = ""
    if not is_plain_name(raw["name"]) or not re.fullmatch(r"[a-z0-9._-]+", raw["name"]):
        msg = f"the name {raw['name']!r} cannot name a folder: use lower-case letters, digits, '.', '_' and '-'"
    if raw["main_metric"] not in raw["metrics"]:
        msg = unknown("main_metric", raw["main_metric"], raw["metrics"])
    for name in [*codes.values(), *pools]:
        if not isinstance(name, str) or "+" in name or not is_plain_name(name):
            msg = f"the code or pool {name!r} must be letters, digits, '.', '_' and '-': it becomes part of ids"
    if len(set(map(str, codes.values()))) < len(codes):
        msg = f"[codes] gives two languages the same code: {', '.join(map(str, codes.values()))}"
    for name in pools:
        if name in codes.values() or _is_language(name):
            msg = f"the pool {name!r} is named like a language"
    if msg:
        msg = f"{where}: {msg}"
        raise CardError(msg)


def _is_language(name: str) -> bool:
    try:
        return bool(canonical(name))
    except UsageError:
        return False


def _pairs(
    given: str | list[str], languages: Sequence[str], codes: Mapping[str, str], pools: Iterable[str], where: str
) -> tuple[LanguagePair, ...]:
    """Return the pairs that `pairs` means; pools run only where the card names them."""
    square = [LanguagePair(query, passage) for query in languages for passage in languages]
    chosen: set[LanguagePair] = set()
    for pattern in [given] if isinstance(given, str) else given:
        found = match(pattern, square, codes, pools)
        if not found:
            msg = f"{where}: 'pairs': {pattern!r} matches no pair of its languages {', '.join(languages)}"
            raise CardError(msg)
        chosen |= found
    every = [*square, *(LanguagePair(query, pool) for pool in pools for query in languages)]
    return tuple(pair for pair in every if pair in chosen)


def _source(table: Raw, where: str) -> dict[str, str]:
    where = f"{where}: [source]"
    refuse_unknown_keys(table, ("path", "hub", "revision", "url"), where)
    source = _texts(table, where)
    if sum(key in source for key in ("path", "hub", "url")) != 1:
        msg = f"{where} needs either path or hub, or the url of a site, but has {', '.join(source) or 'neither'}"
        raise CardError(msg)
    return source


def _size(table: Raw, where: str) -> dict[str, float]:
    refuse_unknown_keys(table, ("download_gb", "disk_gb"), where)
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            msg = f"{where} {key!r} is {value!r}, but must be a number above 0"
            raise CardError(msg)
    return {key: float(value) for key, value in table.items()}


def _texts(table: Raw, where: str) -> dict[str, str]:
    for key, value in table.items():
        _check(value, "text", f"{where} {key!r}")
    return dict(table)


def _select(table: Raw, where: str) -> dict[str, tuple[Scalar, ...]]:
    values = {key: tuple(value) if isinstance(value, list) else (value,) for key, value in table.items()}
    for key, wanted in values.items():
        if not wanted or not all(isinstance(value, str | int | float) for value in wanted):
            msg = f"{where}: [select] {key!r} is {table[key]!r}, but must be a value or a list of values"
            raise CardError(msg)
    return values


def _expected(raw: Raw, languages: Sequence[str], where: str) -> dict[str, Counts]:
    """Return the expected counts by language; those of the row `"*"` hold where a language states no other."""
    own = _by_language(raw, "expected", languages, where)
    every = {_EVERY: raw["expected"][_EVERY]} if _EVERY in raw.get("expected", {}) else {}
    for language, row in (every | own).items():
        place = f"{where}: [expected] {language!r}"
        _check(row, "table", place)
        refuse_unknown_keys(row, ("queries", "passages"), place)
        for key, count in row.items():
            _check(count, "count", f"{place} {key!r}")
    shared = every.get(_EVERY, {})
    return {language: Counts(**(shared | own.get(language, {}))) for language in (languages if every else own)}
