"""`clear-bench estimate`: the disk, memory and time that a model needs for tasks, before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import (
    NAMES,
    RATE,
    Command,
    cache_option,
    json_option,
    model_options,
    option,
    store_dtype_option,
    with_settings,
)
from clear_bench.cli.task_names import resolve
from clear_bench.console import say, say_json

if TYPE_CHECKING:
    from clear_bench.api.needs import Needs
    from clear_bench.settings import ModelSettings, StoreDtype


@click.command(cls=Command)
@option("--model", required=True, help="Folder, hub id (id@revision) or embedded:NAME.")
@option("--tasks", type=NAMES, required=True, help="Tasks, groups, card paths or mteb:NAME, comma-separated.")
@option("--pairs", default="all", show_default=True, help="query:passage: en:en, *:en, de:POOL, direct, cross ...")
@option(
    "--tokens-per-second",
    type=RATE,
    help="Encoding rate of one device; without it the model is loaded and measured for a few seconds.",
)
@option("--devices", help="As in run: several GPUs share the encoding; several workers on one CPU are no faster.")
@model_options
@store_dtype_option
@cache_option
@json_option
@with_settings("model_settings")
def estimate(
    model: str,
    tasks: tuple[str, ...],
    pairs: str,
    tokens_per_second: float | None,
    devices: str | None,
    store_dtype: StoreDtype,
    as_json: bool,
    model_settings: ModelSettings,
) -> None:
    """Estimate how much disk, memory and time a model needs for tasks.

    Counts come from the texts where they are on this machine, else from the task's card; no texts are fetched. Texts
    whose vectors are in the cache already cost no time. Times are of this machine unless a rate is given.
    """
    from clear_bench.api.estimate import Inquiry, size_task
    from clear_bench.api.needs import find_needs
    from clear_bench.api.plan import look_up
    from clear_bench.cluster.devices import devices_of
    from clear_bench.disk import cache_root
    from clear_bench.models import open_checkpoint
    from clear_bench.models.shape import open_tokeniser
    from clear_bench.store.embeddings import EmbeddingStore
    from clear_bench.tasks import plan_pairs

    checkpoint = open_checkpoint(model, model_settings)
    inquiry = Inquiry(checkpoint, EmbeddingStore(cache_root()), store_dtype, open_tokeniser(checkpoint))
    named, read = resolve(tasks)
    chosen = look_up(named)
    selected, _ = plan_pairs(chosen, [pairs])
    sizes = [size_task(task, selected[task.name], inquiry, read=read) for task in chosen if selected[task.name]]
    names = devices_of(devices, model_settings.device, None) or ()
    settings = replace(model_settings, device=names[0]) if names else model_settings
    needs = find_needs(inquiry, sizes, settings, names, tokens_per_second)
    if as_json:
        say_json(needs.to_dict())
    else:
        _show(needs)


def _show(needs: Needs) -> None:
    from clear_bench.api.needs import DTYPES
    from clear_bench.render.tables import Table
    from clear_bench.render.writers import write_terminal

    rows = []
    for size in needs.sizes:
        numbers = (size.pairs, size.count("query"), size.count("passage"), size.tokens)
        share = f"{(size.texts - size.missing) / size.texts:.0%}"
        rows.append((size.task, *(f"{n:,}" for n in numbers), share, *map(_bytes, needs.disk_bytes(size).values())))
    columns = ("task", "pairs", "queries", "passages", "tokens", "in cache", "texts", *DTYPES)
    title = f"{needs.model}: {needs.shape.dimensions} dimensions, {needs.shape.parameters / 1e6:,.0f} M parameters"
    write_terminal(Table(title, columns, tuple(rows), _notes(needs, DTYPES)))
    parts = ", ".join(f"{name} {_bytes(size)}" for name, size in needs.memory_bytes.items())
    total = _bytes(sum(needs.memory_bytes.values()))
    say(f"\nmemory  {total} ({parts}); texts and vectors are mapped files beside it")
    codes = " or ".join(f"{_bytes(size)} with --index {name}" for name, size in needs.code_bytes.items())
    say(f"codes   {codes}, in memory too: of the largest passage side")
    each = " on each of " + ", ".join(needs.devices) if len(needs.devices) > 1 else ""
    rate = f"{needs.tokens_per_second:,.0f} tokens/s, {needs.tokens_per_second_from}{each}"
    say(f"encode  {_time(needs.encode_seconds)} ({rate})")
    say(f"search  {_time(needs.search_seconds)} ({needs.similarities_per_second:,.0f} similarities/s, measured)")


def _notes(needs: Needs, dtypes: Sequence[str]) -> str:
    notes = [
        "Pairs: query language by passage language. Queries, passages, tokens: each text counted once, whatever the "
        "number of pairs; tokens as the model cuts them. In cache: texts whose vectors are stored already. Texts: the "
        f"data set on disk. {dtypes[0]} to {dtypes[-1]}: the vectors on disk in each --store-dtype; this run keeps "
        f"{needs.store_dtype}."
    ]
    unread = [size.task for size in needs.sizes if not size.is_read]
    if unread:
        notes.append(f"Not on this machine, so counts are the card's and tokens assumed: {', '.join(unread)}.")
    return " ".join(notes)


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _time(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"
