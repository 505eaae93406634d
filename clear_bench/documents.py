"""JSON and TOML files that others may have written: read by one rule, so that whatever is inside ends in a sentence."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NoReturn,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from clear_bench.errors import UsageError, UserError
from clear_bench.registry import near_miss, refuse_unknown_keys

DEPTH = 64
"""Tables and lists within each other: no document of ours needs ten, and Python's own functions recurse on them."""
LARGEST = 2**63
_MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
"""Byte order marks that Windows tools write, and what they say."""

Document = dict[str, Any]  # Any: JSON or TOML, checked by whoever reads it
T = TypeVar("T")

_WORDS: Mapping[object, str] = {
    **{str: "a text", bool: "true or false", int: "a whole number", float: "a number"},
    **{list: "a list", dict: "a table"},
}


@dataclass(frozen=True, slots=True)
class Demand:
    """What a number must fulfil, as part of a field's type: `Annotated[int, Demand(lambda n: n > 0, "positive")]`."""

    fits: Callable[[float], bool]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An object of a document that is written as it was read: unknown keys stay, missing ones stay missing."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    """Fields that a part made here writes only where they differ from their default."""

    layout: tuple[str, ...] = field(default=(), compare=False)
    """The keys of the document that it was read from, in order; empty for a part made here."""
    further: Mapping[str, object] = field(default_factory=dict)
    """Values under keys that are not fields."""

    @classmethod
    def known(cls) -> tuple[Field[Any], ...]:  # Any: the types of the fields differ
        """Return the fields that a document has as keys."""
        return tuple(one for one in fields(cls) if one.name not in ("layout", "further"))

    def to_dict(self) -> Document:
        """Return the part as JSON: a dict of dicts, lists, texts and numbers."""
        told = [one.name for one in self.known() if self._is_told(one)]
        keys = dict.fromkeys([*self.layout, *told, *self.further])
        return {key: as_document(self.further[key] if key in self.further else getattr(self, key)) for key in keys}

    def without(self, *keys: str) -> Self:
        """Return the part whose document lacks some keys, because their values are not known."""
        return replace(self, layout=tuple(key for key in self.to_dict() if key not in keys))

    def _is_told(self, one: Field[Any]) -> bool:  # Any: as above
        default = one.default if one.default_factory is MISSING else one.default_factory()
        return getattr(self, one.name) != default or not (self.layout or one.name in self.OPTIONAL)


def read_json(path: Path, refuse: type[UserError], *, allow_nan: bool = False) -> Document:
    """Read a JSON file that holds one object.

    Raises `refuse` for what is no UTF-8 or JSON, a key that stands twice in one object, nesting beyond `DEPTH`, whole
    numbers beyond 64 bits, null characters, half surrogates, and numbers that are not finite unless `allow_nan`.
    """
    return _parse(path, _load_json, "JSON", refuse, allow_nan)


def read_toml(path: Path, refuse: type[UserError]) -> Document:
    """Read a TOML file; raises `refuse` as `read_json` does."""
    return _parse(path, tomllib.loads, "TOML", refuse, False)


def foreign_encoding(data: bytes) -> str | None:
    """Name the encoding whose byte order mark starts a file, where it is not UTF-8."""
    return next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)


def digest_of(content: object, *, ascii: bool = False) -> str:
    """Return the SHA-256 of a JSON value in canonical form; `ascii` escapes all other characters first."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=ascii).encode()).hexdigest()


