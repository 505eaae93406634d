"""Runs, which hold the hits of a search, and the scores of their queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clear_bench.types.pairs import LanguagePair

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Ranked hits of one pair, ties settled: similarity, then passage id by bytes, both descending."""

    pair: LanguagePair
    query_rows: NDArray[np.int64]
    """Rows of the pair's query texts, [q]."""
    positions: NDArray[np.int64]
    """Passage positions, [q, depth]; -1 where there is no hit."""
    similarities: NDArray[np.float32]
    """[q, depth]; NaN where there is no hit."""
    ties: int = 0
    """Hits that share their similarity with another hit of the same query."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One value per (pair, query, metric), unrounded, with where they come from."""

    table: pa.Table
    """query_language, passage_language, query_id, cluster_id (strings), one float64 column per metric."""
    metrics: tuple[str, ...]
    provenance: Mapping[str, Any]  # Any: the manifest is JSON
    """The manifest: model, task, digests, versions, settings, counts."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the long form: one row per pair and query."""
        return self.table.to_pandas()


_SAME_SET = {
    "natural-questions": "nq",
    "msmarco": "ms-marco",
    "mrtydi": "mr-tydi",
    "mrtidy": "mr-tydi",
    "tydiqa": "tydi-qa",
}
"""Spelling of a training set on model cards -> its spelling on task cards."""


def seen_in_training(manifest: Mapping[str, Any]) -> tuple[str, ...]:  # Any: JSON
    """Return the training sets of a result's model that overlap its task, as the task's card names them.

    >>> seen_in_training({"model": {"trained_on": ["miracl/miracl", "squad"]}, "task": {"overlaps": ["miracl-train"]}})
    ('miracl-train',)
    """

    def key(name: str) -> str:
        plain = name.lower().rsplit("/", 1)[-1].replace("_", "-").removesuffix("-train")
        return _SAME_SET.get(plain, plain)

    known = {key(name) for name in manifest["model"].get("trained_on") or ()}
    return tuple(name for name in manifest["task"].get("overlaps") or () if key(name) in known)
