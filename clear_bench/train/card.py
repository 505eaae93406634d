"""The README of a trained checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from clear_bench.documents import as_document
from clear_bench.losses import LOSSES
from clear_bench.train.files import translation_records
from clear_bench.train.manifest import TrainingManifest
from clear_bench.train.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_LEFT_OUT = ("mini_batch_size", "mini_batch_num_tokens")
"""Settings of a loss that change nothing but memory and speed."""


def model_card(manifest: TrainingManifest, recipe: Recipe, model: SentenceTransformer) -> str:
    """Return the README of a checkpoint."""
    from clear_bench.losses import make_loss

    head = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "cross-lingual-retrieval", "clear-bench"],
        "license": manifest.base.licence,
        "datasets": list(manifest.trained_on),
    }
    loss, data, seen, training = recipe.loss, manifest.data, manifest.seen, recipe.training
    settings = {key: value for key, value in as_document(loss).items() if key not in _LEFT_OUT}
    lines = [
        "---",
        *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items() if value),
        "---",
        f"# {manifest.base.name}, trained with the loss `{loss.name}`",
        "",
        f"Question that this loss answers: {LOSSES[loss.name][1]}",
        "",
        f"* Loss: {', '.join(f'{key} = {value}' for key, value in settings.items() if value not in (None, [], False))}",
        f"* Data: {data.rows} rows in {len(manifest.languages)} languages ({', '.join(manifest.languages)}), "
        f"licence {data.licence or 'not stated'}; dropped: {data.dropped or 'none'}; negatives left out: "
        f"{data.negatives_left_out or 'none'}",
        *_translated(data.sources),
        f"* Seen: {seen.steps} steps, {seen.rows} rows, {seen.tokens} tokens",
        f"* Seed {training.seed}, learning rate {training.learning_rate}, {training.precision}",
        "",
        "`manifest.json` holds the recipe, the digests of data and base, and the versions.",
        "",
        *_results(manifest.evaluations),
        "## Citation",
        "",
        "```bibtex",
        str(make_loss(loss.name, model).citation),
        "```",
        "",
    ]
    return "\n".join(lines)


def _translated(sources: Iterable[Mapping[str, str]]) -> Iterator[str]:
    for made in translation_records(sources):
        kept = {language: count["texts"] - sum(count["dropped"].values()) for language, count in made["counts"].items()}
        settings = ", ".join(f"{key} = {value}" for key, value in made["settings"].items())
        yield (
            f"* Queries in {', '.join(f'{language} ({count})' for language, count in kept.items())} are machine "
            f"translations by {made['model']}, revision {made['revision'] or 'not stated'}, licence "
            f"{made['licence'] or 'not stated'}, fingerprint {made['fingerprint'][:12]}; {settings}"
        )


def _results(evaluations: Sequence[Mapping[str, float]]) -> list[str]:
    if not evaluations:
        return []
    names = sorted({name for entry in evaluations for name in entry} - {"step"})
    table = [f"| step | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for entry in evaluations:
        table.append(
            f"| {int(entry['step'])} | {' | '.join(f'{entry[name]:.4f}' for name in names if name in entry)} |"
        )
    return ["## Evaluations during training", "", *table, ""]
