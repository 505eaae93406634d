"""Every input that can move a score names the result: a changed one is never answered with the old score."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from toy_task import write_task, write_vectors

from clear_bench import question
from clear_bench.api.identity import ANSWERED, ASKED, digests, identity
from clear_bench.api.plan import Plan, make_plan
from clear_bench.api.retrievers.given import foreign_system
from clear_bench.api.retrievers.protocol import Retriever
from clear_bench.cli import invoke
from clear_bench.documents import digest_of
from clear_bench.qrels import judge_all
from clear_bench.question import INPUTS
from clear_bench.store.results import read_manifest
from clear_bench.tasks import Task, find_task, load_card
from clear_bench.types import ENGLISH, Collection, LanguagePair, make_qrels, make_texts

EN_DE, EN_POOL = LanguagePair(ENGLISH, "deu-Latn"), LanguagePair(ENGLISH, "all")

Change = Callable[[Collection], dict[str, Any]]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A task with two pairs, one of them a pool, and everything that a collection may have."""
    card = write_task(tmp_path, extra='pools = { all = ["eng-Latn", "deu-Latn"] }')
    found = make_plan(load_card(card), [EN_DE, EN_POOL])
    made = found.collection
    return judged(
        found,
        replace(
            made,
            qrels={
                EN_DE: make_qrels(["q0", "q1", "q2"], ["p0", "p1", "p2"], [1, 1, 0]),
                EN_POOL: make_qrels(["q0", "q1"], ["en/p0", "de/p1"], [1, 1]),
            },
            answers={ENGLISH: [["gold"], ["other", "third"], *[[]] * 6]},
            candidates={EN_DE: make_qrels(["q0"], ["p3"], [1])},
            bodies={"deu-Latn": pa.chunked_array([[0] * 8], pa.int32())},
        ),
    )


def judged(plan: Plan, collection: Collection) -> Plan:
    return replace(plan, collection=collection, judgements=tuple(judge_all(collection, [EN_DE, EN_POOL])))


def name(plan: Plan, retriever: Retriever | None = None) -> str:
    return identity(digests(plan), retriever or foreign_system("model", {}))


def reworded(collection: Collection, side: str, language: str) -> dict[str, Any]:
    texts = getattr(collection, side)[language]
    changed = pa.chunked_array([["another text", *texts.text.to_pylist()[1:]]], pa.string())
    return {side: {**getattr(collection, side), language: make_texts(language, texts.ids, changed)}}


CHANGES: dict[str, Change] = {
    "queries": lambda made: reworded(made, "queries", ENGLISH),
    "corpora": lambda made: reworded(made, "corpora", "deu-Latn"),
    "qrels": lambda made: {
        "qrels": {**made.qrels, EN_DE: make_qrels(["q0", "q1", "q2"], ["p0", "p1", "p2"], [1, 2, 0])}
    },
    "pools": lambda made: {"pools": {"all": replace(made.pools["all"], prefixes=("en", "xx"))}},
    "answers": lambda made: {"answers": {ENGLISH: [["gold"], ["other"], *[[]] * 6]}},
    "bodies": lambda made: {"bodies": {"deu-Latn": pa.chunked_array([[1] + [0] * 7], pa.int32())}},
    "candidates": lambda made: {"candidates": {EN_DE: make_qrels(["q0"], ["p4"], [1])}},
    "searched": lambda _: {"searched": {EN_DE: np.arange(4)}},
    "own_ids": lambda _: {"excludes_own_ids": True},
    "unanswerable": lambda _: {"drops_unanswerable": True},
    "clusters": lambda made: {"clusters": {**made.clusters, ENGLISH: ["one"] * 8}},
}


@pytest.mark.parametrize("row", INPUTS)
def test_every_input_of_the_data_names_the_result(row: str, plan: Plan) -> None:
    other = judged(plan, replace(plan.collection, **CHANGES[row](plan.collection)))
    here, there = digests(plan), digests(other)
    assert [one for one in INPUTS if here.inputs.get(one) != there.inputs.get(one)] == [row]
    assert name(plan) != name(other)
    assert (here.question != there.question) == (INPUTS[row].moves == "scores")


