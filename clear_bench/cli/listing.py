"""`clear-bench list`: what there is to choose from, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import click

from clear_bench.cli.options import Strict, json_option
from clear_bench.console import say, say_json
from clear_bench.errors import UsageError
from clear_bench.registry import lookup

Row: TypeAlias = dict[str, Any]  # Any: texts, numbers and lists, as JSON has them

BM25 = "the lexical baseline: no vectors, no weights; what a model has to beat"
TEXTS_A_SECOND = 1000
"""What `encode_minutes` of a task assumes: a small encoder on one GPU. A CPU does 10 to 50."""


@click.command("list", cls=Strict)
@click.argument("kind", metavar="KIND")
@click.argument("task", required=False)
@json_option
def list_(kind: str, task: str | None, as_json: bool) -> None:
    """List what there is: KIND is tasks, languages, pairs, metrics, models, losses or recipes.

    TASK, a name or the path of a card, narrows languages and pairs to those of one task.
    """
    rows = _rows(kind, task)
    if as_json:
        say_json({"schema": "clear-bench/list/1", "kind": kind, "rows": rows})
    else:
        _print(kind, rows)


def _rows(kind: str, task: str | None) -> list[Row]:
    make = lookup(_KINDS, kind, "list")
    if task is None:
        return make()
    if kind not in _OF_A_TASK:
        msg = f"list {kind} takes no task, but was given {task!r}; {' and '.join(_OF_A_TASK)} do"
        raise UsageError(msg)
    return make(task)


def _tasks() -> list[Row]:
    from clear_bench.tasks import find_task, task_names

    rows = []
    for name in task_names():
        task = find_task(name)
        counts = task.expected.values()
        texts = [_total([row.queries for row in counts]), _total([row.passages for row in counts])]
        rows.append(
            {
                "name": task.name,
                "title": task.title,
                "languages": len(task.languages),
                "pairs": len(task.pairs),
                "queries": texts[0],
                "passages": texts[1],
                "disk_gb": task.size.get("disk_gb"),
                "encode_minutes": _minutes(*texts),
                "metric": task.main_metric,
                "licence": task.licence,
                "groups": list(task.groups),
            }
        )
    return rows


def _languages(task: str | None = None) -> list[Row]:
    from clear_bench import languages
    from clear_bench.tasks import find_task

    return [
        {
            "code": code,
            "short": languages.short(code),
            "name": languages.name(code),
            "resource_class": languages.resource_class(code),
        }
        for code in (find_task(task).languages if task else languages.all_codes())
    ]


def _pairs(task: str | None = None) -> list[Row]:
    """List the pairs of a task, pools that it does not run by itself last; else how many each word means where."""
    from clear_bench.tasks import PAIR_WORDS, find_task, find_tasks, select_pairs, task_names

    if task is None:
        return [
            {"task": each.name} | {word: len(select_pairs(each, word)) for word in PAIR_WORDS}
            for each in find_tasks(task_names())
        ]
    found = find_task(task)
    by_default = set(found.pairs)
    return [
        {
            "query_language": pair.query,
            "passage_language": pair.passage,
            "kind": pair.kind,
            "default": pair in by_default,
        }
        for pair in select_pairs(found, "all,*:POOL")
    ]


def _metrics() -> list[Row]:
    from clear_bench.metrics import METRICS

    return [{"name": name.replace("{k}", "k"), "measures": family.summary} for name, family in METRICS.items()]


def _models() -> list[Row]:
    from clear_bench.models.embedded import EMBEDDED

    known = {"bm25": BM25, **{f"embedded:{name}": row.about for name, row in EMBEDDED.items()}}
    return [{"name": name, "about": about} for name, about in known.items()]


def _losses() -> list[Row]:
    from clear_bench.losses import LOSSES

    return [{"name": name, "answers": question} for name, (_, question) in LOSSES.items()]


def _recipes() -> list[Row]:
    from clear_bench.train.recipe import load_recipe, recipes

    found = {name: load_recipe(path) for name, path in recipes().items()}
    return [{"name": name, "model": one.model.base, "loss": one.loss.name, "steps": one.training.steps}
            for name, one in found.items()]  # fmt: skip


_KINDS: dict[str, Callable[..., list[Row]]] = {
    "tasks": _tasks,
    "languages": _languages,
    "pairs": _pairs,
    "metrics": _metrics,
    "models": _models,
    "losses": _losses,
    "recipes": _recipes,
}
_OF_A_TASK = ("languages", "pairs")

_SHOWN: dict[str, dict[str, str]] = {
    "tasks": {
        "name": "name",
        "languages": "lang.",
        "pairs": "pairs",
        "queries": "queries",
        "passages": "passages",
        "disk_gb": "GB",
        "encode_minutes": "min.",
        "metric": "metric",
        "licence": "licence",
    }
}
"""What a terminal shows of a kind whose rows are wider than 100 columns, and under which heading."""
_NOTES = {
    "tasks": "GB: on disk. Min.: minutes to encode all of it at 1,000 texts a second, as a small model does on one "
    "GPU. --json has titles and groups, too."
}


def _total(counts: list[int | None]) -> int | None:
    """Return the total of what a card promises; None where it does not say."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _minutes(queries: int | None, passages: int | None) -> int | None:
    """Estimate how long all texts take to encode at TEXTS_A_SECOND; None where the passages are not counted."""
    return None if passages is None else -(-((queries or 0) + passages) // (60 * TEXTS_A_SECOND))


def _print(kind: str, rows: list[Row]) -> None:
    from clear_bench.render.tables import Table
    from clear_bench.render.writers import write_terminal

    if not rows:
        say("none")
        return
    shown = _SHOWN.get(kind, {name: name for name in rows[0]})
    values = [[row[name] for name in shown] for row in rows]
    words = (i for i in range(len(shown)) if any(type(row[i]) not in (int, float, type(None)) for row in values))
    cells = tuple(tuple(map(_cell, row)) for row in values)
    write_terminal(Table("", tuple(shown.values()), cells, _NOTES.get(kind, ""), frozenset(words)))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int | float) else str(value or "-")
