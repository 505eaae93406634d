"""The steps from the rows of files to what a card asks for: select, merge, pool, cluster and count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from clear_bench.errors import CardError, DataError
from clear_bench.readers.judged import Judged, absent
from clear_bench.readers.rows import Rows
from clear_bench.types import Pool, Qrels, make_qrels

if TYPE_CHECKING:
    from clear_bench.tasks import Task


def select(rows: Rows, wanted: Mapping[str, Sequence[object]]) -> Rows:
    """Keep the queries whose fields have one of the wanted values; raises `DataError` where none is left."""
    for name, values in wanted.items():
        # 1 == True in Python, and a card that says one does not mean the other.
        kinds = {(type(value), value) for value in values}
        mask = [isinstance(value, str | int | float) and (type(value), value) in kinds for value in rows.fields[name]]
        if not any(mask):
            seen = list(dict.fromkeys(repr(value) for value in rows.fields[name]))[:8]
            msg = f"{rows.path}: no query has {name} = {' or '.join(map(repr, values))}; the file has {', '.join(seen)}"
            raise DataError(msg)
        rows = rows.filter(np.array(mask, dtype=np.bool_))
    return rows


def merge_same_text(rows: Rows) -> tuple[Rows, dict[str, str]]:
    """Keep the first query of every text. Also return dropped id -> the id that replaces it."""
    first: dict[str, str] = {}
    renamed: dict[str, str] = {}
    mask = np.ones(len(rows), dtype=np.bool_)
    for i, (key, text) in enumerate(zip(rows.ids.to_pylist(), rows.text.to_pylist(), strict=True)):
        if first.setdefault(text, key) != key:
            renamed[key], mask[i] = first[text], False
    return (rows.filter(mask) if renamed else rows), renamed


def drops_unanswerable(task: Task) -> bool:
    """Read `unanswerable` in a card's `[options]`: what becomes of queries that are judged without a relevant passage.

    They count as 0 unless it is "drop". Raises `CardError` for any other value.
    """
    value = task.options.get("unanswerable", "count")
    if value not in ("count", "drop"):
        msg = f'card {task.name}: [options] unanswerable is {value!r}, but must be "count" (as 0) or "drop"'
        raise CardError(msg)
    return bool(value == "drop")


def check_counts(task: Task, side: str, rows: Mapping[str, Rows]) -> None:
    """Compare the loaded queries or passages (`side`) with the counts that the card expects."""
    for language, found in rows.items():
        counts = task.expected.get(language)
        wanted = getattr(counts, side) if counts else None
        if wanted not in (None, len(found)):
            msg = f"{found.path}: {len(found)} {side} in {language}, but the card {task.name} expects {wanted}"
            raise DataError(msg)


def make_pools(task: Task, names: Iterable[str]) -> dict[str, Pool]:
    """Return the pools among passage sides; the codes of the card become the prefixes of their ids."""
    chosen = {name: task.pools[name] for name in names if name in task.pools}
    return {name: Pool(name, members, tuple(task.codes[m] for m in members)) for name, members in chosen.items()}


def plain_qrels(judged: Judged, renamed: Mapping[str, str]) -> Qrels:
    """Build the qrels of one passage language; queries that were merged keep the higher grade."""
    return _qrels(((renamed.get(query, query), passage), grade) for (query, passage), grade in judged.grades.items())


def pooled_qrels(parts: Iterable[tuple[str, Judged, pa.ChunkedArray]], renamed: Mapping[str, str]) -> Qrels:
    """Build the qrels of a pool from its members' prefix, judgements and passage ids.

    Every member's copy of a judged passage is judged alike; a copy that a member lacks is left out.
    """
    rows: list[tuple[tuple[str, str], int]] = []
    for prefix, judged, ids in parts:
        lacking = absent((passage for _, passage in judged.grades), [ids])
        for (query, passage), grade in judged.grades.items():
            if passage not in lacking:
                rows.append(((renamed.get(query, query), f"{prefix}/{passage}"), grade))
    return _qrels(rows)


def relevant_passages(judged: Iterable[Judged], renamed: Mapping[str, str]) -> dict[str, str]:
    """Return one relevant passage of every query: the one with the highest grade, then the smallest id.

    Where several files judge a query, the first one with a relevant passage decides.
    """
    found: dict[str, str] = {}
    for file in judged:
        best: dict[str, tuple[int, str]] = {}
        for (query, passage), grade in file.grades.items():
            if grade > 0:
                key = renamed.get(query, query)
                best[key] = min((-grade, passage), best.get(key, (0, "")))
        found = {key: passage for key, (_, passage) in best.items()} | found
    return found


def clusters(task: Task, rows: Rows, relevant: Mapping[str, str], prefix: str) -> list[str]:
    """Return the resampling cluster of every query: itself, its relevant passage, or a field, as the card says.

    A query without a relevant passage is its own cluster. Queries of different languages are resampled together when
    their labels are equal, so languages whose ids mean different things need a `prefix`.
    """
    labels = rows.ids.to_pylist()
    if task.cluster == "passage":
        labels = [relevant.get(key, f"query {key}") for key in labels]
    elif task.cluster != "query":
        labels = [_label(value, task.cluster, rows) for value in rows.fields[task.cluster]]
    return [f"{prefix}{label}" for label in labels]


def answers(rows: Rows, name: str) -> list[tuple[str, ...]]:
    """Return the gold answers of every query: a text or a list of texts in the field `name`."""
    lists = [[value] if isinstance(value, str) else value for value in rows.fields[name]]
    for key, texts in zip(rows.ids.to_pylist(), lists, strict=True):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            msg = f"{rows.path}: query {key!r}: {name!r} is {texts!r}, but must be a text or a list of texts"
            raise DataError(msg)
    return [tuple(texts) for texts in lists]


def _qrels(rows: Iterable[tuple[tuple[str, str], int]]) -> Qrels:
    grades: dict[tuple[str, str], int] = {}
    for key, grade in rows:
        grades[key] = max(grade, grades.get(key, grade))
    return make_qrels([query for query, _ in grades], [passage for _, passage in grades], list(grades.values()))


def _label(value: Any, name: str, rows: Rows) -> str:
    if not isinstance(value, str | int) or value == "":
        msg = f"{rows.path}: the card resamples by {name!r}, where a query has {value!r} instead of a text or number"
        raise DataError(msg)
    return str(value)
