"""What was measured of a model on a task, as reports show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clear_bench.geometry.cells import Cell, Measure
from clear_bench.geometry.picture import Picture
from clear_bench.types import Side


@dataclass(frozen=True, slots=True)
class Hub:
    """A passage among the first hits of many queries, in all query languages together."""

    language: str
    passage_id: str
    count: int
    expected: float
    """Count if all passages of its language were found equally often."""


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """What was measured of a model's vectors on one task."""

    model: str
    task: str
    cells: Sequence[Cell]
    hubs: Sequence[Hub] = ()
    picture: Picture | None = None
    explained: Sequence[Measure] = ()
    """What a regression of the scores of pairs on the measures says; without scores nothing."""
    notes: Sequence[str] = ()
    texts: Mapping[Side, int] = field(default_factory=dict)
    """Texts of the largest sample, by side."""
