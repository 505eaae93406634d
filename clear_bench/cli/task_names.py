"""What `--tasks` may name beside cards: tasks of mteb."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clear_bench.api.plan import Read
    from clear_bench.tasks import Task
    from clear_bench.types import Collection, LanguagePair


def resolve(text: str) -> tuple[list[str | Task], Read]:
    """Look up each `mteb:NAME`, leave other names as they are, and give the function that reads them all."""
    from clear_bench import readers

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not any(name.startswith("mteb:") for name in names):
        return [text], readers.read
    from clear_bench.mteb_bridge import tasks_in

    def read(task: Task, pairs: Sequence[LanguagePair], offline: bool) -> Collection:
        found = tasks_in.read if task.reader == tasks_in.READER else readers.read
        return found(task, pairs, offline)

    tasks: list[str | Task] = []
    for name in names:
        tasks += tasks_in.find_mteb_tasks(name) if name.startswith(tasks_in.PREFIX) else [name]
    return tasks, read
