"""Write results as mteb stores its own: `results/<org>__<model>/<revision>/<Task>.json` and model_meta.json."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clear_bench.errors import InputError
from clear_bench.mteb_bridge.directions import subset_pairs
from clear_bench.mteb_bridge.naming import data_revision, model_meta, task_name
from clear_bench.mteb_bridge.results_file import read_task_file
from clear_bench.score import means_by_pair
from clear_bench.store.mteb_json import metric_of, task_result
from clear_bench.store.results import Result
from clear_bench.types import LanguagePair, ResultKind


def write_mteb_result(result: Result, out: Path) -> Path:
    """Write a result where `mteb.ResultCache(out)` finds it, and return the file.

    mteb takes it for a result of `as_mteb_task` on the same data. A result on a task of mteb keeps that task's name,
    revision and subsets. Raise `InputError` for an imported result, whose data are unknown, for a partial one, whose
    means are not over all queries, for a task that mteb has changed or removed, and for a damaged file in its place.
    """
    from mteb.cache import ResultCache
    from mteb.results.task_result import TaskResult

    manifest, main = result.manifest, result.manifest.task.main_metric
    if manifest.kind is not ResultKind.MEASURED:
        msg = f"{result.path} was imported and not measured here; mteb would take it for a measurement"
        raise InputError(msg)
    if manifest.partial:
        limit = f"--limit {manifest.limit}"
        msg = f"{result.path} is partial ({limit}); mteb would take its means for those of all queries"
        raise InputError(msg)
    means = means_by_pair(result.scores, main)
    cache, meta = ResultCache(out), model_meta(manifest.model)
    content = task_result(
        task_name(result.task),
        data_revision(manifest.digests.inputs),
        main,
        means,
        version("mteb"),
        sum(manifest.seconds.values()),
    )
    if "mteb" in manifest.task.source:
        content = _as_theirs(content, result, list(means))
    made = TaskResult.from_dict(content)
    path = Path(cache.get_task_result_path(made.task_name, meta))
    before = None
    if path.is_file():
        read_task_file(path)  # says what is wrong with it
        before = TaskResult.from_disk(path)
    # Other splits and subsets of the same data stay.
    cache.save_to_cache(before.merge(made) if before and before.is_mergeable(made) else made, meta)
    return path


def _as_theirs(content: dict[str, Any], result: Result, pairs: Sequence[LanguagePair]) -> dict[str, Any]:  # Any: JSON
    """Return the content under the names of the mteb task that ours was made from."""
    import mteb

    source = result.manifest.task.source
    try:
        metadata = mteb.get_task(source["mteb"]).metadata
        if metric_of(metadata.main_score) != result.manifest.task.main_metric:
            msg = (
                f"{result.path}: the main score of mteb's task is {metadata.main_score}, which the result does not have"
            )
            raise InputError(msg)
        subsets = {pair: subset for subset, pair in subset_pairs(metadata).items()}
        languages = metadata.hf_subsets_to_langscripts
        entries = []
        for entry, pair in zip(content["scores"]["test"], pairs, strict=True):
            subset = source.get("subset", subsets.get(pair))
            entries.append(entry | {"hf_subset": subset, "languages": languages[subset]})
        names = {"task_name": source["mteb"], "dataset_revision": source["revision"]}
        return content | names | {"scores": {source["split"]: entries}}
    except KeyError as error:
        msg = f"{result.path}: mteb {version('mteb')} has no task, subset or split {error} as the result names it"
        raise InputError(msg) from error
