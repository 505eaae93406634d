"""What model cards on the Hugging Face Hub take: `.eval_results` files and the older `model-index` block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clear_bench.errors import InputError
from clear_bench.render.escape import yaml
from clear_bench.render.numbers import bounds
from clear_bench.render.records import TITLES, Summary, Value


def eval_results(summaries: Sequence[Summary]) -> str:
    """Write one entry per task, as https://huggingface.co/docs/hub/eval-results has them.

    Raises `InputError` for a task whose data is not on the hub: an entry names a data set of the hub.
    """
    return "\n".join(line for summary in summaries for line in _eval_result(summary)) + "\n"


def model_index(summaries: Sequence[Summary]) -> str:
    """Write the block for the front matter of a card: one result per task, one metric per group of pairs.

    Raises `InputError` for results of several models: a card belongs to one.
    """
    names = ", ".join(dict.fromkeys(summary.model for summary in summaries))
    if len({summary.fingerprint for summary in summaries}) > 1:
        msg = f"a model card belongs to one model, but these results are of {names}; give those of one model"
        raise InputError(msg)
    lines = ["model-index:", f"- name: {yaml(summaries[0].model)}", "  results:"]
    return "\n".join([*lines, *(line for summary in summaries for line in _result(summary))]) + "\n"


def _eval_result(summary: Summary) -> Iterator[str]:
    source = summary.manifest["task"].get("source", {})
    if "hub" not in source:
        msg = f"{summary.task}: an .eval_results entry names a data set on the hub, and this task's data is not there"
        raise InputError(f"{msg}; --format model-index can name it")
    yield "- dataset:"
    yield f"    id: {yaml(source['hub'])}"
    yield f"    task_id: {yaml(summary.task)}"
    if "revision" in source:
        yield f"    revision: {yaml(source['revision'])}"
    yield f"  value: {_points(_overall(summary))}"
    yield f"  date: {yaml(str(summary.manifest['created']))}"
    yield f"  notes: {yaml(_notes(summary))}"


def _result(summary: Summary) -> Iterator[str]:
    source, _ = summary.manifest["task"].get("source", {}), _overall(summary)
    yield "  - task:"
    yield "      type: text-retrieval"
    yield "      name: Cross-lingual retrieval"
    yield "    dataset:"
    yield f"      name: {yaml(summary.title)}"
    yield f"      type: {yaml(source.get('hub', summary.task))}"
    if "revision" in source:
        yield f"      revision: {yaml(source['revision'])}"
    yield "    metrics:"
    for group, value in summary.groups.items():
        yield f"    - type: {yaml(_metric_type(summary.metric, group))}"
        yield f"      value: {_points(value)}"
        yield f"      name: {yaml(f'{summary.metric} x 100, {TITLES[group]}')}"


def _notes(summary: Summary) -> str:
    overall = _overall(summary)
    pairs = f"macro mean of {overall.pairs} language pairs" if overall.pairs > 1 else "one language pair"
    known = "" if overall.lower is None else f", 95 % interval {bounds(overall.lower, overall.upper)}"
    return f"{summary.metric} x 100, {pairs}{known}; clear-bench, fingerprint {summary.fingerprint[:8]}"


def _overall(summary: Summary) -> Value:
    """Return the mean over all pairs; raise `InputError` where no query counts, so that there is none."""
    if summary.overall is None:
        msg = f"{summary.task}: {summary.metric} counts no query, so a model card has nothing to say; choose --metric"
        raise InputError(msg)
    return summary.overall


def _points(value: Value) -> float:
    """Round as model cards do: points with two decimals."""
    return round(100 * value.value, 2)


def _metric_type(metric: str, group: str) -> str:
    stem = metric.replace("@", "_at_").lower()
    return stem if group == "all" else f"{stem}_{group.replace('-', '_')}"
