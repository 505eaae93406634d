"""`clear-bench verify`: checks the files against the manifest and the scores against the stored hits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import Command, cache_option, json_option
from clear_bench.errors import UsageError

if TYPE_CHECKING:
    from clear_bench.store.results import Result
    from clear_bench.tasks import Task


@click.command(cls=Command)
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--task", help="Card to take the qrels from; default: the task that the manifest names.")
@cache_option
@json_option
def verify(result: Path, task: str | None, as_json: bool) -> None:
    """Check the digests of RESULT (OUT/<model> or OUT/<model>/<task>) and recompute its metrics from its run."""
    from clear_bench.api.verification import verify_result
    from clear_bench.store.results import read_results

    done = [verify_result(one, _card(one, task)) for one in read_results(result)]
    if as_json:
        rows = [
            {
                "path": str(v.path),
                "task": v.task,
                "recomputed": list(v.recomputed),
                "not_recomputed": dict(v.not_recomputed),
            }
            for v in done
        ]
        click.echo(json.dumps({"schema": "clear-bench/verify/1", "results": rows}, indent=2))
        return
    for v in done:
        click.echo(f"{v.path}: files match the manifest; recomputed and equal: {', '.join(v.recomputed) or 'nothing'}")
        for name, reason in v.not_recomputed.items():
            click.echo(f"  not recomputed: {name} ({reason})")


def _card(result: Result, given: str | None) -> Task:
    """Find the card of a result: the one given, else the package's of that name."""
    from clear_bench.tasks import find_task

    try:
        return find_task(given or str(result.manifest["task"].get("card") or result.task))
    except UsageError as error:
        if given:
            raise
        msg = f"{result.path}: {error}; for a card of your own, give its path with --task"
        raise UsageError(msg) from error
