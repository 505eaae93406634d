"""`clear-bench inspect` shows the queries behind a difference, worked out by hand on a tiny task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from toy_task import CODES, write_task

from clear_bench.cli import invoke
from clear_bench.store.results import RUN

SECOND = 1 / np.log2(3)
"""nDCG@10 of one relevant passage at rank 2."""
ENGLISH = ("--pairs", "en:en")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of four passages, each a direction; English has a fifth, p4, with the text of p0."""
    monkeypatch.chdir(tmp_path)
    write_task(Path("task"), size=4, extra='pools = { EVERY = ["eng-Latn", "deu-Latn"] }')
    corpus = Path("task/corpus/en.jsonl")
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    rows.append({"_id": "p4", "text": rows[0]["text"]})
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    # In English the first model has p2 above p3 for q3; the second has p4 above p0 for q0.
    run("old", {3: [0, 0, 1, 0.5]})
    run("new", {0: [0.8, 0.6, 0, 0]})


def run(name: str, changed: Mapping[int, list[float]], *more: str) -> None:
    for code in CODES.values():
        queries, passages = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
        if code == "en":
            passages = np.vstack([passages, [[0.8, 0.6, 0, 0]]]).astype(np.float32)
            for row, vector in changed.items():
                queries[row] = vector
        for side, vectors in (("queries", queries), ("passages", passages)):
            (Path(name) / side).mkdir(parents=True, exist_ok=True)
            np.save(Path(name) / side / f"{code}.npy", vectors)
    line = ["run", "--model", name, "--vectors", name, "--tasks", "task/card.toml", "--pairs", "all,en:EVERY"]
    assert invoke([*line, "--out", "out", *more]) == 0


def result(name: str) -> str:
    return str(next(Path("out").glob(f"{name}-*/toy")))


