"""Run and qrels files in TREC's format, read as trec_eval reads them."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from clear_bench.errors import DataError
from clear_bench.readers.judged import collect
from clear_bench.readers.lines import at, lines

Hits = dict[str, dict[str, float]]
Grades = dict[str, dict[str, int]]

RUN, QRELS = ("query", "Q0", "passage", "rank", "similarity", "tag"), ("query", "0", "passage", "grade")
LARGEST = 3.4028234663852886e38
"""The largest float32, which similarities are stored as."""
_BLANKS = " \t\v\f\r"
"""What separates columns: C's isspace knows ASCII alone, so that other spaces belong to ids."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

log = logging.getLogger(__name__)


def read_trec_run(path: Path) -> Hits:
    """Read `query Q0 passage rank similarity tag`: query id -> passage id -> similarity; a tag may hold blanks.

    Similarities decide, as in trec_eval; ranks that contradict them are told. Raises `DataError` with the line for
    anything else, a passage that a query has twice, or a similarity that is not a finite float32.
    """
    found: Hits = {}
    contradicted: set[str] = set()
    before = ("", 0, 0.0)
    for place, (query, _, passage, rank, similarity, _) in rows(path, RUN, rest=True):
        value = _similarity(similarity, place)
        hits = found.setdefault(query, {})
        if passage in hits:
            msg = f"{place}: query {query[:60]!r} has the passage {passage[:60]!r} a second time; keep one of the lines"
            raise DataError(msg)
        hits[passage] = value
        now = (query, int(rank) if rank.isascii() and rank.isdigit() else 0, value)
        if query == before[0] and (now[1] - before[1]) * (now[2] - before[2]) > 0:
            contradicted.add(query)
        before = now
    if contradicted:
        msg = "%s: the ranks of %d of %d queries contradict the similarities, which decide, as in trec_eval"
        log.warning(msg, path, len(contradicted), len(found))
    return found


def read_trec_qrels(path: Path) -> Grades:
    """Read `query 0 passage grade`: query id -> passage id -> grade; a grade below 1 is not relevant.

    Raises `DataError` with the line for anything else, and for a grade that contradicts an earlier line.
    """
    found: Grades = {}
    judged = collect(path, lambda: ((place, row[0], row[2], row[3]) for place, row in rows(path, QRELS)))
    for (query, passage), grade in judged.grades.items():
        found.setdefault(query, {})[passage] = grade
    return found


def rows(path: Path, names: Sequence[str], *, rest: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the columns of every line that is neither blank nor a comment (`#`).

    With `rest` the last column is the rest of the line. Raises `DataError` for a line of other columns, and for a file
    without any.
    """
    shape = " ".join(names)
    comments = count = 0
    for number, line in lines(path):
        line = line.strip(_BLANKS)
        if line.startswith("#"):
            comments += 1
            continue
        if "\r" in line:
            msg = f"{at(path, number)}: a carriage return within the line; end lines with a line feed"
            raise DataError(msg)
        cells = re.split(f"[{_BLANKS}]+", line, maxsplit=len(names) - 1 if rest else 0)
        if len(cells) != len(names):
            msg = f"{at(path, number)}: {len(cells)} columns instead of {len(names)} ({shape}): {line[:60]!r}"
            raise DataError(msg)
        count += 1
        yield at(path, number), cells
    if not count:
        msg = f"{path} is empty; expected lines of {shape}"
        raise DataError(msg)
    if comments:
        log.warning("%s: %d lines that start with # are comments and were passed over", path, comments)


def _similarity(text: str, place: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not abs(value) <= LARGEST:
        msg = f"{place}: the similarity is {text[:60]!r}, but must be a finite number of at most {LARGEST:.3g}"
        raise DataError(msg)
    return value
