"""`clear-bench fetch`: downloads, checks and converts benchmarks ahead of a run, or takes the files that a user has."""

from __future__ import annotations

from pathlib import Path

import click

from clear_bench.cli.options import Command, cache_option, offline_option, option
from clear_bench.console import note, say
from clear_bench.errors import UsageError


@click.command(cls=Command)
@click.argument("tasks", nargs=-1, required=True)
@option("--pairs", default="all", show_default=True, help="Only what these pairs need: en:en, *:en, direct ...")
@click.option("--source", "sources", multiple=True, metavar="[KEY=]PATH", help="A file or folder to take instead.")
@cache_option
@offline_option
def fetch(tasks: tuple[str, ...], pairs: str, sources: tuple[str, ...], offline: bool) -> None:
    """Fetch TASKS (names, groups, cards), check their hashes and counts, and convert large corpora to Arrow once.

    What is here already is not fetched again, and an interrupted download goes on. Afterwards `run --offline` needs
    no network. --source takes an official file that was downloaded elsewhere, by its name, or as the card's entry KEY;
    or a folder with the files under their own names or with copies of hub repositories (OWNER/NAME/...).
    """
    from clear_bench import readers
    from clear_bench.tasks import find_tasks, plan_pairs

    chosen = find_tasks(tasks)
    if sources and len(chosen) != 1:
        msg = f"--source belongs to one task, but {len(chosen)} were named: {', '.join(task.name for task in chosen)}"
        raise UsageError(msg)
    selected, warnings = plan_pairs(chosen, pairs)
    for warning in warnings:
        note(f"warning: {warning}")
    for task in chosen:
        for given in sources:
            key, path = _split(given)
            for entry in readers.place(task, selected[task.name], path, key):
                note(f"{task.name}: {entry} is taken from {path}")
        if selected[task.name]:
            collection = readers.read(task, selected[task.name], offline=offline)
            queries = sum(map(len, collection.queries.values()))
            passages = sum(map(len, collection.corpora.values()))
            say(f"{task.name}: {len(selected[task.name])} pairs, {queries:,} queries, {passages:,} passages")


def _split(given: str) -> tuple[str | None, Path]:
    """Tell `KEY=PATH` from a path that has an equals sign of its own."""
    key, sign, path = given.partition("=")
    if sign and not Path(given).exists():
        return key, Path(path)
    return None, Path(given)
