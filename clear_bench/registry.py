"""Lookup in tables of names, with the near misses in the message when a name is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TypeVar

from clear_bench.errors import UsageError

T = TypeVar("T")


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not in a table, with the nearest names or the first ones."""
    names = sorted(known)
    if hint := near_miss(name, names):
        return f"unknown {what} {name!r}; {hint}"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"unknown {what} {name!r}; known: {shown}"


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` with the known names nearest to a mistyped one; nothing where none is near."""
    names = list(known)
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=3, cutoff=0.6)
    close = [repr(n) for n in names if n.lower() in near]
    return f"did you mean {', '.join(close)}?" if close else ""


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """Return a row of a table. Raise `UsageError` with the nearest names where it is missing."""
    try:
        return table[name]
    except KeyError:
        raise UsageError(unknown(what, name, table)) from None


def refuse_unknown_keys(
    given: Iterable[str], known: Iterable[str], where: str, error: type[Exception] = UsageError
) -> None:
    """Raise `error` for the first key that is not known: a mistyped setting must not be ignored."""
    allowed = set(known)
    for key in given:
        if key not in allowed:
            raise error(f"{where}: {unknown('key', key, allowed)}")


def load(row: str) -> object:
    """Import the object that a table names as `package.module:attribute`, when it is first needed."""
    module, _, attribute = row.partition(":")
    return getattr(import_module(module), attribute)
