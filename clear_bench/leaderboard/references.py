"""Read the published scores that a board shows beside its own; they were not measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_bench.documents import read_toml, tables
from clear_bench.errors import InputError
from clear_bench.registry import refuse_unknown_keys
from clear_bench.render.records import TITLES

REFERENCES = "reference.toml"


@dataclass(frozen=True, slots=True)
class Reference:
    """A published score, for orientation: nobody measured it here."""

    task: str
    model: str
    metric: str
    points: Mapping[str, float]
    """Group of pairs, as in `TITLES` -> score x 100, as published."""
    source: str
    url: str = ""


def read_references(path: Path) -> list[Reference]:
    """Read published scores from `[[score]]` tables; no file, no scores.

    Raises `UsageError` for a key that nobody reads, `InputError` for a row that lacks one or has a score that is not a
    number.
    """
    if not path.is_file():
        return []
    content = read_toml(path, InputError)
    refuse_unknown_keys(content, ("score",), str(path))
    return [_reference(row, f"{path}, [[score]] {i + 1}") for i, row in enumerate(tables(content, "score", str(path)))]


def _reference(row: Any, where: str) -> Reference:  # Any: TOML, checked here
    refuse_unknown_keys(row, ("task", "model", "metric", "source", "url", *TITLES), where)
    for key in ("task", "model", "metric", "source"):
        if not isinstance(row.get(key), str):
            msg = f"{where}: {key!r} is {row.get(key)!r}, but must be a text"
            raise InputError(msg)
    published = {group: row[group] for group in TITLES if group in row}
    for group, value in published.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
            msg = f"{where}: {group!r} is {value!r}, but must be a score x 100, from 0 to 100"
            raise InputError(msg)
    if not str(row.get("url", "https://")).startswith("https://"):
        msg = f"{where}: 'url' is {row['url']!r}, but must start with https://"
        raise InputError(msg)
    named = {key: row[key] for key in ("task", "model", "metric", "source")}
    return Reference(**named, points=published, url=str(row.get("url", "")))
