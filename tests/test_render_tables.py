from __future__ import annotations

import io
from pathlib import Path

import pytest
from made_results import HOSTILE, entry
from markdown_it import MarkdownIt
from test_render_escape import unlatex, visible

from clear_bench.render import escape, writers
from clear_bench.render.gains import language_tables, overall_table, pair_table
from clear_bench.render.numbers import bounds, p_value, percent, points, signed
from clear_bench.render.tables import Link, Table, is_small, matrix_table, metrics_table, overview_table, result_table
from clear_bench.types import LanguagePair

TABLE = Table("Two", ("name", "value"), (("日本語", "1.0"), (HOSTILE, "–"), ("all", "-0.5")), "A note.", totals=1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (signed(-0.0001), "0.0"),
        (signed(0.0), "0.0"),
        (signed(-0.0049), "-0.5"),
        (points(1.0), "100.0"),
        (percent(0.01, 0.5), "+2.0 %"),
        (percent(0.01, 0.0), "–"),
        (percent(0.01, -0.1), "–"),
        (p_value(0.0004), "<0.001"),
        (p_value(None), "–"),
        (bounds(-0.002, 0.031, sign=True), "-0.2 to +3.1"),
        (bounds(None, 0.1), "–"),
    ],
)
def test_numbers_are_shown_with_sign_unit_and_no_negative_zero(shown: str, expected: str) -> None:
    assert shown == expected


def test_plain_columns_are_aligned_also_for_wide_characters() -> None:
    lines = writers.plain_text(TABLE).splitlines()
    assert lines[0] == "Two"
    header, rule, wide, hostile, second_rule, total = lines[2:8]
    assert {writers._width(line) for line in (header, rule, wide, hostile, second_rule, total)} == {len(rule)}
    assert (rule, lines[-1]) == (second_rule, "A note.")
    assert "\x1b" not in "".join(lines)


def test_a_stream_that_is_no_terminal_gets_plain_text() -> None:
    out = io.StringIO()
    writers.write_terminal(TABLE, out)
    assert out.getvalue() == writers.plain_text(TABLE)


def test_a_terminal_shows_hostile_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    out = Terminal()
    writers.write_terminal(TABLE, out)
    assert escape.plain(HOSTILE) in out.getvalue()
    assert "\x1b[31m" not in out.getvalue()


def test_markdown_table_reads_back_cell_by_cell() -> None:
    page = visible(MarkdownIt("commonmark").enable("table").render(writers.markdown(TABLE)))
    assert page.tags.count("td") == 6
    assert page.tags.count("strong") == 2
    for text in ("日本語", escape.printable(HOSTILE), "-0.5", "A note."):
        assert text in page.text
    assert "script" not in page.tags


def test_markdown_links_a_cell_and_keeps_strangers_out_of_the_address() -> None:
    table = Table("", ("a",), ((Link("x](evil)", "results/a b/m)anifest.json"),),))
    page = visible(MarkdownIt("commonmark").enable("table").render(writers.markdown(table)))
    assert page.attributes[-1] == ("href", "results/a%20b/m%29anifest.json")
    assert page.text.split()[-1] == "x](evil)"


def test_latex_rows_have_one_cell_per_column_and_signs_in_mathematics() -> None:
    lines = [line.strip() for line in writers.latex(TABLE).splitlines()]
    rows = [line.removesuffix(r" \\") for line in lines if line.endswith(r" \\")]
    assert [unlatex(row.split(" & ")[0]) for row in rows] == ["name", "日本語", escape.printable(HOSTILE), "all"]
    assert rows[-1].split(" & ")[1] == "$-$0.5"
    assert [lines.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 2, 1]


def test_result_table_has_a_row_per_language_and_the_means_below(tmp_path: Path) -> None:
    summary = entry(tmp_path).summary
    table = result_table(summary)
    assert [row[0] for row in table.rows] == ["English (en)", "Arabic (ar)", "German (de)", "Greek (el)", "mean"]
    english, arabic, *_, mean = table.rows
    assert english[1:] == (points(summary.groups["english"].value), "–", "–", "–", "40")
    cell = summary.cells[LanguagePair("ara-Arab", "eng-Latn")]
    assert arabic[2] == points(cell.value)
    assert mean[4] == points(summary.groups["direct"].value)
    assert "English: " in table.note


