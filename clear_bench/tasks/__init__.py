"""Task cards describe benchmarks as data. They are read and checked here; `readers` loads the texts."""

from __future__ import annotations

from clear_bench.tasks.card import load_card
from clear_bench.tasks.library import find_task, find_tasks, group_names, task_names
from clear_bench.tasks.pairs import PAIR_WORDS, plan_pairs, select_pairs
from clear_bench.tasks.task import Counts, Task

__all__ = [
    "PAIR_WORDS",
    "Counts",
    "Task",
    "find_task",
    "find_tasks",
    "group_names",
    "load_card",
    "plan_pairs",
    "select_pairs",
    "task_names",
]
