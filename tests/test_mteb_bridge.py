"""mteb in both directions: the same vectors give the same scores, and each text is encoded once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import mteb
import pytest
import yaml
from huggingface_hub import errors
from mteb.mocks.mock_tasks import (
    MockInstructionReranking,
    MockInstructionRetrieval,
    MockMultilingualRerankingTask,
    MockMultilingualRetrievalTask,
    MockRerankingTask,
    MockRetrievalDialogTask,
    MockRetrievalTask,
)
from mteb_doubles import HardOwnIds, HardOwnTexts, HardReranking, HardShrunkTexts, HardTask, MtebEncoder, OurEncoder
from toy import make_toy_checkpoint
from toy_task import write_task

from clear_bench.api import evaluate as our_evaluate
from clear_bench.api.identity import digests
from clear_bench.api.plan import make_plans
from clear_bench.cli import invoke
from clear_bench.errors import InputError, UsageError
from clear_bench.mteb_bridge import Searcher, as_mteb_task, register
from clear_bench.mteb_bridge.directions import REVIEWS, Review, subset_pairs
from clear_bench.mteb_bridge.naming import model_name, task_name
from clear_bench.mteb_bridge.registration import _registry
from clear_bench.mteb_bridge.tasks_in import find_mteb_tasks, read
from clear_bench.score import means
from clear_bench.settings import ModelSettings
from clear_bench.store.mteb_json import metric_key
from clear_bench.tasks import load_card

MOCKS = (
    HardTask,
    HardReranking,
    HardOwnIds,
    MockInstructionReranking,
    MockInstructionRetrieval,
    MockMultilingualRerankingTask,
    MockMultilingualRetrievalTask,
    MockRerankingTask,
    MockRetrievalDialogTask,
    MockRetrievalTask,
)
KINDS = ("ndcg_at_", "recall_at_", "mrr_at_", "map_at_", "precision_at_", "hit_rate_at_")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def evaluate(model: Any, task: Any, folder: Path | None = None, **settings: Any) -> mteb.TaskResult:
    cache = mteb.ResultCache(folder) if folder else None
    done = mteb.evaluate(model, task, cache=cache, co2_tracker=False, show_progress_bar=False, **settings)
    return done.task_results[0]


def searcher(folder: Path, **settings: Any) -> Searcher:
    return Searcher(OurEncoder(), ModelSettings(similarity="dot", **settings), cache_dir=folder)


def cells(result: mteb.TaskResult) -> dict[tuple[str, str, str], float]:
    """The metrics that both compute: (split, subset, key) -> value."""
    return {
        (split, entry["hf_subset"], key): value
        for split, entries in result.scores.items()
        for entry in entries
        for key, value in entry.items()
        if key.startswith(KINDS)
    }


@pytest.mark.parametrize("mock", MOCKS, ids=lambda mock: mock.__name__)
@pytest.mark.filterwarnings("ignore:Conversations are a list of strings")
def test_our_searcher_scores_as_mteb_does(mock: type, tmp_path: Path) -> None:
    prompts = {"query_prompt": "ask ", "passage_prompt": "tell "}
    ours = cells(evaluate(searcher(tmp_path, **prompts), mock()))
    theirs = cells(evaluate(MtebEncoder(prompts["query_prompt"], prompts["passage_prompt"]), mock()))
    assert len(theirs) > 40
    assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("mock", MOCKS, ids=lambda mock: mock.__name__)
@pytest.mark.filterwarnings("ignore:Conversations are a list of strings")
def test_their_tasks_score_here_as_there(mock: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_registry(), mock.metadata.name, mock)
    tasks = find_mteb_tasks(f"mteb:{mock.metadata.name}")
    names = ["nDCG@10", "nDCG@3", "recall@5", "recall@100", "MRR@10", "MRR@100", "MAP@100", "P@3", "hit@1"]
    plans = make_plans(tasks, metric_names=names, read=read)
    done = our_evaluate(OurEncoder(), plans, similarity="dot", cache_dir=tmp_path, query_prompt="ask ")
    theirs = cells(evaluate(MtebEncoder("ask "), mock()))
    ours = {}
    for task in tasks:
        subsets = task.options["subsets"]
        for name in names:
            for pair, mean in means(done.scores[task.name], name).items():
                ours[task.source["split"], subsets[str(pair)], metric_key(name)] = mean.value
    assert len(ours) == len(names) * len(mock().hf_subsets) * len(mock.metadata.eval_splits)
    assert ours == pytest.approx({key: theirs[key] for key in ours}, abs=1e-5)


@pytest.mark.parametrize("mock", [HardOwnTexts, HardShrunkTexts], ids=lambda mock: mock.__name__)
def test_subsets_with_texts_of_their_own_are_one_matrix_that_scores_as_in_mteb(
    mock: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_registry(), mock.metadata.name, mock)
    monkeypatch.setitem(REVIEWS, mock.metadata.name, Review("passage", "by subset", "made up"))
    (task,) = find_mteb_tasks(mock.metadata.name)
    assert len(task.pairs) == 6
    names = ["nDCG@10", "recall@5", "recall@100", "MRR@10", "MAP@100"]
    (plan,) = make_plans([task], metric_names=names, read=read)
    done = our_evaluate(OurEncoder(), [plan], similarity="dot", cache_dir=tmp_path, out=tmp_path / "out")
    theirs = cells(evaluate(MtebEncoder(), mock()))
    for name in names:
        for pair, mean in means(done.scores[task.name], name).items():
            key = "test", task.options["subsets"][str(pair)], metric_key(name)
            assert mean.value == pytest.approx(theirs[key], abs=1e-5), key
    # A pair alone is the same question, on the same texts, and has the same scores.
    (part,) = make_plans([task], pairs=["fra:deu"], metric_names=names, read=read)
    alone = digests(part).inputs
    for kind, found in digests(plan).inputs.items():
        assert alone[kind].items() <= found.items()
    words = our_evaluate("bm25", [plan], cache_dir=tmp_path)
    assert words.scores[task.name].table.num_rows == sum(len(judged.query_rows) for judged in plan.judgements)
    (few,) = make_plans([task], limit=3, read=read)
    assert all(len(judged.query_rows) >= 3 for judged in few.judgements)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_task(tmp_path / "toy", name="toy-task")


def two_pairs(card: Path) -> Any:
    task = load_card(card)
    return as_mteb_task(task, task.pairs[:2])


def test_our_task_scores_the_same_in_plain_mteb(toy: Path, tmp_path: Path) -> None:
    done = our_evaluate(OurEncoder(), str(toy), similarity="dot", cache_dir=tmp_path)
    theirs = cells(evaluate(MtebEncoder(), as_mteb_task(load_card(toy))))
    assert done.scores["toy-task"].metrics == ("nDCG@10", "recall@1", "MRR@10")
    for name in done.scores["toy-task"].metrics:
        for pair, mean in means(done.scores["toy-task"], name).items():
            subset = f"{pair.passage[:3]}-{pair.query[:3]}"
            assert mean.value == pytest.approx(theirs["test", subset, metric_key(name)], abs=1e-5)


def test_our_queries_without_a_relevant_passage_count_as_0_in_plain_mteb(toy: Path, tmp_path: Path) -> None:
    # q7 is judged with 0 only, and its passage is not even there in German: mteb must not take it for unjudged.
    qrels, german = toy.parent / "qrels.tsv", toy.parent / "corpus" / "de.jsonl"
    qrels.write_text(qrels.read_text().replace("q7\tp7\t1", "q7\tp7\t0"))
    german.write_text("".join(german.read_text().splitlines(keepends=True)[:-1]))
    done = our_evaluate(OurEncoder(), str(toy), similarity="dot", cache_dir=tmp_path)
    theirs = cells(evaluate(MtebEncoder(), as_mteb_task(load_card(toy))))
    for name in ("nDCG@10", "recall@1", "MRR@10"):
        for pair, mean in means(done.scores["toy-task"], name).items():
            subset = f"{pair.passage[:3]}-{pair.query[:3]}"
            assert mean.n == 8
            assert mean.value == pytest.approx(theirs["test", subset, metric_key(name)], abs=1e-5)


def test_each_text_is_encoded_once_and_never_again(toy: Path, tmp_path: Path) -> None:
    encoder = OurEncoder()
    first = Searcher(encoder, cache_dir=tmp_path)
    evaluate(first, as_mteb_task(load_card(toy)))
    assert first.encoded == 3 * (8 + 8)
    again = Searcher(encoder, cache_dir=tmp_path)
    evaluate(again, as_mteb_task(load_card(toy)))
    assert again.encoded == 0


@pytest.mark.filterwarnings("ignore:The fill_missing parameter is deprecated")  # mteb warns of its own calls
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method")
def test_a_checkpoint_scores_as_sentence_transformers_does_in_mteb(toy: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = make_toy_checkpoint(tmp_path / "model")
    ours = cells(evaluate(Searcher(folder, cache_dir=tmp_path), two_pairs(toy)))
    theirs = cells(evaluate(SentenceTransformer(str(folder), device="cpu"), two_pairs(toy)))
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_two_checkpoints_never_share_a_cache_entry_of_mteb(toy: Path, tmp_path: Path) -> None:
    """mteb calls every local model no_model_name and then returns the first one's scores for the second."""
    scores = []
    for seed in (1, 2):
        model = Searcher(make_toy_checkpoint(tmp_path / str(seed) / "model", seed=seed), cache_dir=tmp_path)
        assert model.mteb_model_meta.name == "local/model"
        assert len(model.mteb_model_meta.revision or "") == 40
        scores.append(cells(evaluate(model, two_pairs(toy), tmp_path / "mteb")))
    assert scores[0] != scores[1]


