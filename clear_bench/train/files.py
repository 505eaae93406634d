"""Files that training data consists of: JSON lines, texts by id, translated queries, and where each came from."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clear_bench.errors import DataError

TRANSLATIONS = "clear-bench/translations/1"


def json_lines(path: Path) -> Iterator[dict[str, Any]]:  # Any: JSON
    """Read a .jsonl or .jsonl.gz file; a line that is no object is refused with its number."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                msg = f"{path}, line {number}: {error}"
                raise DataError(msg) from None
            if not isinstance(row, dict):
                msg = f"{path}, line {number}: {row!r} is no JSON object"
                raise DataError(msg)
            yield row


def read_texts(path: Path, split: str) -> dict[str, str]:
    """Read id -> text; a title is joined with a space, and items of another split are left out."""
    texts = {}
    for row in json_lines(path):
        if row.get("split", split) == split:
            texts[row["_id"]] = f"{row.get('title') or ''} {row['text']}".strip()
    return texts


def read_negatives(path: Path) -> dict[str, list[str]]:
    """Read id of a query -> ids of passages."""
    return {row["_id"]: row["neg"] for row in json_lines(path)}


def read_translations(path: Path) -> dict[str, dict[str, str]]:
    """Read language -> English query -> the query in that language."""
    found: dict[str, dict[str, str]] = {}
    for number, row in enumerate(json_lines(path), 1):
        if not all(isinstance(row.get(key), str) for key in ("language", "query", "translation")):
            msg = f"{path}, line {number}: {row!r} should have the texts language, query and translation"
            raise DataError(msg)
        found.setdefault(row["language"], {})[row["query"]] = row["translation"]
    return found


def text_id(text: str) -> str:
    """Name a text that has no id by its digest."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def provenance_file(path: Path) -> Path:
    """Name the file that says how negatives or translations were made."""
    return path.with_name(f"{path.name.split('.')[0]}.provenance.json")


def source_of(path: Path, folder: Path) -> dict[str, str]:
    """Name a file by its place and digest; mined negatives and translations bring along how they were made."""
    shown = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    source = {"path": shown.as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    made = provenance_file(path)
    return source | ({"provenance": made.read_text(encoding="utf-8")} if made.is_file() else {})


def translation_records(sources: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:  # Any: JSON
    """Find how the translated queries among some sources were made."""
    made = [json.loads(source["provenance"]) for source in sources if "provenance" in source]
    return [record for record in made if record.get("schema") == TRANSLATIONS]
