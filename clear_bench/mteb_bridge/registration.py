"""Register our tasks in mteb, for everything there that finds tasks by name."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from clear_bench.errors import UsageError
from clear_bench.mteb_bridge.naming import task_name
from clear_bench.tasks import Task, find_tasks


def register(names: str | Iterable[str] = "all") -> list[str]:
    """Register tasks for `mteb.get_task`, `mteb run -t` and `TaskResult.task`, and return their names in mteb.

    `names` are names of cards and groups, or paths of cards. No data are read before a task is used, and a task that is
    already registered stays. Raise `UsageError` where mteb has another task of the same name.
    """
    from clear_bench.mteb_bridge.tasks_out import ClearTask, task_class

    registry = _registry()
    tasks = {task_name(task.name): task for task in find_tasks(names)}
    for name, task in tasks.items():
        known = registry.get(name)
        if known is not None and not (issubclass(known, ClearTask) and _is_same(known.task, task)):
            msg = f"mteb already has a task named {name!r}; rename the card {task.name!r}"
            raise UsageError(msg)
    for name, task in tasks.items():
        registry.setdefault(name, task_class(task))
    return list(tasks)


def _is_same(one: Task, other: Task) -> bool:
    return (one.name, one.folder) == (other.name, other.folder)


def _registry() -> dict[str, Any]:  # Any: classes of mteb
    """Return mteb's table of tasks. This is the only private name of mteb that we use; there is no public one."""
    # The module is hidden by the function of the same name.
    table: dict[str, Any] = import_module("mteb.get_tasks")._TASKS_REGISTRY
    return table
