"""The benchmark scripts run at tiny sizes; what they measure there says nothing."""

from __future__ import annotations

import math
import subprocess
import sys
from argparse import Namespace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SVG = "{http://www.w3.org/2000/svg}"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a script; the names of scripts are those of the scripts only while a test runs."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for path in BENCHMARKS.glob("*.py"):
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return import_module(name)


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table_rows(printed: str, first: str) -> list[str]:
    """The cells of the only table row that begins with this one."""
    (found,) = [line for line in printed.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_equal_factors_are_equally_far_apart_on_a_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = script("chart", monkeypatch)
    lines = {"ours": [(10, 1), (100, 10), (1000, 100)], "<peer>": [(10, 2), (1000, 2)]}
    root = ElementTree.fromstring(chart.chart(lines, "Cost & size", "passages", "seconds"))
    drawn = {group.findtext(f"{SVG}title"): group for group in root.iter(f"{SVG}g")}
    assert set(drawn) == set(lines)
    path = drawn["ours"].find(f"{SVG}polyline").get("points")
    (x1, y1), (x2, y2), (x3, y3) = (map(float, point.split(",")) for point in path.split())
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.11)  # places are rounded to a tenth
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.11)
    assert y1 > y3  # more is higher
    assert chart.LEFT < x1 < x3 < chart.RIGHT


def test_a_peer_keeps_its_colour_where_others_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = script("chart", monkeypatch)

    def kinds(*missing: str) -> dict[str, str]:
        lines = {name: [] if name in missing else [(1, 1), (2, 2)] for name in "abcd"}
        groups = ElementTree.fromstring(chart.chart(lines, "", "", "")).iter(f"{SVG}g")
        return {group.findtext(f"{SVG}title"): group.get("class") for group in groups}

    assert set(kinds("b", "c")) == {"a", "d"}
    assert kinds("b", "c").items() <= kinds().items()


def test_names_of_lines_that_end_together_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = script("chart", monkeypatch)
    lines = {name: [(1, 1), (10, 5 + i / 100)] for i, name in enumerate("abcd")}
    root = ElementTree.fromstring(chart.chart(lines, "", "", ""))
    heights = sorted(float(group.find(f"{SVG}text").get("y")) for group in root.iter(f"{SVG}g"))
    assert all(b - a >= chart.LINE - 0.1 for a, b in pairwise(heights))


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = script("sections", monkeypatch)
    monkeypatch.setattr(sections, "RESULTS", tmp_path / "RESULTS.md")
    for name, body in (("one", "first"), ("two", "kept"), ("one", "second")):
        sections.report(name, name.title(), body, write=True)
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert text.startswith(sections.HEAD)
    assert "first" not in text
    assert text.index("second") < text.index("kept")
    assert text.count("<!-- begin") == text.count("<!-- end") == 2


def test_a_linear_cost_doubles_whatever_sizes_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = script("memory", monkeypatch)
    times = {rows: 3e-6 * rows for rows in (1_000_000, 4_000_000, 10_000_000)}
    assert memory.per_doubling(times, 10_000_000) == pytest.approx(2)
    squares = {rows: float(rows**2) for rows in (1, 4, 10)}
    assert memory.per_doubling(squares, 10) == pytest.approx(4)  # twice the rows, four times the cost
    assert memory.per_doubling(times, 1_000_000) is None


def test_too_little_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = script("memory", monkeypatch)
    with pytest.raises(SystemExit, match=r"GB are needed in .*--folder"):
        memory.measure([10**12], queries=1, depth=1, folder=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_memory_measures_every_size_and_leaves_no_file(tmp_path: Path) -> None:
    printed = run("memory", "--sizes", "500,1000", "--queries", 3, "--depth", 2, "--folder", tmp_path)
    # Half the rows were measured for the larger size alone.
    assert not table_rows(printed, "500")[-1]
    assert float(table_rows(printed, "1,000")[-1]) > 0
    assert not list(tmp_path.iterdir())


def test_curves_draw_every_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = script("curves", monkeypatch)
    made = {name: {size: curves.Point([size / 10], memory=size) for size in (10, 100)} for name in curves.SEARCHES}
    monkeypatch.setattr(curves, "searches", lambda *_: made)
    monkeypatch.setattr(sys, "argv", ["", "--parts", "corpus", "--sizes", "10,100", "--pictures", str(tmp_path)])
    curves.main()
    for picture in ("corpus", "memory"):
        svg = (tmp_path / f"curves-{picture}.svg").read_text(encoding="utf-8")
        titles = [group.findtext(f"{SVG}title") for group in ElementTree.fromstring(svg).iter(f"{SVG}g")]
        assert sorted(titles) == sorted(curves.SEARCHES)


@pytest.mark.parametrize("peer", ["clear-bench", "raw FAISS", "torch matmul, topk"])
def test_a_point_of_a_curve_has_times_and_memory(peer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = script("curves", monkeypatch)
    import_module("memory").write(tmp_path, 200, "float32")
    # One process for what has one each when it is measured: memory is not looked at here.
    point = curves.child(Namespace(child=tmp_path, peer=peer, rows=200, queries=5, depth=7, repeat=2))
    assert len(point.cpu) == 2
    assert math.isfinite(point.memory)


def test_a_collection_in_the_shape_of_miracl_is_evaluated(tmp_path: Path) -> None:
    printed = run("miracl", "--share", 0.0005, "--dimensions", 8, "--repeat", 1, "--folder", tmp_path)
    first, second = (table_rows(printed, f"{name} run") for name in ("first", "second"))
    assert first[-1] == second[-1]
    # The nearest passage is relevant, and three more of the query's ten are, somewhere.
    assert 0.3 < float(first[-1]) < 0.8
    assert "18 languages" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_languages_are_counted_beside_mteb(tmp_path: Path) -> None:
    printed = run(
        "curves", "--parts", "languages", "--sizes", "2,3", "--texts", 6, 4, "--repeat", 1, "--pictures", tmp_path
    )
    # mteb encodes the 6 queries and 4 passages of each of 9 pairs; three texts are ours to tell a model by.
    assert table_rows(printed, "3 | 9")[2:4] == ["33", "90"]
    assert (tmp_path / "curves-languages.svg").is_file()
    assert (tmp_path / "curves-texts.svg").is_file()


@pytest.mark.slow
def test_every_framework_gives_the_same_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toy import make_toy_checkpoint

    script("pairs", monkeypatch).make_collection(tmp_path / "made", 2, 12, 6)
    model = make_toy_checkpoint(tmp_path / "toy")
    printed = run("peers", tmp_path / "made" / "card.toml", "--model", model, "--parts", "matrix")
    names = ["mteb", "mteb, FaissSearchIndex", "mteb, CachedEmbeddingWrapper", "InformationRetrievalEvaluator"]
    for name in ("clear-bench", "clear-bench, warm store", *names):
        assert float(table_rows(printed, name)[-1]) < 1e-5  # mteb rounds to five decimals
