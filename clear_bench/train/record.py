"""What a run leaves behind: who it is, whether it may be continued, the folder, the manifest and the model card."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_bench.disk import write_text
from clear_bench.documents import as_document
from clear_bench.errors import InputError, UsageError
from clear_bench.losses import LOSSES
from clear_bench.train.files import translation_records
from clear_bench.train.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from clear_bench.train.plan import Prepared
    from clear_bench.train.select import Selection
    from clear_bench.types import Checkpoint

SCHEMA = "clear-bench/train/1"
WORK = ".training"
LOG = "logs/train.jsonl"
"""In a folder of its own: files beside the weights are taken for parts of the model."""
COUNTERS = "counters.json"
"""Rows and tokens that were seen up to a saved state; written last, so that a state without it is cut off."""
FREE = {
    "training": ("device", "log_every", "save_every", "trackers"),
    "loss": ("mini_batch_size", "mini_batch_num_tokens"),
}
"""Settings that may differ between a run and its continuation."""
PATHS = {
    "data": ("files", "collection", "not_in", "negatives_file", "translations_file"),
    "model": ("base",),
    "mine": ("model",),
    "translate": ("model",),
}
"""Settings that name a place; what lies there is compared by digest."""


def describe(prepared: Prepared, checkpoint: Checkpoint) -> dict[str, Any]:
    """Say what makes a run what it is: recipe, data, batches and base, without places and display settings."""
    recipe = as_document(prepared.recipe)
    for section, keys in [*FREE.items(), *PATHS.items()]:
        recipe[section] = {key: value for key, value in recipe[section].items() if key not in keys}
    return {
        "recipe": recipe,
        "data": prepared.rows.digest,
        "batches": prepared.checksum,
        "steps": prepared.steps,
        "base": checkpoint.fingerprint,
    }


def _read_identity(found: Mapping[str, Any]) -> dict[str, Any]:
    """Complete an identity that an earlier version wrote: a setting that it did not know stood at its default."""
    recipe = dict(_object(found, "recipe"))
    for section, defaults in as_document(Recipe()).items():
        known = {k: v for k, v in defaults.items() if k not in (*FREE.get(section, ()), *PATHS.get(section, ()))}
        recipe[section] = {**known, **_object(recipe, section)}
    return {**found, "recipe": recipe}


def _object(found: object, key: str) -> Mapping[str, Any]:
    """Look up an object in what a file says; what is none says nothing, and differs from what is wanted."""
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, dict) else {}


def _read_object(file: Path) -> dict[str, Any]:
    """Read what a run wrote about itself; raises `InputError` for a file that says something else."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"{file} is not what a training run wrote: {error}; choose another --out"
        raise InputError(msg) from None
    return found if isinstance(found, dict) else {}


def last_state(work: Path) -> Path | None:
    """Find the newest whole state: its counters are written last."""
    states = [path for path in work.glob("checkpoint-*") if (path / COUNTERS).is_file()]
    return max(states, key=step_of) if states else None


def step_of(state: Path) -> int:
    """Read the step of a saved state off its name."""
    return int(state.name.rpartition("-")[2])


def what_is_kept(out: Path) -> str:
    """Say what an interrupted run leaves to go on from."""
    if (out / "manifest.json").is_file():
        return f"interrupted; {out} holds a finished run"
    state = last_state(out / WORK)
    if state is None:
        return "interrupted before a state was saved (training.save_every): nothing of this run is kept"
    return f"interrupted; the state of step {step_of(state)} is kept in {state}, and a resumed run goes on from it"


