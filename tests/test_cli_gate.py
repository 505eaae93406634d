"""`gate`, `gate-plan` and `baseline` as a CI job sees them: exit codes, streams, files."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from paired_results import EN, drawn, save_scores

from clear_bench.cli import invoke
from clear_bench.cli.gate_outputs import announce, write_files
from clear_bench.gate import Check

DE_EN, DE, AR, DE_AR = "deu-Latn:eng-Latn", "deu-Latn:deu-Latn", "ara-Arab:ara-Arab", "deu-Latn:ara-Arab"
HOSTILE = ["org/x|<script>", "$\\frac{", "[/bold]", "::error::boom", "a]]>&\x07"]


@pytest.fixture(autouse=True)
def _outside_of_github(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def shifted(scores: NDArray[np.float64], mean: float, sd: float = 0.1) -> NDArray[np.float64]:
    return scores + drawn(len(scores), mean, sd, seed=9)


@pytest.fixture
def results(tmp_path: Path) -> dict[str, str]:
    """A base and candidates that gained, lost, and changed too little to tell."""
    base = drawn(400, 0.5, 0.05)
    sides = {"base": base, "better": shifted(base, 0.03), "worse": shifted(base, -0.05), "open": shifted(base, -0.005)}
    return {
        name: str(save_scores(tmp_path / name / "xquad", {EN: values, DE_EN: base}, f"org/{name}"))
        for name, values in sides.items()
    }


@pytest.mark.parametrize(("name", "code"), [("base", 0), ("better", 0), ("worse", 1), ("open", 1)])
def test_exit_code_is_zero_only_for_a_pass(results: dict[str, str], name: str, code: int) -> None:
    assert invoke(["gate", results["base"], results[name]]) == code


def test_one_sentence_says_why(results: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    invoke(["gate", results["base"], results["worse"]])
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert shown.out.startswith("FAIL: English nDCG@10 fell 5.0 points (one-sided 95 % bounds")
    assert not shown.err


@pytest.mark.parametrize(("old", "new", "warned"), [(0.9, 0.6, True), (0.6, 0.6, False), (0.6, 0.9, False)])
def test_gate_and_compare_warn_where_the_candidates_hits_are_judged_less_often(
    tmp_path: Path, old: float, new: float, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = drawn(60, 0.7, 0.1)
    sides = [
        str(save_scores(tmp_path / name / "xquad", {EN: scores}, f"org/{name}", extra={"judged@10": [share] * 60}))
        for name, share in (("base", old), ("candidate", new))
    ]
    for command in ("gate", "compare"):
        invoke([command, *sides])
        told = "org/candidate finds fewer judged passages than org/base (judged@10 60.0 against 90.0)"
        assert (told in capsys.readouterr().err) == warned


def test_json_is_the_schemas(results: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["gate", results["base"], results["open"], "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    invoke(["schema", "gate"])
    jsonschema.validate(content, json.loads(capsys.readouterr().out))
    assert content["verdict"] == "INCONCLUSIVE"
    assert content["checks"][0]["n_queries"] == 400


def test_a_wider_margin_passes(results: dict[str, str]) -> None:
    assert invoke(["gate", results["base"], results["open"], "--margin", "0.05"]) == 0


@pytest.mark.parametrize("margin", ["1", "-0.01", "nan", "x"])
def test_a_margin_that_cannot_be_meant_exits_2(results: dict[str, str], margin: str) -> None:
    assert invoke(["gate", results["base"], results["base"], f"--margin={margin}"]) == 2


# --- refusals


def test_partial_results_exit_3_and_print_no_verdict(
    results: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = save_scores(tmp_path / "p" / "xquad", {EN: drawn(40, 0.5, 0.1)}, partial=True, limit=40)
    assert invoke(["gate", results["base"], str(partial)]) == 3
    shown = capsys.readouterr()
    assert not shown.out
    assert "--limit 40" in shown.err


def test_a_task_without_english_exits_3_and_names_those_that_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_scores(tmp_path / "a" / "xor", {DE_EN: drawn(40, 0.5, 0.1)}, task="xor")
    assert invoke(["gate", str(path), str(path)]) == 3
    assert "tasks that can: " in capsys.readouterr().err


def test_a_task_without_english_is_not_skipped_in_silence(tmp_path: Path) -> None:
    for task, cells in (("xquad", {EN: drawn(40, 0.5, 0.1)}), ("xor", {DE_EN: drawn(40, 0.5, 0.1)})):
        save_scores(tmp_path / "a" / task, cells, task=task)
    assert invoke(["gate", str(tmp_path / "a"), str(tmp_path / "a")]) == 3
    assert invoke(["gate", str(tmp_path / "a"), str(tmp_path / "a"), "--tasks", "xquad"]) == 0


def test_an_english_cell_or_task_that_the_candidate_lacks_exits_3(tmp_path: Path) -> None:
    base = tmp_path / "a"
    for task in ("xquad", "mlqa"):
        save_scores(base / task, {EN: drawn(40, 0.5, 0.1), DE_EN: drawn(40, 0.5, 0.1)}, task=task)
    save_scores(tmp_path / "b" / "xquad", {DE_EN: drawn(40, 0.5, 0.1)})
    save_scores(tmp_path / "b" / "mlqa", {EN: drawn(40, 0.5, 0.1)}, task="mlqa")
    save_scores(tmp_path / "c" / "mlqa", {EN: drawn(40, 0.5, 0.1)}, task="mlqa")
    assert invoke(["gate", str(base), str(tmp_path / "b"), "--tasks", "xquad"]) == 3
    assert invoke(["gate", str(base), str(tmp_path / "c")]) == 3
    assert invoke(["gate", str(base), str(tmp_path / "c"), "--tasks", "mlqa"]) == 0


def test_an_edited_manifest_exits_3(results: dict[str, str]) -> None:
    manifest = Path(results["better"]) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("org/better", "org/best"))
    assert invoke(["gate", results["base"], results["better"]]) == 3


def test_another_schema_version_exits_3(results: dict[str, str]) -> None:
    manifest = Path(results["better"]) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("clear-bench/result/1", "clear-bench/result/2"))
    assert invoke(["gate", results["base"], results["better"]]) == 3


def test_a_metric_that_is_better_when_lower_is_refused(tmp_path: Path) -> None:
    path = save_scores(tmp_path / "a" / "xquad", {EN: drawn(40, 0.5, 0.1)}, extra={"Max@R": drawn(40, 5)})
    assert invoke(["gate", str(path), str(path), "--metric", "Max@R"]) == 2


# --- several tasks, seeds, pairs and gates


def test_several_tasks_must_all_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = drawn(400, 0.5, 0.05)
    for task, loss in (("xquad", 0.0), ("mlqa", -0.05)):
        save_scores(tmp_path / "a" / task, {EN: base}, task=task)
        save_scores(tmp_path / "b" / task, {EN: shifted(base, loss, 0.05)}, task=task)
    assert invoke(["gate", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in shown] == ["FAIL", "PASS", "FAIL"]
    assert shown[-1] == "FAIL: 1 of 2 checks passed"


def test_seeds_are_joined_by_commas(results: dict[str, str]) -> None:
    # a loss of 5 points and a gain of 3 average to a loss of 1 on the same noise
    assert invoke(["gate", results["base"], f"{results['worse']},{results['better']}", "--margin", "0.03"]) == 0


def test_any_pair_set_can_be_gated(results: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["gate", results["base"], results["worse"], "--pairs", "de:en"]) == 0
    assert "PASS: de:en nDCG@10 did not change" in capsys.readouterr().out


@pytest.fixture
def languages(tmp_path: Path) -> tuple[str, str]:
    """German keeps its score, Arabic loses 4 points, English gains."""
    base = drawn(400, 0.5, 0.05)
    cells = {EN: 0.02, DE: 0.0, AR: -0.04, DE_AR: 0.0}
    old = save_scores(tmp_path / "a" / "xquad", dict.fromkeys(cells, base))
    return str(old), str(save_scores(tmp_path / "b" / "xquad", {p: shifted(base, d, 0.05) for p, d in cells.items()}))


def test_no_language_worse_than_a_margin(
    languages: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gate.toml"
    config.write_text('[[gate]]\nname = "no language worse"\npairs = ["monolingual"]\nmargin = 0.02\n')
    assert invoke(["gate", *languages, "--config", str(config), "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    verdicts = {(one["query_language"], one["margin"]): one["verdict"] for one in checks}
    assert verdicts[("eng-Latn", 0.01)] == "PASS"
    assert verdicts[("deu-Latn", 0.02)] == "PASS"
    assert verdicts[("ara-Arab", 0.02)] == "FAIL"


def test_a_mean_over_pairs_is_one_check(
    languages: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gate.toml"
    config.write_text('english = false\n[[gate]]\nname = "own languages"\npairs = ["monolingual"]\nover = "mean"\n')
    invoke(["gate", *languages, "--config", str(config), "--json"])
    (one,) = json.loads(capsys.readouterr().out)["checks"]
    assert (one["query_language"], one["passage_language"]) == ("*", "*")
    assert "own languages (mean of" in one["reason"]


@pytest.mark.parametrize("text", ["margn = 0.01", "margin = ", "[[gate]]\nmargin = 0.1"])
def test_a_bad_configuration_exits_2(results: dict[str, str], tmp_path: Path, text: str) -> None:
    config = tmp_path / "gate.toml"
    config.write_text(text)
    assert invoke(["gate", results["base"], results["base"], "--config", str(config)]) == 2


def test_a_flag_wins_over_the_configuration(results: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "gate.toml"
    config.write_text("margin = 0.001\n")
    assert invoke(["gate", results["base"], results["open"], "--config", str(config)]) == 1
    assert invoke(["gate", results["base"], results["open"], "--config", str(config), "--margin", "0.05"]) == 0
    assert invoke(["gate", results["base"], results["open"], "--config", str(tmp_path / "no.toml")]) == 2


# --- files for CI


def test_junit_counts_what_did_not_pass(languages: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    assert invoke(["gate", *languages, "--pairs", "en:en,ar:ar", "--junit", str(path)]) == 1
    suite = ElementTree.parse(path).getroot()[0]
    assert suite.attrib["tests"] == "2"
    assert suite.attrib["failures"] == "1"
    assert [len(case.findall("failure")) for case in suite] == [0, 1]


def test_badge_is_an_image_that_names_the_verdict(results: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "badge.svg"
    invoke(["gate", results["base"], results["worse"], "--badge", str(path)])
    root = ElementTree.parse(path).getroot()
    assert root.attrib["aria-label"] == "English gate: fail"
    assert "fell 5.0 points" in (root[0].text or "")


def test_github_gets_annotations_summary_and_outputs(
    languages: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, outputs = tmp_path / "summary.md", tmp_path / "output.txt"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    invoke(["gate", *languages, "--pairs", "monolingual,ar:ar", "--json"])
    shown = capsys.readouterr()
    json.loads(shown.out)  # nothing but the document
    (command,) = shown.err.splitlines()
    assert command.startswith("::error title=Gate xquad%3A FAIL::FAIL: ar nDCG@10 fell")
    assert "### Gate: FAIL" in summary.read_text()
    lines = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    assert lines["verdict"] == "FAIL"
    assert float(lines["lower"]) < float(lines["delta"]) < float(lines["upper"])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_break_no_format(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # No result with such a name can be read; the writers do not rely on it.
    sentence = f"FAIL: English {name} fell 20.0 points on 40 queries of {name}"
    failed = Check(name, "eng-Latn", "eng-Latn", name, -0.2, -0.22, -0.18, 0.01, 40, 40, "FAIL", sentence)
    files = {key: tmp_path / key for key in ("summary", "outputs", "junit", "badge")}
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(files["summary"]))
    monkeypatch.setenv("GITHUB_OUTPUT", str(files["outputs"]))
    write_files([failed], files["junit"], files["badge"])
    announce([failed])
    assert capsys.readouterr().err.count("\n") == 1
    for key in ("junit", "badge"):
        ElementTree.parse(files[key])
    assert [line.split("=")[0] for line in files["outputs"].read_text().splitlines()] == [
        *("verdict", "delta", "lower", "upper", "reason")
    ]
    assert "<script>" not in files["summary"].read_text()


# --- gate-plan


def test_plan_prints_margins_and_queries(results: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["gate-plan", results["base"]]) == 0
    shown = capsys.readouterr().out
    assert "0.15" in shown
    assert "1,430" in shown
    assert max(map(len, shown.splitlines()[:8])) <= 100


def test_plan_as_json_is_the_schemas(results: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["gate-plan", results["base"], "--json", "--margin", "0.02"]) == 0
    content = json.loads(capsys.readouterr().out)
    invoke(["schema", "gate-plan"])
    jsonschema.validate(content, json.loads(capsys.readouterr().out))
    assert (
        content["tasks"][0]["assumed"][1]["queries_needed"]
        == 390  # (2.4865 x .15 / .02)^2 = 348, and some more for what is unseen
    )  # (2.4865 x .15 / .02)^2 = 348, and what is unseen


def test_plan_without_english_exits_3(tmp_path: Path) -> None:
    assert (
        invoke(["gate-plan", str(save_scores(tmp_path / "a" / "xor", {DE_EN: drawn(10, 0.5, 0.1)}, task="xor"))]) == 3
    )


# --- baselines


def test_ten_small_losses_pass_one_by_one_and_fail_at_the_anchor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--dir", str(tmp_path / "baselines")]
    moving, release = (str(tmp_path / "baselines" / name) for name in ("moving", "release"))
    scores = drawn(1000, 0.6, 0.05)
    first = save_scores(tmp_path / "v0" / "xquad", {EN: scores}, "org/v0")
    assert invoke(["baseline", "accept", str(first), "--release", *where]) == 0
    for i in range(1, 11):
        scores = scores + drawn(1000, -0.004, 0.02, seed=i)
        step = str(save_scores(tmp_path / f"v{i}" / "xquad", {EN: scores}, f"org/v{i}"))
        assert invoke(["gate", moving, step]) == 0
        anchored = invoke(["gate", moving, step, "--anchor", release])
        assert invoke(["baseline", "accept", step, *where]) == 0
    assert anchored == 1
    assert "against the release anchor" in capsys.readouterr().out
    assert invoke(["baseline", "diff", *where]) == 0
    assert "release to moving  xquad  -4.0" in capsys.readouterr().out


def test_an_accepted_baseline_keeps_its_digests_and_leaves_the_run_behind(
    results: dict[str, str], tmp_path: Path
) -> None:
    assert invoke(["baseline", "accept", results["base"], "--dir", str(tmp_path / "kept")]) == 0
    kept = tmp_path / "kept" / "moving" / "xquad"
    assert sorted(path.name for path in kept.iterdir()) == ["manifest.json", "scores.parquet"]
    assert (kept / "manifest.json").read_bytes() == (Path(results["base"]) / "manifest.json").read_bytes()
    assert invoke(["gate", str(kept.parent), results["better"]]) == 0
    assert [path.name for path in kept.parent.iterdir()] == ["xquad"]


def test_a_baseline_that_was_edited_is_refused(results: dict[str, str], tmp_path: Path) -> None:
    invoke(["baseline", "accept", results["base"], "--dir", str(tmp_path / "kept")])
    with open(tmp_path / "kept" / "moving" / "xquad" / "scores.parquet", "ab") as file:
        file.write(b" ")
    assert invoke(["baseline", "show", "--dir", str(tmp_path / "kept")]) == 3
    assert invoke(["gate", str(tmp_path / "kept" / "moving"), results["better"]]) == 3


def test_partial_results_are_no_baseline(tmp_path: Path) -> None:
    path = save_scores(tmp_path / "p" / "xquad", {EN: drawn(10, 0.5, 0.1)}, partial=True, limit=10)
    assert invoke(["baseline", "accept", str(path), "--dir", str(tmp_path / "kept")]) == 3
    assert not (tmp_path / "kept").exists()


def test_show_lists_models_and_their_english(
    results: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--dir", str(tmp_path / "kept")]
    invoke(["baseline", "accept", results["base"], *where])
    assert "no fixed release yet" in capsys.readouterr().err
    assert invoke(["baseline", "show", *where]) == 0
    assert "org/base" in (shown := capsys.readouterr().out)
    assert "50.0" in shown
    assert invoke(["baseline", "diff", *where]) == 3
    assert invoke(["baseline", "diff", results["better"], *where]) == 0
    assert "+3.0" in capsys.readouterr().out


def test_no_baseline_yet_exits_3(tmp_path: Path) -> None:
    assert invoke(["baseline", "show", "--dir", str(tmp_path / "none")]) == 3


# --- weight


@pytest.mark.parametrize("command", ["gate", "compare", "gate-plan"])
def test_verdicts_import_nothing_heavy(results: dict[str, str], command: str) -> None:
    arguments = [command, results["base"]] + ([results["better"]] if command != "gate-plan" else [])
    code = (
        f"import sys; from clear_bench.cli import invoke; invoke({arguments!r})\n"
        "sys.exit(bool({'torch', 'mteb', 'sentence_transformers', 'datasets', 'faiss'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


# --- the action


def action() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    path = Path(__file__).parents[1] / "action" / "action.yml"
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_no_input_of_the_action_is_pasted_into_a_script() -> None:
    steps = action()["runs"]["steps"]
    assert not any("${{" in step["run"] for step in steps)
    handed = {value for step in steps for value in step["env"].values()}
    assert handed == {f"${{{{ inputs.{name} }}}}" for name in action()["inputs"]}


@pytest.mark.parametrize(("name", "code"), [("better", 0), ("worse", 1)])
def test_the_script_of_the_action_runs_the_gate(results: dict[str, str], tmp_path: Path, name: str, code: int) -> None:
    step = action()["runs"]["steps"][1]
    candidate = tmp_path / "a $(touch pwned) `touch pwned` name"
    Path(results[name]).rename(candidate)
    empty = dict.fromkeys(step["env"], "")
    given = {"BASE": results["base"], "CANDIDATE": str(candidate), "MARGIN": "0.01", "JUNIT": "gate.xml"}
    python = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[1])}
    outputs = tmp_path / "outputs"
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=tmp_path,
        env=empty | given | python | {"GITHUB_OUTPUT": str(outputs)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert f"verdict={'PASS' if code == 0 else 'FAIL'}" in outputs.read_text()
    assert (tmp_path / "gate.xml").is_file()
    assert not list(tmp_path.glob("pwned"))


def test_the_example_configuration_is_read() -> None:
    from clear_bench.gate import read_rules

    path = Path(__file__).parents[1] / "docs" / "examples" / "gate.toml"
    assert [rule.over for rule in read_rules(tomllib.loads(path.read_text()), "gate.toml")] == ["each", "each", "mean"]
