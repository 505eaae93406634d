"""Runs, which hold the hits of a search, and the scores of their queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clear_bench.types.manifest import Manifest
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
    provenance: Manifest
    """The manifest: model, task, digests, versions, settings, counts."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the long form: one row per pair and query."""
        return self.table.to_pandas()
