"""Language codes: many spellings in, one canonical code (`deu-Latn`) out; names, short forms, resource classes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from clear_bench.errors import UsageError
from clear_bench.registry import unknown
from clear_bench.types import ENGLISH


class _Language(NamedTuple):
    code: str
    short: str
    resource_class: int | None
    name: str
    also: tuple[str, ...]


def canonical(code: str) -> str:
    """Return the one spelling of a language that cards, results and tables use.

    Accept ISO 639-1, 639-2/B and 639-3 codes with or without script, FLORES and mteb spellings and locales, in any
    case, with `-` or `_`. Raises `UsageError` with the nearest codes for anything else.

    >>> [canonical(code) for code in ("de", "deu_Latn", "arb", "kor-Kore", "pt_BR", "zh-TW")]
    ['deu-Latn', 'deu-Latn', 'ara-Arab', 'kor-Hang', 'por-Latn', 'zho-Hant']
    """
    spellings = _spellings()
    key = code.strip().lower().replace("_", "-")
    without_region = re.sub(r"-([a-z]{2}|\d{3})$", "", key)
    found = spellings.get(key) or spellings.get(without_region)
    if found is None:
        raise UsageError(_unknown(code))
    return found


def name(code: str) -> str:
    """Return the English name, with the script where it is not the language's usual one."""
    return _languages()[canonical(code)].name


def short(code: str) -> str:
    """Return the shortest unique spelling: `de`, `arz`, `hi-Latn`; `canonical` takes it back."""
    return _languages()[canonical(code)].short


def side(code: str) -> str:
    """Return the short label of a language side: `de`; a pool or a code that is not a language keeps its name."""
    try:
        return short(code)
    except UsageError:
        return code


def language_name(code: str) -> str:
    """Return the name of a language side: `German`; a pool or a code that is not a language keeps its name."""
    try:
        return name(code)
    except UsageError:
        return code


def english_first(codes: Iterable[str]) -> tuple[str, ...]:
    """Return the codes without repeats, English in front; the others keep their order."""
    return tuple(sorted(dict.fromkeys(codes), key=lambda code: code != ENGLISH))


def resource_class(code: str) -> int | None:
    """Return the class of Joshi et al. 2020, 0 (left behind) to 5 (winners); None where their list is silent.

    https://aclanthology.org/2020.acl-main.560
    """
    return _languages()[canonical(code)].resource_class


def all_codes() -> tuple[str, ...]:
    """Return every canonical code, sorted by language; a language's usual script comes first."""
    return tuple(_languages())


def _unknown(code: str) -> str:
    """Return the message for an unknown code: the code of an English name, near codes, or where the list is."""
    rows = _languages().values()
    named = [row.code for row in rows if row.name.lower() == code.strip().lower()]
    if named:
        return f"unknown language {code!r}; did you mean {named[0]!r}?"
    message = unknown("language", code, {*_languages(), *(row.short for row in rows)})
    head, no_near_code, _ = message.partition("; known:")
    return f"{head}; `clear-bench list languages` shows all {len(rows)}" if no_near_code else message


@cache
def _languages() -> dict[str, _Language]:
    text = Path(__file__).with_name("languages.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return {
        code: _Language(code, short, int(level) if level else None, name, tuple(also.split()))
        for code, short, level, name, also in rows
    }


@cache
def _spellings() -> dict[str, str]:
    """Map every accepted spelling, in lower case with hyphens, to its canonical code."""
    spellings: dict[str, str] = {}
    roots: dict[str, str] = {}
    for row in _languages().values():
        language, script = row.code.split("-")
        root = roots.setdefault(language, row.short)
        stems = [language, root, *(item for item in row.also if item.islower())]
        scripts = [script, *(item for item in row.also if item.istitle() and "-" not in item)]
        for stem in stems:
            # The first row of a language owns the spellings without a script.
            spellings.setdefault(stem, row.code)
            spellings.update((f"{stem}-{name}".lower(), row.code) for name in scripts)
        spellings.update((item.lower(), row.code) for item in row.also if "-" in item)
    return spellings
