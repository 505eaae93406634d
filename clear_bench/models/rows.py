"""What an encoder gives for some rows of a text set."""

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
    """Vectors as the model gives them, in the order of the texts, not normalised by us yet."""

    vectors: NDArray[np.float32]
    """[n, d]."""
    tokens: int | None = None
    """Tokens encoded, specials included, padding not; None where the encoder does not count."""
    truncated: int | None = None
    """Texts that had more tokens than the model reads."""
    share: float | None = None
    """Arithmetic a second over what the device does at best; None where it was not measured."""


def strings(texts: Texts, rows: range) -> list[str]:
    """Give some rows as Python strings."""
    column: list[str] = texts.text.slice(rows.start, len(rows)).to_pylist()
    return column


def mean_bytes(texts: Texts) -> float:
    """Give the bytes of a text on average, of its place in the column too; passages take longer than queries."""
    return float(texts.text.nbytes / max(1, len(texts)))
