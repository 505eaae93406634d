"""`clear-bench import`: mteb's means and TREC runs become results that compare with ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
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


def entry(
    subset: str, languages: list[str], value: float, only: Sequence[str] | None = None, **more: Any
) -> dict[str, Any]:
    scores = {"ndcg_at_10": value, "recall_at_100": 0.875, "nauc_ndcg_at_10_max": -3.5, "accuracy": 0.25}
    chosen = scores if only is None else {name: scores[name] for name in only}
    return {"hf_subset": subset, "languages": languages, "main_score": value} | chosen | more


def task_result(name: str, **splits: list[dict[str, Any]]) -> dict[str, Any]:
    return {"dataset_revision": "abc", "task_name": name, "mteb_version": "2.26.0", "scores": splits}


def write(folder: Path, content: object, name: str = "T.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def imported(capsys: pytest.CaptureFixture[str], *line: str | Path) -> list[Result]:
    assert invoke(["import", *map(str, line)]) == 0
    return [read_result(Path(path)) for path in capsys.readouterr().out.split()]


def test_a_second_import_of_the_same_runs_adds_the_metrics_that_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.trec").write_text("q1 Q0 d1 1 2 t\nq2 Q0 d2 1 2 t\n")
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d1 1\n")
    files = ["--run", f"en:en={tmp_path / 'run.trec'}", "--qrels", str(tmp_path / "qrels.txt")]
    line = ["import", "trec", "--model", "m", "--task", "mine", *files, "--out", str(tmp_path / "out"), "--metrics"]
    assert [invoke([*line, names]) for names in ("nDCG@10", "P@1,nDCG@10", "P@1")] == [0, 0, 0]
    assert len(set(capsys.readouterr().out.split())) == 1
    manifest = json.loads(next(tmp_path.glob("out/*/mine/manifest.json")).read_text())
    assert manifest["task"]["metrics"] == ["nDCG@10", "P@1"]
    assert manifest["task"]["main_metric"] == "nDCG@10"
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\nq2 0 d2 1\n")
    assert invoke([*line, "P@1"]) == 2  # other judgements


def test_a_result_of_mteb_becomes_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    languages = ["eng-Latn", "deu-Latn"]
    content = task_result("BelebeleRetrieval", test=[entry("eng_Latn-deu_Latn", languages, 0.5)])
    folder = tmp_path / "results" / "org__model" / "r1"
    write(folder, content)
    write(folder, {"name": "org/model", "revision": "r1"}, "model_meta.json")
    (result,) = imported(capsys, "mteb", tmp_path / "results", "--out", tmp_path / "out")
    assert (result.model, result.task, result.manifest.kind) == (
        "org/model",
        "mteb-BelebeleRetrieval",
        "imported-means",
    )
    # Belebele's first language is the passages'.
    assert result.pairs == (DE_EN,)
    assert result.scores.metrics == ("nDCG@10", "recall@100")
    assert result.manifest.task.main_metric == "nDCG@10"
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


def test_means_compare_with_a_run_that_has_queries_without_a_relevant_passage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An imported result does not know its data: what it does not say is no difference."""
    qrels = write(tmp_path, "q1 0 a 1\nq2 0 a 0\n", "qrels.txt")
    run = write(tmp_path, "q1 Q0 a 1 1 x\n", "run.txt")
    line = ["trec", "--model", "m", "--run", f"de:de={run}", "--qrels", qrels, "--task", "toy"]
    (ours,) = imported(capsys, *line, "--out", tmp_path / "out")
    path = write(tmp_path / "m", task_result("Theirs", test=[entry("de", ["deu-Latn"], 0.125)]))
    (theirs,) = imported(capsys, "mteb", path, "--model", "m", "--task", "toy", "--out", tmp_path / "theirs")
    assert invoke(["compare", str(theirs.path), str(ours.path)]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "T.json is not "),
        ([], "instead of an object"),
        ("[" * 99_999, "nested too deeply"),
        ('{"task_name": "X", "task_name": "Y"}', "stands twice"),
        (b"\xff\xfe{\0}\0", "save it as UTF-8"),
        ({"task_name": "X"}, "not a TaskResult"),
        ({**task_result("X"), "scores": {"test": {}}}, "instead of a list of subsets"),
        ({**task_result("X"), "scores": {"test": [3]}}, "holds 3 instead of the scores of a subset"),
        ({**task_result("X"), "dataset_revision": 1}, "dataset_revision is 1, but must be a text"),
        (task_result("X"), "no scores"),
        (task_result("X", test=[]), "instead of a list of subsets"),
        (task_result("STS12", test=[entry("default", ["eng-Latn"], 0.5, only=())]), "metric"),
        (task_result("X", test=[entry("a", ["../x"], 1)]), "is of the language '../x'"),
        (task_result("X", test=[entry("a", ["eng-Latn", None], 1)]), "is of the language None"),
        (task_result("ClearMini", test=[entry("../x-deu", ["deu-Latn"], 1)]), "does not name a pool of mini"),
        ({"mteb_dataset_name": "X", "test": {"ndcg_at_10": 1}}, "mteb cannot read this result from before"),
        ({"mteb_dataset_name": "ArguAna", "test": 7}, "mteb cannot read this result from before"),
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


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("ndcg_at_10", "recall_at_100") for value in (None, True, "0.5", 50.3, -0.2, [], {})),
        *(("precision_at_3", value) for value in (float("nan"), float("inf"), -float("inf"), 1.0000001, 10**18)),
        *(("main_score", value) for value in (None, True, "0.5", 50.3, float("nan"), -1.5)),
    ],
)
def test_a_score_that_is_no_share_is_refused(
    key: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m", task_result("X", test=[entry("a", ["eng-Latn"], 0.5) | {key: value}]))
    assert invoke(["import", "mteb", str(path), "--model", "m", "--out", str(tmp_path / "out")]) == 3
    assert f"{path}: split 'test', subset 'a': {key} is {json.dumps(value)}, but must be" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_mteb_writes_beside_retrieval_metrics_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    # mteb's nauc is NaN where it cannot be computed and has no lower end; p-MRR, FollowIR's main score, is in [-1, 1].
    more = {"nauc_ndcg_at_10_std": float("nan"), "nauc_map_at_1_max": -2.5, "p-MRR": -0.25, "main_score": -0.25}
    content = json.dumps(task_result("X", test=[entry("a", ["eng-Latn"], 0.5) | more]))
    path = write(tmp_path / "m", b"\xef\xbb\xbf" + content.replace(", ", ",\r\n").encode())
    (result,) = imported(capsys, "mteb", path, "--model", "m", "--out", tmp_path / "out")
    assert result.scores.metrics == ("nDCG@10", "recall@100")
    assert result.manifest.task.main_metric == "nDCG@10"
    assert "its main score is none of the metrics that are read" in caplog.text


@pytest.mark.parametrize("again", [0.5, 0.25])
def test_a_subset_that_stands_twice_is_refused(
    again: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subsets = [entry("a", ["eng-Latn"], 0.5), entry("a", ["eng-Latn"], again)]
    path = write(tmp_path / "m", task_result("X", test=subsets))
    assert invoke(["import", "mteb", str(path), "--model", "m", "--out", str(tmp_path / "out")]) == 3
    assert f"{path}: split 'test' has the subset 'a' twice" in capsys.readouterr().err


def test_a_task_of_many_subsets_is_one_matrix_for_each_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLQA names the passages' language first, and has other passages in every subset."""
    codes = ["ara", "deu", "eng", "spa"]
    scripts = {"ara": "Arab"}
    names = {code: f"{code}-{scripts.get(code, 'Latn')}" for code in codes}
    subsets = [
        entry(f"{a}-{b}", [names[a], names[b]], (4 * i + j) / 16)
        for i, a in enumerate(codes)
        for j, b in enumerate(codes)
    ]
    path = write(tmp_path / "m", task_result("MLQARetrieval", validation=subsets, test=subsets))
    results = imported(capsys, "mteb", path, "--model", "m", "--out", tmp_path / "out")
    assert [result.task for result in results] == ["mteb-MLQARetrieval.validation", "mteb-MLQARetrieval.test"]
    for result in results:
        values = dict(zip(result.pairs, result.scores.table["nDCG@10"].to_pylist(), strict=True))
        assert len(values) == 16
        # ara-deu: Arabic passages, German queries, the second subset.
        assert values[LanguagePair("deu-Latn", "ara-Arab")] == 1 / 16


def test_two_results_in_one_place_are_refused_before_the_first_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subsets = [entry("a", ["eng-Latn"], 0.5)]
    path = write(tmp_path / "m", task_result("X", dev=subsets, test=subsets))
    line = ["import", "mteb", str(path), "--model", "m", "--out", str(tmp_path / "out"), "--force"]
    assert invoke([*line, "--task", "ours"]) == 2
    assert "leave --task out" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_imported_already_is_not_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "m", task_result("X", test=[entry("a", ["eng-Latn"], 0.5)]))
    line = ["mteb", path, "--model", "m", "--out", tmp_path / "out"]
    first, again = imported(capsys, *line), imported(capsys, *line)
    assert first[0].manifest == again[0].manifest
    write(tmp_path / "m", task_result("X", test=[entry("a", ["eng-Latn"], 0.25)]))
    assert invoke(["import", *map(str, line)]) == 2


@pytest.mark.parametrize("name", ["../x", "../../x", "a/b", ".", "con", "a b", "x" * 101])
def test_a_task_name_chooses_no_place(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qrels, run = write(tmp_path / "a", "q1 0 a 1\n", "qrels.txt"), write(tmp_path / "a", "q1 Q0 a 1 1 x\n", "run.txt")
    path = write(tmp_path / "a", task_result("X", test=[entry("a", ["eng-Latn"], 0.5)]))
    out = ["--task", name, "--model", "m", "--out", str(tmp_path / "b" / "out")]
    assert invoke(["import", "trec", "--run", f"de:en={run}", "--qrels", str(qrels), *out]) == 2
    assert invoke(["import", "mteb", str(path), *out]) == 2
    assert "cannot name a folder" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_task_name_in_a_file_chooses_no_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("../../../x", "/etc/x", "a\\..\\b"):
        path = write(tmp_path / "m", task_result(name, test=[entry("a", ["eng-Latn"], 0.5)]))
        (result,) = imported(capsys, "mteb", path, "--model", "../../m", "--out", tmp_path / "out")
        assert result.path.resolve().parent.parent == (tmp_path / "out").resolve()
    path = write(tmp_path / "m", task_result("x" * 300, test=[entry("a", ["eng-Latn"], 0.5)]))
    assert invoke(["import", "mteb", str(path), "--model", "m", "--out", str(tmp_path / "out")]) == 3


def test_a_result_from_before_mteb_1_11_is_read_as_mteb_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mteb = pytest.importorskip("mteb")
    scores = {"ndcg_at_10": 0.5, "recall_at_100": 0.75, "evaluation_time": 3.0}
    content = {"mteb_dataset_name": "ArguAna", "mteb_version": "1.1.0", "dataset_revision": "r", "test": scores}
    path = write(tmp_path / "m", content)
    (result,) = imported(capsys, "mteb", path, "--model", "m", "--out", tmp_path / "out")
    assert (result.task, result.pairs) == ("mteb-ArguAna", (LanguagePair("eng-Latn", "eng-Latn"),))
    assert result.scores.table["nDCG@10"].to_pylist() == [mteb.TaskResult.from_disk(path).get_score()] == [0.5]


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
    assert result.manifest.kind == "trec"
    assert result.manifest.digests == ours.manifest.digests
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
    assert result.manifest.counts.unanswerable == {"deu-Latn:eng-Latn": 1}
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
