"""Relevance judgements: by id as a benchmark gives them, and by position as metrics take them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clear_bench.types.pairs import LanguagePair
from clear_bench.types.texts import digest_columns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Qrels:
    """Relevance judgements by id: row i says that `passage_ids[i]` has `grades[i]` for `query_ids[i]`."""

    query_ids: pa.Array
    passage_ids: pa.Array
    grades: NDArray[np.int32]
    digest: str
    """SHA-256 (hex) over the rows, sorted by query id and passage id."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """The qrels of one pair in positions: row i of a run is judged by `positions[indptr[i]:indptr[i + 1]]`."""

    pair: LanguagePair
    query_rows: NDArray[np.int64]
    """Rows of the pair's query texts that count, ascending, [q]."""
    indptr: NDArray[np.int64]
    positions: NDArray[np.int64]
    """Passage positions, ascending within a query, [j]."""
    grades: NDArray[np.int32]
    unjudged: int = 0
    """Queries left out: without any judgement."""
    untranslated: int = 0
    """Queries left out: they have relevant passages, but none in the passage language."""
    unanswerable: int = 0
    """Queries that count as 0: judged, but without a relevant passage in any language."""
    dropped: int = 0
    """Such queries, left out because the card says so."""


def make_qrels(query_ids: Sequence[str], passage_ids: Sequence[str], grades: Sequence[int]) -> Qrels:
    """Build `Qrels` sorted by query id and passage id, with their digest; the three columns have equal length."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table(
        {
            "query": pa.array(query_ids, pa.string()),
            "passage": pa.array(passage_ids, pa.string()),
            "grade": pa.array(grades, pa.int32()),
        }
    )
    order = pc.sort_indices(table, sort_keys=[("query", "ascending"), ("passage", "ascending")])
    table = table.take(order).combine_chunks()
    numbers = table["grade"].to_numpy().astype(np.int32)
    ids = digest_columns(table["query"], table["passage"])
    digest = hashlib.sha256(ids.encode() + numbers.tobytes()).hexdigest()
    return Qrels(_one_chunk(table["query"]), _one_chunk(table["passage"]), numbers, digest)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined
