"""Write the `model-index` block for the front matter of a model card on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clear_bench.errors import InputError
from clear_bench.render.escape import yaml
from clear_bench.render.records import TITLES, Summary, Value


def model_index(summaries: Sequence[Summary]) -> str:
    """Write the block for the front matter of a card: one result per task, one metric per group of pairs.

    Raises `InputError` for results of several models: a card belongs to one.
    """
    require_one_model(summaries)
    lines = ["model-index:", f"- name: {yaml(summaries[0].model)}", "  results:"]
    return "\n".join([*lines, *(line for summary in summaries for line in _result(summary))]) + "\n"


def require_one_model(summaries: Sequence[Summary]) -> None:
    """Raise `InputError` for results of several models."""
    names = ", ".join(dict.fromkeys(summary.model for summary in summaries))
    if len({summary.fingerprint for summary in summaries}) > 1:
        msg = f"a model card belongs to one model, but these results are of {names}; give those of one model"
        raise InputError(msg)


def _result(summary: Summary) -> Iterator[str]:
    source, _ = summary.manifest.task.source, _overall(summary)
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
