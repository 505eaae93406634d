"""Readers turn the raw files of a benchmark into a `Collection`: one module for each shape, one row here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from clear_bench.registry import load, lookup

if TYPE_CHECKING:
    from clear_bench.tasks import Task
    from clear_bench.types import Collection, LanguagePair

READERS: dict[str, str] = {
    "jsonl": "clear_bench.readers.jsonl",
    "ir": "clear_bench.readers.ir",
    "squad": "clear_bench.readers.squad",
    "belebele": "clear_bench.readers.belebele",
}
"""Name in a card -> module with `check(task, pairs)` and `read(task, pairs, offline)`."""


class _Check(Protocol):
    def __call__(self, task: Task, pairs: Sequence[LanguagePair]) -> None: ...


class _Read(Protocol):
    def __call__(self, task: Task, pairs: Sequence[LanguagePair], offline: bool) -> Collection: ...


def check(task: Task, pairs: Sequence[LanguagePair] | None = None) -> None:
    """Check cheaply that a task can be read: its reader and keys exist, and so do the files of the pairs.

    Raises `UsageError` for a name that does not exist, `CardError` for a file that does not.
    """
    function = load(f"{lookup(READERS, task.reader, 'reader')}:check")
    cast("_Check", function)(task, pairs or task.pairs)


def place(task: Task, pairs: Sequence[LanguagePair], given: Path, key: str | None = None) -> list[str]:
    """Use a local file or folder instead of a download. Return the card entries it replaces. See `readers.given`."""
    from clear_bench.readers.given import place as take

    check(task, pairs)
    return take(task, pairs, given, key)


def read(task: Task, pairs: Sequence[LanguagePair] | None = None, offline: bool = False) -> Collection:
    """Load the texts and judgements of a task, for all its pairs or for some of them.

    What a pair gets does not depend on which pairs are loaded with it. Raises `CardError` for a missing file,
    `DataError` with file and line for content that cannot be right or differs from what the card expects.
    """
    function = load(f"{lookup(READERS, task.reader, 'reader')}:read")
    return cast("_Read", function)(task, pairs or task.pairs, offline)
