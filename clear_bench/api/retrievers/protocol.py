"""The protocols that an evaluation works with, whatever finds the passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clear_bench.api.plan import Plan
from clear_bench.rerank import on_whole_side
from clear_bench.search import Recall
from clear_bench.types import Checkpoint, Judgements, ResultKind, Run
from clear_bench.types.manifest import CountsPart

Rows = NDArray[np.int64]
Candidates = Sequence[Rows]
"""The passages, by position, that may be hits of each judged query."""


class Search(Protocol):
    """Searches an open passage side."""

    def __call__(self, judgements: Judgements, candidates: Candidates | None = None) -> Run:
        """Rank the passages for the judged queries of one pair, or only their candidates."""


class Ready(Protocol):
    """A retriever that has done the work which all pairs of a plan share: its texts are encoded, or counted."""

    @property
    def counts(self) -> CountsPart:
        """What that work took, for the manifest."""

    def open(self, passage: str, rows: Rows | None = None) -> Search:
        """Open a passage side, or only these rows of it, and return the function that searches it pair by pair."""

    def recalls(self) -> Mapping[str, Recall]:
        """Return the recall of an approximate index against exact search by passage side; empty for exact search."""


class Retriever(Protocol):
    """Finds passages for the pairs of a plan."""

    @property
    def kind(self) -> ResultKind:
        """How the results come about, for the manifest."""

    @property
    def checkpoint(self) -> Checkpoint:
        """What the results are named by."""

    @property
    def settings(self) -> dict[str, str]:
        """What can move a similarity beside the checkpoint, for the manifest."""

    def prepare(self, plan: Plan) -> Ready:
        """Do the work that all pairs of a plan share."""


def of_whole_side(search: Search, plan: Plan, passage: str, rows: Rows | None) -> Search:
    """Let a search that knows only some rows of a passage side return positions of the whole side."""
    if rows is None:
        return search
    width = min(plan.depth(passage), len(plan.collection.passage_ids(passage)))

    def whole(judgements: Judgements, candidates: Candidates | None = None) -> Run:
        return on_whole_side(search(judgements, candidates), rows, width)

    return whole
