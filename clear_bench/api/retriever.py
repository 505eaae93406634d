"""What can find passages: the protocols that an evaluation works with, whoever stands behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clear_bench.api.plan import Plan
from clear_bench.types import Checkpoint, Judgements, Run

Json = dict[str, Any]  # Any: JSON
Rows = NDArray[np.int64]
Search = Callable[[Judgements], Run]
"""Searches an open passage side for one pair."""


class Ready(Protocol):
    """A retriever that has done for a plan what is done once: its texts are encoded, or indexed."""

    @property
    def counts(self) -> Json:
        """What that took, for the manifest."""

    def open(self, passage: str, rows: Rows | None = None) -> Search:
        """Open a passage side, or these rows of it; the function that comes back searches it for one pair at a time."""

    def recalls(self) -> Json:
        """Give the recall of an approximate index against exact search, by passage side; empty where it is exact."""


class Retriever(Protocol):
    """Gives runs for a plan."""

    @property
    def checkpoint(self) -> Checkpoint:
        """What the results are named by."""

    @property
    def settings(self) -> Json:
        """What can move a similarity beside the checkpoint, for the manifest."""

    def prepare(self, plan: Plan) -> Ready:
        """Do what is done once for all pairs of a plan."""
