"""`clear-bench list`: rows that say what the other commands accept, as a table and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from clear_bench.cli import cli, invoke
from clear_bench.cli.listing import _KINDS, _SHOWN, list_
from clear_bench.languages import all_codes
from clear_bench.losses import LOSSES
from clear_bench.metrics import METRICS, parse
from clear_bench.models.embedded import EMBEDDED
from clear_bench.tasks import find_task, select_pairs, task_names


def rows(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(cli, ["list", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(files("clear_bench").joinpath("schemas/list.json").read_text("utf-8")))
    assert document["kind"] == arguments[0]
    return list(document["rows"])


def table(*arguments: str) -> list[str]:
    done = CliRunner().invoke(cli, ["list", *arguments], catch_exceptions=False)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", _KINDS)
def test_table_and_json_have_the_same_rows(kind: str) -> None:
    found, lines = rows(kind), table(kind)
    headings = dict(zip(_SHOWN.get(kind, found[0]), lines[0].split(), strict=True))
    assert headings == _SHOWN.get(kind, {name: name for name in found[0]})
    first = next(iter(headings))
    # Below the headings stands a rule; an empty line ends the rows where a note follows.
    assert [line.split("  ")[0] for line in lines[2 : len(found) + 2]] == [row[first] for row in found]
    assert [*lines, ""][len(found) + 2] == ""


def test_tasks_show_size_and_terms() -> None:
    mini = next(row for row in rows("tasks") if row["name"] == "mini")
    # 72 questions and 36 passages in each of 6 languages.
    assert (mini["languages"], mini["pairs"], mini["queries"], mini["passages"]) == (6, 36, 432, 216)
    assert (mini["metric"], mini["licence"]) == ("nDCG@10", "CC0-1.0")
    assert [row["name"] for row in rows("tasks")] == list(task_names())


def test_languages_are_all_or_those_of_a_task() -> None:
    assert [row["code"] for row in rows("languages")] == list(all_codes())
    german = rows("languages", "mini")[1]
    assert german == {"code": "deu-Latn", "short": "de", "name": "German", "resource_class": 5}


def test_pairs_of_a_task_end_with_the_pools_that_must_be_named() -> None:
    found = rows("pairs", "mini")
    assert len(found) == 36 + 6
    assert found[1] == {"query_language": "eng-Latn", "passage_language": "deu-Latn", "kind": "en-x", "default": True}
    assert found[-1]["passage_language"] == "all"
    assert found[-1]["default"] is False


def test_pairs_without_a_task_count_what_each_word_means_where() -> None:
    mini = next(row for row in rows("pairs") if row["task"] == "mini")
    for word in mini.keys() - {"task"}:
        assert mini[word] == len(select_pairs(find_task("mini"), word))


def test_pairs_of_a_users_own_card_are_listed_by_its_path(shared_data: Path) -> None:
    assert len(rows("pairs", str(shared_data / "xquad" / "card.toml"))) == 144


def test_what_is_listed_is_what_other_commands_take() -> None:
    assert len(rows("metrics")) == len(METRICS)
    for row in rows("metrics"):
        assert parse(row["name"].replace("@k", "@10"))
    assert [row["name"] for row in rows("models")] == ["bm25", *(f"embedded:{name}" for name in EMBEDDED)]
    assert [row["name"] for row in rows("losses")] == list(LOSSES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["taks"], "unknown list 'taks'; did you mean 'tasks'"),
        (["pairs", "minni"], "unknown task 'minni'; did you mean 'mini'"),
        (["metrics", "mini"], "list metrics takes no task, but was given 'mini'"),
        ([], "Missing argument 'KIND'"),
    ],
)
def test_a_wrong_name_is_refused_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert invoke(["list", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


@pytest.mark.parametrize("kind", _KINDS)
def test_every_list_fits_a_hundred_columns(kind: str) -> None:
    shown = CliRunner().invoke(list_, [kind]).stdout
    assert max(map(len, shown.splitlines())) <= 100


def test_an_empty_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_KINDS, "models", list)
    assert CliRunner().invoke(list_, ["models"]).stdout == "none\n"


@pytest.mark.parametrize("kind", _KINDS)
def test_no_list_loads_a_heavy_package(kind: str) -> None:
    code = (
        "import sys; from clear_bench.cli import invoke\n"
        f"code = invoke(['list', {kind!r}]); print(code, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *loaded = done.stderr.split()
    assert status == "0"
    heavy = "torch mteb sentence_transformers transformers faiss datasets pandas pyarrow scipy"
    assert not set(heavy.split()) & set(loaded)