def test_an_exported_result_is_one_of_mteb(toy: Path, tmp_path: Path) -> None:
    from clear_bench.mteb_bridge.export import write_mteb_result
    from clear_bench.store.results import read_result

    model = OurEncoder()
    done = our_evaluate(model, str(toy), out=tmp_path / "out", cache_dir=tmp_path, name="made up")
    path = write_mteb_result(read_result(tmp_path / "out" / done.checkpoint.slug / "toy-task"), tmp_path / "mteb")
    assert path.relative_to(tmp_path / "mteb").parts[:2] == ("results", "local__made-up")
    assert (path.parent / "model_meta.json").is_file()
    # mteb takes it for a finished evaluation of the same model on the same data, and computes nothing.
    same = Searcher(model, cache_dir=tmp_path, name="made up")
    loaded = evaluate(same, as_mteb_task(load_card(toy)), tmp_path / "mteb", overwrite_strategy="only-cache")
    assert loaded.get_missing_evaluations(as_mteb_task(load_card(toy))) == {}
    fresh = cells(evaluate(same, as_mteb_task(load_card(toy))))
    for key, value in cells(loaded).items():
        assert value == pytest.approx(fresh[key], abs=1e-5)


def test_a_result_on_their_task_keeps_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clear_bench.mteb_bridge.export import write_mteb_result
    from clear_bench.store.results import read_results

    monkeypatch.setitem(_registry(), "MockRetrievalTask", MockRetrievalTask)
    plans = make_plans(find_mteb_tasks("MockRetrievalTask"), read=read)
    done = our_evaluate(OurEncoder(), plans, out=tmp_path / "out", cache_dir=tmp_path)
    assert list(done.scores) == ["mteb-MockRetrievalTask.val", "mteb-MockRetrievalTask.test"]
    paths = {write_mteb_result(one, tmp_path) for one in read_results(tmp_path / "out" / done.checkpoint.slug)}
    assert [path.name for path in paths] == ["MockRetrievalTask.json"]
    result = mteb.TaskResult.from_disk(paths.pop())
    assert result.get_missing_evaluations(MockRetrievalTask()) == {}
    assert result.is_mergeable(MockRetrievalTask())


