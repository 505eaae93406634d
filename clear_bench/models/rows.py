"""The vectors that an encoder returns for some rows of a text set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clear_bench.types import Texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Advance = Callable[[int], None]
"""Called with the number of texts that were just encoded."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRows:
    """Vectors as the model returns them, in the order of the texts, before we normalise them."""

    vectors: NDArray[np.float32]
    """[n, d]."""
    tokens: int | None = None
    """Tokens encoded, with special tokens, without padding; None if the encoder does not count them."""
    truncated: int | None = None
    """Texts that were truncated: they had more tokens than the model reads."""
    share: float | None = None
    """Operations per second relative to the device's peak; None if that was not measured."""


def strings(texts: Texts, rows: range) -> list[str]:
    """Return some rows as Python strings."""
    column: list[str] = texts.text.slice(rows.start, len(rows)).to_pylist()
    return column


def mean_bytes(texts: Texts) -> float:
    """Return the mean bytes of a text in its Arrow column, offsets included: a measure of the work that it takes."""
    return float(texts.text.nbytes / max(1, len(texts)))
