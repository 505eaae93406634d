from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import CODES, HOSTILE, entry

from clear_bench.render.axis import Ramp, gain_ramp, score_ramp, ticks
from clear_bench.render.forest import Mark, forest
from clear_bench.render.heatmap import heatmap
from clear_bench.render.panels import direct, english, figures, forests, heatmaps, trends
from clear_bench.render.trend import Dot, trend
from clear_bench.types import LanguagePair

STYLE = files("clear_bench.render").joinpath("pictures.css").read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def groups(svg: str) -> dict[str, ElementTree.Element]:
    """The tiles or rows of a picture by their tooltip."""
    root = ElementTree.fromstring(svg)
    return {(g.findtext(f"{SVG}title") or ""): g for g in root.iter(f"{SVG}g") if g.find(f"{SVG}title") is not None}


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


LIGHT, DARK = (colours(block) for block in STYLE.split("@media (prefers-color-scheme: dark)"))


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_stand_out_from_their_tiles(palette: dict[str, str]) -> None:
    inverse = set(re.findall(r"\.([slg]\d) text(?=[,\s])", STYLE))
    assert inverse == {"s5", "s6", "s7", "s8", "l3", "l4", "g3", "g4"}
    for step in (*Ramp(0, 1).steps, *Ramp(-1, 1, is_gain=True).steps, "none"):
        ink = palette["inverse" if step in inverse else "ink"]
        assert contrast(ink, palette[step]) >= 4.5, step


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_words_and_marks_stand_out_from_the_page(palette: dict[str, str]) -> None:
    for name in ("ink", "quiet", "gain", "loss"):
        assert contrast(palette[name], palette["paper"]) >= 4.5, name
    assert contrast(palette["unsure"], palette["paper"]) >= 3


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_the_ramp_from_low_to_high_changes_in_one_direction(palette: dict[str, str]) -> None:
    shades = [luminance(palette[step]) for step in Ramp(0, 1).steps]
    assert shades in (sorted(shades), sorted(shades, reverse=True))


def dichromat(colour: str, kind: str) -> tuple[float, float, float]:
    """Show a colour as people without red or green cones see it (Viénot, Brettel & Mollon 1999, linear RGB)."""
    rgb = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
    weights = {"protan": (0.11238, 0.88762), "deutan": (0.29275, 0.70725)}[kind]
    yellow = weights[0] * rgb[0] + weights[1] * rgb[1]
    return yellow, yellow, rgb[2]


