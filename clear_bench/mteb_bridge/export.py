"""Results as mteb keeps its own: `results/<org>__<model>/<revision>/<Task>.json` and what lies beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clear_bench.errors import InputError
from clear_bench.mteb_bridge.directions import subset_pairs
from clear_bench.mteb_bridge.naming import data_revision, model_meta, task_name
from clear_bench.score import means_by_pair
from clear_bench.store.mteb_json import task_result
from clear_bench.store.results import Result
from clear_bench.types import LanguagePair


def write_mteb_result(result: Result, out: Path) -> Path:
    """Write a result where `mteb.ResultCache(out)` finds it; gives the file.

    mteb takes it for a result of `as_mteb_task` on the same data. A result on a task of mteb keeps that task's name,
    revision and subsets. Raises `InputError` for a result that was imported, which does not know its data, and for a
    partial one, whose means are not those of all queries.
    """
    from mteb.cache import ResultCache
    from mteb.results.task_result import TaskResult

    manifest, main = result.manifest, result.manifest["task"]["main_metric"]
    if manifest.get("kind") != "measured":
        msg = f"{result.path} was imported and not measured here; mteb would take it for a measurement"
        raise InputError(msg)
    if manifest.get("partial"):
        limit = f"--limit {manifest.get('limit')}"
        msg = f"{result.path} is partial ({limit}); mteb would take its means for those of all queries"
        raise InputError(msg)
    means = means_by_pair(result.scores, main)
    cache, meta = ResultCache(out), model_meta(manifest["model"])
    content = task_result(
        task_name(result.task),
        data_revision(manifest["digests"]),
        main,
        means,
        version("mteb"),
        sum(manifest["seconds"].values()),
    )
    if "mteb" in manifest["task"]["source"]:
        content = _as_theirs(content, manifest["task"]["source"], list(means))
    made = TaskResult.from_dict(content)
    path = Path(cache.get_task_result_path(made.task_name, meta))
    before = TaskResult.from_disk(path) if path.is_file() else None
    # Other splits and subsets of the same data stay.
    cache.save_to_cache(before.merge(made) if before and before.is_mergeable(made) else made, meta)
    return path


def _as_theirs(
    content: dict[str, Any], source: Mapping[str, str], pairs: Sequence[LanguagePair]
) -> dict[str, Any]:  # Any: JSON
    """Put the names of mteb's own task back, from where our task was made."""
    import mteb

    metadata = mteb.get_task(source["mteb"]).metadata
    subsets = {pair: subset for subset, pair in subset_pairs(metadata).items()}
    languages = metadata.hf_subsets_to_langscripts
    entries = []
    for entry, pair in zip(content["scores"]["test"], pairs, strict=True):
        subset = source.get("subset", subsets[pair])
        entries.append(entry | {"hf_subset": subset, "languages": languages[subset]})
    names = {"task_name": source["mteb"], "dataset_revision": source["revision"]}
    return content | names | {"scores": {source["split"]: entries}}