@pytest.mark.parametrize("row", [name for name, one in INPUTS.items() if one.moves == "scores"])
def test_results_that_differ_in_an_input_of_the_data_are_not_compared(row: str, plan: Plan) -> None:
    other = judged(plan, replace(plan.collection, **CHANGES[row](plan.collection)))
    found = list(question.differences(digests(plan).inputs, digests(other).inputs, [EN_DE, EN_POOL]))
    assert {words for words, *_ in found} == {INPUTS[row].words}
    assert list(question.differences(digests(plan).inputs, digests(plan).inputs, [EN_DE, EN_POOL])) == []


def test_what_only_other_pairs_have_does_not_matter(plan: Plan) -> None:
    other = judged(plan, replace(plan.collection, candidates={}))
    assert list(question.differences(digests(plan).inputs, digests(other).inputs, [EN_POOL])) == []


@pytest.mark.parametrize("row", ASKED)
def test_everything_that_is_asked_of_the_data_names_the_result(row: str, plan: Plan) -> None:
    others = {
        "task": replace(plan, task=replace(plan.task, name="other")),
        "instruction": replace(plan, task=replace(plan.task, instruction="Find it.")),
        "metrics": replace(plan, metrics=("MRR@10",)),
        "run_depth": replace(plan, run_depth=7),
        "limit": replace(plan, limit=4),
    }
    assert name(plan) != name(others[row])


@pytest.mark.parametrize("row", ANSWERED)
def test_everything_that_finds_passages_names_the_result(row: str, plan: Plan) -> None:
    one = foreign_system("model", {})

    class Other:
        checkpoint = replace(one.checkpoint, fingerprint="f" * 64) if row == "model" else one.checkpoint
        settings = {"index": "int8"} if row == "settings" else one.settings

    assert name(plan, one) != name(plan, Other())  # type: ignore[arg-type]


def test_no_field_of_a_collection_is_forgotten() -> None:
    known = {"own_ids": "excludes_own_ids", "unanswerable": "drops_unanswerable"}
    told_only = {"merged"}  # a count for people; the rows that are left are in the digest of the texts
    assert {field.name for field in fields(Collection)} == {known.get(row, row) for row in INPUTS} | told_only


CARDS: dict[str, tuple[str, str]] = {
    "metrics": ('metrics = ["nDCG@10", ', 'metrics = ["nDCG@3", "nDCG@10", '),
    "main_metric": ('main_metric = "nDCG@10"', 'main_metric = "recall@1"'),
    "cluster": ('cluster = "passage"', 'cluster = "query"'),
    "pairs": ('pairs = "all"', 'pairs = ["en:de", "en:all"]'),
    "languages": ('languages = ["eng-Latn", ', 'languages = ["fra-Latn", "eng-Latn", '),
    "codes": ('"deu-Latn" = "de"', '"deu-Latn" = "ar"\n"ara-Arab" = "de"'),
    "pools": ('all = ["eng-Latn", "deu-Latn"]', 'all = ["deu-Latn", "eng-Latn"]'),
    "join": ('licence = "CC0-1.0"', 'licence = "CC0-1.0"\njoin = ": "'),
    "dedupe": ('licence = "CC0-1.0"', 'licence = "CC0-1.0"\ndedupe = "text"'),
    "run_depth": ('licence = "CC0-1.0"', 'licence = "CC0-1.0"\nrun_depth = 20'),
    "instruction": ('licence = "CC0-1.0"', 'licence = "CC0-1.0"\ninstruction = "Find it."'),
    "select": ("[files]", '[select]\nsplit = "dev"\n[files]'),
    "files": ('qrels = "qrels.tsv"', 'qrels = "other.tsv"'),
    "options": ("[codes]", '[options]\nunanswerable = "drop"\n[codes]'),
    "name": ('name = "toy"', 'name = "toi"'),
}
"""Key of a card -> the text that is replaced, and by what."""


