"""Describes a run before it is trained: roles, the first batch, lengths, candidates, steps, parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clear_bench.documents import Document
from clear_bench.losses.objectives import QUERY_SIDE, Role
from clear_bench.train.base import load_base, open_base, sides
from clear_bench.train.collate import RoleCollator, Side
from clear_bench.train.files import translation_records
from clear_bench.train.plan import Prepared, prepare
from clear_bench.train.recipe import Recipe

SAMPLE_BATCHES = 20
"""Number of batches whose lengths are counted: enough for a mean, and quick."""


def preview(recipe: Recipe, processes: int = 1) -> Document:
    """Return the description of a run; raises what `train` would raise."""
    prepared = prepare(recipe, processes)
    checkpoint = open_base(recipe.model)
    query, passage = sides(recipe.model, checkpoint)
    model = load_base(recipe.model, checkpoint, "cpu")
    rows, blocks = prepared.rows, 1 + prepared.rows.roles.count("negative") if "negative" in prepared.needed else 1
    per_step = recipe.batch.size * recipe.training.accumulate * processes
    gathered = processes if recipe.loss.gather_across_devices else 1
    return {
        "schema": "clear-bench/train-preview/1",
        "base": {"name": checkpoint.name, "path": str(checkpoint.path and Path(checkpoint.path).name)},
        "roles": {role: list(columns) for role, columns in rows.roles.columns.items() if role in prepared.needed},
        "rows": len(rows),
        "dropped": dict(rows.drops),
        "negatives_left_out": dict(rows.left_out),
        "translations": {
            language: count for made in translation_records(rows.sources) for language, count in made["counts"].items()
        },
        "languages": sorted(set(rows.languages)),
        "steps": prepared.steps,
        "rows_per_step": per_step,
        "epochs": prepared.steps * per_step / len(rows),
        "texts_per_row": prepared.per_row,
        "candidates_per_anchor": recipe.batch.size * gathered * blocks,
        "batch_checksum": prepared.checksum,
        "prompts": {"query": query.prompt, "passage": passage.prompt},
        "tokens": _lengths(prepared, RoleCollator(model, rows.roles, prepared.needed, query, passage), query, passage),
        "parameters": {
            "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "all": sum(p.numel() for p in model.parameters()),
        },
        "first_batch": _first_batch(prepared),
    }


def _lengths(prepared: Prepared, collator: RoleCollator, query: Side, passage: Side) -> Document:
    """Return mean tokens and share of truncated texts of each side over the first batches."""
    counts: dict[str, list[int]] = {"query": [], "passage": []}
    tokenizer = collator.model.tokenizer
    for batch in prepared.batches[:SAMPLE_BATCHES]:
        for role, column in collator.columns():
            side, name = (query, "query") if role in QUERY_SIDE else (passage, "passage")
            texts = [side.prompt + prepared.rows.columns[column][i] for i in batch]
            counts[name] += [len(ids) for ids in tokenizer(texts, truncation=False)["input_ids"]]
    limits: Mapping[str, int | None] = {"query": query.length, "passage": passage.length}
    report: Document = {}
    for name, lengths in counts.items():
        limit = limits[name]
        if lengths:
            cut = sum(limit is not None and length > limit for length in lengths)
            report[name] = {"limit": limit, "mean": sum(lengths) / len(lengths), "truncated": cut / len(lengths)}
    return report


def _first_batch(prepared: Prepared) -> list[dict[str, str]]:
    """Return the beginnings of the first rows by column, which show a swapped column at a glance."""
    columns: list[tuple[Role, str]] = [
        (role, column) for role in prepared.needed for column in prepared.rows.roles.columns.get(role, ())
    ]
    shown = []
    for i in prepared.batches[0][:3]:
        texts = {column: prepared.rows.columns[column][i][:120] for _, column in columns}
        shown.append({"language": prepared.rows.languages[i], **texts})
    return shown
