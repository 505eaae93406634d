"""Write one self-contained HTML page: it makes no request, has a strict content policy and reads without script."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from markupsafe import Markup

from clear_bench.languages import language_name, side
from clear_bench.render import panels
from clear_bench.render.escape import printable
from clear_bench.render.gains import HEADS, NOTE, cells_of, language_tables, overall_table, pair_table, pool_gains_table
from clear_bench.render.geometry import headline, space_pictures, space_tables
from clear_bench.render.numbers import minus, points, signed
from clear_bench.render.panels import Figure, Picture
from clear_bench.render.provenance import facts
from clear_bench.render.records import Change, Entry, Summary
from clear_bench.render.tables import (
    Table,
    every_metric_table,
    matrix_table,
    metrics_table,
    overview_table,
    pool_table,
    result_table,
)
from clear_bench.types import ENGLISH, LanguagePair

LARGEST_TABLE = 3000
"""Pairs beyond which the page leaves the table of pairs to the CSV."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where numbers come from: facts of a manifest and the command of the run."""

    title: str
    facts: tuple[tuple[str, str], ...]
    command: str


@dataclass(frozen=True, slots=True)
class Query:
    """A query of the drill-down, spelled out."""

    score: str
    was: str
    direction: str
    pair: str
    text: str
    query_id: str
    query: str
    passages: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Section:
    """What the page says about one result."""

    anchor: str
    title: str
    lead: str
    metric: str
    base: str | None
    has_intervals: bool
    notes: Sequence[str]
    figures: Sequence[Figure]
    heatmaps: Sequence[Picture]
    forests: Sequence[Picture]
    english: Picture | None
    english_table: Table | None
    direct: Sequence[Picture]
    trends: Sequence[Picture]
    space: Sequence[Picture]
    space_lead: str
    changes: Sequence[Query]
    changes_lead: str
    tables: Sequence[tuple[str, Sequence[Table]]]
    provenance: Sequence[Source]


