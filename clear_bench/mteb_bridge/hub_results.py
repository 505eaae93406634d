"""`.eval_results/NAME.yaml` of a model repository on the Hugging Face Hub: scores on mteb's tasks, under mteb's ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from clear_bench.errors import InputError
from clear_bench.mteb_bridge.directions import subset_pairs
from clear_bench.render.escape import yaml
from clear_bench.render.model_card import require_one_model
from clear_bench.render.records import Summary
from clear_bench.store.mteb_json import metric_of


@dataclass(frozen=True, slots=True)
class HubEntry:
    """One score, as https://huggingface.co/docs/hub/eval-results has it."""

    dataset: str
    revision: str
    task_id: str
    value: float
    summary: Summary


def eval_results(summaries: Sequence[Summary]) -> str:
    """Write an entry for every subset, and one for a task whose splits and subsets are all there.

    The hub takes scores on registered benchmarks alone, by the ids in the `eval.yaml` of their data set; mteb writes
    `Task_subset_split` there for each cell and `Task` for the mean. Raise `InputError` for results of several models,
    of tasks that are not mteb's, on some of the queries only, or without the task's main score.
    """
    require_one_model(summaries)
    tasks: dict[str, list[Summary]] = {}
    for summary in summaries:
        tasks.setdefault(_source(summary)["mteb"], []).append(summary)
    entries = [entry for name, parts in tasks.items() for entry in _entries(name, parts)]
    return "\n".join(line for entry in entries for line in _lines(entry)) + "\n"


def _source(summary: Summary) -> Mapping[str, str]:
    source, problem = summary.manifest.task.source, ""
    if "mteb" not in source:
        problem = "the hub takes results on registered benchmarks, by their ids, and this is a task of clear-bench"
        problem += "; --format model-index can hold it"
    elif "split" not in source:
        problem = "it was imported from mteb, which publishes its own results: ModelMeta.push_eval_results"
    elif summary.limits:
        problem = f"it has {summary.limits}; run it whole"
    elif len(summary.manifests) > 1:
        problem = "it is a mean over seeds, and a model repository holds one model"
    if problem:
        msg = f"{summary.task}: {problem}"
        raise InputError(msg)
    return source


def _entries(name: str, parts: Sequence[Summary]) -> Iterator[HubEntry]:
    import mteb

    try:
        metadata = mteb.get_task(name).metadata
    except KeyError as error:
        msg = f"{parts[0].task}: mteb {mteb.__version__} has no task {name!r}"
        raise InputError(msg) from error
    pairs, found = subset_pairs(metadata), dict[str, HubEntry]()
    for summary in parts:
        source, main = _source(summary), metric_of(metadata.main_score)
        if main is None or main not in summary.metrics:
            msg = f"{summary.task}: the main score of mteb's {name} is {metadata.main_score}, which it does not have"
            raise InputError(msg)
        for pair, value in summary.metrics[main].items():
            names = [source["subset"]] if "subset" in source else [key for key, own in pairs.items() if own == pair]
            task_id = f"{name}_{names[0]}_{source['split']}"
            found[task_id] = HubEntry(metadata.dataset["path"], source["revision"], task_id, value.value, summary)
    yield from found.values()
    if len(found) == len(pairs) * len(metadata.eval_splits):
        whole = fmean(entry.value for entry in found.values())
        yield HubEntry(metadata.dataset["path"], source["revision"], name, whole, parts[0])


def _lines(entry: HubEntry) -> Iterator[str]:
    yield "- dataset:"
    yield f"    id: {yaml(entry.dataset)}"
    yield f"    task_id: {yaml(entry.task_id)}"
    yield f"    revision: {yaml(entry.revision)}"
    yield f"  value: {round(100 * entry.value, 5)}"
    yield f"  date: {yaml(entry.summary.manifest.created)}"
    yield f"  notes: {yaml(f'clear-bench, fingerprint {entry.summary.fingerprint[:8]}')}"
