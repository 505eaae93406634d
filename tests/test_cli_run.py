"""`clear-bench run` as a user runs it: what is printed where, what is saved, what is reused and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from toy import make_toy_checkpoint
from toy_task import CODES, write_task, write_vectors

from clear_bench.cli import invoke
from clear_bench.store.results import read_manifest

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with the card of a toy task and vectors for it."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "task")
    write_vectors(tmp_path / "vectors")
    return tmp_path


@pytest.fixture
def run(files: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the toy task on precomputed vectors; gives exit code and standard output."""

    def call(*arguments: str, tasks: str = "task/card.toml", vectors: str = "vectors") -> tuple[int, str]:
        capsys.readouterr()
        line = ["run", "--model", "toy", "--tasks", tasks, "--out", "out", *arguments]
        code = invoke([*line, *(["--vectors", vectors] if vectors else [])])
        return code, capsys.readouterr().out

    return call


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_checkpoint(tmp_path_factory.mktemp("models") / "toy")


def results(out: Path = Path("out")) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/*/manifest.json"))


def check_schema(name: str, document: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert invoke(["schema", name]) == 0
    jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out)).validate(document)


def shell(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clear_bench", *arguments],
        capture_output=True, text=True, timeout=120, cwd=cwd, env=os.environ | variables,
    )  # fmt: skip


# What is printed


def test_table_shows_every_language_and_group(run: Run) -> None:
    code, out = run()
    assert code == 0
    assert all(word in out for word in ("English", "German", "Arabic", "monolingual", "X→en", "en→X", "direct"))
    assert "toy on toy: nDCG@10 x 100" in out


def test_json_is_one_document_that_fits_its_schema(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run("--json")
    document = json.loads(out)
    assert code == 0
    check_schema("run", document, capsys)
    assert len(document["results"]) == 9 * 3
    assert {row["n_queries"] for row in document["results"]} == {8}
    assert all(0 <= row["value"] <= 1 for row in document["results"])


def test_manifest_fits_its_schema_and_says_what_was_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    manifest = read_manifest(results()[0])
    check_schema("result", manifest.to_dict(), capsys)
    assert manifest.counts.texts == manifest.counts.encoded_texts == 48
    assert manifest.counts.hits == 9 * 8 * 8, "eight passages are all there is to rank"
    assert set(manifest.files) == {"mteb.json", "run.parquet", "scores.parquet"}
    assert manifest.task.licence == "CC0-1.0"
    assert [len(manifest.digests.inputs[name]) for name in ("queries", "corpora")] == [3, 3]


def test_streams_are_kept_apart_and_no_bar_is_drawn_into_a_file(files: Path) -> None:
    line = ["run", "--model", "toy", "--tasks", "task/card.toml", "--vectors", "vectors", "--out", "out"]
    done = shell(*line, "--index", "faiss:HNSW4", "--json", cwd=files)
    assert done.returncode == 0
    assert json.loads(done.stdout)["schema"] == "clear-bench/run/1"
    assert "against exact search" in done.stderr
    assert "\x1b" not in done.stderr
    assert "\x1b" not in shell(*line, "--out", "o2", cwd=files, NO_COLOR="1", CI="true", TERM="xterm").stdout


def test_verbose_says_that_a_result_is_used_again_and_quiet_says_nothing(files: Path) -> None:
    line = ["run", "--model", "toy", "--tasks", "task/card.toml", "--vectors", "vectors", "--out", "out"]
    assert shell("-q", *line, cwd=files).stderr == ""
    again = shell("-v", *line, cwd=files)
    assert "used again" in again.stderr
    assert "used again" not in again.stdout


def test_closed_pipe_is_no_error(files: Path) -> None:
    program = (
        f"set -o pipefail; {sys.executable} -m clear_bench run --model toy --tasks task/card.toml --vectors vectors "
        "--out out --json | true"
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, cwd=files)
    assert (done.returncode, done.stderr) == (0, "")
    assert results(files / "out"), "the result is kept, whoever reads the table"


# What is planned


def test_dry_run_counts_and_writes_nothing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run("--dry-run", "--json", "--pairs", "de:en,ar:en", "--limit", "5")
    plan = json.loads(out)
    assert code == 0
    check_schema("plan", plan, capsys)
    # Two query sets of 5 and one corpus of 8, searched twice 5 times.
    expected = {"pairs": 2, "queries": 10, "passages": 8, "texts": 3, "judged": 10, "depth": 10}
    assert plan["tasks"][0].items() >= expected.items()
    assert not Path("out").exists()
    code, out = run("--dry-run")
    assert "9 pairs, 72 searches to depth 10" in out


def test_dry_run_and_manifest_show_the_first_texts_as_they_are_encoded(
    run: Run, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The toy checkpoint carries the prompts `query: ` and `passage: `; de:en asks in German of English passages."""
    first = {"query": "query: de what is river 0", "passage": "passage: en river 0 is described here"}
    line = ["run", "--model", str(checkpoint), "--tasks", "task/card.toml", "--pairs", "de:en", "--out", "shown"]
    assert invoke([*line, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    check_schema("plan", plan, capsys)
    assert plan["tasks"][0]["encoded"] == first
    assert invoke([*line, "--dry-run"]) == 0
    assert f"first query as encoded: {first['query']!r}" in capsys.readouterr().out
    assert invoke(line) == 0
    assert read_manifest(results(Path("shown"))[0]).encoded == first


def test_dry_run_of_a_model_that_is_not_here_fetches_nothing_and_says_so(
    files: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert invoke(["run", "--model", "org/absent", "--tasks", "task/card.toml", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"][0]["encoded"] == {}
    assert "org/absent is not here yet" in caplog.text


def test_dry_run_and_finished_runs_import_neither_torch_nor_mteb(files: Path, checkpoint: Path) -> None:
    line = ["run", "--model", str(checkpoint), "--tasks", "task/card.toml", "--out", "out", "--json"]
    assert invoke(line) == 0
    program = (
        "import sys\nfrom clear_bench.cli import invoke\n"
        "codes = [invoke([*sys.argv[1:], '--dry-run']), invoke(sys.argv[1:]),\n"
        "         invoke([*sys.argv[1:], '--out', 'elsewhere'])]\n"
        "heavy = {'torch', 'mteb', 'sentence_transformers', 'transformers', 'datasets'} & set(sys.modules)\n"
        "print(codes, sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *line], capture_output=True, text=True, timeout=60, cwd=files)
    assert done.stderr.strip() == "[0, 0, 0] []"
    assert [read_manifest(path).counts.encoded_texts for path in results(files / "elsewhere")] == [0]
    first, second = results(files / "out")[0], results(files / "elsewhere")[0]
    for name in ("scores.parquet", "run.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


# What is asked


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("all", 9), ("en:en", 1), ("*:en", 3), ("de:*", 3), ("deu_Latn:arb", 1), ("direct", 2), ("monolingual", 3),
        ("cross", 6), ("en:en,direct,en:en", 3), ("de:everything", 1), ("*:POOL", 3),
    ],
)  # fmt: skip
def test_pair_patterns(run: Run, files: Path, pattern: str, count: int) -> None:
    write_task(files / "task", extra="", size=8)
    card = files / "task" / "card.toml"
    card.write_text(card.read_text() + '[pools]\neverything = ["eng-Latn", "deu-Latn", "ara-Arab"]\n')
    code, out = run("--pairs", pattern, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["tasks"][0]["pairs"] == count


def test_pool_is_searched_as_one_corpus(run: Run, files: Path) -> None:
    card = files / "task" / "card.toml"
    card.write_text(card.read_text() + '[pools]\neverything = ["eng-Latn", "deu-Latn", "ara-Arab"]\n')
    code, out = run("--pairs", "de:everything", "--metrics", "recall@3,recall@24", "--json")
    assert code == 0
    values = {row["metric"]: row["value"] for row in json.loads(out)["results"]}
    assert values["recall@24"] == 1, "24 passages hold every relevant one"
    assert values["recall@3"] < 1


def test_pair_that_one_task_lacks_is_skipped_there_with_a_warning(
    run: Run, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = write_task(files / "other", "other")
    other.write_text(other.read_text().replace('pairs = "all"', 'pairs = ["de:en"]'))
    code, out = run("--pairs", "de:en,de:ar", "--json", tasks="task/card.toml,other/card.toml")
    assert code == 0
    assert "task other has no pair 'de:ar'; it is skipped there" in caplog.text
    tasks = {(row["task"], row["passage_language"]) for row in json.loads(out)["results"]}
    assert tasks == {("toy", "eng-Latn"), ("toy", "ara-Arab"), ("other", "eng-Latn")}


POOL = 'pools = { everything = ["eng-Latn", "deu-Latn", "ara-Arab"] }'


@pytest.mark.parametrize("metrics", ["LPR", "nDCG@10,Max@R", "R@2kt", "four-way", "MRC@10"])
def test_a_metric_that_no_pair_can_have_is_refused_before_any_work(
    run: Run, metrics: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--pairs", "en:en", "--metrics", metrics)[0] == 2
    assert not Path("out").exists()


def test_a_metric_that_only_one_of_two_tasks_can_have_is_left_out_of_the_other(
    run: Run, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_task(files / "mixed", name="mixed", extra=POOL)
    code, out = run("--pairs", "de:en,de:POOL", "--metrics", "MRR@10,LPR", "--json", tasks="task,mixed")
    assert code == 0
    assert {(row["task"], row["metric"]) for row in json.loads(out)["results"]} == {
        ("toy", "MRR@10"), ("mixed", "MRR@10"), ("mixed", "LPR"),
    }  # fmt: skip
    assert "LPR is left out of toy" in caplog.text


def test_a_metric_that_only_some_pairs_have_is_null_with_its_reason_in_the_others(run: Run, files: Path) -> None:
    write_task(files / "task", extra=POOL)
    code, out = run("--pairs", "de:en,de:POOL", "--metrics", "nDCG@10,LPR", "--json")
    assert code == 0
    rows = {(row["passage_language"], row["metric"]): row for row in json.loads(out)["results"]}
    assert rows["everything", "LPR"]["value"] is not None
    assert rows["eng-Latn", "LPR"]["value"] is None
    assert "passages are in one language" in rows["eng-Latn", "LPR"]["reason"]
    assert all(rows[side, "nDCG@10"]["value"] is not None for side in ("eng-Latn", "everything"))


def test_every_command_reads_a_result_whose_main_metric_counts_no_query(
    run: Run, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LPR-top1 counts the queries whose first hit is right: vectors that point away from the answer leave none."""
    write_task(files / "task", extra=POOL)
    write_vectors(files / "others", seed=1)
    for path in files.glob("*/queries/*.npy"):
        np.save(path, -np.load(path))
    asked = ("--pairs", "de:POOL", "--metrics", "LPR-top1,recall@24", "--run-depth", "24")
    assert [run(*asked, vectors=vectors)[0] for vectors in ("vectors", "others")] == [0, 0]
    base, following = (str(path.parent) for path in results())
    for line, code in (
        (["report", base], 0),
        (["report", base, "--format", "json"], 0),
        (["report", base, "--format", "csv"], 0),
        (["report", base, "--format", "html"], 0),
        (["report", base, "--format", "latex"], 0),
        (["report", base, "--format", "svg", "--out", "pictures"], 0),
        (["report", base, "--format", "model-index"], 3),
        (["compare", base, following], 3),
        (["compare", base, following, "--metric", "recall@24"], 0),
        (["gate", base, following, "--pairs", "de:POOL", "--metric", "recall@24"], 1),  # eight queries say too little
        (["leaderboard", "out", "--out", "boards"], 0),
        (["verify", base], 0),
        (["export", base, "--trec", "--out", "runs"], 0),
        (["export", base, "--mteb", "--out", "mteb"], 0),
    ):
        assert invoke(line) == code, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "| German (de) | – |" in out
    check_schema("report", json.loads(out[out.index("{") : out.rindex("]\n}") + 3]), capsys)


def test_every_metric_is_shown_and_one_is_chosen_for_the_front(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run("--metric", "mrr@10", "--baseline", "bm25")
    assert code == 0
    assert out.startswith("toy on toy: MRR@10 x 100")
    assert "MRR@10 x 100" in out[out.index("toy against bm25") :]
    rows = [line.split()[0] for line in out[out.index("every metric x 100") :].splitlines()[4:7]]
    assert rows == ["MRR@10", "nDCG@10", "recall@1"]
    assert invoke(["report", str(results()[-1]), "--metric", "recall@1", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)["results"][0]
    assert document["metric"] == "recall@1"
    cells = [cell["value"] for cell in document["cells"] if cell["metric"] == "recall@1"]
    assert document["groups"]["all"]["value"] == pytest.approx(sum(cells) / 9)
    assert invoke(["report", str(results()[-1]), "--metric", "P@7"]) == 3
    write_task(Path("other"), name="other")
    assert run("--metrics", "P@1", tasks="other")[0] == 0
    assert invoke(["report", str(results()[-1].parent), "--metric", "MRR@10", "--format", "json"]) == 0
    shown = {one["task"]: one["metric"] for one in json.loads(capsys.readouterr().out)["results"]}
    assert shown == {"other": "P@1", "toy": "MRR@10"}


def test_a_metric_for_the_front_that_is_not_computed_is_refused_before_any_work(run: Run) -> None:
    assert run("--metric", "P@7")[0] == 2
    assert not Path("out").exists()


def test_metrics_instead_of_the_cards_own(run: Run) -> None:
    code, out = run("--metrics", "recall@2, P@1", "--pairs", "en:en", "--json")
    assert code == 0
    assert [row["metric"] for row in json.loads(out)["results"]] == ["recall@2", "P@1"]


def test_run_depth_says_how_many_ranks_are_kept(run: Run) -> None:
    import pyarrow.parquet as pq

    run("--run-depth", "3", "--pairs", "en:en")
    table = pq.ParquetFile(results()[0] / "run.parquet").read()
    assert sorted(set(table["rank"].to_pylist())) == [1, 2, 3]
    assert len(table) == 3 * 8
    # Metrics look deeper than what is kept.
    assert read_manifest(results()[0]).counts.hits == 8 * 8


def test_approximate_index_reports_its_recall(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    code, _ = run("--index", "faiss:HNSW4", "--pairs", "*:en")
    assert code == 0
    assert "faiss:HNSW4: recall@" in caplog.text
    recalls = read_manifest(results()[0]).recall_against_exact
    assert set(recalls) == {"eng-Latn"}
    assert 0 < recalls["eng-Latn"]["recall"] <= 1


@pytest.mark.parametrize(
    ("index", "complaint"),
    [("faiss:PQ7", "multiple of the number of subquantizers"), ("faiss:IVF4,Flat:nprob=1", "there is no parameter")],
)
def test_an_index_that_faiss_does_not_build_is_refused_before_anything_is_encoded(
    index: str, complaint: str, checkpoint: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["run", "--model", str(checkpoint), "--tasks", "task/card.toml", "--index", index, "--cache-dir", "cache"]
    assert invoke(line) == 2
    assert complaint in capsys.readouterr().err
    assert not Path("cache").exists()


def test_index_of_codes_reports_its_recall_and_that_it_reranks_the_stored_rows(run: Run) -> None:
    _, exact = run("--json")
    code, coded = run("--json", "--index", "binary:3", "--store-dtype", "float16", "--force")
    assert code == 0
    manifest = read_manifest(results()[0])
    assert manifest.settings == {"index": "binary:3", "store_dtype": "float16"}
    # Eight passages are searched as they are, whatever the index.
    assert {one["recall"] for one in manifest.recall_against_exact.values()} == {1.0}
    for one, other in zip(json.loads(exact)["results"], json.loads(coded)["results"], strict=True):
        assert other["value"] == pytest.approx(one["value"], abs=0.01)


def test_coded_store_reports_what_it_lost(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert run("--store-dtype", "int8", "--pairs", "*:en")[0] == 0
    lost = read_manifest(results()[0]).counts.stored_cosine
    assert set(lost) == {"eng-Latn"}
    assert 0.99 < lost["eng-Latn"]["least"] <= lost["eng-Latn"]["mean"] < 1
    assert "int8 passages: a stored vector's cosine with what it was" in caplog.text
    run("--pairs", "*:en", "--force")
    assert "stored_cosine" not in read_manifest(results()[0]).counts.to_dict()


@pytest.mark.parametrize("index", ["faiss", "torch", "auto"])
def test_every_exact_index_gives_the_same_scores(run: Run, index: str) -> None:
    _, first = run("--json", "--index", "faiss")
    _, second = run("--json", "--index", index, "--force")
    assert json.loads(first) == json.loads(second)


# What is kept


def test_identical_finished_result_is_used_again(run: Run) -> None:
    _, first = run("--json")
    before = {path: path.stat().st_mtime_ns for path in results()[0].iterdir()}
    _, second = run("--json")
    assert first == second
    assert before == {path: path.stat().st_mtime_ns for path in results()[0].iterdir()}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--index", "torch"), "--index is auto there, torch now"),
        (("--store-dtype", "float16"), "--store-dtype is float32 there, float16 now"),
    ],
)
def test_other_settings_in_the_same_place_are_refused_without_force(
    run: Run, capsys: pytest.CaptureFixture[str], option: tuple[str, str], words: str
) -> None:
    run()
    before = (results()[0] / "manifest.json").read_bytes()
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", "task/card.toml", "--out", "out"]
    assert invoke([*line, *option]) == 2
    error = capsys.readouterr().err
    assert str(Path("out")) in error
    assert words in error
    assert "--force" in error
    assert (results()[0] / "manifest.json").read_bytes() == before
    assert invoke([*line, *option, "--force"]) == 0
    assert (results()[0] / "manifest.json").read_bytes() != before
    assert [path.name for path in results()[0].parent.iterdir()] == ["toy"]


def test_changed_result_is_refused_and_not_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    (results()[0] / "scores.parquet").write_bytes(b"better")
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", "task/card.toml", "--out", "out"]
    assert invoke(line) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "was changed after the run" in captured.err


def test_two_checkpoints_of_one_name_get_two_results(run: Run, files: Path) -> None:
    run()
    write_vectors(files / "vectors", seed=1)
    code, _ = run()
    assert code == 0
    assert len(results()) == 2
    assert {path.parent.name.rpartition("-")[0] for path in results()} == {"toy"}


def test_baseline_prints_the_gains(run: Run, files: Path, checkpoint: Path) -> None:
    code, out = run("--baseline", str(checkpoint))
    assert code == 0
    assert "toy against " in out
    assert "95 % interval" in out
    assert len(results()) == 2


def test_baseline_with_json_prints_one_document_of_both(
    run: Run, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run("--baseline", str(checkpoint), "--json")
    assert code == 0
    document = json.loads(out)
    check_schema("run", document, capsys)
    assert list(dict.fromkeys(row["model"] for row in document["results"])) == [str(checkpoint), "toy"]


def test_mistyped_baseline_costs_no_run(run: Run) -> None:
    assert run("--baseline", "nowhere")[0] == 2
    assert run("--baseline", "toi", "--json") == (2, "")
    assert not results()


def test_lexical_baseline_runs_like_a_model(run: Run) -> None:
    code, out = run("--baseline", "bm25", "--json")
    assert code == 0
    values = {(row["model"], row["query_language"], row["passage_language"], row["metric"]): row["value"]
              for row in json.loads(out)["results"]}  # fmt: skip
    # Query and passage share the subject's word and number, which no other passage has together.
    assert values["bm25", "eng-Latn", "eng-Latn", "recall@1"] == 1


# Checkpoints


def test_checkpoint_settings_change_the_result_and_its_name(run: Run, checkpoint: Path) -> None:
    changes: tuple[tuple[str, ...], ...] = (
        (), ("--query-prompt", "q: "), ("--passage-prompt", "p: "), ("--similarity", "dot"), ("--truncate-dim", "8"),
        ("--max-seq-length", "16"), ("--precision", "bf16"),
    )  # fmt: skip
    for change in changes:
        assert run("--model", str(checkpoint), "--pairs", "de:en", *change, vectors="")[0] == 0
    manifests = [read_manifest(path) for path in results()]
    assert len(manifests) == len({one.model.fingerprint for one in manifests}) == len(changes)
    found = [one.model for one in manifests]
    assert sorted(one.prompts["query"] for one in found) == ["q: ", *["query: "] * 6]
    assert sorted(one.precision for one in found) == ["bf16", *["fp32"] * 6]
    assert sorted(one.similarity for one in found) == [*["cosine"] * 6, "dot"]
    assert {one.truncate_dim for one in found} == {None, 8}


def test_cut_texts_are_counted_and_warned_of(run: Run, checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    run("--model", str(checkpoint), "--pairs", "de:en", "--max-seq-length", "5", vectors="")
    shares = read_manifest(results()[0]).counts.truncated_share
    assert shares == {"query": {"deu-Latn": 1.0}, "passage": {"eng-Latn": 1.0}}
    assert "texts cut at the model's length, passage side: eng-Latn 100%" in caplog.text
    assert "--max-seq-length" in caplog.text


def test_truncated_vectors_are_made_from_the_full_ones(run: Run, checkpoint: Path) -> None:
    run("--model", str(checkpoint), vectors="")
    code, _ = run("--model", str(checkpoint), "--truncate-dim", "8", vectors="")
    assert code == 0
    counts = {read_manifest(path).model.truncate_dim: read_manifest(path).counts for path in results()}
    assert (counts[None].encoded_texts, counts[8].encoded_texts) == (48, 0)


# Settings


def test_settings_come_from_the_configuration_file(run: Run, files: Path) -> None:
    (files / "clear-bench.toml").write_text('[run]\npairs = ["de:en", "ar:en"]\nlimit = 4\n')
    code, out = run("--dry-run", "--json")
    assert code == 0
    assert (json.loads(out)["tasks"][0]["pairs"], json.loads(out)["tasks"][0]["judged"]) == (2, 8)
    assert json.loads(run("--dry-run", "--json", "--limit", "2")[1])["tasks"][0]["judged"] == 4


def test_settings_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEAR_BENCH_PAIRS", "en:en")
    assert json.loads(run("--dry-run", "--json")[1])["tasks"][0]["pairs"] == 1


@pytest.mark.parametrize(
    ("name", "near"), [("CLEAR_BENCH_PRECISON", "CLEAR_BENCH_PRECISION"), ("CLEAR_BENCH_BATCH_TOKEN", "BATCH_TOKENS")]
)
def test_mistyped_variable_is_refused_with_the_near_miss(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, near: str
) -> None:
    monkeypatch.setenv(name, "x")
    assert invoke(["run", "--model", "toy", "--tasks", "task/card.toml"]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert near in error


def test_variable_of_another_command_is_no_mistake(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEAR_BENCH_MARGIN", "0.01")
    assert run("--dry-run")[0] == 0


# Other tools


def test_means_equal_trec_eval_on_the_exported_run(run: Run, files: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    _, out = run("--json", "--metrics", "nDCG@10,recall@5,MAP@10,P@3", "--run-depth", "10")
    assert invoke(["export", str(results()[0]), "--trec", "--out", "runs"]) == 0
    lines = (files / "task" / "qrels.tsv").read_text().splitlines()[1:]
    qrels: dict[str, dict[str, int]] = {}
    for query, passage, grade in (line.split("\t") for line in lines):
        qrels.setdefault(query, {})[passage] = int(grade)
    names = {"nDCG@10": "ndcg_cut_10", "recall@5": "recall_5", "MAP@10": "map_cut_10", "P@3": "P_3"}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, set(names.values()))
    rows = json.loads(out)["results"]
    assert len(rows) == 9 * 4
    for row in rows:
        path = files / "runs" / f"toy.{row['query_language']}-{row['passage_language']}.trec"
        hits: dict[str, dict[str, float]] = {}
        for query, _, passage, _, similarity, _ in (line.split() for line in path.read_text().splitlines()):
            hits.setdefault(query, {})[passage] = float(similarity)
        measured = [values[names[row["metric"]]] for values in evaluator.evaluate(hits).values()]
        # The same sums in another order.
        assert row["value"] == pytest.approx(np.mean(measured), abs=1e-12)


def test_mteb_file_holds_the_same_means(run: Run) -> None:
    _, out = run("--json")
    entries = json.loads((results()[0] / "mteb.json").read_text())["scores"]["test"]
    means = {(row["passage_language"], row["query_language"]): row["value"]
             for row in json.loads(out)["results"] if row["metric"] == "nDCG@10"}  # fmt: skip
    assert {tuple(entry["languages"]): entry["main_score"] for entry in entries} == means
    assert len(means) == len(CODES) ** 2