def test_what_stands_under_the_name_of_mteb_is_the_number_of_mteb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clear_bench.mteb_bridge.export import write_mteb_result
    from clear_bench.store.results import read_results

    monkeypatch.setitem(_registry(), "HardTask", HardTask)
    done = our_evaluate(
        OurEncoder(), make_plans(find_mteb_tasks("HardTask"), read=read), out=tmp_path / "out", similarity="dot",
        cache_dir=tmp_path,
    )  # fmt: skip
    (result,) = read_results(tmp_path / "out" / done.checkpoint.slug)
    ours = cells(mteb.TaskResult.from_disk(write_mteb_result(result, tmp_path)))
    theirs = cells(evaluate(MtebEncoder(), HardTask()))
    assert ours == pytest.approx({key: theirs[key] for key in ours}, abs=1e-5)
    part = our_evaluate(
        OurEncoder(), make_plans(find_mteb_tasks("HardTask"), read=read, limit=5), out=tmp_path / "part",
        cache_dir=tmp_path,
    )  # fmt: skip
    (result,) = read_results(tmp_path / "part" / part.checkpoint.slug)
    with pytest.raises(InputError, match="is partial"):
        write_mteb_result(result, tmp_path)


def test_eval_results_have_the_ids_that_mteb_gives_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    from clear_bench.cli import invoke
    from clear_bench.mteb_bridge.export import write_mteb_result
    from clear_bench.store.results import read_results

    monkeypatch.setitem(_registry(), "MockRetrievalTask", MockRetrievalTask)
    plans = make_plans(find_mteb_tasks("MockRetrievalTask"), read=read)
    done = our_evaluate(OurEncoder(), plans, out=tmp_path / "out", cache_dir=tmp_path)
    folder = tmp_path / "out" / done.checkpoint.slug
    path = [write_mteb_result(one, tmp_path) for one in read_results(folder)][-1]
    capsys.readouterr()
    assert invoke(["report", str(folder), "--format", "eval-results"]) == 0
    found = hub.parse_eval_result_entries(yaml.safe_load(capsys.readouterr().out))
    theirs = {one.dataset.task_id: one for one in mteb.TaskResult.from_disk(path)._to_hf_benchmark_result().root}
    assert {one.task_id for one in found} == set(theirs) >= {"MockRetrievalTask", "MockRetrievalTask_default_val"}
    for one in found:
        own = theirs[one.task_id]
        assert (one.dataset_id, one.dataset_revision) == (own.dataset.id, own.dataset.revision)
        assert one.value == pytest.approx(own.value, abs=1e-4)  # mteb rounds to six digits when it saves
    # One split of two: no mean of the whole task.
    part = next(one for one in folder.iterdir() if one.name.endswith(".val"))
    assert invoke(["report", str(part), "--format", "eval-results"]) == 0
    assert [one["dataset"]["task_id"] for one in yaml.safe_load(capsys.readouterr().out)] == [
        "MockRetrievalTask_default_val"
    ]