@pytest.mark.parametrize("key", CARDS)
def test_every_key_of_a_card_that_moves_a_score_names_the_result(key: str, tmp_path: Path) -> None:
    card = write_task(tmp_path, extra='pools = { all = ["eng-Latn", "deu-Latn"] }')
    rows = [json.loads(line) for line in (tmp_path / "queries" / "en.jsonl").read_text().splitlines()]
    rows[7]["text"] = rows[6]["text"]
    marked = [row | {"split": "dev" if i < 6 else "test"} for i, row in enumerate(rows)]
    (tmp_path / "queries" / "en.jsonl").write_text("".join(json.dumps(row) + "\n" for row in marked))
    titled = (tmp_path / "corpus" / "de.jsonl").read_text().replace('"text"', '"title": "Titel", "text"', 1)
    (tmp_path / "corpus" / "de.jsonl").write_text(titled)
    judgements = (tmp_path / "qrels.tsv").read_text()
    (tmp_path / "qrels.tsv").write_text(judgements.replace("q5\tp5\t1", "q5\tp5\t0"))
    (tmp_path / "other.tsv").write_text(judgements)
    old, new = CARDS[key]
    text = card.read_text()
    assert old in text
    before = named(card)
    changed = text.replace(old, new, 1)
    if key == "codes":
        changed = changed.replace('\n"ara-Arab" = "ar"', "", 1)
    if key == "languages":
        changed = changed.replace("[codes]", '[codes]\n"fra-Latn" = "fr"')
        for folder in ("corpus", "queries"):
            (tmp_path / folder / "fr.jsonl").write_text((tmp_path / folder / "en.jsonl").read_text())
    card.write_text(changed)
    after = named(card)
    # Another choice of languages or pairs is the same question for the pairs that stay.
    assert (before == after) == (key in ("languages", "pairs"))


def named(card: Path) -> str:
    return name(make_plan(load_card(card), [EN_DE, EN_POOL]))


