"""Find task cards: those of the package by name or group, and a user's own by path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from clear_bench.errors import UsageError
from clear_bench.registry import unknown
from clear_bench.tasks.card import load_card
from clear_bench.tasks.task import Task

ALL = "all"
"""The group that every card of the package belongs to."""


def find_task(name: str) -> Task:
    """Load a card of the package by name, or any card by its path or its folder's path.

    Raises `UsageError` with the nearest names for anything else, `CardError` for a card that cannot be used.
    """
    if name in _cards():
        return replace(load_card(_cards()[name]), card=None)
    if not _looks_like_path(name):
        raise UsageError(unknown("task", name, [*task_names(), *group_names()]))
    if not Path(name).exists():
        msg = f"there is no card at {name}; the package has {', '.join(task_names()) or 'none'}"
        raise UsageError(msg)
    return load_card(name)


def find_tasks(names: str | Iterable[str]) -> tuple[Task, ...]:
    """Load several cards: names, paths and groups, commas allowed; each card once, in the order asked for."""
    texts = [names] if isinstance(names, str) else names
    tasks: dict[str, Task] = {}
    for name in (part.strip() for text in texts for part in text.split(",")):
        for task in _expand(name) if name else ():
            known = tasks.setdefault(task.name, task)
            if known.folder != task.folder:
                msg = f"two cards are named {task.name!r}, in {known.folder} and {task.folder}; run them one by one"
                raise UsageError(msg)
    return tuple(tasks.values())


def task_names() -> tuple[str, ...]:
    """Return the names of the package's cards, sorted, without reading the cards."""
    return tuple(_cards())


def group_names() -> dict[str, tuple[str, ...]]:
    """Return every group with the names of its tasks. Reads all cards of the package."""
    groups: dict[str, list[str]] = {ALL: list(task_names())}
    for name, card in _cards().items():
        for group in load_card(card).groups:
            groups.setdefault(group, []).append(name)
    return {group: tuple(members) for group, members in sorted(groups.items())}


def _expand(name: str) -> tuple[Task, ...]:
    if name in _cards() or _looks_like_path(name):
        return (find_task(name),)
    groups = group_names()
    return tuple(find_task(member) for member in groups[name]) if name in groups else (find_task(name),)


def _looks_like_path(name: str) -> bool:
    return "/" in name or "\\" in name or name.endswith(".toml") or (Path(name) / "card.toml").is_file()


def _cards() -> dict[str, Path]:
    """Map the names of the package's cards to their files: `NAME.toml` or `NAME/card.toml`."""
    package = Path(__file__).resolve().parent.parent
    # A wheel carries the cards inside the package; a checkout has them beside it.
    folder = package / "cards" if (package / "cards").is_dir() else package.parent / "tasks"
    found = {path.stem: path for path in folder.glob("*.toml")}
    found |= {path.parent.name: path for path in folder.glob("*/card.toml")}
    return dict(sorted(found.items()))
