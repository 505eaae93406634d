"""The protocols that an evaluation works with, whatever finds the passages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clear_bench.api.plan import Plan
from clear_bench.rerank import candidate_positions, on_whole_side
from clear_bench.search import Recall
from clear_bench.types import Checkpoint, Judgements, ResultKind, Run
from clear_bench.types.manifest import CountsPart

Rows = NDArray[np.int64]
Search = Callable[[Judgements], Run]
"""Searches an open passage side for one pair."""
Rank = Callable[[Judgements, int, Sequence[Rows] | None], Run]
"""Ranks passages for one pair to a depth, or only the candidates of each query where the pair has candidates."""


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


def searching(plan: Plan, passage: str, rows: Rows | None, rank: Rank) -> Search:
    """Return the search of an open passage side: `rank` to the plan's depth, with candidates where a pair has them.

    With `rows`, `rank` knows these rows alone, and the run gets the positions of the whole side.
    """
    collection, depth = plan.collection, plan.depth(passage)

    def search(judgements: Judgements) -> Run:
        has_candidates = judgements.pair in collection.candidates
        given = candidate_positions(collection, judgements) if has_candidates else None
        run = rank(judgements, depth, given)
        return run if rows is None else on_whole_side(run, rows, min(depth, len(collection.passage_ids(passage))))

    return search