def test_no_key_of_a_card_is_forgotten() -> None:
    for_people = {"title", "licence", "description", "citation", "grades", "overlaps", "groups", "size"}
    # The reader and the source lead to the texts, which are digested; counts are only compared with what was read.
    leads_there = {"reader", "source", "folder", "card", "expected"}
    assert {field.name for field in fields(Task)} == {*CARDS} | for_people | leads_there


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("qrels.tsv", "q0\tp0\t1", "q0\tp1\t1", "relevance judgements"),
        ("queries/de.jsonl", "what is river", "where is river", "queries of deu-Latn"),
        ("corpus/de.jsonl", "river 0 is", "river 0 was", "passages of deu-Latn"),
        ("card.toml", 'cluster = "passage"', 'cluster = "query"', "clusters"),
        ("card.toml", "[source]", 'instruction = "Find it."\n[source]', "instruction"),
        ("card.toml", "[codes]", '[options]\nunanswerable = "drop"\n[codes]', "queries without a relevant passage"),
    ],
)
def test_a_changed_task_is_never_answered_with_the_old_result(
    file: str, old: str, new: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, vectors = write_task(tmp_path), write_vectors(tmp_path / "v")
    (tmp_path / "qrels.tsv").write_text((tmp_path / "qrels.tsv").read_text().replace("q7\tp7\t1", "q7\tp7\t0"))
    line = ["run", "--model", "toy", "--vectors", str(vectors), "--tasks", str(card), "--out", str(tmp_path / "out")]
    assert invoke(line) == 0
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    assert invoke(line) == 2
    assert words in capsys.readouterr().err


def test_zero_graded_queries_stand_in_the_table_the_manifest_and_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, vectors = write_task(tmp_path), write_vectors(tmp_path / "v", noise=0.0)
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text(qrels.read_text().replace("q6\tp6\t1", "q6\tp6\t0").replace("q7\tp7\t1\n", ""))
    line = ["run", "--model", "toy", "--vectors", str(vectors), "--tasks", str(card), "--pairs", "en:de"]
    assert invoke([*line, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "counted as 0 1 times: a query that is judged without a relevant passage" in shown
    assert "left out 1 times: a query without a judgement" in shown
    assert invoke([*line, "--out", str(tmp_path / "out")]) == 0
    # Vectors without noise find every passage first: six queries of 1 and one of 0.
    assert "1 query has no relevant passage and counts as 0" in capsys.readouterr().out
    manifest = json.loads(next((tmp_path / "out").glob("*/toy/manifest.json")).read_text())
    assert manifest["counts"]["unanswerable"] == {"eng-Latn:deu-Latn": 1}
    assert manifest["counts"]["left_out"] == {"eng-Latn:deu-Latn": {"unjudged": 1, "untranslated": 0, "dropped": 0}}
    assert invoke(["run", *line[1:], "--out", str(tmp_path / "out"), "--json"]) == 0
    (row,) = [one for one in json.loads(capsys.readouterr().out)["results"] if one["metric"] == "recall@1"]
    assert (row["value"], row["n_queries"]) == (pytest.approx(6 / 7), 7)
    card.write_text(card.read_text().replace("[codes]", '[options]\nunanswerable = "drop"\n[codes]'))
    assert invoke([*line, "--out", str(tmp_path / "dropped"), "--json"]) == 0
    (row,) = [one for one in json.loads(capsys.readouterr().out)["results"] if one["metric"] == "recall@1"]
    assert (row["value"], row["n_queries"]) == (1.0, 6)
    base, candidate = (next((tmp_path / out).glob("toy-*")) for out in ("out", "dropped"))
    assert invoke(["compare", str(base), str(candidate)]) == 3
    assert "queries without a relevant passage of eng-Latn:deu-Latn differ" in capsys.readouterr().err


def test_bodies_have_one_digest_in_any_chunking() -> None:
    chunked = [pa.chunked_array(parts, pa.int32()) for parts in ([[1, 2, 3]], [[1], [], [2, 3]])]
    made = [Collection({}, {}, {}, {}, bodies={ENGLISH: column}) for column in chunked]
    assert len({question._body(one, ENGLISH) for one in made}) == 1


def test_committed_results_still_answer_the_question_of_today() -> None:
    manifest = read_manifest(next(Path(__file__).parents[1].glob("leaderboards/results/bm25-*/mini")))
    task = find_task("mini")
    pairs, metrics = manifest.language_pairs, manifest.task.metrics
    found = digests(make_plan(task, pairs, metric_names=metrics, run_depth=manifest.run_depth))
    assert found.question == manifest.digests.question
    assert list(question.differences(found.inputs, manifest.digests.inputs, pairs)) == []


def test_precomputed_vectors_of_equal_texts_in_two_languages_are_not_mixed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, vectors = write_task(tmp_path), write_vectors(tmp_path / "v", noise=0.0)
    (tmp_path / "corpus" / "de.jsonl").write_text((tmp_path / "corpus" / "en.jsonl").read_text())
    # In the German file passage i has the vector of passage i + 1, so that no German query finds its own first.
    np.save(vectors / "passages" / "de.npy", np.roll(np.load(vectors / "passages" / "de.npy"), 1, axis=0))
    line = ["run", "--model", "toy", "--vectors", str(vectors), "--tasks", str(card), "--pairs", "en:en,en:de"]
    assert invoke([*line, "--metrics", "recall@1", "--out", str(tmp_path / "out"), "--json"]) == 0
    values = {row["passage_language"]: row["value"] for row in json.loads(capsys.readouterr().out)["results"]}
    assert values == {"eng-Latn": 1.0, "deu-Latn": 0.0}


def test_the_digest_of_a_value_is_that_of_its_sorted_json() -> None:
    value = {"b": "ä", "a": 1}
    # printf '{"a": 1, "b": "ä"}' | sha256sum, and with \u00e4 in place of the letter
    assert digest_of(value) == "31a734ad592aff34ec66afe6c3b54f865a75948b92b51b0ccc93786e2a7629ca"
    assert digest_of(value, ascii=True) == "5840bc86a308d6f0bce0981f468e82efdb9bac8c16b96a77c055f1083b7fe852"
