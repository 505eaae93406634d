"""Turn mteb's data sets into our `Texts`. Columns stay in Arrow, and texts are joined as mteb joins them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from clear_bench.types import Texts, make_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets import Dataset

_SPACE = pa.scalar(" ", pa.large_string())


def passage_texts(corpus: Dataset, language: str) -> Texts:
    """Read a corpus: title and text joined by a space, white space at the ends removed."""
    table = _table(corpus)
    text = table["text"].cast(pa.large_string())
    if "title" in table.column_names:
        title = pc.fill_null(table["title"].cast(pa.large_string()), "")
        text = pc.if_else(pc.equal(title, ""), text, pc.binary_join_element_wise(title, text, _SPACE))
    return make_texts(language, _ids(table), _chunked(pc.utf8_trim_whitespace(text)))


def query_texts(queries: Dataset, language: str) -> Texts:
    """Read queries: a conversation as one text, and behind a text the instruction that comes with it."""
    table = _table(queries)
    text = table["text"]
    has_instructions = "instruction" in table.column_names
    if pa.types.is_list(text.type) or pa.types.is_large_list(text.type):
        turns = [_conversation(turns) for turns in text.to_pylist()]
        if has_instructions:
            given = table["instruction"].to_pylist()
            turns = [f"{instruction} {turn}" for instruction, turn in zip(given, turns, strict=True)]
        text = pa.chunked_array([turns], pa.large_string())
    elif has_instructions:
        text = text.cast(pa.large_string())
        joined = pc.binary_join_element_wise(text, table["instruction"].cast(pa.large_string()), _SPACE)
        text = pc.coalesce(joined, text)
    return make_texts(language, _ids(table), _chunked(text.cast(pa.large_string())))


def _conversation(turns: list[str | Mapping[str, str]]) -> str:
    return "; ".join(turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}" for turn in turns)


def _table(dataset: Dataset) -> pa.Table:
    table: pa.Table = dataset.with_format("arrow")[:]
    return table


def _ids(table: pa.Table) -> pa.ChunkedArray:
    return _chunked(table["id"].cast(pa.string()))


def _chunked(column: Any) -> pa.ChunkedArray:  # Any: pyarrow has no stubs
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
