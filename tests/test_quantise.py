"""Coded rows: how far they may be from what they were, and that each stands for itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from clear_bench.quantise import CODINGS, CodedRows, Coding, code, cosines, row_bytes

MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 20)),
    elements=st.floats(-(2.0**40), 2.0**40, width=32).map(lambda x: x if abs(x) > 2.0**-40 else 0.0),
)


def coded(vectors: NDArray[np.float32], coding: Coding) -> CodedRows:
    return CodedRows(code(vectors, coding), coding, vectors.shape[1])


def some(count: int, dimensions: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_no_number_of_int8_moves_by_more_than_half_a_step(vectors: NDArray[np.float32]) -> None:
    steps = np.abs(vectors).max(axis=1, keepdims=True).astype(np.float64) / 127
    moved = np.abs(coded(vectors, "int8")[:].astype(np.float64) - vectors)
    # The quotient, the scale and the product are rounded to float32, each by 2^-24 of up to 127 steps.
    assert (moved <= steps * (0.5 + 127 * 3 * 2.0**-24)).all()


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_binary_keeps_signs_and_the_product_with_itself(vectors: NDArray[np.float32]) -> None:
    found = coded(vectors, "binary")[:].astype(np.float64)
    held = np.abs(vectors).sum(axis=1) > 0
    assert ((found >= 0) == (vectors >= 0))[held].all()
    assert (np.ptp(np.abs(found), axis=1) == 0).all()
    squares = np.square(vectors.astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(np.vecdot(found, vectors.astype(np.float64)), squares, rtol=1e-6)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_rows_bytes_depend_on_that_row_alone(coding: Coding) -> None:
    vectors = some(2500, 13)
    whole = code(vectors, coding)
    for rows in (slice(0, 1), slice(7, 1300), slice(2499, 2500)):
        np.testing.assert_array_equal(code(vectors[rows], coding), whole[rows])
    assert whole.shape == (2500, row_bytes(coding, 13)) == (2500, {"int8": 17, "binary": 6}[coding])


@pytest.mark.parametrize("coding", CODINGS)
def test_coded_rows_read_as_float32_by_slice_position_and_as_an_array(coding: Coding) -> None:
    rows = coded(some(50, 13), coding)
    whole = np.asarray(rows)
    assert whole.dtype == rows.dtype == np.float32
    assert whole.shape == rows.shape
    assert rows.ndim == 2
    np.testing.assert_array_equal(rows[10:20], whole[10:20])
    np.testing.assert_array_equal(rows[np.array([3, 49, 3])], whole[[3, 49, 3]])
    np.testing.assert_array_equal(np.concatenate([rows, rows]), np.concatenate([whole, whole]))  # type: ignore[arg-type]


def test_coding_what_was_read_back_changes_nothing() -> None:
    for coding in CODINGS:
        once = coded(some(300, 24), coding)
        np.testing.assert_allclose(coded(once[:], coding)[:], once[:], rtol=1e-6)


def test_what_lies_along_the_axis_is_read_exactly() -> None:
    vectors, axis = some(20, 8), np.full(8, 8**-0.5, dtype=np.float32)
    along = vectors @ axis
    for coding in CODINGS:
        rest = vectors - along[:, None] * axis
        rows = CodedRows(code(rest, coding), coding, 8, axis, along)
        np.testing.assert_allclose(rows[3:9] @ axis, along[3:9], atol=1e-6)
        plain = coded(rest, coding)[3:9]
        np.testing.assert_allclose(
            rows[3:9], vectors[3:9] + (plain - rest[3:9]) @ (np.eye(8) - np.outer(axis, axis)), atol=1e-5
        )


def test_cosines_are_those_of_each_row_with_its_copy() -> None:
    vectors = some(1500, 384)
    for coding, least, most in (("int8", 0.9998, 1.0), ("binary", 0.7, 0.9)):
        rows = coded(vectors, coding)  # type: ignore[arg-type]
        found = cosines(vectors, rows)
        a, b = vectors.astype(np.float64), rows[:].astype(np.float64)
        expected = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        # Signs keep sqrt(2 / pi) = 0.798 of a normal vector's direction.
        assert least < found.min() <= found.max() <= most + 1e-12
