"""`clear-bench export`: stored runs in formats that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import Strict, cache_option
from clear_bench.console import say
from clear_bench.errors import UsageError

if TYPE_CHECKING:
    from clear_bench.store.results import Result


@click.command(cls=Strict)
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--trec", is_flag=True, help="One TREC run file per language pair.")
@click.option("--xor", is_flag=True, help="The prediction file of XOR-Retrieve's own evaluation script.")
@click.option("--mteb", is_flag=True, help="A result cache of mteb: results/<org>__<model>/<revision>/<Task>.json.")
@click.option("--task", help="Card to take questions and passages from (--xor); default: what the manifest names.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder.")
@cache_option
def export(result: Path, trec: bool, xor: bool, mteb: bool, task: str | None, out: Path) -> None:
    """Write the stored run or the means of RESULT (OUT/<model> or OUT/<model>/<task>) for other tools."""
    from clear_bench.store.results import read_results
    from clear_bench.store.trec import write_trec_runs

    if not (trec or xor or mteb):
        msg = "say which format to write: --trec, --xor, --mteb"
        raise UsageError(msg)
    for one in read_results(result):
        if trec:
            for path in write_trec_runs(one, out, tag=one.manifest.model.slug):
                say(path)
        if xor:
            say(_write_xor(one, task, out))
        if mteb:
            from clear_bench.mteb_bridge.export import write_mteb_result

            say(write_mteb_result(one, out))


def _write_xor(result: Result, card: str | None, out: Path) -> Path:
    from clear_bench import readers
    from clear_bench.metrics import parse
    from clear_bench.store.xor import write_xor_predictions
    from clear_bench.tasks import find_task

    task = find_task(card or result.card)
    if not any(parse(name).family.reach == "tokens" for name in task.metrics):
        msg = f"--xor: {task.name} is not judged by answers within so many tokens; the file is for XOR-Retrieve"
        raise UsageError(msg)
    collection = readers.read(task, result.pairs, offline=True)
    return write_xor_predictions(result, collection, out, task.codes)
