"""The values of sweep.json: the runs of a sweep, and the scores, gains and contrasts of each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from clear_bench.compare import DifferenceRow
from clear_bench.documents import read_as
from clear_bench.errors import InputError
from clear_bench.render.records import Value

Budget = Literal["steps", "compute"]


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One loss and one seed, and how much it has trained on."""

    loss: str
    seed: int
    folder: str
    steps: int
    rows: int
    texts: int
    tokens: int
    seconds: float
    batches: str
    """Checksum of the batches that all losses of this seed share."""
    selected_step: int | None
    """The step that the evaluation during training chose."""
    results: Mapping[str, str]
    """Task -> folder of the result, below the sweep's."""


@dataclass(frozen=True, slots=True)
class LossScores:
    """The means of the base or of a loss, by group of pairs; seeds are averaged."""

    name: str
    seeds: int
    groups: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class LossDifference:
    """The differences between two sides, by group of pairs: `clear - base`."""

    name: str
    groups: Mapping[str, DifferenceRow]


@dataclass(frozen=True, slots=True)
class SweepTask:
    """The comparison on one task."""

    task: str
    metric: str
    partial: bool
    rows: tuple[LossScores, ...]
    gains: tuple[LossDifference, ...]
    """Each loss, and each transform of the base, against the base."""
    contrasts: tuple[LossDifference, ...]
    """CLEAR against the losses that lack one of its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A finished sweep."""

    schema: Literal["clear-bench/sweep/1"] = "clear-bench/sweep/1"
    budget: Budget
    base: str
    losses: tuple[str, ...]
    seeds: tuple[int, ...]
    batches: Mapping[str, str]
    """Seed -> checksum of its batches."""
    runs: tuple[SweepRun, ...]
    tasks: tuple[SweepTask, ...]


def read_sweep(document: object, where: str) -> Sweep:
    """Return the sweep that a document holds; raises `InputError` where it is not one."""
    return read_as(Sweep, document, where, InputError)
