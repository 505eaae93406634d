"""Report results: sum them up, compare them with a baseline, and write them in a format for people or programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clear_bench import compare as stage
from clear_bench import report as writers
from clear_bench.api.changes import find_changes, with_texts
from clear_bench.api.comparing import column
from clear_bench.api.evaluation import Evaluation
from clear_bench.api.explained import explained_space
from clear_bench.api.geometry import Drawn
from clear_bench.api.sides import FindCard, Side, Source, as_side, named_card
from clear_bench.api.stored import has_vectors, survey_result
from clear_bench.api.summary import summarise_results
from clear_bench.compare import Resampling
from clear_bench.compare.pairing import Seeds
from clear_bench.errors import UsageError
from clear_bench.geometry import changes
from clear_bench.languages import canonical
from clear_bench.registry import lookup, unknown
from clear_bench.render.records import Entry, Summary
from clear_bench.stats.resampling import REPLICATES
from clear_bench.store.results import Result

EXPLAINED = 2000
"""Replicates of the regression of scores on the geometry."""
MANY = 1000
"""Pairs beyond which resampling every one of them takes minutes, and a report leaves it to those who ask."""
PICTURES = ("svg", "png", "pdf")
WITH_SPACE = ("md", "html", "latex", "svg")
"""Formats that show the geometry of a space."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What goes into a report beside the scores."""

    margin: float
    seen: frozenset[str] | None
    """Languages that training saw; None: what the manifest says."""
    queries: int
    """Queries shown at each end, 0 for none."""
    card: str | None
    resamples: int | None
    """Replicates of the tests that adjust for several languages; None: what a matrix of this size bears."""
    seed: int
    metric: str | None
    """The metric in front; None: each task's main metric."""
    find_card: FindCard | None
    """Returns the task of a result whose space is measured; None: no geometry."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Report:
    """Results, ready to be written in one format."""

    form: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()
    """What a reader of the report has to know about how it was made."""
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the text, as `clear-bench report` writes it. Raise `UsageError` for a format of pictures."""
        return lookup(writers.FORMATS, self.form, "text format")(self.entries, self.command)

    def __repr__(self) -> str:
        """Return the format and how many results it shows: the text can be megabytes."""
        return f"<{self.form} report of {len(self.entries)} results>"

    def _repr_html_(self) -> str | None:
        """Return an HTML report for a notebook; None for other formats."""
        return str(self) if self.form == "html" else None

    def pictures(self) -> dict[str, bytes]:
        """Return the pictures of every result as `<slug>-<task>-<picture>.<form>`. Raise `UsageError` for texts."""
        if self.form not in PICTURES:
            msg = f"format {self.form!r} is a text; str() gives it, and {', '.join(PICTURES)} give pictures"
            raise UsageError(msg)
        return {name: content for one in self.entries for name, content in writers.pictures(one, self.form).items()}


def report(  # noqa: PLR0913  a notebook names every option of the command
    results: Source | Sequence[Source],
    *,
    format: str = "md",
    baseline: Source | None = None,
    tasks: Sequence[str] = (),
    metric: str | None = None,
    margin: float = 0.01,
    seen: Sequence[str] | None = None,
    queries: int = 10,
    resamples: int | None = None,
    seed: int = 0,
    card: str | None = None,
    geometry: bool = False,
    find_card: FindCard | None = None,
    command: Sequence[str] = (),
) -> Report:
    """Report results, with the gains over a baseline where one is given. `str()` of the report is its text.

    Args:
        results: Result folders (`OUT/<model>` or `OUT/<model>/<task>`; a comma joins the seeds of one model), or what
            `evaluate` returned.
        format: `md`, `html`, `latex`, `csv`, `json`, `model-index`; `svg`, `png` and `pdf` for `Report.pictures()`.
        baseline: The model to show the gains over.
        tasks: Tasks to report; all that the results have unless given.
        metric: The metric in front, in place of each task's main metric.
        margin: Tolerated loss, 0 to 1: a dashed line.
        seen: Languages that training saw; what the manifest says unless given.
        queries: Queries at each end (HTML).
        resamples: Replicates of the tests; 10,000 unless given, and 0 for more than 1,000 pairs.
        seed: Of the resampling.
        card: Card of a task of yours: the HTML page takes the texts of queries from it.
        geometry: Measure the space from stored vectors (md, html, latex, svg).
        find_card: Returns the task of a result, for `geometry`; reads the card that the manifest names unless given.
        command: The command line that the report tells.
    """
    if format not in writers.FORMATS and format not in PICTURES:
        raise UsageError(unknown("format", format, [*writers.FORMATS, *PICTURES]))
    if geometry and format not in WITH_SPACE:
        msg = f"--format {format} has no --geometry; {', '.join(WITH_SPACE)} and clear-bench geometry show it"
        raise UsageError(msg)
    asked = Asked(
        margin=margin,
        seen=None if seen is None else frozenset(map(canonical, seen)),
        queries=queries if format == "html" else 0,
        card=card,
        resamples=resamples,
        seed=seed,
        metric=metric,
        find_card=(find_card or named_card) if geometry else None,
    )
    single = isinstance(results, str | Path | Evaluation | Mapping)
    sources: Sequence[Source] = [results] if single else results  # type: ignore[list-item,assignment]
    old = as_side(baseline, tasks) if baseline is not None else {}
    entries, notes = _entries(old, [as_side(one, tasks) for one in sources], asked)
    return Report(format, tuple(entries), tuple(notes), tuple(command))


