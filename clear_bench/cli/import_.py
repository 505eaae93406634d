"""`clear-bench import`: results of mteb and runs of other systems, to compare ours with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import COUNT, NAMES, StrictGroup
from clear_bench.console import say
from clear_bench.errors import UsageError

if TYPE_CHECKING:
    from clear_bench.types import LanguagePair

out_option = click.option(
    "--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="Result folder."
)
force_option = click.option("--force", is_flag=True, help="Replace another result that stands in this one's place.")


@click.group("import", cls=StrictGroup)
def import_() -> None:
    """Turn results of other tools into result folders, to compare, report and rank them with ours."""


@import_.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", help="Name of the model, where neither model_meta.json nor the folders say it.")
@click.option("--task", help="Say that the results are about the data of this task of ours.")
@out_option
@force_option
def mteb(paths: tuple[Path, ...], model: str | None, task: str | None, out: Path, force: bool) -> None:
    """Import result files of mteb: means of pairs, for comparisons without intervals or tests.

    PATHS are files or folders in the layout of mteb's cache or of its results repository.
    """
    from clear_bench.mteb_bridge.results_in import find_sources, read_means, save_means

    sources = [source for path in paths for source in find_sources(path, model)]
    found = [means for source in sources for means in read_means(source, task)]
    for folder in save_means(found, out, force):
        say(folder)


@import_.command()
@click.option("--model", required=True, help="Name of the system that made the runs.")
@click.option("--run", "runs", multiple=True, required=True, help="A pair and its run file: de:en=FILE.")
@click.option("--task", required=True, help="The card to judge by; with --qrels, a name for the task.")
@click.option("--qrels", multiple=True, help="TREC qrels instead of a card: FILE for all pairs, or de:en=FILE.")
@click.option(
    "--metrics", type=NAMES, default="", help="Comma-separated; default: the card's, or nDCG@10,recall@100,MRR@100."
)
@click.option("--run-depth", type=COUNT, help="Ranks stored of each run; default: the card's, or 100.")
@out_option
@force_option
def trec(
    model: str,
    runs: tuple[str, ...],
    task: str,
    qrels: tuple[str, ...],
    metrics: tuple[str, ...],
    run_depth: int | None,
    out: Path,
    force: bool,
) -> None:
    """Import TREC run files: they are scored here, query by query, and compare like runs of ours."""
    from clear_bench.api.evaluation import Output, evaluate_plans
    from clear_bench.api.foreign import plan_by_qrels
    from clear_bench.api.plan import make_plans
    from clear_bench.api.retrievers.given import foreign_system
    from clear_bench.readers.trec import read_trec_qrels

    files = _pair_files("--run", runs)
    if qrels:
        grades = {pair: read_trec_qrels(path) for pair, path in _qrels_files(qrels, list(files)).items()}
        default = ["nDCG@10", "recall@100", "MRR@100"]
        plans = [plan_by_qrels(task, grades, files, metrics or default, run_depth or 100)]
    else:
        plans = make_plans([task], [str(pair) for pair in files], metric_names=metrics, run_depth=run_depth)
    done = evaluate_plans(foreign_system(model, files), plans, Output(out, force))
    for name in done.scores:
        say(out / done.checkpoint.slug / name)


def _pair_files(option: str, given: Sequence[str]) -> dict[LanguagePair, Path]:
    files: dict[LanguagePair, Path] = {}
    for text in given:
        pair, path = _pair_file(text)
        if pair in files:
            msg = f"{option} gives {pair} twice: {files[pair]} and {path}; give one file for a pair"
            raise UsageError(msg)
        files[pair] = path
    return files


def _pair_file(text: str) -> tuple[LanguagePair, Path]:
    from clear_bench.languages import canonical
    from clear_bench.types import LanguagePair

    pair, _, file = text.partition("=")
    query, _, passage = pair.partition(":")
    if not (file and query and passage):
        msg = f"{text!r} names no pair and file; write query:passage=FILE, for example de:en=run.trec"
        raise UsageError(msg)
    return LanguagePair(canonical(query), canonical(passage)), _existing(file)


def _qrels_files(given: tuple[str, ...], pairs: list[LanguagePair]) -> dict[LanguagePair, Path]:
    if len(given) == 1 and ("=" not in given[0] or Path(given[0]).is_file()):
        return dict.fromkeys(pairs, _existing(given[0]))
    files = _pair_files("--qrels", given)
    lacking = [str(pair) for pair in pairs if pair not in files]
    if lacking:
        msg = f"there are no qrels for {', '.join(lacking)}; add --qrels {lacking[0]}=FILE, or give one FILE for all"
        raise UsageError(msg)
    idle = [str(pair) for pair in files if pair not in pairs]
    if idle:
        msg = f"--qrels has {', '.join(idle)}, which no --run is of; add --run {idle[0]}=FILE, or leave them out"
        raise UsageError(msg)
    return files


def _existing(file: str) -> Path:
    if not Path(file).is_file():
        msg = f"there is no file {file}"
        raise UsageError(msg)
    return Path(file)
