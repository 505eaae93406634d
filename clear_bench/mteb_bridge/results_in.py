"""mteb's result files as results of ours: means to compare against, without the queries behind them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench.compare.pairing import MEANS
from clear_bench.disk import sha256_file
from clear_bench.errors import InputError
from clear_bench.mteb_bridge.directions import language_pair
from clear_bench.mteb_bridge.naming import task_name
from clear_bench.mteb_bridge.tasks_in import METRICS, group_subsets, our_name
from clear_bench.store.mteb_json import metric_of
from clear_bench.store.results import SCORES, save_result
from clear_bench.tasks import task_names
from clear_bench.types import Checkpoint, LanguagePair

Json = Mapping[str, Any]  # Any: JSON
PASSAGE_FIRST = "Clear"
"""Tasks that we exported ourselves; see `naming.task_name`."""


@dataclass(frozen=True, slots=True)
class Source:
    """A result file of mteb and the model it is about."""

    path: Path
    model: str
    revision: str


def find_sources(path: Path, model: str | None = None) -> Iterator[Source]:
    """Find the result files at a path: one file, or all below a folder in the layout of mteb's cache.

    The model is named by model_meta.json beside a file, else by the folders, else by `model`.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    files = [file for file in files if file.name != "model_meta.json"]
    if not files:
        msg = f"{path}: no result file of mteb there; give a Task.json or a folder results/<org>__<model>/<revision>"
        raise InputError(msg)
    for file in files:
        meta = _read(file.with_name("model_meta.json")) if file.with_name("model_meta.json").is_file() else {}
        folder = file.absolute().parent.parent.name
        name = model or meta.get("name") or (folder.replace("__", "/") if "__" in folder else None)
        if name is None:
            msg = f"{file}: nothing says which model this is; give --model"
            raise InputError(msg)
        yield Source(file, name, str(meta.get("revision") or file.absolute().parent.name))


def import_result(source: Source, out: Path, task: str | None = None, force: bool = False) -> list[Path]:
    """Save a result file of mteb as results with the kind `imported-means`; gives their folders.

    A task becomes several where `tasks_in.find_mteb_tasks` makes several of it. `task` names the results instead: say
    that they are about the same data as a task of ours. Raises `InputError` for a file that is no result.
    """
    content = _read(source.path)
    splits, name = content.get("scores"), content.get("task_name")
    if not isinstance(splits, dict) or not isinstance(name, str) or not all(splits.values()):
        msg = f"{source.path} is no TaskResult of mteb: it has no task_name or no scores"
        raise InputError(msg)
    folders = []
    for split, entries in splits.items():
        pairs = {str(entry["hf_subset"]): _pair(name, entry, source.path) for entry in entries}
        for group, subsets in group_subsets(name, pairs).items():
            chosen = {subsets[str(e["hf_subset"])]: e for e in entries if str(e["hf_subset"]) in subsets}
            called = task or _card(name) or our_name(name, [group, split if len(splits) > 1 else ""])
            folders.append(_save(source, content, called, chosen, out, force))
    return folders


def _save(
    source: Source, content: Json, task: str, entries: Mapping[LanguagePair, Json], out: Path, force: bool
) -> Path:
    metrics = _metrics(entries.values())
    if not metrics:
        msg = f"{source.path}: none of its scores is a retrieval metric (ndcg_at_10, recall_at_100, ...)"
        raise InputError(msg)
    columns = {
        "query_language": [pair.query for pair in entries],
        "passage_language": [pair.passage for pair in entries],
        "query_id": ["mean"] * len(entries),
        "cluster_id": ["mean"] * len(entries),
    }
    values = {name: [float(entry[key]) for entry in entries.values()] for key, name in metrics.items()}
    checkpoint = _checkpoint(source)
    main = _main_metric(metrics, entries.values())

    def write(temporary: Path) -> dict[str, Any]:
        pq.write_table(pa.table(columns | values), temporary / SCORES, compression="zstd", store_schema=False)
        return _manifest(source, content, checkpoint, task, main, list(values), list(entries))

    return save_result(out / checkpoint.slug / task, write, force=force)


def _manifest(
    source: Source,
    content: Json,
    checkpoint: Checkpoint,
    task: str,
    main: str,
    metrics: Sequence[str],
    pairs: Sequence[LanguagePair],
) -> dict[str, Any]:
    return {
        "identity": hashlib.sha256(f"{sha256_file(source.path)} {task}".encode()).hexdigest(),
        "kind": MEANS,
        "model": {
            "name": checkpoint.name,
            "slug": checkpoint.slug,
            "revision": source.revision,
            "fingerprint": checkpoint.fingerprint,
            "weights_digest": "",
            "prompts": {},
            "licence": None,
            "trained_on": [],
        },
        "task": {
            "name": task,
            "title": f"{content['task_name']} (imported)",
            "main_metric": main,
            "metrics": list(metrics),
            "cluster": None,
            "licence": "unknown",
            "source": {"mteb": content["task_name"], "revision": str(content.get("dataset_revision"))},
        },
        "pairs": [str(pair) for pair in pairs],
        "partial": False,
        "limit": None,
        "digests": {"queries": {}, "corpora": {}, "qrels": {}},
        "counts": {"pairs": len(pairs)},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [],
        "versions": {"mteb": str(content.get("mteb_version"))},
        "imported": {"file": source.path.name, "sha256": sha256_file(source.path)},
    }


def _checkpoint(source: Source) -> Checkpoint:
    """Name a model that was evaluated elsewhere; its weights are unknown, so its name and revision stand for them."""
    digest = hashlib.sha256(f"mteb {source.model} {source.revision}".encode()).hexdigest()
    return Checkpoint(source.model, None, digest, "", prompts={})


def _pair(name: str, entry: Json, path: Path) -> LanguagePair:
    languages = entry.get("languages")
    if not isinstance(languages, list) or not languages:
        msg = f"{path}: the subset {entry.get('hf_subset')!r} names no languages"
        raise InputError(msg)
    if _card(name):
        pool = entry["hf_subset"].rpartition("-")[0]
        return LanguagePair(languages[-1], languages[0] if len(languages) > 1 else pool)
    return language_pair(name, str(entry["hf_subset"]), languages)


def _card(name: str) -> str | None:
    """Find the card of ours that mteb knows under a name."""
    if not name.startswith(PASSAGE_FIRST):
        return None
    return next((card for card in task_names() if task_name(card) == name), None)


def _metrics(entries: Any) -> dict[str, str]:  # Any: values of a mapping of JSON
    """Give mteb's key -> our name, for what every subset has."""
    shared = set.intersection(*(set(entry) for entry in entries))
    named = {key: metric_of(key) for key in sorted(shared, key=_by_number) if re.search(r"_at_\d+$", key)}
    return {key: name for key, name in named.items() if name}


def _by_number(key: str) -> tuple[str, int]:
    stem, _, number = key.rpartition("_")
    return stem, int(number) if number.isdigit() else 0


def _main_metric(metrics: Mapping[str, str], entries: Any) -> str:  # Any: values of a mapping of JSON
    """Find the metric that the main score is: the file gives its value and not its name."""
    equal = [name for key, name in metrics.items() if all(entry[key] == entry.get("main_score") for entry in entries)]
    return next((name for name in (*METRICS, *metrics.values()) if name in equal), next(iter(metrics.values())))


def _read(path: Path) -> dict[str, Any]:  # Any: JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as JSON: {error}"
        raise InputError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path} is no TaskResult of mteb: it holds no JSON object"
        raise InputError(msg)
    return content
