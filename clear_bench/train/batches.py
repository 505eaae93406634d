"""Plans which rows form a batch, from data and seed alone, so that every loss gets the same batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from clear_bench.errors import UsageError

if TYPE_CHECKING:
    from clear_bench.train.rows import Rows


def plan_batches(
    rows: Rows,
    *,
    size: int,
    count: int,
    seed: int,
    mode: Literal["homogeneous", "mixed"] = "homogeneous",
    temperature: float = 1.0,
) -> list[list[int]]:
    """Return `count` batches of row numbers.

    No anchor, positive or cross_anchor of a row occurs in another row of its batch: it would be a false negative there.
    The rows of a language come in random order, and are shuffled again after the last one. Languages with fewer rows
    than a batch are left out. A shorter plan is the beginning of a longer one.
    """
    languages, order = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    groups: dict[str, list[int]] = {}
    for i, language in enumerate(rows.languages):
        groups.setdefault("mixed" if mode == "mixed" else language, []).append(i)
    groups = {name: members for name, members in sorted(groups.items()) if len(members) >= size}
    if not groups:
        msg = f"no language has {size} rows, which one batch takes; lower batch.size or set batch.languages to 'mixed'"
        raise UsageError(msg)
    weights = np.array([len(members) for members in groups.values()], dtype=np.float64) ** (1 / temperature)
    own, all_texts = _keys(rows)
    queues = {name: _draw(members, own, all_texts, size, order, name) for name, members in groups.items()}
    names = list(groups)
    drawn = languages.choice(len(names), size=count, p=weights / weights.sum())
    return [next(queues[names[choice]]) for choice in drawn]


def _draw(
    members: Sequence[int],
    own: Sequence[frozenset[int]],
    all_texts: Sequence[frozenset[int]],
    size: int,
    rng: np.random.Generator,
    name: str,
) -> Iterator[list[int]]:
    """Yield batches of one group without end; a row that shares a text with its batch waits for the next one."""
    waiting: list[int] = []
    while True:
        fresh = 0
        batch: list[int] = []
        owned: set[int] = set()
        seen: set[int] = set()
        delayed: list[int] = []
        while len(batch) < size:
            if not waiting:
                fresh += 1
                if fresh > 2:
                    msg = f"language {name!r} has no {size} rows without a text in common; lower batch.size"
                    raise UsageError(msg)
                waiting = [int(i) for i in rng.permutation(members)]
            row = waiting.pop(0)
            if row in batch or own[row] & seen or all_texts[row] & owned:
                delayed.append(row)
                continue
            batch.append(row)
            owned |= own[row]
            seen |= all_texts[row]
        waiting = delayed + waiting
        yield batch


def _keys(rows: Rows) -> tuple[list[frozenset[int]], list[frozenset[int]]]:
    """Return each row's texts as numbers: those of anchor, positive and cross_anchor, and those of all columns."""
    numbers: dict[str, int] = {}
    primary = [column for role in ("anchor", "positive", "cross_anchor") for column in rows.of(role)]
    everything = list(rows.columns.values())

    def numbered(columns: Sequence[Sequence[str]], i: int) -> frozenset[int]:
        return frozenset(numbers.setdefault(column[i], len(numbers)) for column in columns)

    return [numbered(primary, i) for i in range(len(rows))], [numbered(everything, i) for i in range(len(rows))]


def checksum(rows: Rows, batches: Sequence[Sequence[int]]) -> str:
    """Return a hash of the texts of all batches in order: equal checksums mean the same rows in the same batches."""
    state = hashlib.sha256()
    names = sorted(rows.columns)
    for batch in batches:
        for row in batch:
            for name in names:
                state.update(rows.columns[name][row].encode() + b"\0")
        state.update(b"\1")
    return state.hexdigest()
