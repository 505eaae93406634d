"""The manifest of a training run: what it was trained from, on what, for how long, and with which versions."""

from __future__ import annotations

import datetime
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clear_bench.documents import read_as, read_json
from clear_bench.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from clear_bench.train.plan import Prepared
    from clear_bench.train.select import Selection
    from clear_bench.types import Checkpoint


@dataclass(frozen=True, slots=True)
class Base:
    """The checkpoint that was trained."""

    name: str
    fingerprint: str
    licence: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Where the rows come from, and what was left out for which reason."""

    sources: tuple[Mapping[str, str], ...]
    licence: str | None
    rows: int
    dropped: Mapping[str, int]
    negatives_left_out: Mapping[str, int] = field(default_factory=dict)
    batches_by_language: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """How much the run has trained on, all processes together."""

    steps: int
    rows: int
    tokens: int
    seconds: float
    texts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingManifest:
    """The content of a checkpoint's manifest.json."""

    schema: Literal["clear-bench/train/1"] = "clear-bench/train/1"
    finished: str
    identity: Mapping[str, object]
    """What makes the run what it is; see `clear_bench.train.record.describe`."""
    base: Base
    trained_on: tuple[str, ...]
    languages: tuple[str, ...]
    data: TrainingData
    seen: Seen
    trainable_parameters: int
    vocabulary: int
    evaluations: tuple[Mapping[str, float], ...]
    selected_step: int | None
    versions: Mapping[str, str | None]
    machine: Mapping[str, str]


def read_training_manifest(folder: Path) -> TrainingManifest:
    """Read the manifest of a finished run; raises `InputError` for a file that is not one."""
    file = folder / "manifest.json"
    return read_as(TrainingManifest, read_json(file, InputError), str(file), InputError)


def make_manifest(
    model: SentenceTransformer,
    prepared: Prepared,
    checkpoint: Checkpoint,
    identity: Mapping[str, object],
    totals: Mapping[str, int],
    seconds: float,
    selection: Selection | None,
) -> TrainingManifest:
    """Return the manifest of a run that is finished; `totals` are the rows and tokens of all processes."""
    recipe, rows = prepared.recipe, prepared.rows
    best = selection.best if selection else None
    return TrainingManifest(
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        identity=identity,
        base=Base(checkpoint.name, checkpoint.fingerprint, checkpoint.licence),
        trained_on=(*checkpoint.trained_on, *([recipe.data.name] if recipe.data.name else [])),
        languages=tuple(sorted(set(rows.languages))),
        data=TrainingData(
            sources=rows.sources,
            licence=recipe.data.licence,
            rows=len(rows),
            dropped=rows.drops,
            negatives_left_out=rows.left_out,
            batches_by_language=dict(Counter(rows.languages[batch[0]] for batch in prepared.batches).most_common()),
        ),
        seen=Seen(prepared.steps, totals["rows"], totals["tokens"], seconds, totals["rows"] * prepared.per_row),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        vocabulary=len(model.tokenizer),
        evaluations=tuple(selection.history) if selection else (),
        selected_step=int(best["step"]) if best else None,
        versions={name: _version(name) for name in ("clear-bench", "torch", "sentence-transformers", "transformers")},
        machine={"python": platform.python_version(), "device": str(model.device), "processor": platform.machine()},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
