"""The values that pass between stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import as_manifest, make_manifest

from clear_bench.types import Checkpoint, Embeddings, LanguagePair, make_qrels, make_texts


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        ("eng-Latn:eng-Latn", "english"),
        ("deu-Latn:deu-Latn", "monolingual"),
        ("deu-Latn:eng-Latn", "x-en"),
        ("eng-Latn:deu-Latn", "en-x"),
        ("deu-Latn:ara-Arab", "direct"),
        ("deu-Latn:all", "pool"),
    ],
)
def test_kind_of_a_pair_is_its_column_in_the_table(pair: str, kind: str) -> None:
    assert LanguagePair(*pair.split(":")).kind == kind


@given(st.lists(st.text(), min_size=1, max_size=20), st.integers(1, 5), st.booleans())
def test_digest_does_not_depend_on_chunks_or_offset_width(values: list[str], size: int, wide: bool) -> None:
    kind = pa.large_string() if wide else pa.string()
    chunks = [pa.array(values[i : i + size], kind) for i in range(0, len(values), size)]
    whole = pa.chunked_array([pa.array(["x", *values], pa.string())]).slice(1)
    cut = pa.chunked_array(chunks)
    assert make_texts("eng-Latn", whole, whole).digest == make_texts("eng-Latn", cut, cut).digest


def test_digest_tells_where_one_text_ends() -> None:
    def digest(*values: str) -> str:
        column = pa.chunked_array([pa.array(values)])
        return make_texts("eng-Latn", column, column).text_digest

    assert digest("ab", "c") != digest("a", "bc")


def test_text_digest_ignores_ids_and_digest_does_not() -> None:
    column = pa.chunked_array([["one", "two"]])
    first = make_texts("eng-Latn", pa.chunked_array([["1", "2"]]), column)
    second = make_texts("eng-Latn", pa.chunked_array([["3", "4"]]), column)
    assert first.text_digest == second.text_digest
    assert first.digest != second.digest


def test_qrels_digest_does_not_depend_on_the_order_of_rows() -> None:
    assert make_qrels(["a", "b"], ["x", "y"], [1, 2]).digest == make_qrels(["b", "a"], ["y", "x"], [2, 1]).digest
    assert make_qrels(["a"], ["x"], [1]).digest != make_qrels(["a"], ["x"], [2]).digest


def test_embeddings_gather_rows_across_blocks() -> None:
    whole = np.arange(14, dtype=np.float16).reshape(7, 2)
    parts = Embeddings((whole[:3], whole[3:4], whole[4:]))
    rows = np.array([6, 0, 3, 3, 2])
    assert len(parts) == 7
    assert parts.take(rows).dtype == np.float32
    assert np.array_equal(parts.take(rows), whole[rows].astype(np.float32))


@pytest.mark.parametrize("name", ["org/x|<script>", "../../etc", "embedded:me5-small-q4", "::error::", "模型"])
def test_slug_is_a_plain_folder_name(name: str) -> None:
    slug = Checkpoint(name, None, "0123456789abcdef", "", {}).slug
    assert slug.endswith("-01234567")
    assert not set(slug) & set("/\\|<>: ")
    assert not slug.startswith(".")


@pytest.mark.parametrize(
    ("listed", "overlap"),
    [
        ("miracl/miracl", "miracl-train"),
        ("natural_questions", "nq"),
        ("MS_MARCO", "ms-marco"),
        ("mteb/mrtidy", "mr-tydi-train"),
    ],
)
def test_training_sets_are_known_in_every_spelling(listed: str, overlap: str) -> None:
    none = as_manifest(make_manifest("m", "t", ["eng-Latn:eng-Latn"]))
    model = replace(none.model, trained_on=("other", listed))
    manifest = replace(none, model=model, task=replace(none.task, overlaps=("unseen", overlap)))
    assert manifest.seen_in_training == (overlap,)
    assert none.seen_in_training == ()
