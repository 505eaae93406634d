"""Pick the queries worth reading: those whose score changed most or is lowest, with their texts where available."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clear_bench import readers
from clear_bench.compare.pairing import Seeds, align
from clear_bench.errors import UserError
from clear_bench.qrels import find_rows
from clear_bench.render.records import Change
from clear_bench.store.results import RUN, Result
from clear_bench.store.tables import read_hits
from clear_bench.tasks import find_task
from clear_bench.types import Collection, LanguagePair

log = logging.getLogger(__name__)

Hits = dict[tuple[LanguagePair, str], str]


def find_changes(candidate: Seeds, base: Seeds = (), *, metric: str | None = None, count: int = 10) -> list[Change]:
    """Return the queries that gained most, then those that lost most; without a base, those with the lowest scores.

    Each query and each pair stands there once, so that one hard question does not fill the list. Scores are averaged
    over seeds.
    """
    results = [*base, *candidate]
    if not all(result.manifest.has_queries for result in results):
        return []
    aligned = align(results)
    scores = aligned.scores(metric or candidate[0].manifest.task.main_metric)
    new = scores[len(base) :].mean(axis=0)
    old = scores[: len(base)].mean(axis=0) if base else None
    ids = aligned.tables[0]["query_id"]

    def pick(by: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Iterator[Change]:
        seen: set[object] = set()
        counted = np.flatnonzero(np.isfinite(by))  # a metric may leave queries out
        for row in counted[np.argsort(by[counted], kind="stable")]:
            pair, name = aligned.pairs[aligned.cells[row]], ids[int(row)].as_py()
            if len(seen) == 2 * count or by[row] >= (0 if base else 1):
                return
            if not seen & {pair, name}:
                seen |= {pair, name}
                yield Change(pair, name, None if old is None else float(old[row]), float(new[row]))

    if old is None:
        return list(pick(new))
    return [*pick(old - new), *reversed(list(pick(new - old)))]


def with_texts(
    changes: Sequence[Change], candidate: Result, base: Result | None, card: str | None = None
) -> list[Change]:
    """Add what was asked, what should have been found and what was found first.

    The texts come from the task's collection on this machine, which is never downloaded for it; where that is not the
    collection of the result, or is not there, the changes stay as they are.
    """
    pairs = list(dict.fromkeys(change.pair for change in changes))
    collection = _collection(candidate, pairs, card)
    if collection is None:
        return list(changes)
    named = [("first hit of the baseline", base), ("first hit", candidate)]
    hits = [(name, _first_hits(result, changes)) for name, result in named if result is not None]
    return [_with_texts(change, collection, hits) for change in changes]


def _collection(result: Result, pairs: Sequence[LanguagePair], card: str | None) -> Collection | None:
    try:
        task = find_task(card or result.card)
        lacking = {side for pair in pairs for side in (pair.query, pair.passage)} - {*task.languages, *task.pools}
        if lacking:
            log.info("no texts for %s: the card on this machine has no %s", result.task, ", ".join(sorted(lacking)))
            return None
        collection = readers.read(task, pairs, offline=True)
    except UserError as error:
        log.info("no texts for %s: %s", result.task, error)
        return None
    known = result.manifest.digests.inputs["queries"]
    if any(known.get(code) != texts.digest for code, texts in collection.queries.items()):
        log.info("no texts for %s: the collection on this machine is not the one that was evaluated", result.task)
        return None
    return collection


def _first_hits(result: Result, changes: Iterable[Change]) -> Hits:
    path = result.path / RUN
    if not path.is_file():
        return {}
    rows = read_hits(path, result.manifest, sorted({change.query_id for change in changes})).to_pylist()
    return {(LanguagePair(r["query_language"], r["passage_language"]), r["query_id"]): r["passage_id"] for r in rows}


def _with_texts(change: Change, collection: Collection, hits: Sequence[tuple[str, Hits]]) -> Change:
    pair = change.pair
    queries = collection.queries[pair.query]
    row = int(find_rows(pa.array([change.query_id], pa.string()), queries.ids)[0])
    found = [("relevant", name) for name in _relevant(collection, pair, change.query_id)]
    found += [(label, first[pair, change.query_id]) for label, first in hits if (pair, change.query_id) in first]
    known = find_passages(collection, pair.passage, [name for _, name in found])
    passages = [(label, name, known[name][1]) for label, name in found if name in known]
    return replace(change, query=queries.text[row].as_py() if row >= 0 else None, passages=passages)


def _relevant(collection: Collection, pair: LanguagePair, query_id: str, most: int = 2) -> list[str]:
    qrels = collection.qrels[pair]
    mine = np.asarray(pc.equal(qrels.query_ids, query_id)) & (qrels.grades > 0)
    return [str(name) for name in qrels.passage_ids.filter(pa.array(mine))[:most].to_pylist()]


def find_passages(collection: Collection, passage_side: str, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the language and the text of some passages by id; ids that do not exist are left out."""
    parts = collection.parts(passage_side)
    rows = find_rows(pa.array(names, pa.string()), collection.passage_ids(passage_side))
    text = pa.chunked_array([chunk for part in parts for chunk in part.text.chunks], pa.string())
    ends = np.cumsum([len(part) for part in parts])
    return {
        name: (parts[int(np.searchsorted(ends, row, side="right"))].language, str(text[int(row)].as_py()))
        for name, row in zip(names, rows, strict=True)
        if row >= 0
    }
