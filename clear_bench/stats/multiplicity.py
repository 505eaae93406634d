"""Adjusted p values of a family of tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """Return p values adjusted for the chance of any false claim, [tests].

    Source: Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.

    Args:
        p: Unadjusted p values, [tests].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return _unsort(np.minimum(stepped, 1.0), order)


def benjamini_hochberg(p: Sequence[float]) -> NDArray[np.float64]:
    """Return p values adjusted for the expected share of false discoveries, [tests].

    Source: Benjamini & Hochberg 1995, Controlling the false discovery rate, JRSS B 57.

    Args:
        p: Unadjusted p values, [tests].
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    raised = values[order] * len(values) / np.arange(1, len(values) + 1)
    stepped = np.minimum.accumulate(raised[::-1])[::-1]
    return _unsort(np.minimum(stepped, 1.0), order)


def _unsort(values: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    out = np.empty_like(values)
    out[order] = values
    return out
