from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_results import CODES, HOSTILE, entry, with_space
from test_render_escape import Visible, visible

from clear_bench.render import escape
from clear_bench.render.geometry import space_pictures
from clear_bench.render.page import page, standalone
from clear_bench.render.panels import heatmaps

COMMAND = ("clear-bench", "report", "a b")


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page([with_space(entry(tmp_path_factory.mktemp("results"), HOSTILE), HOSTILE)], COMMAND)


@pytest.fixture(scope="module")
def parsed(hostile_page: str) -> Visible:
    return visible(hostile_page)


def attribute(parsed: Visible, name: str) -> list[str]:
    return [value or "" for key, value in parsed.attributes if key == name]


def test_policy_allows_exactly_the_style_and_the_script_of_the_page(hostile_page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', hostile_page)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy[1]
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", hostile_page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_nothing_on_the_page_reaches_outside(hostile_page: str, parsed: Visible) -> None:
    addresses = [*attribute(parsed, "src"), *attribute(parsed, "href"), *attribute(parsed, "action")]
    assert [address for address in addresses if not address.startswith(("#", "data:,"))] == []
    assert "url(" not in hostile_page
    assert "@import" not in hostile_page


def test_no_inline_style_or_handler_that_the_policy_would_block(parsed: Visible) -> None:
    assert not [key for key, _ in parsed.attributes if key == "style" or key.startswith("on")]


def test_a_hostile_name_is_shown_and_opens_no_element(parsed: Visible) -> None:
    assert escape.printable(HOSTILE) in parsed.text
    assert parsed.tags.count("script") == 1
    assert "\x1b" not in parsed.text


def test_texts_of_queries_are_shown_as_text(parsed: Visible) -> None:
    assert "The <b>Rhine</b>." in parsed.text
    assert "The text is not at hand." in parsed.text
    assert "auto" in attribute(parsed, "dir")


def test_anchors_are_unique_and_every_table_has_a_caption_and_headings(hostile_page: str, parsed: Visible) -> None:
    anchors = attribute(parsed, "id")
    assert len(anchors) == len(set(anchors))
    assert parsed.tags.count("table") == parsed.tags.count("caption") == hostile_page.count("<thead>")
    assert "scope" in dict(parsed.attributes)


def test_the_page_holds_every_panel(parsed: Visible) -> None:
    for heading in (
        "Every query language on every passage language",
        "Gains by language",
        "English",
        "Direct pairs: no English on either side",
        "Resources of the language",
        "Geometry of the space",
        "Queries that changed most",
        "All numbers",
        "Provenance",
    ):
        assert heading in parsed.text
    assert "clear-bench report 'a b'" in parsed.text
    assert "clear-bench run --model" in parsed.text


def test_a_page_without_baseline_shows_scores(tmp_path: Path) -> None:
    text = visible(page([entry(tmp_path, base=False)])).text
    assert "Scores by language" in text
    assert "Gain" not in text.split("</style>")[-1].split("Provenance")[0].replace("GainS", "")


def test_several_results_get_an_overview_and_links(tmp_path: Path) -> None:
    one = entry(tmp_path)
    parsed = visible(page([one, one]))
    assert {"#result-1", "#result-2"} <= set(attribute(parsed, "href"))
    assert "Results: nDCG@10 x 100" in parsed.text


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    one = entry(tmp_path)
    assert page([one], COMMAND) == page([one], COMMAND)


def test_a_page_of_144_pairs_stays_small(tmp_path: Path) -> None:
    assert len(page([entry(tmp_path, codes=CODES)]).encode()) < 3_000_000


def test_the_panel_of_the_space_says_what_changed_and_draws_every_language(tmp_path: Path) -> None:
    one = with_space(entry(tmp_path), "next")
    text = visible(page([one])).text
    assert "Against org/base: translations stand out more (0." in " ".join(text.split())
    names = [picture.name for picture in space_pictures(one)]
    assert names == ["geometry-plane", "geometry-passages"]
    drawn, _ = space_pictures(one)
    root = ElementTree.fromstring(standalone(drawn))
    stars = [star for star in root.iter("{http://www.w3.org/2000/svg}g") if star.get("class") == "star"]
    languages = len(one.summary.sides[1])
    assert [len(list(star.iter("{http://www.w3.org/2000/svg}circle"))) for star in stars] == [languages] * 4
    assert "Geometry" not in visible(page([replace(one, space=None, moved=())])).text


def test_a_standalone_picture_carries_its_colours(tmp_path: Path) -> None:
    root = ElementTree.fromstring(standalone(next(heatmaps(entry(tmp_path)))))
    style = root.find("{http://www.w3.org/2000/svg}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in (style.text or "")
    assert [root.get("width"), root.get("height")] == (root.get("viewBox") or "").split()[2:]
