"""What a measure is: a value, its parts text by text, and the interval that resampling whole clusters of them gives.

The parts of a plain mean are its terms. Of any other measure they are the pseudo-values of the infinitesimal jackknife
(Jaeckel 1972; Efron 1982): the value plus the pull of each text on it. Their mean is the value, so one bootstrap serves
every measure, and a difference of two models is the mean of differences of parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from clear_bench.stats import bootstrap, cluster_sums, contrast, interval
from clear_bench.stats.clusters import DIFFERENCES, ClusterSums, Ends, Floats, Ints
from clear_bench.types import Side


class About(NamedTuple):
    """What people read about a measure."""

    title: str
    ends: Ends = (-np.inf, np.inf)
    """The least and the greatest value that it can have."""
    is_counted: bool = False
    """Whether each text counts as 0 or 1, so that one may lie at an end where nobody has seen one."""


SHARE: Ends = (0.0, 1.0)
COSINE: Ends = (-1.0, 1.0)
POSITIVE: Ends = (0.0, np.inf)
MEASURES: Mapping[str, About] = {
    "translation_cosine": About("cosine of translations", COSINE),
    "random_cosine": About("cosine of other texts, across languages", COSINE),
    "translation_contrast": About("translations nearer than other texts by", (-2.0, 2.0)),
    "bitext_accuracy": About("translations found (ratio margin)", SHARE, True),
    "centroid_distance": About("distance of language centroids", POSITIVE),
    "english_pull": About("nearer to English than to each other by", COSINE),
    "language_variance_share": About("variance that language explains", SHARE),
    "language_probe_accuracy": About("language told by a linear probe", SHARE, True),
    "language_centroid_accuracy": About("language told by the nearest centroid", SHARE, True),
    "language_chance": About("language told by chance", SHARE),
    "first_foreign_rank": About("rank of the first hit in another language", (1.0, np.inf)),
    "hub_skewness": About("hubness: skewness of the k-occurrence"),
    "antihub_share": About("passages in nobody's first hits", SHARE, True),
    "mean_cosine": About("mean cosine within a language", COSINE),
    "effective_rank": About("effective rank", (1.0, np.inf)),
    "mean_norm": About("length of the vectors", POSITIVE),
    "query_passage_gap": About("gap between queries and their passages", POSITIVE),
    "score_by_translation_cosine": About("a pair's score, by the cosine of translations"),
    "score_by_centroid_distance": About("a pair's score, by the distance of centroids"),
    "score_by_hub_skewness": About("a pair's score, by hubness"),
    "score_explained": About("variance of scores that these explain", SHARE),
    "direct_by_legs": About("a direct pair's score, by its legs through English"),
    "direct_explained": About("variance of direct scores that the legs explain", SHARE),
}
"""Name -> what it says, in the order of every table."""


AT_ONCE = 512
"""Cells whose parts are laid side by side: a hundred languages have ten thousand pairs."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One measure of one language or pair of languages, with what its interval needs."""

    name: str
    side: Side
    language: str | None
    """None: all languages together."""
    other_language: str | None
    value: float
    parts: Floats
    """One number a text, whose mean is the value."""
    clusters: Ints
    """Label of each text; labels mean the same in all cells of a side."""
    n: int
    """Texts behind the value."""

    @property
    def key(self) -> tuple[str, Side, str | None, str | None]:
        """What makes two cells the same question."""
        return self.name, self.side, self.language, self.other_language


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the output; without an interval where one cluster, or no variation, leaves the error unknown."""

    name: str
    side: Side
    language: str | None
    other_language: str | None
    value: float
    lower: float | None
    upper: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Overall:
    """The mean of a measure over its cells, or the change of that mean from a base to a candidate."""

    name: str
    side: Side
    value: float
    lower: float | None
    upper: float | None
    cells: int
    n: int
    """Texts of the largest cell."""
    base: float | None = None
    """What the mean was, where `value` is a change."""


def measures(cells: Sequence[Cell], *, replicates: int, seed: int = 0) -> list[Measure]:
    """Return every cell with its 95 % bootstrap interval; texts of one cluster are drawn together, in all cells."""
    ends = np.full((2, len(cells)), np.nan)
    for side in ("query", "passage"):
        mine = [i for i, cell in enumerate(cells) if cell.side == side]
        for start in range(0, len(mine) if replicates else 0, AT_ONCE):
            some = mine[start : start + AT_ONCE]  # a cell's interval does not depend on its neighbours
            ends[:, some] = bootstrap(_sums([cells[i] for i in some]), replicates=replicates, seed=seed)
    lower, upper = ends.tolist()
    return [
        Measure(*cell.key, cell.value, _bound(cell.name, low), _bound(cell.name, high), cell.n)
        for cell, low, high in zip(cells, lower, upper, strict=True)
    ]


def overall(cells: Sequence[Cell]) -> list[Overall]:
    """Return the mean of every measure over its cells, side by side, with cluster-robust intervals."""
    return [_mean(group, group, None) for group in _groups(cells)]


def changes(base: Sequence[Cell], candidate: Sequence[Cell]) -> list[Overall]:
    """Return how the means changed over the cells that both have, measured on the same texts."""
    known = {cell.key: cell for cell in base}
    both = [cell for cell in candidate if cell.key in known and len(known[cell.key].parts) == len(cell.parts)]
    return [_change(group, [known[cell.key] for cell in group]) for group in _groups(both)]


def _change(group: Sequence[Cell], before: Sequence[Cell]) -> Overall:
    was = float(np.mean([cell.value for cell in before]))
    moved = [
        Cell(*new.key, new.value - old.value, new.parts - old.parts, new.clusters, new.n)
        for new, old in zip(group, before, strict=True)
    ]
    return _mean(moved, group, was)


def _mean(cells: Sequence[Cell], group: Sequence[Cell], was: float | None) -> Overall:
    name = group[0].name
    mean = contrast(_sums(cells), np.full(len(cells), 1 / len(cells)))
    found = interval(mean if MEASURES[name].is_counted else replace(mean, unseen=(0.0, 0.0), ends=(-np.inf, np.inf)))
    lower, upper = found or (None, None)
    if found and was is None:
        lower, upper = _bound(name, found[0]), _bound(name, found[1])
    value = float(np.mean([cell.value for cell in cells]))
    return Overall(name, group[0].side, value, lower, upper, len(cells), max(cell.n for cell in group), was)


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    groups: dict[tuple[int, Side], list[Cell]] = {}
    order = list(MEASURES)
    for cell in cells:
        groups.setdefault((order.index(cell.name), cell.side), []).append(cell)
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], key[1] == "passage"))]


def _sums(cells: Sequence[Cell]) -> ClusterSums:
    """Add up the parts of cells by cluster; clusters that no cell has are left out."""
    labels = np.unique(np.concatenate([cell.clusters for cell in cells]), return_inverse=True)[1].astype(np.int64)
    columns = np.repeat(np.arange(len(cells)), [len(cell.parts) for cell in cells])
    parts = np.concatenate([cell.parts for cell in cells])
    return cluster_sums(parts, labels, columns, SHARE if parts.min(initial=0) >= 0 else DIFFERENCES)


def _bound(name: str, value: float) -> float | None:
    low, high = MEASURES[name].ends
    return min(max(value, low), high) if np.isfinite(value) else None
