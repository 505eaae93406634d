"""Search groups of shards on the workers of a cluster and merge the hits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from clear_bench.cluster.worker import Opening, Part
from clear_bench.indexes.rows import SMALL, Hits, Rows, check_width

GROUP = 262_144
"""Least number of rows that one worker searches at a time: whole shards, and more than a small corpus has."""


class Searching(Protocol):
    """Workers that search groups of rows."""

    def search(
        self, groups: Sequence[Sequence[Part]], opening: Opening, queries: NDArray[np.float32], k: int
    ) -> Iterator[tuple[Sequence[Part], tuple[Hits, float, bool]]]:
        """Yield the hits of each group, the index's error bound, and whether it is coarse, in any order."""
        ...

    def sees(self, path: str) -> bool:
        """Whether every worker sees a file."""
        ...


@dataclass(slots=True)
class RayIndex:
    """An index whose groups of rows are searched by the workers of a cluster; see `indexes.Index`."""

    cluster: Searching
    opening: Opening
    dimensions: int
    is_exact: bool = True
    is_coarse: bool = False
    error: float = 0.0
    _parts: list[NDArray[np.floating]] = field(default_factory=list)
    _sent: list[list[Part]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """See `Index.name`."""
        return f"ray:{self.opening.spec}"

    def add(self, vectors: NDArray[np.floating]) -> None:
        """See `Index.add`."""
        check_width(vectors, self.dimensions, "passage")
        self._parts.append(vectors)
        self._sent = []

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """See `Index.search`. A small corpus is searched here, as every index does."""
        total = sum(map(len, self._parts))
        if total <= SMALL:
            rows = Rows(self.dimensions)
            for part in self._parts:
                rows.add(part)
            hits = rows.search_small(queries, k)
            self.error, self.is_coarse = rows.error(), False
            return hits
        self._sent = self._sent or [[self._part(part) for part in group] for group in groups(self._parts)]
        starts = np.cumsum([0, *(sum(part.rows for part in group) for group in self._sent)])
        first = {id(group): int(start) for group, start in zip(self._sent, starts, strict=False)}
        best: Hits | None = None
        for group, ((similarities, positions), error, is_coarse) in self.cluster.search(
            self._sent, self.opening, queries, k
        ):
            self.error, self.is_coarse = max(self.error, error), is_coarse
            best = merged(best, (similarities, positions + first[id(group)]), min(k, total))
        return cast("Hits", best)

    def _part(self, vectors: NDArray[np.floating]) -> Part:
        path = getattr(vectors, "filename", None)
        whole = path is not None and np.load(path, mmap_mode="r").shape == vectors.shape
        if whole and self.cluster.sees(str(path)):
            return Part(len(vectors), path=str(path))
        import ray

        return Part(len(vectors), content=ray.put(np.ascontiguousarray(vectors)))


def groups(parts: Sequence[NDArray[np.floating]]) -> list[list[NDArray[np.floating]]]:
    """Collect parts into groups of at least `GROUP` rows; the rest joins the last one."""
    found: list[list[NDArray[np.floating]]] = [[]]
    for part in parts:
        if sum(map(len, found[-1])) >= GROUP:
            found.append([])
        found[-1].append(part)
    if len(found) > 1 and sum(map(len, found[-1])) < GROUP:
        last = found.pop()
        found[-1].extend(last)
    return found


def merged(one: Hits | None, other: Hits, k: int) -> Hits:
    """Keep the k best of two sets of hits. The caller settles the order of equal ones."""
    if one is None:
        return other
    similarities = np.concatenate((one[0], other[0]), axis=1)
    positions = np.concatenate((one[1], other[1]), axis=1)
    # By position where equal, so that nothing depends on which worker was done first.
    order = np.lexsort((positions, -similarities), axis=1)[:, :k]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(positions, order, axis=1)
