"""`clear-bench verify`: checks the files against the manifest and the scores against the stored hits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import NAMES, Command, cache_option, json_option
from clear_bench.cli.task_names import load_cards, own_card
from clear_bench.console import note, say, say_json
from clear_bench.errors import NotComparableError, UserError

if TYPE_CHECKING:
    from clear_bench.api.verification import Verified
    from clear_bench.cli.task_names import Cards
    from clear_bench.store.results import Result


@click.command(cls=Command)
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--task", "tasks", type=NAMES, multiple=True, help="Card to take the qrels from; default: what the manifest names."
)
@cache_option
@json_option
def verify(result: Path, tasks: tuple[tuple[str, ...], ...], as_json: bool) -> None:
    """Check the digests of RESULT (OUT/<model> or OUT/<model>/<task>) and recompute its metrics from its run.

    Every task of a folder is verified, also after one that fails.
    """
    from clear_bench.store.results import read_result, result_folders

    cards = load_cards([name for names in tasks for name in names])
    done: list[Verified] = []
    failed: list[UserError] = []
    for folder in result_folders(result):
        try:
            done.append(recompute(read_result(folder), cards))
        except UserError as error:
            failed.append(error)
    unused = set(cards) - {one.task for one in done}
    if unused and not failed:
        msg = f"{result} holds no result of {', '.join(sorted(unused))}, whose card --task gives; leave that out"
        raise NotComparableError(msg)
    if done:
        _show(done, as_json)
    for other in failed[1:]:
        note(f"error: {other}")
    if failed:
        raise failed[0]


def recompute(result: Result, cards: Cards | None = None, offline: bool = False) -> Verified:
    """Compute the metrics of a result anew from its run, with the card given for its task, else the one it names.

    `offline`: only where the task's data are on this machine.
    """
    from clear_bench.api.verification import has_no_qrels, verify_result

    if known := has_no_qrels(result):
        return known
    task, read = (cards or {}).get(result.task) or own_card(result, "with --task")
    return verify_result(result, task, lambda one, pairs, local: read(one, pairs, local or offline))


def _show(done: Sequence[Verified], as_json: bool) -> None:
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
        say_json({"schema": "clear-bench/verify/1", "results": rows})
        return
    for v in done:
        say(summary(v))
        for name, reason in v.not_recomputed.items():
            say(f"  not recomputed: {name} ({reason})")


def summary(verified: Verified) -> str:
    """Return one line on what was checked."""
    if not verified.recomputed:
        return f"{verified.path}: digests checked, nothing recomputed"
    return f"{verified.path}: files match the manifest; recomputed and equal: {', '.join(verified.recomputed)}"
