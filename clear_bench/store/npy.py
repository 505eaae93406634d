"""Open .npy files that others may have written."""

from __future__ import annotations

import tokenize
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OF_NUMPY = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, RecursionError, SyntaxError, TypeError, ValueError),
    tokenize.TokenError,
)
"""How numpy's reader of headers ends, which parses them as Python."""


def open_npy(path: Path) -> NDArray[Any]:  # Any: whatever the file holds
    """Map a .npy file into memory; raises `ValueError` for another file, never reads a pickle."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files that Python 2 wrote
            block: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except _OF_NUMPY as error:
        raise ValueError(f"it is not a .npy file of numbers: {error}") from error
    return block
