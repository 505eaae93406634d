"""Results as text: Markdown, HTML, LaTeX, CSV, JSON, and the blocks that model cards take."""

from __future__ import annotations

import csv as csv_module
import io
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from clear_bench.compare import Difference
from clear_bench.compare.differences import NO_QUERIES, ONE_CLUSTER
from clear_bench.render import escape, model_card, writers
from clear_bench.render.gains import language_tables, overall_table, pair_table, pool_gains_table
from clear_bench.render.geometry import space_pictures, space_tables
from clear_bench.render.panels import forests, heatmaps
from clear_bench.render.provenance import facts
from clear_bench.render.records import Entry, Summary, Value
from clear_bench.render.tables import (
    Table,
    every_metric_table,
    matrix_table,
    overview_table,
    pool_table,
    result_table,
)
from clear_bench.types import LanguagePair

REPORT_SCHEMA = "clear-bench/report/1"
TALLEST = 60
"""Rows of the longest table on a printed page; LaTeX leaves longer ones to the CSV."""
WIDEST_MATRIX = 30
"""Passage languages beyond which a matrix is too wide to read."""

SEVERAL_PAIRS = "a mean over pairs has no per-query differences of its own"

Writer = Callable[[Sequence[Entry], Sequence[str]], str]


def markdown(entries: Sequence[Entry], command: Sequence[str] = ()) -> str:
    """Write a report for people, as GitHub renders Markdown."""
    parts = ["# Cross-lingual retrieval report\n"]
    if len(entries) > 1:
        parts.append(writers.markdown(overview_table([entry.summary for entry in entries]), level=2))
    for entry in entries:
        parts.append(f"## {escape.markdown(entry.heading)}\n")
        parts += [f"**Note.** {escape.markdown(note)}\n" for note in entry.notes]
        parts += [writers.markdown(table) for table in tables(entry)]
        parts += [_markdown_source(summary) for summary in (entry.summary, entry.base) if summary]
    if command:
        parts.append(f"Written with:\n\n{_fence(shlex.join(command))}")
    return "\n".join(parts)


def latex(entries: Sequence[Entry], command: Sequence[str] = ()) -> str:
    r"""Write the tables for a paper; they need `\usepackage{booktabs}`."""
    head = "% \\usepackage{booktabs}\n" + (f"% {escape.printable(shlex.join(command))}\n" if command else "")
    overview = [overview_table([entry.summary for entry in entries])] if len(entries) > 1 else []
    found = [*overview, *(table for entry in entries for table in tables(entry) if len(table.rows) <= TALLEST)]
    return "\n".join([head, *map(writers.latex, found)])


def html(entries: Sequence[Entry], command: Sequence[str] = ()) -> str:
    """Write one self-contained page."""
    from clear_bench.render.page import page

    return page(entries, command)


def csv(entries: Sequence[Entry], command: Sequence[str] = ()) -> str:
    """Write one line per model, task, pair and metric, in full precision; the gain stands beside the main metric."""
    del command  # a table of numbers has no place for it
    out = io.StringIO()
    lines = [line for entry in entries for line in _lines(entry)]
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv_module.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_cell(value) for name, value in line.items()} for line in lines)
    return out.getvalue()


def json(entries: Sequence[Entry], command: Sequence[str] = ()) -> str:
    """Write every number in full precision; a missing one is null."""
    document = {"schema": REPORT_SCHEMA, "command": list(command), "results": [_document(entry) for entry in entries]}
    return escape.json_document(document) + "\n"


def model_index(entries: Sequence[Entry], command: Sequence[str] = ()) -> str:
    """Write the `model-index` block of a model card; see `model_card`."""
    del command
    return model_card.model_index([entry.summary for entry in entries])


FORMATS: Mapping[str, Writer] = {
    "md": markdown,
    "html": html,
    "latex": latex,
    "csv": csv,
    "json": json,
    "model-index": model_index,
}
"""Name on the command line -> writer. A new format is a function and a row here."""


def tables(entry: Entry) -> Iterator[Table]:
    """Yield the tables of one result: by language, the matrix, every metric, and the gains over a baseline."""
    summary = entry.summary
    yield result_table(summary)
    if 1 < len(summary.sides[1]) <= WIDEST_MATRIX:
        yield matrix_table(summary)
    if len(summary.metrics) > 1:
        yield every_metric_table(summary)
    if summary.pooled:
        yield pool_table(summary)
    yield from space_tables(entry)
    if entry.gains:
        yield overall_table(entry.gains)
        yield from language_tables(entry.gains)
        if "pool" in entry.gains.families:
            yield pool_gains_table(entry.gains)
        if len(entry.gains.cells) <= WIDEST_MATRIX**2:
            yield pair_table(entry.gains)


