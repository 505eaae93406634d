"""Search a passage side: an index proposes hits, which are put into their final order, ties settled, as a `Run`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clear_bench.errors import InputError
from clear_bench.indexes import Index, Precision, open_index
from clear_bench.indexes.rows import both_sides, check_depth, check_width, count_ties, norms
from clear_bench.types import Embeddings, LanguagePair, Run, take_ascending

logger = logging.getLogger(__name__)

_CELLS = 2**24
"""Hits that one search may return; queries are searched in blocks of that size."""
_SETTLED = 2**20
_RESCORED = 1024
_SAMPLE = 256
_WIDEST = 65_536
"""Candidates of one query at most."""
_COLLAPSED = (
    "%d queries have more than %d passages as near as their last hit; has the model collapsed? "
    "Which of these passages are ranked depends on their order in the corpus"
)


class Searcher:
    """The passage side of pairs, opened once and searched with every query language.

    The order of hits depends on no exact index, device or order of the corpus. An index adds up products in an order of
    its own, so equal passages may differ in the last bit, and a similarity is off by at most `index.error`. Hits closer
    than twice that are settled: their similarity is computed again by itself, in float64, and rounded to float32; where
    it is equal, the passage id decides, by bytes, descending. Where a hit beyond the cut may belong above it, more are
    asked for. An approximate index keeps its own similarities, and only equal ones are settled.
    """

    def __init__(
        self,
        corpus: Sequence[Embeddings],
        passage_ids: pa.ChunkedArray,
        index: str | Index = "auto",
        device: str | None = None,
        precision: Precision = "fp32",
    ) -> None:
        """Index the parts of a passage side (several for a pool) with their ids, in position order."""
        self.passages = Embeddings(tuple(block for part in corpus for block in part.blocks if len(block)))
        self.passage_ids = passage_ids
        if not self.passages.blocks:
            msg = "the corpus is empty: there is no passage to search"
            raise InputError(msg)
        if len(passage_ids) != len(self.passages):
            msg = (
                f"{len(self.passages):,} passage vectors for {len(passage_ids):,} passage ids; encode the corpus again"
            )
            raise InputError(msg)
        self.index = open_index(index, self.passages.dimensions, device, precision) if isinstance(index, str) else index
        for block in self.passages.blocks:
            self.index.add(block)

    def search(self, queries: Embeddings, rows: NDArray[np.int64], pair: LanguagePair, depth: int) -> Run:
        """Rank passages for the given query rows: a `Run` with min(depth, n) columns."""
        check_depth(depth)
        vectors = queries.take(rows)
        check_width(vectors, self.passages.dimensions, "query")
        similarities, positions = self._ranked(vectors, min(depth, len(self.passages)))
        return Run(pair, rows, positions, similarities, count_ties(similarities))

    def _ranked(self, vectors: NDArray[np.float32], top: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        count, lengths = len(self.passages), norms(vectors, "query")
        similarities = np.empty((len(vectors), top), dtype=np.float32)
        positions = np.empty((len(vectors), top), dtype=np.int64)
        is_open = np.zeros(len(vectors), dtype=bool)
        wanted = min(count, top + 16 + top // 8)
        widest = min(count, max(wanted, _WIDEST))
        parts: list[slice] | list[NDArray[np.int64]] = _slices(len(vectors), _CELLS // wanted)
        while True:
            for part in parts:
                hits = self._propose(vectors[part], lengths[part], top, wanted)
                similarities[part], positions[part], is_open[part] = hits
            pending = np.flatnonzero(is_open)
            if not len(pending) or wanted == widest:
                break
            wanted = min(widest, 8 * wanted)
            parts = [pending[part] for part in _slices(len(pending), _CELLS // wanted)]
        if len(pending):
            logger.warning(_COLLAPSED, len(pending), widest)
        return similarities, positions

    def _propose(
        self, vectors: NDArray[np.float32], lengths: NDArray[np.float32], top: int, wanted: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Search and settle the hits. Mark the queries that may lack a hit: their last one is too close to the cut."""
        similarities, positions = self.index.search(vectors, wanted)
        if self.index.is_coarse and not np.isfinite(similarities).all():
            msg = f"similarities are too large for {self.index.name}; search in fp32 or bf16, or normalise the vectors"
            raise InputError(msg)
        bound = 2 * self.index.error * lengths[:, None].astype(np.float64)
        lowest = np.nan_to_num(similarities[:, top - 1 : top] - bound, nan=-np.inf)
        # Rounded outwards, so that the comparisons below may stay in float32.
        tolerance = np.nextafter(bound.astype(np.float32), np.float32(np.inf))
        floor = np.nextafter(lowest.astype(np.float32), np.float32(-np.inf))
        is_open = (similarities[:, -1] >= floor[:, 0]) & (wanted < len(self.passages))
        for part in _slices(len(vectors), _SETTLED // wanted):
            self._settle(vectors[part], similarities[part], positions[part], tolerance[part], floor[part])
        return similarities[:, :top], positions[:, :top], is_open

    def _settle(
        self,
        vectors: NDArray[np.float32],
        similarities: NDArray[np.float32],
        positions: NDArray[np.int64],
        tolerance: NDArray[np.float32],
        floor: NDArray[np.float32],
    ) -> None:
        """Bring near-ties into their final order, in place. Hits below `floor` cannot reach the cut."""
        near = similarities[:, :-1] - similarities[:, 1:] <= tolerance
        near &= similarities[:, 1:] >= floor
        unsure = both_sides(near)
        if self.index.is_coarse:
            unsure |= similarities >= floor
        touched = np.flatnonzero(unsure.any(axis=1))
        if not len(touched):
            return
        some, hits = similarities[touched], positions[touched]
        if self.index.is_exact:
            rows, columns = np.nonzero(unsure[touched])
            some[rows, columns] = self._similarity(vectors, touched[rows], hits[rows, columns])
        order = np.argsort(-some, axis=1, kind="stable")
        some, hits = np.take_along_axis(some, order, axis=1), np.take_along_axis(hits, order, axis=1)
        self._sort_ties(some, hits)
        similarities[touched], positions[touched] = some, hits

    def _similarity(
        self, vectors: NDArray[np.float32], rows: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Compute inner products one by one, so that they depend on nothing but the two vectors."""
        exact = np.empty(len(rows), dtype=np.float32)
        for part in _slices(len(rows), _RESCORED):
            products = vectors[rows[part]].astype(np.float64)
            products *= self.passages.take(positions[part])
            exact[part] = products.sum(axis=1)
        return exact

    def _sort_ties(self, similarities: NDArray[np.float32], positions: NDArray[np.int64]) -> None:
        """Sort the positions of equal similarities by passage id, descending by bytes, in place."""
        equal = similarities[:, :-1] == similarities[:, 1:]
        rows, columns = np.nonzero(both_sides(equal))
        if not len(rows):
            return
        is_first = np.ones(len(rows), dtype=bool)
        is_first[columns > 0] = ~equal[rows[columns > 0], columns[columns > 0] - 1]
        tied = positions[rows, columns]
        unique, inverse = np.unique(tied, return_inverse=True)
        ranks = pc.rank(take_ascending(self.passage_ids, unique), sort_keys="descending").to_numpy()
        positions[rows, columns] = tied[np.lexsort((ranks[inverse], np.cumsum(is_first)))]


@dataclass(frozen=True, slots=True)
class Recall:
    """Recall and time of an approximate index beside exact search, on a sample of queries."""

    recall: float
    """Mean share of the exact hits that it finds."""
    queries: int
    depth: int
    build_seconds: float
    seconds: float
    exact_seconds: float


def recall_against_exact(searcher: Searcher, queries: Embeddings, rows: NDArray[np.int64], depth: int) -> Recall:
    """Measure an approximate index on at most 256 of the query rows, evenly spread, against exact search on the CPU."""
    rows = rows[:: -(-len(rows) // _SAMPLE)]
    pair = LanguagePair("", "")
    exact = Searcher([searcher.passages], searcher.passage_ids, "auto", "cpu")
    build, _ = _timed(lambda: searcher.search(queries, rows[:1], pair, depth))
    seconds, found = _timed(lambda: searcher.search(queries, rows, pair, depth))
    exact_seconds, truth = _timed(lambda: exact.search(queries, rows, pair, depth))
    recall = np.mean([np.isin(*hits).mean() for hits in zip(truth.positions, found.positions, strict=True)])
    return Recall(float(recall), len(rows), depth, build, seconds, exact_seconds)


def _timed(step: Callable[[], Run]) -> tuple[float, Run]:
    start = time.perf_counter()
    run = step()
    return time.perf_counter() - start, run


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + max(1, size)) for start in range(0, count, max(1, size))]