def test_eval_results_of_a_task_that_the_hub_cannot_know_are_refused(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from clear_bench.cli import invoke

    done = our_evaluate(OurEncoder(), str(toy), out=tmp_path / "out", cache_dir=tmp_path)
    assert invoke(["report", str(tmp_path / "out" / done.checkpoint.slug), "--format", "eval-results"]) == 3
    assert "toy-task: the hub takes results on registered benchmarks, by their ids" in capsys.readouterr().err


def test_the_revision_follows_from_the_content(toy: Path, tmp_path: Path) -> None:
    other = write_task(tmp_path / "other", name="toy-task", size=7)
    one, same, changed = (as_mteb_task(load_card(card)).metadata.revision for card in (toy, toy, other))
    assert one == same != changed


def test_registered_tasks_are_known_by_name_and_read_late(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mteb.get_tasks._TASKS_REGISTRY", dict(_registry()), raising=False)
    (toy.parent / "qrels.tsv").rename(toy.parent / "away")
    assert register(str(toy)) == ["ClearToyTask"] == register(str(toy))
    (toy.parent / "away").rename(toy.parent / "qrels.tsv")
    task = mteb.get_task("ClearToyTask", hf_subsets=["eng-deu"])
    assert task.metadata.eval_langs["eng-deu"] == ["eng-Latn", "deu-Latn"]
    assert task.hf_subsets == ["eng-deu"]


def test_two_cards_of_one_name_are_not_registered(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_registry(), "ClearToyTask", HardTask)
    with pytest.raises(UsageError, match="already has a task named 'ClearToyTask'"):
        register(str(toy))


def test_the_package_s_own_tasks_collide_with_none_of_mteb(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(_registry())
    try:
        names = register()
        assert names
        assert not set(names) & set(before)
    finally:
        _registry().clear()
        _registry().update(before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mteb:STS12", "not a text retrieval task but STS on text"),
        ("mteb:VidoreArxivQARetrieval", "DocumentUnderstanding on "),
        ("mteb:XQuADRetreival", "did you mean .*'XQuADRetrieval'"),
        ("mteb:CodeTransOceanContest", "add a row to REVIEWS"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_mteb_tasks(name)


@pytest.mark.parametrize(
    ("name", "subset", "pair"),
    [
        ("BelebeleRetrieval", "eng_Latn-deu_Latn", "deu-Latn:eng-Latn"),
        ("MLQARetrieval", "zho-eng", "eng-Latn:zho-Hans"),
        ("XPQARetrieval", "eng-ara", "ara-Arab:eng-Latn"),
        ("CUREv1", "es", "spa-Latn:eng-Latn"),
        ("CrossLingualSemanticDiscriminationWMT19", "deu-fra", "deu-Latn:fra-Latn"),
        ("mFollowIRCrossLingual", "eng-fas", "eng-Latn:fas-Arab"),
        ("WebFAQRetrieval", "nor", "nob-Latn:nob-Latn"),
        ("XQuADRetrieval", "de", "deu-Latn:deu-Latn"),
    ],
)
def test_the_query_language_comes_first_here(name: str, subset: str, pair: str) -> None:
    assert str(subset_pairs(mteb.get_task(name).metadata)[subset]) == pair


def test_every_review_is_of_a_cross_lingual_task_that_mteb_has() -> None:
    for name in REVIEWS:
        assert any(pair.query != pair.passage for pair in subset_pairs(mteb.get_task(name).metadata).values())


def test_tasks_split_where_one_collection_cannot_hold_them() -> None:
    mlqa = {task.name: len(task.pairs) for task in find_mteb_tasks("MLQARetrieval")}
    assert mlqa == {"mteb-MLQARetrieval.validation": 49, "mteb-MLQARetrieval.test": 49}
    assert [len(task.pairs) for task in find_mteb_tasks("XPQARetrieval")] == [36]
    assert find_mteb_tasks("BrightLongRetrieval")[0].name == "mteb-BrightLongRetrieval.biology"
    assert [task.name for task in find_mteb_tasks("MIRACLRetrieval")] == ["mteb-MIRACLRetrieval"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevant_docs": {"q01": {"nowhere": 1}}}, "judged with the passage 'nowhere'"),
        ({"corpus": [{"id": "d00", "text": "ant"}, {"id": "d00", "text": "bee"}]}, "id 'd00' and different texts"),
    ],
)
def test_data_that_would_give_a_wrong_number_are_refused(
    change: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "corpus" in change:
        change = {"corpus": datasets.Dataset.from_list(change["corpus"])}
    task = type("Broken", (HardTask,), {"_split": lambda self, seed: HardTask._split(self, seed) | change})
    monkeypatch.setitem(_registry(), "HardTask", task)
    with pytest.raises(InputError, match=message):
        make_plans(find_mteb_tasks("HardTask"), read=read)


def test_a_candidate_that_the_corpus_lacks_is_refused(tmp_path: Path) -> None:
    split = HardTask()._split(0) | {"top_ranked": {"q01": ["d01", "nowhere"]}}
    broken = type("Broken", (HardTask,), {"_split": lambda self, seed: split})
    with pytest.raises(InputError, match="candidate 'nowhere' is not in the corpus"):
        evaluate(searcher(tmp_path), broken())


def test_names_for_mteb_are_its_kind_of_names() -> None:
    assert task_name("xquad-r") == "ClearXquadR"
    assert model_name("embedded:me5-small-q4", None) == "embedded/me5-small-q4"
    assert model_name("./", None) == "local/model"


def test_their_command_line_knows_our_tasks(toy: Path) -> None:
    line = [sys.executable, "-m", "clear_bench.mteb_bridge", "--cards", str(toy), "run", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, "--overwrite-strategy" in done.stdout) == (0, True)


def test_run_takes_a_task_of_mteb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(_registry(), "HardReranking", HardReranking)
    line = ["run", "--model", "bm25", "--tasks", "mteb:HardReranking", "--pairs", "de:de", "--out", str(tmp_path)]
    assert invoke([*line, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert {(row["task"], row["query_language"]) for row in rows} == {("mteb-HardReranking", "deu-Latn")}
    assert invoke(["run", "--model", "bm25", "--tasks", "mteb:STS12"]) == 2


@pytest.mark.parametrize(
    "fault",
    [
        ConnectionError("Couldn't reach 'mteb/XQuADRetrieval' on the Hub (ConnectTimeout)"),
        FileNotFoundError("Dataset 'mteb/XQuADRetrieval' doesn't exist on the Hub or cannot be accessed.\nMore"),
        vars(errors)["HTTPError"]("timed out"),
    ],
)
def test_a_hub_that_does_not_give_the_data_is_said_in_one_sentence(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr("mteb.abstasks.retrieval.AbsTaskRetrieval.load_data", fail)
    given = ["run", "--model", "bm25", "--tasks", "mteb:XQuADRetrieval", "--pairs", "de:de", "--out", str(tmp_path)]
    assert invoke(given) == 4
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: the data of mteb:XQuADRetrieval cannot be loaded: {str(fault).splitlines()[0]};")
    assert not list(tmp_path.iterdir())