def tables(content: Mapping[str, Any], key: str, where: str) -> list[Document]:  # Any: TOML
    """Return the tables that a TOML file writes as `[[key]]`. Raise `UsageError` for anything else under that key."""
    found = content.get(key, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise UsageError(f"{where}: write {key!r} as tables [[{key}]], with two brackets")
    return found


def read_as(
    kind: type[T], table: object, where: str, refuse: type[UserError] = UsageError, *, lone_items: bool = False
) -> T:
    """Return a dataclass filled from TOML or JSON, each value checked against the type of its field.

    Tables become dataclasses or mappings, lists become tuples, and whole numbers pass as floats; with `lone_items` one
    item passes for a list. Raises `refuse` for a key that no field reads, with the nearest one, unless the dataclass is
    a `Part`, for a missing key and for a value of another type.
    """
    found: T = _Reader(where, refuse, lone_items).value(kind, table, "")
    return found


def as_document(value: object) -> Any:  # Any: JSON
    """Return a dataclass, with all that it holds, as the objects and lists that `read_as` reads."""
    if isinstance(value, Part):
        return value.to_dict()
    if is_dataclass(value):
        return {one.name: as_document(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key: as_document(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_document(part) for part in value]
    return value.value if isinstance(value, StrEnum) else value


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks values against type hints; `path` leads to a value inside the document: `training.steps`."""

    where: str
    refuse: type[UserError]
    lone_items: bool

    def value(self, hint: Any, value: Any, path: str) -> Any:  # Any: type hints, and values of any of these types
        origin, parts = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._demanded(parts[1], self.value(parts[0], value, path), path)
        if origin in (Union, UnionType):
            if value is None and NoneType in parts:
                return None
            kinds = [part for part in parts if part is not NoneType]
            return self.value(type(value) if type(value) in kinds else kinds[0], value, path)
        if origin is Literal:
            return self._choice(parts, value, path)
        if origin is tuple:
            items = [value] if self.lone_items and not isinstance(value, list) else self._checked(list, value, path)
            return tuple(self.value(parts[0], item, path) for item in items)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            table = self._checked(dict, value, path)
            return {key: self.value(parts[1], item, f"{path}.{key}") for key, item in table.items()}
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return hint(self._choice(tuple(map(str, hint)), value, path))
        return self._record(hint, value, path) if is_dataclass(hint) else self._checked(hint, value, path)

    def _record(self, kind: Any, value: object, path: str) -> Any:  # Any: a dataclass
        table, hints = self._checked(dict, value, path), get_type_hints(kind, include_extras=True)
        place, extra = f"{self.where}: {path}" if path else self.where, dict[str, object]()
        if issubclass(kind, Part):
            names = {one.name for one in kind.known()}
            extra = {"layout": tuple(table), "further": {key: table[key] for key in table if key not in names}}
            table = {key: item for key, item in table.items() if key in names}
        refuse_unknown_keys(table, hints, place, self.refuse)
        for one in fields(kind):
            if one.name not in table and one.default is one.default_factory is MISSING:
                raise self.refuse(f"{place} has no {one.name!r}")
        prefix = f"{path}." if path else ""
        return kind(**{key: self.value(hints[key], item, f"{prefix}{key}") for key, item in table.items()}, **extra)

    def _checked(self, kind: type, value: Any, path: str) -> Any:  # Any: of that kind
        if kind is float and type(value) is int:
            return float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
            self._fail(value, path, _WORDS[kind])
        if isinstance(value, float) and not math.isfinite(value):
            self._fail(value, path, "a finite number")
        if isinstance(value, str) and "\0" in value:
            self._fail(value, path, "a text without null characters")
        return value

    def _choice(self, choices: tuple[Any, ...], value: object, path: str) -> Any:  # Any: one of the choices
        if value not in choices:
            hint = near_miss(value, choices) if isinstance(value, str) else ""
            self._fail(value, path, " or ".join(map(repr, choices)) + (f"; {hint}" if hint else ""))
        return value

    def _demanded(self, demand: Demand, value: Any, path: str) -> Any:  # Any: a number or None
        if value is not None and not (math.isfinite(value) and demand.fits(value)):
            self._fail(value, path, demand.words)
        return value

    def _fail(self, value: object, path: str, words: str) -> NoReturn:
        raise self.refuse(f"{self.where}: {path or 'it'} is {value!r}, but must be {words}")


def _parse(path: Path, load: Callable[[str], Any], kind: str, refuse: type[UserError], allow_nan: bool) -> Document:
    content: Any
    try:
        data = path.read_bytes()
        if name := foreign_encoding(data):
            raise refuse(f"{path} is {name}; save it as UTF-8")
        # Editors on Windows put a byte order mark before the first character.
        content = load(data.decode("utf-8-sig"))
        if not isinstance(content, dict):
            problem = f"it holds {type(content).__name__} instead of an object"
        else:
            problem = next(_problems(content, allow_nan), "")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise refuse(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise refuse(f"{path} is not UTF-8: byte {error.start} cannot be decoded; save it as UTF-8") from error
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:  # both parsers' own errors, and whole numbers of thousands of digits
        problem = str(error)
    if problem:
        raise refuse(f"{path} is not valid {kind}: {problem}")
    return dict(content)


def _load_json(text: str) -> Any:  # Any: JSON
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> Document:
    made: Document = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"the key {key!r} stands twice in one object")
        made[key] = value
    return made


def _problems(content: Document, allow_nan: bool) -> Iterator[str]:
    """Return what no reader could use, level by level."""
    level: list[Any] = [content]
    for _ in range(DEPTH):
        for value in level:
            if isinstance(value, str) and not is_text(value):
                yield f"{value!r} holds a null character or half a surrogate pair"
            elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
                yield "a whole number in it has more than 64 bits"
            elif isinstance(value, float) and not allow_nan and not math.isfinite(value):
                yield f"{value} is not a finite number"
        level = [part for value in level for part in _parts(value)]
    if level:
        yield "it is nested too deeply"


def _parts(value: object) -> list[Any]:
    if isinstance(value, Mapping):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def is_text(value: str) -> bool:
    """Whether a text can be written as UTF-8 and read again: no null character, no half of a surrogate pair."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
