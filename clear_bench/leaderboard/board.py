"""One task's board and the overview of all, as Markdown: the same results give the same bytes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clear_bench.languages import english_first, language_name, side
from clear_bench.leaderboard.files import MARK
from clear_bench.leaderboard.questions import bands, questions, with_unique_names
from clear_bench.leaderboard.references import Reference
from clear_bench.render.escape import markdown
from clear_bench.render.numbers import MISSING, bounds, count, points, score
from clear_bench.render.records import LANGUAGE_GROUPS, TITLES, Summary, Value
from clear_bench.render.tables import Link, Table
from clear_bench.render.writers import markdown as markdown_table

OVERVIEW = "README.md"
COLUMNS = ("english", *LANGUAGE_GROUPS)

BANDS = (
    "A rank is a band: the best and the worst place that the 95 % intervals of the main column leave open. Intervals "
    "are cluster-robust; `clear-bench compare` tells two models apart more sharply, query by query. Means are macro "
    "means over pairs; direct: both sides non-English and different."
)


def boards(summaries: Sequence[Summary], references: Sequence[Reference], folder: Path) -> dict[str, str]:
    """Render every board: file name -> Markdown. `folder` is where the files will stand, for their links."""
    named = with_unique_names(sorted(summaries, key=lambda one: (one.task, one.model, one.fingerprint)))
    tasks = {task: [one for one in named if one.task == task] for task in sorted({one.task for one in named})}
    files = {OVERVIEW: _overview(tasks)}
    for task, mine in tasks.items():
        files[f"{task}.md"] = _board(mine, [row for row in references if row.task == task], folder)
    return files


def _board(summaries: Sequence[Summary], references: Sequence[Reference], folder: Path) -> str:
    first = summaries[0]
    parts = [MARK, f"# {markdown(first.title)}", f"Data: {markdown(_licence(first))}. [All boards]({OVERVIEW})."]
    asked = questions(summaries)
    for i, mine in enumerate(asked):
        if len(asked) > 1:
            parts.append(f"## Question {i + 1} of {len(asked)}")
        parts += _question_tables(mine, folder)
    if references:
        parts += ["## Published, not measured here", markdown_table(_reference_table(references), 0)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _question_tables(summaries: Sequence[Summary], folder: Path) -> Iterator[str]:
    """Lay out the models that answered the same question, best first."""
    ordered = sorted(summaries, key=lambda one: -one.overall.value if one.overall else math.inf)
    yield f"{markdown(ordered[0].metric)} x 100. {_size(ordered[0])}. {BANDS}"
    yield markdown_table(_main_table(ordered, folder), 0)
    seen = {one.model: one.seen.removeprefix("† ") for one in ordered if one.seen}
    if seen:
        yield "† Seen in training: " + "; ".join(markdown(f"{model} was {what}") for model, what in seen.items()) + "."
    for group in LANGUAGE_GROUPS:
        codes = [code for code in english_first(ordered[0].languages) if group in ordered[0].languages[code]]
        if len(codes) > 1:
            yield f"### {markdown(TITLES[group])} by language"
            yield markdown_table(_language_table(ordered, group, codes), 0)


def _main_table(summaries: Sequence[Summary], folder: Path) -> Table:
    groups = [group for group in COLUMNS if any(group in one.groups for one in summaries)]
    pooled = [name for name in summaries[0].pooled if name == "LPR" or name.startswith("LPR@")]
    main = TITLES["pool" if all(pair.is_pool for pair in summaries[0].pairs) else "all"]
    heads = ("rank", "model", main, "95 % interval", *(TITLES[group] for group in groups), *pooled)
    known = [one.overall for one in summaries if one.overall]
    ranks = [*(str(best) if best == worst else f"{best}–{worst}" for best, worst in bands(known))]
    ranks += [MISSING] * (len(summaries) - len(known))
    rows = (
        (
            rank,
            one.label,
            _points(one.overall),
            bounds(one.overall.lower, one.overall.upper) if one.overall else MISSING,
            *(_points(one.groups.get(group)) for group in groups),
            *(score(name, one.pooled[name].value) if name in one.pooled else MISSING for name in pooled),
            *_facts(one, folder),
        )
        for one, rank in zip(summaries, ranks, strict=True)
    )
    facts = ("licence", "precision", "measured", "manifest")
    words = frozenset({0, 1, *range(len(heads), len(heads) + len(facts))})
    return Table("", (*heads, *facts), tuple(rows), left=words)


def _facts(summary: Summary, folder: Path) -> tuple[str, ...]:
    model = summary.manifest.model
    path = Path(os.path.relpath(Path(summary.paths[0]) / "manifest.json", folder)).as_posix()
    link = Link(summary.fingerprint[:8], path)
    return (model.licence or MISSING, model.precision or MISSING, summary.manifest.created[:10], link)


def _language_table(summaries: Sequence[Summary], group: str, codes: Sequence[str]) -> Table:
    rows = (
        (
            one.label,
            *(_points(one.languages.get(code, {}).get(group)) for code in codes),
            _points(one.groups.get(group)),
        )
        for one in summaries
    )
    return Table("", ("model", *(side(code) for code in codes), "mean"), tuple(rows))


def _reference_table(references: Sequence[Reference]) -> Table:
    groups = [group for group in TITLES if any(group in row.points for row in references)]
    rows = (
        (
            row.model,
            row.metric,
            *(points(row.points[group] / 100) if group in row.points else MISSING for group in groups),
            Link(row.source, row.url) if row.url else row.source,
        )
        for row in sorted(references, key=lambda row: (*(-row.points.get(group, -1) for group in groups), row.model))
    )
    heads = ("model", "metric", *(TITLES[group] for group in groups), "source")
    return Table("", heads, tuple(rows), left=frozenset({0, 1, len(heads) - 1}))


def _overview(tasks: Mapping[str, Sequence[Summary]]) -> str:
    board = {task: Link(task, f"{task}.md") for task in tasks}
    rows = tuple((board[task], *_task_row(mine)) for task, mine in tasks.items())
    heads = ("task", "what it is", "metric", "pairs", "languages", "models", "in front")
    words = frozenset({0, 1, 2, 6})
    parts = [
        MARK,
        "# Leaderboards",
        "In front: every model whose 95 % interval leaves the first place open. Models are compared only where they "
        "answered the same question: the same texts, judgements, pairs and metric.",
        markdown_table(Table("", heads, rows, left=words), 0),
        "## Models",
        "The main column of each board: the mean over all pairs of the task's largest question, x 100.",
        markdown_table(_model_table(tasks, board), 0),
        "Rendered by `clear-bench leaderboard`; with `--check` it says whether a board is stale. Every row links its "
        "manifest, which seals the scores beside it.",
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _task_row(summaries: Sequence[Summary]) -> tuple[str, ...]:
    mine = questions(summaries)[0]
    known = [(one.model, one.overall) for one in mine if one.overall]
    ranks = bands([overall for _, overall in known])
    front = [model for (model, _), (best, _) in zip(known, ranks, strict=True) if best == 1]
    codes = {code for pair in mine[0].pairs for code in (pair.query, pair.passage)}
    sizes = (count(len(mine[0].pairs)), count(len(codes)), count(len({one.fingerprint for one in summaries})))
    return (mine[0].title, mine[0].metric, *sizes, ", ".join(front))


def _model_table(tasks: Mapping[str, Sequence[Summary]], heads: Mapping[str, str]) -> Table:
    largest = {task: {one.model: one for one in questions(mine)[0]} for task, mine in tasks.items()}
    models = sorted({one.model for mine in tasks.values() for one in mine})
    rows = ((model, *(_overall(largest[task].get(model)) for task in tasks)) for model in models)
    return Table("", ("model", *heads.values()), tuple(rows))


def _size(summary: Summary) -> str:
    queries, passages = summary.sides
    codes = english_first([*queries, *passages])
    names = ", ".join(language_name(code) for code in codes) if len(codes) <= 30 else f"{len(codes)} languages"
    cells = summary.cells.values()
    most, clusters = max((v.n for v in cells), default=0), max((v.clusters for v in cells), default=0)
    pairs = f"{count(len(summary.pairs))} pair{'s' if len(summary.pairs) > 1 else ''}"
    size = f"{pairs} of {names}; up to {count(most)} queries in {count(clusters)} clusters a pair"
    return markdown("; ".join(filter(None, (size, summary.unanswerable))))


def _licence(summary: Summary) -> str:
    return summary.manifest.task.licence or "licence not stated"


def _overall(summary: Summary | None) -> str:
    return MISSING if summary is None else _points(summary.overall)


def _points(value: Value | None) -> str:
    return MISSING if value is None else points(value.value)