def test_matrix_table_shows_every_pair_and_a_dash_for_what_was_not_measured(tmp_path: Path) -> None:
    from dataclasses import replace

    summary = entry(tmp_path).summary
    missing = LanguagePair("deu-Latn", "ara-Arab")
    cells = {pair: value for pair, value in summary.cells.items() if pair != missing}
    table = matrix_table(replace(summary, cells=cells))
    shown = {(row[0], head): text for row in table.rows for head, text in zip(table.columns[1:], row[1:], strict=True)}
    assert len(shown) == 16
    assert [key for key, text in shown.items() if text == "–"] == [("de", "ar")]
    assert shown["en", "de"] == points(summary.cells[LanguagePair("eng-Latn", "deu-Latn")].value)


def test_a_matrix_is_small_when_it_fits_a_terminal_and_says_more_than_its_diagonal(tmp_path: Path) -> None:
    from dataclasses import replace

    summary = entry(tmp_path).summary
    diagonal = [pair for pair in summary.pairs if pair.query == pair.passage]
    assert is_small(summary)
    assert not is_small(replace(summary, pairs=diagonal))


def test_metrics_table_shows_every_metric_of_a_pair(tmp_path: Path) -> None:
    table = metrics_table(entry(tmp_path).summary, LanguagePair("eng-Latn", "eng-Latn"))
    assert [row[0] for row in table.rows] == ["nDCG@10", "recall@10"]
    assert {row[3:] for row in table.rows} == {("40", "10")}


def test_overview_has_a_row_per_result(tmp_path: Path) -> None:
    summary = entry(tmp_path).summary
    table = overview_table([summary, summary])
    assert [row[:2] for row in table.rows] == [("org/next", "xquad")] * 2


def test_gain_tables_show_what_the_comparison_says(tmp_path: Path) -> None:
    gains = entry(tmp_path).gains
    assert gains is not None
    groups = {row[0]: row for row in overall_table(gains).rows}
    assert groups["X→en"][3] == signed(gains.groups["x-en"].delta)
    assert "direct, one language seen" in groups
    pairs = pair_table(gains).rows
    assert len(pairs) == 16
    tables = list(language_tables(gains))
    assert [len(table.rows) for table in tables] == [4, 3, 3, 3]
    x_en = tables[1]
    assert all(row[7] != "–" for row in x_en.rows), "adjusted for the other languages"


def test_pools_have_a_column_and_a_table_of_every_metric(tmp_path: Path) -> None:
    from made_results import save

    from clear_bench.api.summary import summarise_results
    from clear_bench.compare import Resampling, compare
    from clear_bench.render.gains import pool_gains_table
    from clear_bench.render.tables import pool_table
    from clear_bench.store.results import read_result

    pairs = ["eng-Latn:all", "deu-Latn:all"]
    draw = {"queries": 20, "metrics": ("nDCG@10", "LPR")}
    results = [read_result(save(tmp_path, f"m{i}", "pooled", pairs=pairs, scores=draw | {"seed": i})) for i in (0, 1)]
    summary = summarise_results(results[:1])
    table = result_table(summary)
    assert table.columns == ("language", "all", "queries")
    assert table.rows[0][1] == points(summary.cells[LanguagePair("eng-Latn", "all")].value)
    assert table.rows[-1][1] == points(summary.groups["pool"].value)
    assert [row[0] for row in pool_table(summary).rows] == ["nDCG@10", "LPR"]
    gains = compare(results[:1], results[1:], resampling=Resampling(0))
    assert [row[0] for row in pool_gains_table(gains).rows] == ["en nDCG@10", "de nDCG@10", "en LPR", "de LPR"]


def test_groups_that_a_result_lacks_have_no_column(tmp_path: Path) -> None:
    from made_results import save

    from clear_bench.api.summary import summarise_results
    from clear_bench.store.results import read_result

    pairs = ["deu-Latn:eng-Latn", "ara-Arab:eng-Latn"]
    summary = summarise_results([read_result(save(tmp_path, pairs=pairs, scores={"queries": 20}))])
    assert result_table(summary).columns == ("language", "X→en", "queries")
