"""`clear-bench estimate`: the disk, memory and time that a model needs for tasks, before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import click

from clear_bench.cli.options import (
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
from clear_bench.settings import StoreDtype

if TYPE_CHECKING:
    from clear_bench.api.estimate import Inquiry, TaskSize
    from clear_bench.settings import ModelSettings

Json = dict[str, Any]  # Any: JSON
DTYPES: tuple[StoreDtype, ...] = get_args(StoreDtype)


@click.command(cls=Command)
@option("--model", required=True, help="Folder, hub id (id@revision) or embedded:NAME.")
@option("--tasks", required=True, help="Tasks, groups, card paths or mteb:NAME, comma-separated.")
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
    tasks: str,
    pairs: str,
    tokens_per_second: float | None,
    devices: str | None,
    store_dtype: StoreDtype,
    as_json: bool,
    model_settings: ModelSettings,
) -> None:
    """Say how much disk, memory and time a model needs for tasks.

    Counts come from the texts where they are on this machine, else from the task's card; no texts are fetched. Texts
    whose vectors are in the cache already cost no time. Times are of this machine unless a rate is given.
    """
    from clear_bench.api.estimate import Inquiry, size_task
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
    rate = tokens_per_second or _measured_rate(inquiry, settings)
    document = _document(inquiry, sizes, rate, settings, names)
    document["rates"]["tokens_per_second_from"] = "given" if tokens_per_second else "measured"
    if as_json:
        say_json(document, 1)
    else:
        _show(document)


def _document(
    inquiry: Inquiry,
    sizes: Sequence[TaskSize],
    rate: float,
    settings: ModelSettings,
    names: Sequence[str],
) -> Json:
    from clear_bench.api.estimate import code_memory, measure_search, memory
    from clear_bench.models.shape import default_batch_tokens, read_shape

    checkpoint = inquiry.checkpoint
    shape = read_shape(checkpoint)
    products = measure_search(shape.dimensions, settings.device)
    tokens = settings.batch_tokens or default_batch_tokens(settings.device)
    gpus = len([name for name in names if name != "cpu"])
    return {
        "schema": "clear-bench/estimate/1",
        "model": checkpoint.name,
        "dimensions": shape.dimensions,
        "parameters": shape.parameters,
        "store_dtype": inquiry.store_dtype,
        "tasks": [_task(size, shape.dimensions) for size in sizes],
        "devices": list(names),
        "memory_bytes": memory(shape, sizes, str(checkpoint.precision), tokens, len(names)),
        "code_bytes": code_memory(shape.dimensions, sizes),
        "rates": {"tokens_per_second": rate, "similarities_per_second": products},
        "seconds": {
            "encode": sum(size.missing_tokens for size in sizes) / (rate * max(1, gpus)),
            "search": sum(size.products for size in sizes) / products,
        },
    }


def _measured_rate(inquiry: Inquiry, settings: ModelSettings) -> float:
    """Load the model and encode passages of the shipped task for a few seconds."""
    from clear_bench.api import load_task
    from clear_bench.api.estimate import measure_encoding
    from clear_bench.models.loading import load_encoder

    encoder = load_encoder(inquiry.checkpoint, settings)
    return measure_encoding(encoder, list(load_task("mini").corpora.values()), inquiry.tokenise)


def _task(size: TaskSize, dimensions: int) -> Json:
    counts = {side: sum(one.texts for one in size.sets if one.side == side) for side in ("query", "passage")}
    return {
        "task": size.task,
        "counts_from": "texts" if size.is_read else "card",
        "tokens_from": "sample" if size.is_sampled else "assumed",
        "pairs": size.pairs,
        "queries": counts["query"],
        "passages": counts["passage"],
        "cached": size.texts - size.missing,
        "tokens": size.tokens,
        "tokens_to_encode": size.missing_tokens,
        "similarities": size.products,
        "disk_bytes": {
            "texts": size.text_bytes,
            **{dtype: size.vector_bytes(dimensions, dtype) for dtype in DTYPES},
        },
    }


def _show(document: Json) -> None:
    from clear_bench.render.tables import Table
    from clear_bench.render.writers import write_terminal

    rows = []
    for task in document["tasks"]:
        disk = task["disk_bytes"]
        share = f"{task['cached'] / (task['queries'] + task['passages']):.0%}"
        numbers = (f"{task[name]:,}" for name in ("pairs", "queries", "passages", "tokens"))
        sizes = (_bytes(disk[name]) for name in ("texts", *DTYPES))
        rows.append((task["task"], *numbers, share, *sizes))
    columns = ("task", "pairs", "queries", "passages", "tokens", "in cache", "texts", *DTYPES)
    title = (
        f"{document['model']}: {document['dimensions']} dimensions, {document['parameters'] / 1e6:,.0f} M parameters"
    )
    write_terminal(Table(title, columns, tuple(rows), _notes(document)))
    memory, rates, seconds = document["memory_bytes"], document["rates"], document["seconds"]
    parts = ", ".join(f"{name} {_bytes(size)}" for name, size in memory.items())
    say(f"\nmemory  {_bytes(sum(memory.values()))} ({parts}); texts and vectors are mapped files beside it")
    codes = " or ".join(f"{_bytes(size)} with --index {name}" for name, size in document["code_bytes"].items())
    say(f"codes   {codes}, in memory too: of the largest passage side")
    each = " on each of " + ", ".join(document["devices"]) if len(document["devices"]) > 1 else ""
    rate = f"{rates['tokens_per_second']:,.0f} tokens/s, {rates['tokens_per_second_from']}{each}"
    say(f"encode  {_time(seconds['encode'])} ({rate})")
    say(f"search  {_time(seconds['search'])} ({rates['similarities_per_second']:,.0f} similarities/s, measured)")


def _notes(document: Json) -> str:
    notes = [
        "Pairs: query language by passage language. Queries, passages, tokens: each text counted once, whatever the "
        "number of pairs; tokens as the model cuts them. In cache: texts whose vectors are stored already. Texts: the "
        f"data set on disk. {DTYPES[0]} to {DTYPES[-1]}: the vectors on disk in each --store-dtype; this run keeps "
        f"{document['store_dtype']}."
    ]
    unread = [task["task"] for task in document["tasks"] if task["counts_from"] == "card"]
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
