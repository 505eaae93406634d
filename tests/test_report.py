from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from made_results import CODES, HOSTILE, SMALL, entry, save
from markdown_it import MarkdownIt
from test_render_escape import unlatex, visible

from clear_bench import report
from clear_bench.cli import invoke
from clear_bench.render import escape
from clear_bench.render.records import Entry
from clear_bench.types import LanguagePair

DRAW = {"queries": 40, "clusters": 10}


@pytest.fixture(scope="module")
def gained(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return entry(tmp_path_factory.mktemp("results"), HOSTILE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    out = tmp_path_factory.mktemp("out")
    base = save(out, "org/base", codes=SMALL, scores=DRAW)
    new = save(out, HOSTILE, codes=SMALL, scores=DRAW | {"seed": 1, "shift": 0.02})
    return str(base.parent), str(new.parent)


def test_markdown_holds_every_table_and_no_element_of_a_strangers(gained: Entry) -> None:
    page = visible(MarkdownIt("commonmark").enable("table").render(report.markdown([gained], ["clear-bench", "x`y`"])))
    assert page.tags.count("table") == len(list(report.tables(gained))) + 2
    assert "script" not in page.tags
    assert escape.printable(HOSTILE) in page.text
    assert "clear-bench 'x`y`'" in page.text


def test_latex_names_are_printed_and_braces_are_balanced(gained: Entry) -> None:
    text = report.latex([gained])
    bare = re.sub(r"\\[{}\\%&#_$]", "", text)
    assert bare.count("{") == bare.count("}")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == len(list(report.tables(gained)))
    assert escape.latex(HOSTILE) in text
    assert unlatex(escape.latex(HOSTILE)) == escape.printable(HOSTILE)


def test_latex_leaves_out_a_table_that_no_page_can_hold(tmp_path: Path) -> None:
    one = entry(tmp_path, codes=CODES[:8])
    long = [table.title for table in report.tables(one) if len(table.rows) > report.TALLEST]
    assert long == ["Gains by pair, query → passage"]
    assert escape.latex(long[0]) not in report.latex([one])


def test_csv_has_every_cell_of_every_metric_in_full_precision(gained: Entry) -> None:
    rows = list(csv.DictReader(io.StringIO(report.csv([gained]))))
    assert len(rows) == 16 * 2
    assert gained.gains is not None
    for row in rows:
        pair = LanguagePair(row["query_language"], row["passage_language"])
        assert float(row["value"]) == gained.summary.metrics[row["metric"]][pair].value
        if row["metric"] == "nDCG@10":
            assert float(row["gain_delta"]) == gained.gains.cells[pair].delta
        else:
            assert row["gain_delta"] == ""


@pytest.mark.parametrize("base", [True, False], ids=["gains", "scores"])
def test_json_is_the_schemas_and_holds_no_nan(tmp_path: Path, base: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    one = entry(tmp_path, HOSTILE, base=base)
    document = json.loads(report.json([one], ["clear-bench"]), parse_constant=pytest.fail)
    schema = files("clear_bench").joinpath("schemas/report.json").read_text("utf-8")
    jsonschema.validate(document, json.loads(schema))
    (result,) = document["results"]
    assert result["groups"]["all"]["value"] == one.summary.overall.value
    assert result["model"] == HOSTILE
    assert (result["baseline"] is not None) == base


def test_what_is_missing_from_json_has_a_reason(tmp_path: Path) -> None:
    from clear_bench.api.summary import summarise_results
    from clear_bench.store.results import read_result

    one_cluster = read_result(save(tmp_path, codes=SMALL[:1], scores={"queries": 5, "clusters": 1}))
    document = json.loads(report.json([Entry(summarise_results([one_cluster]))]))
    value = document["results"][0]["groups"]["english"]
    assert value["lower"] is None
    assert "one cluster" in value["reason"]


def test_every_format_of_the_command_line_has_a_writer() -> None:
    from clear_bench.cli.report import FORMATS, PICTURES

    assert set(FORMATS) == {*report.FORMATS, *PICTURES}


@pytest.mark.parametrize("form", ["md", "html", "latex", "csv", "json", "model-index"])
def test_the_command_writes_each_format(
    form: str, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = folders
    assert invoke(["report", new, "--baseline", base, "--format", form]) == 0
    assert capsys.readouterr().out.strip()


def test_the_command_writes_a_file_and_leaves_stdout_alone(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "report.html"
    assert invoke(["report", folders[1], "--format", "html", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert capsys.readouterr().out == ""


def test_pictures_are_files_in_a_folder(folders: tuple[str, str], tmp_path: Path) -> None:
    assert invoke(["report", folders[1], "--baseline", folders[0], "--format", "svg", "--out", str(tmp_path)]) == 0
    kinds = {path.name.split("xquad-")[1] for path in tmp_path.glob("*.svg")}
    assert {"heatmap.svg", "heatmap-gain.svg", "forest-x-en.svg"} <= kinds


def test_names_of_pictures_do_not_lead_out_of_their_folder(gained: Entry) -> None:
    manifest = gained.summary.manifest
    evil = replace(manifest, model=replace(manifest.model, slug="../../evil"))
    one = replace(gained, summary=replace(gained.summary, manifests=(evil,)))
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) for name in report.pictures(one, "svg"))


def test_pictures_without_a_folder_are_refused(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["report", folders[1], "--format", "svg"]) == 2
    assert "--out" in capsys.readouterr().err


def test_an_edited_score_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path, codes=SMALL[:2], scores=DRAW)
    scores = folder / "scores.parquet"
    scores.write_bytes(scores.read_bytes() + b" ")
    assert invoke(["report", str(folder)]) == 3
    assert "changed after the run" in capsys.readouterr().err


def test_an_empty_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["report", str(tmp_path)]) == 3
    assert "no finished result" in capsys.readouterr().err


def test_two_models_under_one_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = save(tmp_path, "org/same", codes=SMALL[:2], scores=DRAW, fingerprint="a" * 64)
    two = save(tmp_path, "org/same", codes=SMALL[:2], scores=DRAW, fingerprint="b" * 64)
    assert invoke(["report", str(one), str(two)]) == 0
    text = capsys.readouterr().out
    assert "org/same (aaaaaaaa)" in text
    assert "org/same (bbbbbbbb)" in text


def test_seeds_joined_by_a_comma_are_one_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = [save(tmp_path, f"org/s{i}", codes=SMALL[:2], scores=DRAW | {"seed": i}) for i in range(2)]
    assert invoke(["report", ",".join(map(str, seeds)), "--format", "json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert len(result["manifests"]) == 2


def test_a_partial_result_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(tmp_path, codes=SMALL[:2], scores=DRAW, partial=True, limit=40)
    assert invoke(["report", str(folder), "--format", "html"]) == 0
    assert "Partial result" in capsys.readouterr().out
    assert invoke(["report", str(folder), "--format", "md"]) == 0
    assert "Partial result" in capsys.readouterr().out


def test_reports_import_neither_torch_nor_mteb(folders: tuple[str, str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom clear_bench.cli import invoke\n"
        f"assert invoke(['report', {folders[1]!r}, '--baseline', {folders[0]!r}, '--format', 'html', '--out', "
        f"{str(tmp_path / 'x.html')!r}]) == 0\n"
        "print(' '.join(m for m in sys.modules if '.' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {
        "torch",
        "mteb",
        "sentence_transformers",
        "datasets",
        "transformers",
        "matplotlib",
    }