def inspected(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert invoke(["inspect", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    jsonschema.validate(document, json.loads(files("clear_bench").joinpath("schemas/inspect.json").read_text("utf-8")))
    found: list[dict[str, Any]] = document["queries"]
    return found


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert invoke(["inspect", *arguments]) == 0
    return capsys.readouterr().out


def test_a_loss_has_its_texts_ranks_and_the_hits_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    (query,) = inspected(capsys, result("old"), result("new"), *ENGLISH)
    assert (query["task"], query["query_id"], query["text"]) == ("toy", "q0", "en what is river 0")
    assert (query["query_language"], query["passage_language"], query["metric"]) == ("eng-Latn", "eng-Latn", "nDCG@10")
    assert (query["value"], query["other"]) == (1.0, pytest.approx(SECOND))
    assert query["delta"] == pytest.approx(SECOND - 1)
    assert query["relevant"] == [
        {
            "passage_id": "p0",
            "language": "eng-Latn",
            "grade": 1,
            "rank": 1,
            "other_rank": 2,
            "text": "en river 0 is described here",
        }
    ]
    assert [hit["passage_id"] for hit in query["hits"][:2]] == ["p0", "p4"]
    assert [hit["passage_id"] for hit in query["other_hits"][:3]] == ["p4", "p0", "p1"]
    assert [hit["similarity"] for hit in query["other_hits"][:3]] == pytest.approx([1.0, 0.8, 0.6])
    assert [hit["grade"] for hit in query["other_hits"][:3]] == [None, 1, None]
    assert [hit["rank"] for hit in query["other_hits"]] == [1, 2, 3, 4, 5]


def test_gains_are_the_other_way_round(capsys: pytest.CaptureFixture[str]) -> None:
    (gain,) = inspected(capsys, result("old"), result("new"), *ENGLISH, "--sort", "gain")
    (loss,) = inspected(capsys, result("new"), result("old"), *ENGLISH, "--sort", "loss")
    assert (gain["query_id"], gain["delta"]) == ("q3", pytest.approx(1 - SECOND))
    assert (loss["query_id"], loss["delta"]) == ("q3", pytest.approx(SECOND - 1))


def test_without_another_result_the_lowest_scores_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    found = inspected(capsys, result("new"), *ENGLISH, "--top", "2")
    assert [query["query_id"] for query in found] == ["q0", "q1"]
    for query in found:
        assert query["other"] is query["delta"] is query["other_hits"] is None
        assert [one["other_rank"] for one in query["relevant"]] == [None]


def test_rank_sorts_by_how_far_down_or_moved(capsys: pytest.CaptureFixture[str]) -> None:
    # The result alone: q0 at rank 2. Both: q0 (1 -> 2) and q3 (2 -> 1) moved by one, the others not.
    assert [q["query_id"] for q in inspected(capsys, result("new"), *ENGLISH, "--sort", "rank", "--top", "1")] == ["q0"]
    found = inspected(capsys, result("old"), result("new"), *ENGLISH, "--sort", "rank")
    assert [query["query_id"] for query in found] == ["q0", "q3", "q1", "q2"]


def test_ranks_below_the_stored_depth_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    run("old", {3: [0, 0, 1, 0.5]}, "--run-depth", "1", "--force")
    run("new", {0: [0.8, 0.6, 0, 0]}, "--run-depth", "1", "--force")
    (query,) = inspected(capsys, result("old"), result("new"), *ENGLISH)
    assert [(one["rank"], one["other_rank"]) for one in query["relevant"]] == [(1, None)]
    assert [len(query[side]) for side in ("hits", "other_hits")] == [1, 1]


def test_pairs_languages_and_differences_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    both = (result("old"), result("new"))
    # q3 gains in en:de and en:ar, too; q0 loses in en:en and in the pool alone.
    gains = inspected(capsys, *both, "--sort", "gain", "--language", "de")
    assert {(q["query_language"], q["passage_language"]) for q in gains} == {("eng-Latn", "deu-Latn")}
    everything = inspected(capsys, *both, *ENGLISH, "--sort", "score", "--min-delta", "0.36")
    assert {query["query_id"] for query in everything} == {"q0", "q3"}
    assert inspected(capsys, *both, *ENGLISH, "--sort", "score", "--min-delta", "0.37") == []
    assert inspected(capsys, *both, *ENGLISH, "--sort", "rank", "--min-delta", "0.37") == []
    (query,) = inspected(capsys, *both, *ENGLISH, "--metric", "recall@1")
    assert (query["value"], query["other"], query["delta"]) == (1.0, 0.0, -1.0)


def test_hits_of_a_pool_tell_their_language(capsys: pytest.CaptureFixture[str]) -> None:
    (query,) = inspected(capsys, result("new"), "--pairs", "en:EVERY", "--top", "1")
    languages = {one["passage_id"]: one["language"] for one in query["hits"]}
    assert languages["en/p4"] == "eng-Latn"
    assert languages["de/p0"] == "deu-Latn"
    assert {one["language"] for one in query["relevant"]} == {"eng-Latn", "deu-Latn"}


def test_terminal_names_what_moved_and_what_was_nearly_found(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, result("old"), result("new"), *ENGLISH)
    for words in (
        "1. toy en:en q0: nDCG@10 100.0 -> 63.1 (-36.9)",
        "query: en what is river 0",
        "relevant: p0 (en), grade 1, rank 1 -> 2: en river 0 is described here",
        "near miss: hit 1 of new, p4, has the text of the relevant passage p0",
        "near miss: new ranks above the relevant passage what nobody has judged: p4",
        "* relevant, ? not judged",
    ):
        assert words in out
    assert any("1* p0 (en) 1.000" in line and "1? p4 (en) 1.000" in line for line in out.splitlines())
    assert max(map(len, out.splitlines())) <= 102


def test_texts_that_are_not_at_hand_leave_ids_and_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    Path("task").rename("elsewhere")
    both = (result("old"), result("new"), *ENGLISH)
    (query,) = inspected(capsys, *both)
    assert (query["query_id"], query["text"], query["relevant"]) == ("q0", None, [])
    assert {(hit["text"], hit["grade"], hit["language"]) for hit in query["hits"]} == {(None, None, "eng-Latn")}
    assert invoke(["inspect", *both]) == 0
    told = capsys.readouterr()
    assert "text not at hand" in told.out
    assert "--card" in told.err
    assert inspected(capsys, *both, "--card", "elsewhere/card.toml")[0]["text"] == "en what is river 0"
    assert invoke(["inspect", *both, "--sort", "rank"]) == 3
    assert "needs the judgements" in capsys.readouterr().err


def test_texts_of_a_changed_collection_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    queries = Path("task/queries/en.jsonl")
    queries.write_text(queries.read_text().replace("what is", "what was"))
    (query,) = inspected(capsys, result("old"), result("new"), *ENGLISH)
    assert query["text"] is None


def test_results_without_a_run_have_scores_and_texts(capsys: pytest.CaptureFixture[str]) -> None:
    (Path(result("new")) / RUN).unlink()
    (query,) = inspected(capsys, result("old"), result("new"), *ENGLISH)
    assert [one["other_rank"] for one in query["relevant"]] == [None]
    assert query["other_hits"] == []
    assert invoke(["inspect", result("old"), result("new")]) == 0
    assert f"has no {RUN}" in capsys.readouterr().err


def test_hostile_texts_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    corpus = Path("task/corpus/en.jsonl")
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    rows[0]["text"] = "x\n::error::boo \x1b[31m [/bold] \u202e 中文" + "中" * 200
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run("old", {3: [0, 0, 1, 0.5]}, "--force")
    run("new", {0: [0.8, 0.6, 0, 0]}, "--force")
    out = shown(capsys, result("old"), result("new"), *ENGLISH)
    assert not {"\x1b", "\u202e"} & set(out)
    assert not [line for line in out.splitlines() if line.lstrip().startswith("::")]
    assert r"\x1b[31m [/bold]" in out
    (query,) = inspected(capsys, result("old"), result("new"), *ENGLISH)
    assert "\x1b[31m" in query["relevant"][0]["text"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--sort", "gain"), 2, "difference of two results"),
        (("--min-delta", "0.1"), 2, "difference of two results"),
        (("--pairs", "de:nowhere"), 2, "nowhere"),
        (("--language", "fr"), 3, "no pair"),
        (("--metric", "MAP@10"), 3, "MAP@10"),
        (("--tasks", "other"), 3, "other"),
    ],
)
def test_wrong_calls_are_refused(
    arguments: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["inspect", result("old"), *arguments]) == code
    assert words in capsys.readouterr().err


def test_results_of_different_questions_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    queries = Path("task/queries/en.jsonl")
    queries.write_text(queries.read_text().replace("what is", "what was"))
    run("new", {0: [0.8, 0.6, 0, 0]}, "--force")
    assert invoke(["inspect", result("old"), result("new")]) == 3
    assert "the queries of eng-Latn differ" in capsys.readouterr().err
