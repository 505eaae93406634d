"""Look up what queries of a result found and what they should have found: hits, grades, and texts on this machine."""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from clear_bench import question
from clear_bench.api.plan import make_plan
from clear_bench.api.sides import FindCard
from clear_bench.errors import NotComparableError, UserError
from clear_bench.store.results import RUN, Result
from clear_bench.store.tables import read_hits
from clear_bench.tasks import select_pairs
from clear_bench.types import Collection, LanguagePair

Key = tuple[LanguagePair, str]
"""A query of a pair, by its id."""
Grades = Mapping[Key, Mapping[str, int]]
"""Passage id -> grade, of every query that is judged."""


class Row(NamedTuple):
    """One stored hit."""

    rank: int
    passage_id: str
    similarity: float


Found = Mapping[Key, Sequence[Row]]
"""The stored hits of queries, the first one first."""


def find_hits(result: Result, keys: Sequence[Key], notes: list[str]) -> Found:
    """Return the stored hits of some queries; where the run is not at hand, add a sentence to `notes`."""
    path = result.path / RUN
    if not path.is_file():
        notes.append(f"{result.path} has no {RUN}, so its hits and ranks are not shown; evaluate the model again")
        return {}
    asked = sorted({name for _, name in keys})
    table = read_hits(path, result.manifest, asked, depth=max(1, result.manifest.run_depth))
    found: dict[Key, list[Row]] = {key: [] for key in keys}
    for row in _of_keys(table, keys).to_pylist():
        key = LanguagePair(row["query_language"], row["passage_language"]), row["query_id"]
        found[key].append(Row(row["rank"], row["passage_id"], row["similarity"]))
    return {key: sorted(rows) for key, rows in found.items()}


def first_ranks(result: Result, grades: Grades) -> dict[Key, int]:
    """Return the rank of the first relevant passage of every query that has one among its stored hits."""
    path = result.path / RUN
    if not path.is_file():
        msg = f"{result.path} has no {RUN}, so nothing is known of ranks; evaluate the model again"
        raise NotComparableError(msg)
    relevant = [
        _joined(pair.query, pair.passage, name, passage)
        for (pair, name), judged in grades.items()
        for passage, grade in judged.items()
        if grade > 0
    ]
    table = read_hits(path, result.manifest)
    table = table.filter(pc.is_in(_names(table, "passage_id"), value_set=pa.array(relevant, pa.string())))
    first: dict[Key, int] = {}
    for row in table.select(["query_language", "passage_language", "query_id", "rank"]).to_pylist():
        key = LanguagePair(row["query_language"], row["passage_language"]), row["query_id"]
        first[key] = min(row["rank"], first.get(key, row["rank"]))
    return first


def read_grades(collection: Collection, keys: Iterable[Key]) -> Grades:
    """Return the judgements of some queries."""
    asked: dict[LanguagePair, dict[str, dict[str, int]]] = {}
    for pair, name in keys:
        asked.setdefault(pair, {})[name] = {}
    for pair, judged in asked.items():
        qrels = collection.qrels.get(pair)
        if qrels is None:
            continue
        mine = pc.is_in(qrels.query_ids, value_set=pa.array(list(judged), pa.string()))
        columns = (column.filter(mine).to_pylist() for column in (qrels.query_ids, qrels.passage_ids))
        grades = qrels.grades[mine.to_numpy(zero_copy_only=False)].tolist()
        for name, passage, grade in zip(*columns, grades, strict=True):
            judged[name][passage] = grade
    return {(pair, name): grades for pair, judged in asked.items() for name, grades in judged.items()}


def read_texts(result: Result, pairs: Some[LanguagePair], find_card: FindCard, notes: list[str]) -> Collection | None:
    """Return the collection that was evaluated, of some pairs; nothing is downloaded for it.

    Where it is not on this machine, return None, and add a sentence to `notes` that says how to get it.
    """
    wanted, made = [pair for pair in result.pairs if pair in pairs], result.manifest
    if not wanted:
        return None
    try:
        task, read = find_card(result)
        if lacking := set(wanted) - set(select_pairs(task, [str(pair) for pair in wanted])):
            msg = f"its card on this machine has no pair {min(map(str, lacking))}; give the card that was evaluated"
            raise NotComparableError(msg)
        plan = make_plan(
            task,
            wanted,
            metric_names=made.task.metrics,
            limit=made.limit,
            run_depth=made.run_depth,
            offline=True,
            read=read,
        )
        _require_same(result, question.digests(plan.collection, plan.judgements), wanted)
    except UserError as error:
        notes.append(f"texts and judgements of {result.task} are not shown: {error}")
        return None
    return plan.collection


def _require_same(result: Result, found: question.Digests, pairs: Sequence[LanguagePair]) -> None:
    """Raise `NotComparableError` where a collection is not the one that was evaluated."""
    known = result.manifest.digests.inputs
    differing = [(words, key) for words, key, *_ in question.differences(known, found, pairs)]
    differing += [("queries", pair.query) for pair in pairs if pair.query not in known["queries"]]
    if differing:
        words, key = differing[0]
        msg = f"the {words} of {key} on this machine are not those that were evaluated; give their card with --card"
        raise NotComparableError(msg)


def _of_keys(table: pa.Table, keys: Sequence[Key]) -> pa.Table:
    wanted = [_joined(pair.query, pair.passage, name) for pair, name in keys]
    return table.filter(pc.is_in(_names(table), value_set=pa.array(wanted, pa.string())))


def _names(table: pa.Table, *more: str) -> pa.ChunkedArray:
    """Return one text for every row: the pair, the query, and more columns."""
    columns = ("query_language", "passage_language", "query_id", *more)
    return pc.binary_join_element_wise(*(table[name] for name in columns), "\0")


def _joined(*parts: str) -> str:
    return "\0".join(parts)