def finished(out: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a folder holds this very run; another finished run in its place is refused."""
    file = out / "manifest.json"
    if not file.is_file():
        return False
    found = _read_identity(_object(_read_object(file), "identity"))
    if differences := list(_differences(found, identity)):
        msg = f"{out} holds another finished run ({'; '.join(differences[:5])}); choose another --out"
        raise UsageError(msg)
    return True


def claim(out: Path, identity: Mapping[str, Any], resume: bool) -> Path:
    """Open the working folder of a run; a continuation with another recipe or other data is refused."""
    work = out / WORK
    file = work / "identity.json"
    if file.is_file() and resume:
        known = _read_identity(_read_object(file))
        if differences := list(_differences(known, identity)):
            msg = f"{out} cannot be continued, for this is another run: {'; '.join(differences[:5])}"
            raise UsageError(msg)
        return work
    if file.is_file() and last_state(work) is not None:
        msg = f"{out} holds an unfinished run: continue it with --resume, or choose another --out"
        raise UsageError(msg)
    if resume and not file.is_file():
        msg = f"{out} holds no unfinished run to resume"
        raise UsageError(msg)
    shutil.rmtree(work, ignore_errors=True)
    (out / LOG).unlink(missing_ok=True)
    (out / LOG).parent.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True)
    write_text(file, json.dumps(identity, indent=2))
    return work


def _differences(old: Any, new: Any, where: str = "") -> Iterator[str]:  # Any: JSON
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where} was {old!r} and is {new!r}"


def finish(
    out: Path,
    model: SentenceTransformer,
    prepared: Prepared,
    checkpoint: Checkpoint,
    identity: Mapping[str, Any],
    counts: Mapping[str, float],
    selection: Selection | None,
) -> None:
    """Save the model beside its place, move it in file by file, and write the manifest last."""
    fresh = out / WORK / "model"
    shutil.rmtree(fresh, ignore_errors=True)
    manifest = _manifest(model, prepared, checkpoint, identity, counts, selection)
    model.save_pretrained(str(fresh), create_model_card=False, safe_serialization=True)
    (fresh / "README.md").write_text(model_card(manifest, model), encoding="utf-8")
    for path in fresh.iterdir():
        target = out / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    write_text(out / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def _manifest(
    model: SentenceTransformer,
    prepared: Prepared,
    checkpoint: Checkpoint,
    identity: Mapping[str, Any],
    counts: Mapping[str, float],
    selection: Selection | None,
) -> dict[str, Any]:
    recipe, rows = prepared.recipe, prepared.rows
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    languages = Counter(rows.languages[batch[0]] for batch in prepared.batches)
    return {
        "schema": SCHEMA,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "identity": dict(identity),
        "base": {"name": checkpoint.name, "fingerprint": checkpoint.fingerprint, "licence": checkpoint.licence},
        "trained_on": [*checkpoint.trained_on, *([recipe.data.name] if recipe.data.name else [])],
        "languages": sorted(set(rows.languages)),
        "data": {
            "sources": [dict(source) for source in rows.sources],
            "licence": recipe.data.licence,
            "rows": len(rows),
            "dropped": dict(rows.drops),
            "negatives_left_out": dict(rows.left_out),
            "batches_by_language": dict(languages.most_common()),
        },
        "seen": {"steps": prepared.steps, **counts, "texts": int(counts["rows"]) * prepared.per_row},
        "trainable_parameters": trainable,
        "vocabulary": len(model.tokenizer),
        "evaluations": selection.history if selection else [],
        "selected_step": int(selection.best["step"]) if selection and selection.best else None,
        "versions": {
            name: _version(name) for name in ("clear-bench", "torch", "sentence-transformers", "transformers")
        },
        "machine": {"python": platform.python_version(), "device": str(model.device), "processor": platform.machine()},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def model_card(manifest: Mapping[str, Any], model: SentenceTransformer) -> str:
    """Write the README of a checkpoint from its manifest."""
    from clear_bench.losses import make_loss

    recipe = manifest["identity"]["recipe"]
    loss = recipe["loss"]
    head = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "cross-lingual-retrieval", "clear-bench"],
        "license": manifest["base"]["licence"],
        "datasets": manifest["trained_on"],
    }
    settings = [f"{key} = {value}" for key, value in loss.items() if value not in (None, [], False)]
    data, seen = manifest["data"], manifest["seen"]
    lines = [
        "---",
        *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items() if value),
        "---",
        f"# {manifest['base']['name']}, trained with the loss `{loss['name']}`",
        "",
        f"Question that this loss answers: {LOSSES[loss['name']][1]}",
        "",
        f"* Loss: {', '.join(settings)}",
        f"* Data: {data['rows']} rows in {len(manifest['languages'])} languages ({', '.join(manifest['languages'])}), "
        f"licence {data['licence'] or 'not stated'}; dropped: {data['dropped'] or 'none'}; negatives left out: "
        f"{data['negatives_left_out'] or 'none'}",
        *_translated(data["sources"]),
        f"* Seen: {seen['steps']} steps, {seen['rows']} rows, {seen['tokens']} tokens",
        f"* Seed {recipe['training']['seed']}, learning rate {recipe['training']['learning_rate']}, "
        f"{recipe['training']['precision']}",
        "",
        "`manifest.json` holds the recipe, the digests of data and base, and the versions.",
        "",
        *_results(manifest["evaluations"]),
        "## Citation",
        "",
        "```bibtex",
        str(make_loss(loss["name"], model).citation),
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


def _results(evaluations: list[Mapping[str, float]]) -> list[str]:
    if not evaluations:
        return []
    names = sorted({name for entry in evaluations for name in entry} - {"step"})
    table = [f"| step | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for entry in evaluations:
        table.append(
            f"| {int(entry['step'])} | {' | '.join(f'{entry[name]:.4f}' for name in names if name in entry)} |"
        )
    return ["## Evaluations during training", "", *table, ""]
