"""The geometry of a model's vectors as tables, sentences and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clear_bench.geometry import MEASURES, Cell, Measure, Overall, Space, overall
from clear_bench.geometry.cells import SHARE
from clear_bench.languages import english_first, language_name, side
from clear_bench.render.axis import score_ramp
from clear_bench.render.heatmap import WIDEST, heatmap
from clear_bench.render.numbers import MISSING, count, plain, points
from clear_bench.render.panels import Picture
from clear_bench.render.plane import plane
from clear_bench.render.records import Entry
from clear_bench.render.tables import Table
from clear_bench.types import ENGLISH, LanguagePair

SIDES = {"query": "queries", "passage": "passages"}
CHANCE = "language_chance"


def show(name: str, value: float | None) -> str:
    """Show the value of a measure: shares in per cent, cosines and distances with three digits, ranks with one."""
    if value is None or MEASURES[name].ends == SHARE:
        return points(value)
    return plain(value, 1 if name.endswith("_rank") else 3)


def geometry_tables(space: Space) -> list[Table]:
    """Lay out what was measured: every measure on average, by language, the hubs, and what goes with the scores."""
    found = [_overall_table(space), _language_table(space)]
    if space.hubs:
        found.append(_hub_table(space))
    if space.explained:
        found.append(_explained_table(space))
    return found


def _overall_table(space: Space) -> Table:
    rows = []
    for one in overall(space.cells):
        values = sorted(cell.value for cell in space.cells if (cell.name, cell.side) == (one.name, one.side))
        ends = (show(one.name, values[0]), show(one.name, values[-1])) if one.cells > 1 else (MISSING, MISSING)
        rows.append((_title(one), SIDES[one.side], show(one.name, one.value), _span(one), *ends, count(one.n)))
    return Table(
        f"Geometry of {space.model} on {space.task}",
        ("measure", "of", "mean", "95 % interval", "lowest", "highest", "texts"),
        tuple(rows),
        "Lowest and highest: of the languages, or pairs of them. Shares in per cent.",
        left=frozenset({0, 1}),
    )


LANGUAGE_COLUMNS: Sequence[tuple[str, str, bool]] = (
    ("translation_cosine", "cosine to en", True),
    ("bitext_accuracy", "found in en", True),
    ("language_probe_accuracy", "language told", False),
    ("mean_cosine", "mean cosine", False),
    ("effective_rank", "eff. rank", False),
)
"""Measure, heading, and whether it is of the pair with English: passages, by language."""


def _language_table(space: Space) -> Table:
    known = {cell.key: cell for cell in space.cells}
    codes = english_first(cell.language for cell in space.cells if cell.language)
    rows = []
    for code in codes:
        texts = [f"{language_name(code)} ({side(code)})"]
        for name, _, with_english in LANGUAGE_COLUMNS:
            cell = known.get((name, "passage", code, ENGLISH if with_english else None))
            texts.append(show(name, cell.value if cell else None))
        foreign = known.get(("first_foreign_rank", "query", code, None))
        hubs = known.get(("hub_skewness", "passage", code, code))
        texts += [show("first_foreign_rank", foreign.value if foreign else None)]
        texts += [show("hub_skewness", hubs.value if hubs else None)]
        rows.append(tuple(texts))
    heads = ("language", *(head for _, head, _ in LANGUAGE_COLUMNS), "first foreign", "hubness")
    note = "Passages; first foreign: the rank at which a query meets another language in a mixed pool."
    return Table("By language", heads, tuple(rows), note)


def _hub_table(space: Space) -> Table:
    rows = tuple(
        (hub.passage_id, side(hub.language), count(hub.count), plain(hub.count / hub.expected, 1)) for hub in space.hubs
    )
    return Table(
        "Hubs: passages among the first hits of most queries, all query languages together",
        ("passage", "language", "times", "x expected"),
        rows,
        left=frozenset({0, 1}),
    )


def _explained_table(space: Space) -> Table:
    rows = []
    for one in space.explained:
        is_share = MEASURES[one.name].ends == SHARE
        of = MISSING if is_share or one.name.startswith("direct") else SIDES[one.side]
        rows.append((MEASURES[one.name].title, of, points(one.value), _span(one, points=True), count(one.n)))
    return Table(
        "What goes with the scores of pairs",
        ("explained by", "of", "points", "95 % interval", "pairs"),
        tuple(rows),
        "Points of the score for one standard deviation of the measure, the others held; shares in per cent. Intervals"
        " resample languages.",
        left=frozenset({0, 1}),
    )


def _title(one: Overall) -> str:
    return MEASURES[one.name].title


def _span(one: Overall | Measure, *, points: bool = False) -> str:
    if one.lower is None or one.upper is None:
        return MISSING
    if points:
        return f"{plain(100 * one.lower, 1)} to {plain(100 * one.upper, 1)}"
    return f"{show(one.name, one.lower)} to {show(one.name, one.upper)}"


def change_table(found: Sequence[Overall], base: str, candidate: str, task: str) -> Table:
    """Lay out how the geometry changed, measured on the same texts."""
    rows = []
    for one in found:
        was = one.base or 0.0
        sign = show if one.value < 0 else _plus
        is_clear = one.lower is not None and one.upper is not None and (one.lower > 0 or one.upper < 0)
        values = (show(one.name, was), show(one.name, was + one.value), sign(one.name, one.value))
        if one.name != CHANCE:
            rows.append((_title(one), SIDES[one.side], *values, _span(one), "" if is_clear else "not clear"))
    heads = ("measure", "of", "base", "candidate", "change", "95 % interval", "")
    return Table(f"Geometry: {candidate} against {base} on {task}", heads, tuple(rows), left=frozenset({0, 1, 6}))


def _plus(name: str, value: float) -> str:
    text = show(name, value)
    return f"+{text}" if text.strip("0.") else text


HEADLINES: Mapping[str, tuple[str, str, str]] = {
    "translation_contrast": ("translations stand out more", "translations stand out less", "translations as before"),
    "language_probe_accuracy": ("language shows more", "language shows less", "language shows as before"),
    "hub_skewness": ("hubs grew", "hubs shrank", "hubs unchanged"),
}
"""Measure -> what its rise, its fall, and neither say."""


def headline(found: Sequence[Overall]) -> str:
    """Return one sentence on what changed among the passages."""
    parts = []
    for one in found:
        if one.name in HEADLINES and one.side == "passage":
            up, down, same = HEADLINES[one.name]
            rises, falls = one.lower is not None and one.lower > 0, one.upper is not None and one.upper < 0
            was = one.base or 0.0
            moved = f" ({show(one.name, was)} to {show(one.name, was + one.value)})"
            parts.append(f"{up if rises else down if falls else same}{moved if rises or falls else ''}")
    return ", ".join(parts) or "nothing that both sides have was measured"


def space_tables(entry: Entry) -> list[Table]:
    """Lay out the geometry of a result, and how it changed from the baseline."""
    moved = [change_table(entry.moved, entry.base.model, entry.summary.model, entry.summary.task)] if entry.base else []
    return [*(geometry_tables(entry.space) if entry.space else ()), *(moved if entry.moved else ())]


def space_pictures(entry: Entry) -> Iterator[Picture]:
    """Draw the languages in the plane, and how near the translations of every two languages are."""
    space = entry.space
    if space is None:
        return
    if space.picture:
        title = "Languages, and texts in all of them"
        caption = (
            "Passages in the plane in which they differ most. Large: the mean of a language. A star is one text: its "
            "rays end at its translations, so short rays and language means close together say that meaning counts."
        )
        yield Picture("geometry-plane", title, plane(space.picture, title), caption)
    for of, word in SIDES.items():
        values = cells_by_pair(space.cells, "translation_cosine", of)
        if values:
            codes = english_first(code for pair in values for code in (pair.query, pair.passage))
            title = f"Cosine of translations x 100, {word}"
            svg = heatmap(codes, codes, values, score_ramp(values.values()), title, corner=f"{word}: translations")
            yield Picture(f"geometry-{word}", title, svg, "Of the same text in two languages.", len(codes) > WIDEST)


def cells_by_pair(cells: Sequence[Cell], name: str, of: str) -> dict[LanguagePair, float]:
    """Return a measure of two languages of one side, both ways."""
    return {
        LanguagePair(cell.language, cell.other_language): cell.value
        for cell in cells
        if (cell.name, cell.side) == (name, of) and cell.language and cell.other_language
    }