def pictures(entry: Entry, form: str) -> dict[str, bytes]:
    """Draw the heat maps and forest plots of one result as separate files: file name -> content.

    `svg` follows the light or dark background of whoever shows it; `png` and `pdf` are matplotlib's.
    """
    if form == "svg":
        from clear_bench.render.page import standalone

        found = (*heatmaps(entry), *forests(entry), *space_pictures(entry))
        drawn = {picture.name: standalone(picture).encode() for picture in found}
    else:
        from clear_bench.render.plots import plots

        drawn = plots(entry, form)
    model = entry.summary.manifest.model.slug
    # A manifest comes from strangers: its names must not lead out of the folder.
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{model}-{entry.summary.task}").strip(".-")
    return {f"{stem}-{name}.{form}": content for name, content in drawn.items()}


def _markdown_source(summary: Summary) -> str:
    rows = tuple(pair for manifest in summary.manifests for pair in facts(manifest))
    table = Table(f"Provenance of {summary.model}", ("what", "value"), rows, left=frozenset({0, 1}))
    commands = [shlex.join(manifest.command) for manifest in summary.manifests]
    return writers.markdown(table) + "\n" + _fence("\n".join(filter(None, commands)))


def _fence(text: str) -> str:
    """Quote lines as code; the fence is longer than any run of backticks in them."""
    lines = [escape.plain(line) for line in text.split("\n")]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    ticks = "`" * max(3, longest + 1)
    return "\n".join([ticks, *lines, ticks]) + "\n"


def _lines(entry: Entry) -> Iterator[dict[str, str | int | float | None]]:
    summary = entry.summary
    for pair, metric, value in _cells(summary):
        line: dict[str, str | int | float | None] = {
            "model": summary.model,
            "fingerprint": summary.fingerprint,
            "task": summary.task,
            **_pair(pair),
            "metric": metric,
            **value,
        }
        gain = entry.gains.cells.get(pair) if entry.gains and metric == summary.metric else None
        yield line | (_gain(gain, "gain_") if gain else {})


def _cells(summary: Summary) -> Iterator[tuple[LanguagePair, str, dict[str, str | int | float | None]]]:
    """Yield the value of every metric in every pair; one that a pair lacks is null with its reason."""
    for metric, cells in summary.metrics.items():
        reasons = summary.missing(metric)
        for pair in summary.pairs:
            nothing = dict.fromkeys(("value", "lower", "upper", "n_queries", "n_clusters")) | {
                "reason": reasons.get(pair)
            }
            yield pair, metric, _value(cells[pair]) if pair in cells else nothing


def _csv_cell(value: str | int | float | None) -> str | int | float:
    return escape.csv(value) if isinstance(value, str) else "" if value is None else value


def _document(entry: Entry) -> dict[str, Any]:  # Any: JSON
    summary, gains = entry.summary, entry.gains
    return {
        "model": summary.model,
        "fingerprint": summary.fingerprint,
        "task": summary.task,
        "metric": summary.metric,
        "confidence": 0.95,
        "groups": {name: _value(value) for name, value in summary.groups.items()},
        "languages": {
            code: {group: _value(value) for group, value in row.items()} for code, row in summary.languages.items()
        },
        "cells": [{**_pair(pair), "metric": metric, **value} for pair, metric, value in _cells(summary)],
        "baseline": None
        if gains is None
        else {
            "name": gains.base,
            "margin": entry.margin,
            "groups": {name: _gain(gain) for name, gain in gains.groups.items()},
            "languages": {
                code: {group: _gain(gain) for group, gain in row.items()} for code, row in gains.languages.items()
            },
            "cells": [{**_pair(pair), "metric": summary.metric, **_gain(gain)} for pair, gain in gains.cells.items()],
            "notes": list(gains.notes),
        },
        "manifests": [manifest.to_dict() for manifest in summary.manifests],
    }


def _pair(pair: LanguagePair) -> dict[str, str]:
    return {"query_language": pair.query, "passage_language": pair.passage}


def _value(value: Value) -> dict[str, str | int | float | None]:
    return {
        "value": value.value,
        "lower": value.lower,
        "upper": value.upper,
        "n_queries": value.n or None,
        "n_clusters": value.clusters or None,
        "reason": None if value.lower is not None else ONE_CLUSTER.format("mean") if value.n else NO_QUERIES,
    }


def _gain(gain: Difference, prefix: str = "") -> dict[str, str | int | float | None]:
    names = ("base", "candidate", "delta", "lower", "upper", "p", "p_adjusted", "effect", "wins", "ties", "losses")
    numbers = {prefix + name: getattr(gain, name) for name in (*names, "mde")}
    return numbers | {prefix + "reason": gain.reason or (SEVERAL_PAIRS if gain.effect is None else None)}
