"""The folder of a training run: whose run it is, whether it may be continued, and how the result is moved in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from clear_bench.disk import write_text
from clear_bench.documents import as_document
from clear_bench.errors import InputError, UsageError
from clear_bench.train.card import model_card
from clear_bench.train.manifest import TrainingManifest
from clear_bench.train.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from clear_bench.train.plan import Prepared
    from clear_bench.types import Checkpoint

Identity: TypeAlias = Mapping[str, object]
"""What makes a run what it is, as identity.json and the manifest hold it."""
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


def describe(prepared: Prepared, checkpoint: Checkpoint) -> Identity:
    """Return what makes a run what it is: recipe, data, batches and base, without paths and display settings."""
    return {
        "recipe": _comparable(prepared.recipe),
        "data": prepared.rows.digest,
        "batches": prepared.checksum,
        "steps": prepared.steps,
        "base": checkpoint.fingerprint,
    }


def _comparable(recipe: Recipe) -> dict[str, Mapping[str, object]]:
    sections: dict[str, dict[str, object]] = as_document(recipe)
    hidden = {name: (*FREE.get(name, ()), *PATHS.get(name, ())) for name in sections}
    return {
        name: {key: value for key, value in section.items() if key not in hidden[name]}
        for name, section in sections.items()
    }


def _completed(found: Identity) -> Identity:
    """Return an identity with the settings that an earlier version did not know at their defaults."""
    recipe = _object(found, "recipe")
    sections = {name: {**known, **_object(recipe, name)} for name, known in _comparable(Recipe()).items()}
    return {**found, "recipe": {**recipe, **sections}}


def _object(found: object, key: str) -> Mapping[str, object]:
    """Return an object inside a document, empty where there is none: it then differs from what is wanted."""
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, dict) else {}


def _read_object(file: Path) -> Mapping[str, object]:
    """Read a file that a run wrote; raises `InputError` where it is not JSON."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"{file} is not what a training run wrote: {error}; choose another --out"
        raise InputError(msg) from None
    return found if isinstance(found, dict) else {}


def last_state(work: Path) -> Path | None:
    """Return the newest complete state, one that has counters: they are written last. None where there is none."""
    states = [path for path in work.glob("checkpoint-*") if (path / COUNTERS).is_file()]
    return max(states, key=step_of) if states else None


def step_of(state: Path) -> int:
    """Return the step of a saved state, which its name ends with."""
    return int(state.name.rpartition("-")[2])


def what_is_kept(out: Path) -> str:
    """Return the message for an interrupted run: what is kept, and how it goes on."""
    if (out / "manifest.json").is_file():
        return f"interrupted; {out} holds a finished run"
    state = last_state(out / WORK)
    if state is None:
        return "interrupted before a state was saved (training.save_every): nothing of this run is kept"
    return f"interrupted; the state of step {step_of(state)} is kept in {state}, and a resumed run goes on from it"


def finished(out: Path, identity: Identity) -> bool:
    """Return whether a folder holds this very run, finished; raise `UsageError` where it holds another one."""
    file = out / "manifest.json"
    if not file.is_file():
        return False
    found = _completed(_object(_read_object(file), "identity"))
    if differences := list(_differences(found, identity)):
        msg = f"{out} holds another finished run ({'; '.join(differences[:5])}); choose another --out"
        raise UsageError(msg)
    return True


def claim(out: Path, identity: Identity, resume: bool) -> Path:
    """Return the working folder of a run; raise `UsageError` where it belongs to another recipe or other data."""
    work = out / WORK
    file = work / "identity.json"
    if file.is_file() and resume:
        known = _completed(_read_object(file))
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


def _differences(old: object, new: object, where: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where} was {old!r} and is {new!r}"


def finish(out: Path, model: SentenceTransformer, manifest: TrainingManifest, recipe: Recipe) -> None:
    """Save the model beside its place, move it in file by file, and write the manifest last."""
    fresh = out / WORK / "model"
    shutil.rmtree(fresh, ignore_errors=True)
    model.save_pretrained(str(fresh), create_model_card=False, safe_serialization=True)
    (fresh / "README.md").write_text(model_card(manifest, recipe, model), encoding="utf-8")
    for path in fresh.iterdir():
        target = out / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    write_text(out / "manifest.json", json.dumps(as_document(manifest), indent=2, ensure_ascii=False) + "\n")
