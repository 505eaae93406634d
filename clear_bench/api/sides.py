"""One side of a comparison: result folders, an evaluation, or results that are read already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clear_bench import readers
from clear_bench.api.evaluation import Evaluation
from clear_bench.api.plan import Read
from clear_bench.compare import read_side
from clear_bench.compare.pairing import Seeds
from clear_bench.errors import InputError
from clear_bench.registry import unknown
from clear_bench.store.results import Result
from clear_bench.tasks import Task, find_task

Side = Mapping[str, Seeds]
"""Task -> one result per seed."""
Source = str | Path | Evaluation | Side
"""`OUT/<model>` or `OUT/<model>/<task>` (a comma joins seeds), what `evaluate` returned, or results by task."""
FindCard = Callable[[Result], tuple[Task, Read]]
"""Returns the task of a result and the function that reads its texts."""


def as_side(source: Source, tasks: Sequence[str] = ()) -> Side:
    """Return the results of a source by task: of some tasks, or of all. Raise `InputError` where one is missing."""
    if isinstance(source, str | Path):
        return read_side(str(source), tasks)
    side: Side = {task: (one,) for task, one in source.results().items()} if isinstance(source, Evaluation) else source
    for name in tasks:
        if name not in side:
            raise InputError(unknown("task", name, side))
    return {name: seeds for name, seeds in side.items() if not tasks or name in tasks}


def named_card(result: Result) -> tuple[Task, Read]:
    """Return the task whose card the manifest of a result names."""
    return find_task(result.card), readers.read
