"""`gate`, `compare` and `report` from Python: what they return says what the commands print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paired_results import EN, drawn, save_scores
from toy_task import WordEncoder, write_task

import clear_bench
from clear_bench import Rule, api, compare_results, evaluate, gate_results, report_results
from clear_bench.cli import invoke
from clear_bench.errors import InputError, UsageError


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    base = drawn(200, 0.5, 0.05)
    sides = {"base": base, "candidate": base - drawn(200, 0.03, 0.1, seed=9)}
    base_folder, new_folder = (
        str(save_scores(tmp_path / name / "xquad", {EN: values, "deu-Latn:eng-Latn": values}, f"org/{name}"))
        for name, values in sides.items()
    )
    return base_folder, new_folder


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert invoke(list(arguments)) == code
    return capsys.readouterr().out


def test_the_package_exports_the_compositions_of_api() -> None:
    assert (compare_results, gate_results, report_results) == (api.compare, api.gate, api.report)
    assert all("Args:" in str(getattr(clear_bench, name).__doc__) for name in clear_bench.__all__ if name.islower())


def test_a_gate_returns_what_the_command_prints(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    found = api.gate(*folders)
    assert found.verdict == "FAIL"
    assert f"{found}\n" == printed(capsys, "gate", *folders, code=1)
    assert found.to_dict() == json.loads(printed(capsys, "gate", *folders, "--json", code=1))


def test_a_gate_takes_rules_tasks_and_an_anchor(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    rules = [Rule(margin=0.2, name="de:en,en:en", pairs=("de:en", "en:en"))]
    found = api.gate(*folders, rules, tasks=["xquad"], anchor=Path(folders[0]))
    flags = ("--margin", "0.2", "--pairs", "de:en,en:en", "--tasks", "xquad", "--anchor", folders[0])
    assert f"{found}\n" == printed(capsys, "gate", *folders, *flags)
    assert len(found.checks) == 4  # two pairs, against the base and the anchor
    with pytest.raises(InputError, match="xqaud"):
        api.gate(*folders, tasks=["xqaud"])


def test_a_comparison_returns_what_the_command_prints(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = api.compare(*folders, resamples=100, seen=["de"])
    flags = ("--resamples", "100", "--seen", "de")
    assert str(found) == printed(capsys, "compare", *folders, *flags)
    assert found.to_dict() == json.loads(printed(capsys, "compare", *folders, *flags, "--json"))
    rules = [line for line in str(found).splitlines() if set(line) == {"-", " "}]  # one below each table's head
    assert found._repr_html_().count("<table>") == len(rules)


@pytest.mark.parametrize("form", ["md", "html", "latex", "csv", "json", "model-index"])
def test_a_report_returns_what_the_command_prints(
    form: str, folders: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["clear-bench", "report"])
    made = api.report(folders[1], format=form, baseline=folders[0], resamples=100, command=["clear-bench", "report"])
    flags = ("--format", form, "--baseline", folders[0], "--resamples", "100")
    assert str(made) == printed(capsys, "report", folders[1], *flags)


def test_pictures_of_a_report_are_those_that_the_command_writes(folders: tuple[str, str], tmp_path: Path) -> None:
    assert invoke(["report", *folders, "--format", "svg", "--out", str(tmp_path / "out")]) == 0
    made = api.report(folders, format="svg")
    assert made.pictures() == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UsageError, match="svg"):
        str(made)


def test_evaluations_are_judged_without_folders(tmp_path: Path) -> None:
    card = str(write_task(tmp_path / "task"))
    saved = evaluate(WordEncoder(), card, out=tmp_path / "out")
    again = evaluate(WordEncoder(), card)
    assert api.gate(saved, again).verdict == "PASS"
    assert all(one.is_identical for one in api.compare(saved, again).comparisons)
    folder = str(tmp_path / "out" / saved.checkpoint.slug)
    assert saved.results()["toy"].path == Path(folder, "toy")
    assert str(api.report(saved, format="csv")) == str(api.report(folder, format="csv"))
    with pytest.raises(UsageError, match="'md'"):
        api.report(saved, format="mdd")
