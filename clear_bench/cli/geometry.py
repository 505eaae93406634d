"""`clear-bench geometry`: how a model lays out languages in its space, from the vectors in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clear_bench.cli.options import (
    COUNT,
    NAMES,
    REPLICATES,
    SEED,
    Command,
    cache_option,
    json_option,
    model_options,
    option,
    store_dtype_option,
    transform_options,
    with_settings,
)
from clear_bench.cli.task_names import load_cards, own_card, resolve
from clear_bench.console import note, say, say_json
from clear_bench.errors import UsageError

if TYPE_CHECKING:
    from clear_bench.api.geometry import Drawn
    from clear_bench.geometry import Space
    from clear_bench.settings import ModelSettings, SearchSettings

SCHEMA = "clear-bench/geometry/1"


@click.command(cls=Command)
@click.argument("model", metavar="RESULT|MODEL")
@option(
    "--tasks",
    type=NAMES,
    default="",
    help="Tasks, groups, card paths or mteb:NAME, comma-separated; default: all that RESULT has.",
)
@option("--pairs", default="all", show_default=True, help="Of MODEL: query:passage, en:en, *:en, direct ...")
@option("--sample", type=COUNT, default=2000, show_default=True, help="Texts of a language that are measured at most.")
@option("--resamples", type=REPLICATES, default=2000, show_default=True, help="0: no intervals in JSON.")
@option("--seed", type=SEED, default=0, show_default=True, help="Of the samples and the resampling.")
@option("--vectors", type=click.Path(path_type=Path), help="Folder of precomputed vectors of MODEL.")
@model_options
@store_dtype_option
@transform_options
@cache_option
@json_option
@with_settings("model_settings", "search_settings")
def geometry(
    model: str,
    tasks: tuple[str, ...],
    pairs: str,
    sample: int,
    resamples: int,
    seed: int,
    vectors: Path | None,
    as_json: bool,
    model_settings: ModelSettings,
    search_settings: SearchSettings,
) -> None:
    """Measure the space: how near translations are, how much language shows, hubs, isotropy.

    RESULT is OUT/<model> or OUT/<model>/<task>: its vectors come from the store, nothing is encoded, and its scores are
    explained. Of a MODEL (folder, hub id, embedded:NAME), texts that are not in the store are encoded.
    """
    from clear_bench.api.geometry import Drawn

    drawn = Drawn(sample, seed)
    if _is_result(Path(model)):
        _refuse_settings(model, pairs, vectors, model_settings, search_settings)
        spaces = _of_results(Path(model), tasks, drawn, resamples, model_settings.offline, as_json)
    else:
        spaces = _of_model(model, tasks, pairs, drawn, vectors, model_settings, search_settings, as_json)
    for i, space in enumerate(spaces):
        if as_json:
            say_json(document(space, resamples, seed))
            continue
        say() if i else None
        show(space)


def document(space: Space, replicates: int, seed: int) -> dict[str, Any]:  # Any: JSON
    """Lay out what was measured as `clear-bench/geometry/1`."""
    from clear_bench.geometry import measures

    rows = [*measures(space.cells, replicates=replicates, seed=seed), *space.explained]
    return {"schema": SCHEMA, "model": space.model, "task": space.task, "measures": [asdict(row) for row in rows]}


def show(space: Space) -> None:
    """Print the tables of one task."""
    from clear_bench.render.geometry import geometry_tables
    from clear_bench.render.writers import write_terminal

    for i, table in enumerate(geometry_tables(space)):
        say() if i else None
        write_terminal(table)
    for line in space.notes:
        note(f"note: {line}")


def _refuse_settings(
    result: str, pairs: str, vectors: Path | None, model_settings: ModelSettings, search_settings: SearchSettings
) -> None:
    """Refuse what would be ignored: a result's vectors are what they are."""
    given = [
        one.name
        for settings in (model_settings, search_settings)
        for one in fields(settings)
        if one.name != "offline" and getattr(settings, one.name) != one.default
    ]
    given += ["vectors"] * (vectors is not None) + ["pairs"] * (pairs != "all")
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        msg = f"{result} is a result, whose vectors are in the store as they are; leave out {flags}, or name the model"
        raise UsageError(msg)


def _is_result(path: Path) -> bool:
    """Return whether a path is a result or holds some; a trained checkpoint has a manifest, too, and no scores."""
    from clear_bench.store.results import SCORES

    return (path / SCORES).is_file() or (path.is_dir() and any(path.glob(f"[!.]*/{SCORES}")))


def _refuse_several(tasks: Iterable[str], is_one: bool) -> None:
    names = list(tasks)
    if is_one and len(names) > 1:
        msg = f"--json describes one task, and these are {', '.join(names)}; name one of them in --tasks"
        raise UsageError(msg)


def _of_model(
    model: str,
    tasks: tuple[str, ...],
    pairs: str,
    drawn: Drawn,
    vectors: Path | None,
    settings: ModelSettings,
    search_settings: SearchSettings,
    is_one: bool,
) -> Iterator[Space]:
    from clear_bench.api.geometry import survey
    from clear_bench.api.plan import make_plans
    from clear_bench.api.retrievers.dense import DenseRetriever
    from clear_bench.api.retrievers.open import open_retriever
    from clear_bench.api.retrievers.transformed import TransformedRetriever

    if not tasks:
        msg = f"{model} is not a result folder; name the tasks to measure it on with --tasks"
        raise UsageError(msg)
    chosen, read = resolve(tasks)
    plans = make_plans(chosen, [pairs], offline=settings.offline, read=read)
    _refuse_several((plan.task.name for plan in plans), is_one)
    retriever = open_retriever(model, settings, search_settings, vectors=vectors)
    if not isinstance(retriever, DenseRetriever | TransformedRetriever):
        msg = f"{model} has no vectors, so there is no geometry to measure"
        raise UsageError(msg)
    for plan in plans:
        ready = retriever.prepare(plan)
        yield survey(
            retriever.checkpoint.name,
            plan,
            {language: one.embeddings for language, one in ready.queries.items()},
            {language: one.embeddings for language, one in ready.passages.items()},
            retriever.checkpoint.similarity,
            drawn,
        )


def _of_results(
    path: Path, tasks: tuple[str, ...], drawn: Drawn, replicates: int, offline: bool, is_one: bool
) -> Iterator[Space]:
    from clear_bench.api.explained import explained_space
    from clear_bench.store.results import read_results

    results = read_results(path)
    cards = load_cards(tasks)
    chosen = [result for result in results if result.task in cards or not tasks]
    if not chosen:
        msg = f"{path} has no result of {', '.join(cards)}; it has {', '.join(one.task for one in results)}"
        raise UsageError(msg)
    _refuse_several((result.task for result in chosen), is_one)
    for result in chosen:
        task, read = cards.get(result.task) or own_card(result, "with --tasks")
        yield explained_space(result, task, read, drawn, replicates=replicates, offline=offline)
