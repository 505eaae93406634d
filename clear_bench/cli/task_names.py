"""What `--tasks` may name beside cards: tasks of mteb; and the cards that results name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from clear_bench.errors import UsageError

if TYPE_CHECKING:
    from clear_bench.api.plan import Read
    from clear_bench.store.results import Result
    from clear_bench.tasks import Task
    from clear_bench.types import Collection, LanguagePair

    Cards = Mapping[str, tuple[Task, Read]]


def resolve(names: Sequence[str]) -> tuple[list[str | Task], Read]:
    """Return the tasks of each `mteb:NAME`, other names as they are, and the function that reads all of them."""
    from clear_bench import readers

    if not any(name.startswith("mteb:") for name in names):
        return list(names), readers.read
    from clear_bench.mteb_bridge import tasks_in

    def read(task: Task, pairs: Sequence[LanguagePair], offline: bool) -> Collection:
        found = tasks_in.read if task.reader == tasks_in.READER else readers.read
        return found(task, pairs, offline)

    tasks: list[str | Task] = []
    for name in names:
        tasks += tasks_in.find_mteb_tasks(name) if name.startswith(tasks_in.PREFIX) else [name]
    return tasks, read


def load_cards(given: Sequence[str]) -> Cards:
    """Load the cards given, by task name, each with the function that reads it."""
    from clear_bench.api.plan import look_up

    names, read = resolve(given)
    return {task.name: (task, read) for task in look_up(names)}


def own_card(result: Result, option: str) -> tuple[Task, Read]:
    """Load the card that a result names; `option` says how another one is given. Raise `UsageError` without it."""
    try:
        return load_cards([result.card])[result.task]
    except (UsageError, KeyError) as error:
        reason = error if isinstance(error, UsageError) else f"{result.card} is not the card of {result.task!r}"
        msg = f"{result.path}: {reason}; give the path of its card {option}"
        raise UsageError(msg) from error


def choose_card(result: Result, card: str | None) -> tuple[Task, Read]:
    """Return the card given where it is that of the result, else the one that the result names."""
    return load_cards([card] if card else []).get(result.task) or own_card(result, "with --card")