@pytest.mark.parametrize("kind", ["protan", "deutan"])
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_gain_and_loss_differ_without_red_or_green_cones(palette: dict[str, str], kind: str) -> None:
    for step in range(1, 5):
        loss, gain = (dichromat(palette[f"{arm}{step}"], kind) for arm in "lg")
        # Yellowish against bluish: which channel is the stronger one tells the sign at every step.
        assert loss[0] > loss[2], step
        assert gain[2] > gain[0], step


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_higher_values_never_take_a_lower_step(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for ramp in (Ramp(-1.0, 1.0), Ramp(-1.0, 1.0, is_gain=True)):
        assert ramp.steps.index(ramp.step(low)) <= ramp.steps.index(ramp.step(high))


def test_no_change_is_neutral_and_ends_take_the_last_steps() -> None:
    ramp = gain_ramp([-0.043, 0.01])
    assert [ramp.step(x) for x in (-0.2, -0.043, 0.0, 0.05)] == ["l4", "l4", "z", "g4"]
    assert gain_ramp([0.0, 0.0]).step(0.0) == "z"
    assert score_ramp([0.5, 0.5]).step(0.5) == "s0"


@given(st.floats(-2, 2), st.floats(1e-6, 3), st.integers(2, 9))
def test_ticks_are_few_even_and_within_the_axis(low: float, width: float, most: int) -> None:
    found = ticks(low, low + width, most)
    assert 1 <= len(found) <= most
    assert all(low - 1e-9 <= tick <= low + width + 1e-9 for tick in found)
    gaps = [b - a for a, b in pairwise(found)]
    assert not gaps or max(gaps) - min(gaps) < 1e-9


def test_heat_map_has_a_tile_for_every_pair_and_grey_for_what_was_not_measured() -> None:
    values = {LanguagePair("eng-Latn", "deu-Latn"): 1.0, LanguagePair("deu-Latn", "deu-Latn"): 0.5}
    codes = ("eng-Latn", "deu-Latn")
    tiles = groups(heatmap(codes, codes, values, score_ramp(values.values()), "T"))
    assert {name: tile.get("class") for name, tile in tiles.items()} == {
        "en → en: not measured": "none",
        "en → de: 100.0": "s8",
        "de → en: not measured": "none",
        "de → de: 50.0": "s0",
    }
    assert [tile.findtext(f"{SVG}text") for tile in tiles.values()] == ["–", "100", "–", "50.0"]


def test_a_map_of_many_languages_drops_the_numbers_but_not_the_tooltips() -> None:
    codes = [f"q{chr(97 + i // 26)}{chr(97 + i % 26)}-Latn" for i in range(40)]
    values = {LanguagePair(q, p): 0.5 for q in codes for p in codes}
    tiles = groups(heatmap(codes, codes, values, score_ramp(values.values()), "T"))
    assert len(tiles) == 1600
    assert all(tile.find(f"{SVG}text") is None for tile in tiles.values())


def test_forest_marks_tell_gain_loss_and_unsure_apart_by_shape_and_class() -> None:
    marks = [
        Mark("up", 0.02, 0.01, 0.03, "up"),
        Mark("down", -0.02, -0.03, -0.01, "down"),
        Mark("flat", 0.0, -0.01, 0.01, "flat"),
        Mark("unknown", 0.5, None, None, "unknown"),
        Mark("mean", 0.01, 0.005, 0.015, "mean", is_mean=True),
    ]
    rows = groups(forest(marks, "T", margin=0.01))
    drawn = {name: (row.get("class"), [part.tag.removeprefix(SVG) for part in row][2:]) for name, row in rows.items()}
    assert drawn == {
        "up": ("gain", ["line", "circle", "text", "text"]),
        "down": ("loss", ["line", "rect", "text", "text"]),
        "flat": ("unsure", ["line", "circle", "text", "text"]),
        "unknown": ("unsure", ["circle", "text", "text"]),
        "mean": ("gain mean", ["line", "path", "text", "text"]),
    }


def test_forest_draws_zero_and_both_margins_where_they_belong() -> None:
    root = ElementTree.fromstring(forest([Mark("a", 0.0, -0.01, 0.01, "a")], "T", margin=0.01))
    lines = {
        name: [line for line in root.iter(f"{SVG}line") if line.get("class") == name] for name in ("zero", "margin")
    }
    zero = float(lines["zero"][0].get("x1") or 0)
    left, right = (float(line.get("x1") or 0) for line in lines["margin"])
    assert left < zero < right
    assert right - zero == pytest.approx(zero - left, abs=0.2)
    interval = next(g for g in root.iter(f"{SVG}g")).find(f"{SVG}line")
    assert interval is not None
    assert float(interval.get("x1") or 0) == pytest.approx(left, abs=0.1), "the interval ends at the margin"


def test_trend_labels_of_one_class_do_not_overlap() -> None:
    dots = [Dot(f"l{i}", 3, 0.01 + 1e-6 * i) for i in range(5)]
    root = ElementTree.fromstring(trend(dots, "T", is_gain=True, slope=0.01))
    heights = sorted(float(g.findall(f"{SVG}text")[0].get("y") or 0) for g in root.iter(f"{SVG}g"))
    assert all(below - above >= 10.9 for above, below in pairwise(heights))


@pytest.mark.parametrize("base", [True, False], ids=["gains", "scores"])
def test_every_picture_of_a_hostile_name_is_well_formed(tmp_path: Path, base: bool) -> None:
    one = entry(tmp_path, HOSTILE, base=base)
    pictures = [*heatmaps(one), *forests(one), *direct(one), *trends(one), *english(one)]
    assert len(pictures) > 6
    for picture in pictures:
        root = ElementTree.fromstring(picture.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert not list(root.iter(f"{SVG}script"))


def test_equal_models_show_no_gain_anywhere(tmp_path: Path) -> None:
    from made_results import save

    from clear_bench.api.summary import summarise_results
    from clear_bench.compare import Resampling, compare
    from clear_bench.render.records import Entry
    from clear_bench.store.results import read_result

    same = [read_result(save(tmp_path, codes=CODES[:3], scores={"queries": 20}))]
    one = Entry(summarise_results(same), compare(same, same, resampling=Resampling(0)), margin=0.01)
    gain_map = list(heatmaps(one))[1]
    assert {tile.get("class") for tile in groups(gain_map.svg).values()} == {"z"}
    assert {figure.gain for figure in figures(one)} == {"0.0"}
    assert {figure.direction for figure in figures(one)} == {""}


def test_a_summary_without_intervals_is_drawn_without_them(tmp_path: Path) -> None:
    one = entry(tmp_path, base=False)
    bare = {pair: replace(value, lower=None, upper=None) for pair, value in one.summary.cells.items()}
    languages = {
        code: {group: replace(value, lower=None, upper=None) for group, value in row.items()}
        for code, row in one.summary.languages.items()
    }
    flat = replace(
        one, summary=replace(one.summary, cells=bare, languages=languages, by_group={one.summary.metric: {}})
    )
    for picture in forests(flat):
        assert not [g for g in groups(picture.svg).values() if g.find(f"{SVG}line") is not None]
