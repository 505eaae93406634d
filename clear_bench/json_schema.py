"""Checks a document against its JSON Schema without a package for it: the keywords that our schemas use, no more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_WORDS = {"$schema", "$id", "title", "description"}
"""Keywords of JSON Schema that demand nothing."""


def violation(value: object, schema: Mapping[str, Any], where: str = "it") -> str | None:  # Any: JSON Schema
    """Return what in a document does not fit its JSON Schema; None where all does.

    Knows the keywords that the package's schemas of input files use; another one is a mistake of ours.
    """
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_kind(value, kind) for kind in kinds):
        return f"{where} is {_short(value)}, but must be of type {' or '.join(kinds)}"
    for keyword, demand in schema.items():
        if keyword not in _WORDS and keyword != "type":
            found = next(_DEMANDS[keyword](value, demand, schema, where), None)
            if found is not None:
                return found
    return None


def _is_kind(value: object, kind: str) -> bool:
    # A truth value is an integer to Python, and none to JSON.
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _are_unique(values: list[Any], demand: bool) -> bool:  # Any: JSON
    return not demand or len({json.dumps(value, sort_keys=True) for value in values}) == len(values)


_Finder = Callable[[Any, Any, Mapping[str, Any], str], Iterator[str]]  # Any: JSON and JSON Schema


def _simple(fits: Callable[[Any, Any], bool], kind: type | tuple[type, ...], words: str) -> _Finder:
    def find(value: Any, demand: Any, _schema: Mapping[str, Any], where: str) -> Iterator[str]:
        if isinstance(value, kind) and not fits(value, demand):
            yield f"{where} is {_short(value)}, but {words.format(demand)}"

    return find


def _members(value: Any, demand: Any, _schema: Mapping[str, Any], where: str) -> Iterator[str]:
    for key, part in demand.items() if isinstance(value, dict) else ():
        if key in value and (found := violation(value[key], part, f"{where}.{key}")):
            yield found


def _lacking(value: Any, demand: Any, _schema: Mapping[str, Any], where: str) -> Iterator[str]:
    yield from (f"{where} has no {key!r}" for key in demand if isinstance(value, dict) and key not in value)


def _others(value: Any, demand: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    others = [key for key in value if key not in schema.get("properties", {})] if isinstance(value, dict) else []
    for key in others:
        if demand is False:
            yield f"{where} has the key {_short(key)}, which nobody reads"
        elif isinstance(demand, dict) and (found := violation(value[key], demand, f"{where}[{_short(key)}]")):
            yield found


def _names(value: Any, demand: Any, _schema: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in value if isinstance(value, dict) else ():
        if found := violation(key, demand, f"the key {_short(key)} of {where}"):
            yield found


def _items(value: Any, demand: Any, _schema: Mapping[str, Any], where: str) -> Iterator[str]:
    for i, item in enumerate(value if isinstance(value, list) else ()):
        if found := violation(item, demand, f"{where}[{i}]"):
            yield found


_DEMANDS: Mapping[str, _Finder] = {
    "const": _simple(lambda value, demand: value == demand, object, "must be {!r}"),
    "pattern": _simple(lambda value, demand: re.fullmatch(demand, value) is not None, str, "must match {}"),
    "minLength": _simple(lambda value, demand: len(value) >= demand, str, "must have {} characters or more"),
    "maxLength": _simple(lambda value, demand: len(value) <= demand, str, "must have {} characters or fewer"),
    "minimum": _simple(lambda value, demand: value >= demand, (int, float), "must be {} or more"),
    "maxItems": _simple(lambda value, demand: len(value) <= demand, list, "must have {} items or fewer"),
    "minItems": _simple(lambda value, demand: len(value) >= demand, list, "must have {} items or more"),
    "uniqueItems": _simple(_are_unique, list, "repeats an item"),
    "properties": _members,
    "required": _lacking,
    "additionalProperties": _others,
    "propertyNames": _names,
    "items": _items,
}