def _entries(old: Side, sides: Sequence[Side], asked: Asked) -> tuple[list[Entry], list[str]]:
    """Compare results with the baseline where there is one, and sum them up; with notes on what is not as asked."""
    for side in sides if old else ():
        stage.match_tasks(old, side)
    entries, notes = [], list[str]()
    for side in sides:
        for task, seeds in side.items():
            if old and task not in old:
                notes.append(f"the baseline has no {task}; its scores stand alone")
            front = column(seeds[0].scores.metrics, asked.metric)
            if front and _has_only_elsewhere(front, task, seeds, sides):
                notes.append(f"{task} has no {front}; its main metric is in front")
                front = None
            entry = _entry(seeds, old.get(task, ()), _names(task, [old, *sides]), replace(asked, metric=front))
            entries.append(_with_space(entry, seeds[0], old.get(task, (None,))[0], asked))
    return entries, notes


def _has_only_elsewhere(metric: str, task: str, seeds: Seeds, sides: Sequence[Side]) -> bool:
    """Return whether a task lacks a metric that another task of the report has."""
    if metric in seeds[0].scores.metrics:
        return False
    return any(metric in other[0].scores.metrics for side in sides for other in side.values())


def _entry(seeds: Seeds, base: Seeds, names: Mapping[str, str], asked: Asked) -> Entry:
    metric = asked.metric
    summary = _named(summarise_results(seeds, metric), names)
    found = find_changes(seeds, base, metric=metric, count=asked.queries) if asked.queries else []
    if found:
        found = with_texts(found, seeds[0], base[0] if base else None, asked.card)
    if not base:
        return Entry(summary, changes=found)
    below = _named(summarise_results(base, metric), names)
    replicates = asked.resamples if asked.resamples is not None else 0 if len(summary.cells) > MANY else REPLICATES
    gains = stage.compare(
        base,
        seeds,
        metric=metric,
        trained=asked.seen,
        resampling=Resampling(replicates, asked.seed),
        names=[below.model, summary.model],
    )
    return Entry(summary, gains, found, asked.margin, below)


def _with_space(entry: Entry, result: Result, base: Result | None, asked: Asked) -> Entry:
    """Add the geometry of a result (of several seeds, of the first) and how it changed from the baseline."""
    if asked.find_card is None:
        return entry
    task, read = asked.find_card(result)
    drawn = Drawn(seed=asked.seed)
    space = explained_space(result, task, read, drawn, replicates=EXPLAINED, offline=True)
    entry = replace(entry, space=replace(space, model=entry.summary.model))
    if base is None or not has_vectors(base):
        return entry
    return replace(entry, moved=changes(survey_result(base, task, read, drawn, offline=True).cells, space.cells))


def _names(task: str, sides: Sequence[Side]) -> dict[str, str]:
    """Name the models of a task by fingerprint: two under one name get theirs into the name."""
    present = [side[task] for side in sides if task in side]
    marks = [seeds[0].manifest.model.fingerprint for seeds in present]
    return dict(zip(marks, stage.labels(present), strict=True))


def _named(summary: Summary, names: Mapping[str, str]) -> Summary:
    return replace(summary, model=names[summary.fingerprint])
