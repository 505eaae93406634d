"""Read and check a result file of mteb: the form that its `TaskResult` accepts, and scores in their range."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_bench import documents
from clear_bench.errors import InputError
from clear_bench.store.mteb_json import metric_of

Json = Mapping[str, Any]  # Any: JSON
_HISTORIC = "mteb_dataset_name"
"""The key by which files from before mteb 1.11 name their task; they say neither subsets nor languages."""
_NOT_ONE = "is not a TaskResult of mteb"
_LANGUAGE = re.compile(r"[a-z+#]+-[A-Z][a-z]{3}")


@dataclass(frozen=True, slots=True)
class Subset:
    """The scores of a subset of a task in one split."""

    name: str
    languages: tuple[str, ...]
    main_score: float
    """Of a metric that the file does not name; p-MRR can be negative."""
    scores: Mapping[str, float]
    """Metric of ours -> value from 0 to 1; mteb's further scores (nauc, p-MRR) are not read."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A result file: one model on one task of mteb."""

    path: Path
    task: str
    revision: str
    mteb_version: str | None
    splits: Mapping[str, tuple[Subset, ...]]


def read_task_file(path: Path) -> TaskFile:
    """Read a result file; one from before mteb 1.11 is converted by mteb.

    Raise `InputError` with the file's name for a file that is not a result, for a subset that occurs twice in a split,
    and for a retrieval score that is not a number from 0 to 1.
    """
    content = read_json(path)
    if _HISTORIC in content and "scores" not in content:
        content = _converted(content, path)
    _require(path, content, task_name=str, dataset_revision=str, scores=dict)
    if not content["task_name"] or not content["scores"]:
        msg = f"{path} {_NOT_ONE}: it has no task_name or no scores"
        raise InputError(msg)
    version = content.get("mteb_version")
    splits = {split: tuple(_subsets(path, split, found)) for split, found in content["scores"].items()}
    return TaskFile(
        path,
        content["task_name"],
        content["dataset_revision"],
        version if isinstance(version, str) else None,
        splits,
    )


def read_json(path: Path) -> dict[str, Any]:  # Any: JSON
    """Read a file of mteb, which writes NaN for a score that it cannot compute."""
    return documents.read_json(path, InputError, allow_nan=True)


def _subsets(path: Path, split: str, entries: object) -> Iterator[Subset]:
    if not isinstance(entries, list) or not entries:
        msg = f"{path} {_NOT_ONE}: split {split!r} holds {entries!r:.40} instead of a list of subsets"
        raise InputError(msg)
    seen = set()
    for entry in entries:
        subset = _subset(path, split, entry)
        if subset.name in seen:
            msg = f"{path}: split {split!r} has the subset {subset.name!r} twice; keep the scores that are right"
            raise InputError(msg)
        seen.add(subset.name)
        yield subset


def _subset(path: Path, split: str, entry: object) -> Subset:
    if not isinstance(entry, dict):
        msg = f"{path} {_NOT_ONE}: split {split!r} holds {entry!r:.40} instead of the scores of a subset"
        raise InputError(msg)
    where = f"split {split!r}, subset {entry.get('hf_subset')!r:.80}"
    _require(path, entry, where, hf_subset=str, languages=list)
    languages = entry["languages"]
    for code in languages or [None]:
        if not isinstance(code, str) or not _LANGUAGE.fullmatch(code):
            found = f"is of the language {code!r:.40}" if languages else "names no languages"
            msg = f"{path}: {where}: it {found}; mteb writes languages as 'deu-Latn'"
            raise InputError(msg)
    scores = {metric: _share(path, where, key, entry[key]) for key, metric in _metrics(entry)}
    return Subset(entry["hf_subset"], tuple(languages), _main_score(path, where, entry), scores)


def _metrics(entry: Json) -> list[tuple[str, str]]:
    """Return mteb's key and our name of every retrieval metric, sorted by name and number."""
    found = [(key, metric) for key in entry if key != "accuracy" and (metric := metric_of(key))]
    return sorted(found, key=lambda one: (one[0].rpartition("_")[0], int(one[0].rpartition("_")[2])))


def _share(path: Path, where: str, key: str, value: object) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        msg = f"{path}: {where}: {key} is {json.dumps(value)[:60]}, but must be a number from 0 to 1"
        raise InputError(msg)
    return number


def _main_score(path: Path, where: str, entry: Json) -> float:
    number = _number(entry.get("main_score"))
    if not -1 <= number <= 1:
        found = json.dumps(entry["main_score"])[:60] if "main_score" in entry else "missing"
        msg = f"{path}: {where}: main_score is {found}, but must be a number from -1 to 1"
        raise InputError(msg)
    return number


def _number(value: object) -> float:
    """Return a number unchanged, and NaN for anything else, such as true or "0.5"."""
    return float(value) if type(value) in (int, float) else math.nan  # type: ignore[arg-type]


def _require(path: Path, content: Json, where: str = "", **kinds: type) -> None:
    for key, kind in kinds.items():
        if not isinstance(content.get(key), kind):
            found = f"is {content[key]!r:.40}" if key in content else "is missing"
            words = {"str": "a text", "list": "a list", "dict": "an object"}[kind.__name__]
            msg = f"{path} {_NOT_ONE}: {where}{': ' if where else ''}{key} {found}, but must be {words}"
            raise InputError(msg)


def _converted(content: Json, path: Path) -> dict[str, Any]:  # Any: JSON
    """Return a file from before mteb 1.11 as mteb converts it, which knows the languages of its tasks."""
    from mteb.results.task_result import TaskResult

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_text(json.dumps(content), encoding="utf-8")
        try:
            return dict(TaskResult.from_disk(file).to_dict())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"{path}: mteb cannot read this result from before its version 1.11: {error!r:.200}"
            raise InputError(msg) from error
