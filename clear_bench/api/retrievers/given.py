"""Runs of other systems, given as TREC files, as a retriever: they are ranked, scored and saved like our own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa

from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.protocol import Candidates, Rows, Search
from clear_bench.disk import sha256_file
from clear_bench.errors import DataError, UsageError
from clear_bench.readers.judged import absent
from clear_bench.readers.trec import RUN, Hits, read_trec_run, rows
from clear_bench.rerank import rank_named
from clear_bench.search import Recall
from clear_bench.types import Checkpoint, Collection, Judgements, LanguagePair, ResultKind, Run
from clear_bench.types.manifest import CountsPart

log = logging.getLogger(__name__)

KIND = "trec"
"""What stands in place of an index and of a card's reader."""


@dataclass(frozen=True, slots=True)
class TrecRetriever:
    """A system that is known by its runs alone."""

    kind = ResultKind.TREC
    checkpoint: Checkpoint
    runs: Mapping[LanguagePair, Path]

    @property
    def settings(self) -> dict[str, str]:
        """Only that the run was given: how it was made is unknown."""
        return {"index": KIND}

    def prepare(self, plan: Plan) -> ReadyRuns:
        """Check every run before the first is scored; nothing is encoded."""
        for judgements in plan.judgements:
            _check_run(self.runs[judgements.pair], plan.collection, judgements)
        return ReadyRuns(plan, self.runs)


@dataclass(frozen=True, slots=True)
class ReadyRuns:
    """The run files of a plan's pairs."""

    plan: Plan
    runs: Mapping[LanguagePair, Path]

    @property
    def counts(self) -> CountsPart:
        """No texts: none was read."""
        return CountsPart()

    def open(self, passage: str, rows: Rows | None = None) -> Search:
        """Read the runs of a passage side, one pair after the other; what was searched is theirs to know."""
        del rows
        return partial(self._search, passage)

    def recalls(self) -> dict[str, Recall]:
        """Return nothing: no index is known."""
        return {}

    def _search(self, passage: str, judgements: Judgements, candidates: Candidates | None = None) -> Run:
        del candidates  # the system has chosen its hits
        path, collection = self.runs[judgements.pair], self.plan.collection
        ids = collection.passage_ids(passage)
        hits = read_trec_run(path)
        found = [hits.get(key, {}) for key in _judged(collection, judgements)]
        return rank_named(judgements.pair, judgements.query_rows, found, ids, self.plan.depth(passage))


def foreign_system(name: str, runs: Mapping[LanguagePair, Path]) -> TrecRetriever:
    """Name a system by its name and the content of its run files."""
    if not name.strip():
        msg = "--model is blank; name the system that made the runs"
        raise UsageError(msg)
    content = "".join(f"{pair} {sha256_file(path)}\n" for pair, path in sorted(runs.items()))
    digest = hashlib.sha256(f"{KIND} {name}\n{content}".encode()).hexdigest()
    return TrecRetriever(Checkpoint(name, None, digest, "", prompts={}), runs)


def _check_run(path: Path, collection: Collection, judgements: Judgements) -> None:
    """Refuse a run of other queries or of passages that the corpus lacks; tell how far its queries are the judged ones.

    A judged query without a hit scores 0 by convention; a run without any judged query is a mix-up.
    """
    hits, pair = read_trec_run(path), judgements.pair
    keys = _judged(collection, judgements)
    asked = [key for key in keys if key in hits]
    if not asked:
        msg = (
            f"{path}: none of its {len(hits)} queries is judged in {pair}: it has {_some(hits)}, and judged are "
            f"{_some(keys)}; give the run of these queries"
        )
        raise DataError(msg)
    _check_passages(path, {key: hits[key] for key in asked}, collection.passage_ids(pair.passage), pair)
    if len(asked) < len(keys):
        log.warning("%s: %d of %d judged queries have no hit and score 0", path, len(keys) - len(asked), len(keys))
    if others := hits.keys() - set(keys):
        first = min(others)
        log.warning(
            "%s: %d of %d queries are not judged and not scored, such as %r", path, len(others), len(hits), first
        )


def _check_passages(path: Path, hits: Hits, ids: pa.ChunkedArray, pair: LanguagePair) -> None:
    lacking = absent((passage for found in hits.values() for passage in found), [ids])
    if not lacking:
        return
    place, passage = next(
        (place, cells[2]) for place, cells in rows(path, RUN, rest=True) if cells[0] in hits and cells[2] in lacking
    )
    others = f", nor are {len(lacking) - 1} others" if len(lacking) > 1 else ""
    msg = f"{place}: the passage {passage[:60]!r} is not in the corpus of {pair.passage}{others}"
    raise DataError(msg)


def _judged(collection: Collection, judgements: Judgements) -> list[str]:
    ids = collection.queries[judgements.pair.query].ids
    return [str(key) for key in ids.take(pa.array(judgements.query_rows)).to_pylist()]


def _some(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:40]) for name in islice(names, 3))
