"""`clear-bench import`: mteb's means and TREC runs become results that compare with ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_task import write_task

from clear_bench.api import evaluate
from clear_bench.cli import invoke
from clear_bench.store.results import Result, read_result
from clear_bench.types import LanguagePair

DE_EN = LanguagePair("deu-Latn", "eng-Latn")


def entry(subset: str, languages: list[str], value: float, **more: Any) -> dict[str, Any]:
    scores = {"ndcg_at_10": value, "recall_at_100": 0.875, "nauc_ndcg_at_10_max": -3.5, "accuracy": 0.25}
    return {"hf_subset": subset, "languages": languages, "main_score": value} | scores | more


def task_result(name: str, **splits: list[dict[str, Any]]) -> dict[str, Any]:
    return {"dataset_revision": "abc", "task_name": name, "mteb_version": "2.26.0", "scores": splits}


def write(folder: Path, content: object, name: str = "T.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


def imported(capsys: pytest.CaptureFixture[str], *line: str | Path) -> list[Result]:
    assert invoke(["import", *map(str, line)]) == 0
    return [read_result(Path(path)) for path in capsys.readouterr().out.split()]


def test_a_result_of_mteb_becomes_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    languages = ["eng-Latn", "deu-Latn"]
    content = task_result("BelebeleRetrieval", test=[entry("eng_Latn-deu_Latn", languages, 0.5)])
    folder = tmp_path / "results" / "org__model" / "r1"
    write(folder, content)
    write(folder, {"name": "org/model", "revision": "r1"}, "model_meta.json")
    (result,) = imported(capsys, "mteb", tmp_path / "results", "--out", tmp_path / "out")
    assert (result.model, result.task, result.manifest["kind"]) == (
        "org/model",
        "mteb-BelebeleRetrieval",
        "imported-means",
    )
    # Belebele's first language is the passages'.
    assert result.pairs == (DE_EN,)
    assert result.scores.metrics == ("nDCG@10", "recall@100")
    assert result.manifest["task"]["main_metric"] == "nDCG@10"
    assert result.scores.table["nDCG@10"].to_pylist() == [0.5]


def test_splits_and_subsets_become_the_tasks_that_a_run_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subsets = [entry("biology", ["eng-Latn"], 0.5), entry("earth", ["eng-Latn"], 0.25)]
    path = write(tmp_path / "m", task_result("BrightRetrieval", dev=subsets[:1], test=subsets))
    results = imported(capsys, "mteb", path, "--model", "m", "--out", tmp_path / "out")
    names = [result.task for result in results]
    assert names == ["mteb-BrightRetrieval.dev", "mteb-BrightRetrieval.biology.test", "mteb-BrightRetrieval.earth.test"]


def test_means_compare_with_a_run_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = write_task(tmp_path / "toy")
    done = evaluate("bm25", str(card), pairs="de:de", out=tmp_path / "out")
    content = task_result("Theirs", test=[entry("de", ["deu-Latn"], 0.125)])
    path = write(tmp_path / "m", content)
    (result,) = imported(capsys, "mteb", path, "--model", "m", "--task", "toy", "--out", tmp_path / "out")
    line = ["compare", str(result.path), str(tmp_path / "out" / done.checkpoint.slug / "toy"), "--json"]
    assert invoke(line) == 0
    assert "imported as means" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "cannot be read as JSON"),
        ([], "no JSON object"),
        ({"task_name": "X"}, "no TaskResult"),
        (task_result("STS12", test=[{"hf_subset": "default", "languages": ["eng-Latn"], "cosine": 1}]), "metric"),
        (task_result("Unseen", test=[entry("a", ["eng-Latn", "deu-Latn"], 1)]), "add a row to REVIEWS"),
        (task_result("X", test=[entry("a", [], 1)]), "names no languages"),
    ],
)
def test_what_is_no_retrieval_result_is_refused(
    content: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m", content)
    assert invoke(["import", "mteb", str(path), "--model", "m", "--out", str(tmp_path / "out")]) in (2, 3)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_name_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "plain", task_result("X", test=[entry("a", ["eng-Latn"], 1)]))
    assert invoke(["import", "mteb", str(path), "--out", str(tmp_path / "out")]) == 3
    assert "--model" in capsys.readouterr().err


def test_our_own_exported_run_scores_as_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = write_task(tmp_path / "toy")
    done = evaluate("bm25", str(card), pairs=["de:de", "de:en"], out=tmp_path / "out")
    folder = tmp_path / "out" / done.checkpoint.slug / "toy"
    assert invoke(["export", str(folder), "--trec", "--out", str(tmp_path / "runs")]) == 0
    files = capsys.readouterr().out.split()
    runs = [f"--run={pair}={file}" for pair, file in zip(("de:de", "de:en"), sorted(files), strict=True)]
    (result,) = imported(capsys, "trec", "--model", "theirs", *runs, "--task", card, "--out", tmp_path / "out")
    ours = read_result(folder)
    assert result.manifest["kind"] == "trec"
    assert result.manifest["digests"] == ours.manifest["digests"]
    assert result.scores.table.equals(ours.scores.table)
    assert invoke(["compare", str(folder), str(result.path)]) == 0


def test_a_run_is_scored_by_trec_qrels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qrels = write(tmp_path, "q1 0 a 2\nq1 0 b 0\nq2 0 c 1\nq3 0 a 1\nq4 0 a 0\n", "qrels.txt")
    # Ranks are wrong on purpose: the similarity decides, and for equal ones the greater id.
    run = write(tmp_path, "q1 Q0 b 1 2.5 x\nq1 Q0 a 2 2.5 x\nq1 Q0 z 9 9 x\nq2 Q0 c 1 1 x\nq9 Q0 a 1 1 x\n", "run.txt")
    line = ["trec", "--model", "m", "--run", f"de:en={run}", "--qrels", qrels, "--task", "theirs"]
    (result,) = imported(capsys, *line, "--metrics", "MRR@10,recall@1", "--out", tmp_path / "out")
    table = result.scores.table.to_pydict()
    assert table["query_id"] == ["q1", "q2", "q3", "q4"]
    # q1: z, b, a; q2: c; q3 is judged, and the run has nothing for it; q4 has no relevant passage and counts all the
    # same, as with trec_eval -c.
    np.testing.assert_allclose(table["MRR@10"], [1 / 3, 1, 0, 0])
    assert table["recall@1"] == [0, 1, 0, 0]
    assert result.manifest["counts"]["unanswerable"] == {"deu-Latn:eng-Latn": 1}
    assert invoke(["report", str(result.path)]) == 0
    assert "1 query has no relevant passage and counts as 0" in capsys.readouterr().out


def test_a_run_of_other_queries_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qrels, file = write(tmp_path, "q1 0 a 1\n", "qrels.txt"), write(tmp_path, "topic-1 Q0 a 1 1 x\n", "run.txt")
    line = ["import", "trec", "--model", "m", "--run", f"de:en={file}", "--qrels", str(qrels), "--task", "t"]
    assert invoke([*line, "--out", str(tmp_path / "out")]) == 3
    assert f"{file}: none of its 1 queries is judged in deu-Latn:eng-Latn" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*"))


def test_a_passage_that_the_card_lacks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card, run = write_task(tmp_path / "toy"), write(tmp_path, "q1 Q0 nowhere 1 1 x\n", "run.txt")
    line = ["import", "trec", "--model", "m", "--run", f"de:en={run}", "--task", str(card)]
    assert invoke([*line, "--out", str(tmp_path / "out")]) == 3
    assert f"{run}, line 1: the passage 'nowhere' is not in the corpus of eng-Latn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "run.txt", "--qrels", "q"], "write query:passage=FILE"),
        (["--run", "de:en=nowhere.txt", "--qrels", "q"], "there is no file nowhere.txt"),
        (["--run", "de:xx=run.txt", "--qrels", "q"], "unknown language 'xx'"),
        (["--run", "de:en=run.txt", "--run", "deu:eng=q", "--qrels", "q"], "--run gives deu-Latn:eng-Latn twice"),
        (
            ["--run", "de:en=run.txt", "--qrels", "de:en=q", "--qrels", "de:eng=q"],
            "--qrels gives deu-Latn:eng-Latn twice",
        ),
        (["--run", "de:en=run.txt", "--qrels", "de:en=q", "--qrels", "de:fr=q"], "which no --run is of"),
        (["--run", "de:en=run.txt", "--qrels", "de:fr=q"], "there are no qrels for deu-Latn:eng-Latn"),
    ],
)
def test_a_run_that_is_not_named_properly_is_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "q1 Q0 a 1 1 x\n", "run.txt")
    write(tmp_path, "q1 0 a 1\n", "q")
    assert invoke(["import", "trec", "--model", "m", "--task", "t", *arguments]) == 2
    assert message in capsys.readouterr().err