def page(entries: Sequence[Entry], command: Sequence[str] = ()) -> str:
    """Write the page; `command` is the command line that asked for it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from clear_bench import __version__

    environment = Environment(
        loader=PackageLoader("clear_bench", "render"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _style(), _asset("page.js")
    return environment.get_template("page.html.j2").render(
        title=_title(entries),
        lead=_lead(entries),
        overview=overview_table([entry.summary for entry in entries]),
        sections=[_section(entry, f"result-{i + 1}") for i, entry in enumerate(entries)],
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        version=__version__,
        command=shlex.join(command),
    )


def standalone(picture: Picture) -> str:
    """Return a picture as a complete SVG file, with its colours, for light and dark backgrounds."""
    sized = re.sub(r'viewBox="0 0 (\S+) (\S+)"', r'width="\1" height="\2" \g<0>', picture.svg, count=1)
    return sized.replace(">", f"><style>{_asset('pictures.css')}</style>", 1) + "\n"


def _section(entry: Entry, anchor: str) -> Section:
    summary, gains = entry.summary, entry.gains
    return Section(
        anchor=anchor,
        title=entry.heading,
        lead=_describe(summary),
        metric=summary.metric,
        base=gains.base if gains else None,
        has_intervals=any(value.lower is not None for value in summary.cells.values()),
        notes=entry.notes,
        figures=panels.figures(entry),
        heatmaps=_marked(panels.heatmaps(entry)),
        forests=_marked(panels.forests(entry)),
        english=next(iter(_marked(panels.english(entry))), None),
        english_table=_english_table(entry),
        direct=_marked(panels.direct(entry)),
        trends=_marked(panels.trends(entry)),
        space=_marked(space_pictures(entry)),
        space_lead=f"Against {entry.base.model}: {headline(entry.moved)}." if entry.base and entry.moved else "",
        changes=[_query(change) for change in entry.changes],
        changes_lead=_changes_lead(entry),
        tables=list(_tables(entry)),
        provenance=list(_sources(entry)),
    )


def _marked(pictures: Iterable[Picture]) -> list[Picture]:
    """Mark the SVG as safe for the template: its texts were escaped when it was drawn."""
    return [replace(picture, svg=Markup(picture.svg)) for picture in pictures]


def _title(entries: Sequence[Entry]) -> str:
    return entries[0].heading if len(entries) == 1 else f"{len(entries)} results"


def _lead(entries: Sequence[Entry]) -> str:
    models = list(dict.fromkeys(entry.summary.model for entry in entries))
    tasks = list(dict.fromkeys(entry.summary.title for entry in entries))
    return f"Cross-lingual retrieval: {', '.join(models)} on {', '.join(tasks)}."


def _describe(summary: Summary) -> str:
    queries, passages = summary.sides
    codes = dict.fromkeys([*queries, *passages])
    names = ", ".join(language_name(code) for code in codes) if len(codes) <= 30 else f"{len(codes)} languages"
    most = max((value.n for value in summary.cells.values()), default=0)
    seeds = f" Scores are averaged over {len(summary.manifests)} seeds." if len(summary.manifests) > 1 else ""
    counted = f", up to {most:,} queries each" if most else ""
    return f"{len(summary.pairs):,} pairs{counted}. Query and passage languages: {names}.{seeds}"


def _english_table(entry: Entry) -> Table | None:
    pair = LanguagePair(ENGLISH, ENGLISH)
    if entry.gains and "english" in entry.gains.families:
        rows = tuple(("English", *cells_of(gain)) for gain in entry.gains.families["english"].rows)
        return Table("English queries on English passages", ("pair", *HEADS), rows, NOTE)
    return metrics_table(entry.summary, pair) if pair in entry.summary.pairs else None


def _tables(entry: Entry) -> Iterator[tuple[str, list[Table]]]:
    summary = entry.summary
    yield "Scores by language", [result_table(summary)]
    if len(summary.sides[1]) <= 60:
        yield "Scores of every pair", [matrix_table(summary)]
    if len(summary.metrics) > 1:
        yield "Every metric", [every_metric_table(summary)]
    if summary.pooled:
        gained = [pool_gains_table(entry.gains)] if entry.gains and "pool" in entry.gains.families else []
        yield "Passages in mixed languages", [pool_table(summary), *gained]
    if entry.space:
        yield "Geometry of the space", space_tables(entry)
    if entry.gains:
        yield "Gains by group of pairs", [overall_table(entry.gains)]
        yield "Gains by language", list(language_tables(entry.gains))
        if len(entry.gains.cells) <= LARGEST_TABLE:
            yield "Gains of every pair", [pair_table(entry.gains)]


def _sources(entry: Entry) -> Iterator[Source]:
    for role, summary in (("Measured", entry.summary), ("Baseline", entry.base)):
        for i, manifest in enumerate(summary.manifests if summary else ()):
            seed = f", seed {i + 1} of {len(summary.manifests)}" if summary and len(summary.manifests) > 1 else ""
            command = shlex.join(manifest.command)
            name = summary.model if summary else ""
            yield Source(f"{role}: {name}{seed}", tuple(facts(manifest)), printable(command))


def _query(change: Change) -> Query:
    delta = None if change.base is None else change.candidate - change.base
    return Query(
        score=points(change.candidate) if delta is None else minus(signed(delta)),
        was="" if delta is None else f"{points(change.base)} → {points(change.candidate)}",
        direction="gain" if (delta or 0) > 0 else "loss" if (delta or 0) < 0 else "",
        pair=f"{side(change.pair.query)} → {side(change.pair.passage)}",
        text=_cut(change.query or change.query_id, 90),
        query_id=change.query_id,
        query=change.query or "The text is not at hand.",
        passages=[(name, id_, _cut(text, 600)) for name, id_, text in change.passages],
    )


def _changes_lead(entry: Entry) -> str:
    metric = entry.summary.metric
    if entry.gains:
        return f"Largest gains first, then largest losses, by {metric} x 100. These are extremes, not a sample."
    return f"By {metric} x 100. These are extremes, not a sample."


def _cut(text: str, most: int) -> str:
    shown = re.sub(r"\s+", " ", text)
    return shown if len(shown) <= most else shown[: most - 1].rstrip() + "…"


def _printable(value: object) -> object:
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _policy(style: str, script: str) -> str:
    """Allow exactly our own style and script, by their hashes, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _style() -> str:
    return _asset("pictures.css") + _asset("page.css")


def _asset(name: str) -> str:
    return files("clear_bench.render").joinpath(name).read_text(encoding="utf-8")
