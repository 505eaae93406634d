"""Every card of the package reads a tiny copy of its benchmark, laid out as the authors do, from a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from raw_benchmarks import BENCHMARKS, Raw, jsonl, load, miracl_hn, parquet

from clear_bench import readers
from clear_bench.errors import CardError, DataError, UsageError
from clear_bench.qrels import judge, judge_all
from clear_bench.score import score
from clear_bench.tasks import Task, find_task, select_pairs
from clear_bench.types import Collection, LanguagePair, Run

Read = Callable[..., Collection]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a card of the package from its tiny copy in a folder."""

    def read(name: str, pairs: str = "", raw: Raw | None = None, task: Task | None = None) -> Collection:
        make, some = BENCHMARKS[name]
        folder = (raw or make()).write(tmp_path / name)
        chosen = task or load(name)
        chosen = replace(chosen, source={**chosen.source, "path": str(folder)})
        return readers.read(chosen, select_pairs(chosen, pairs or some))

    return read


def pair(query: str, passage: str) -> LanguagePair:
    return LanguagePair(query, passage)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_read_and_judged(name: str, read: Read) -> None:
    collection = read(name)
    judged = list(judge_all(collection, collection.qrels))
    assert len(judged) == len(collection.qrels)
    for one in judged:
        assert len(one.query_rows) > 0
        assert len(collection.clusters[one.pair.query]) == len(collection.queries[one.pair.query])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_what_a_pair_gets_does_not_depend_on_the_others(name: str, read: Read) -> None:
    whole = read(name)
    first = next(iter(whole.qrels))
    alone = read(name, f"{first.query}:{first.passage}")
    assert alone.queries[first.query].digest == whole.queries[first.query].digest
    assert alone.qrels[first].digest == whole.qrels[first].digest
    assert list(alone.clusters[first.query]) == list(whole.clusters[first.query])
    for own, other in zip(alone.parts(first.passage), whole.parts(first.passage), strict=True):
        assert own.digest == other.digest


def test_xquad_gives_any_question_language_for_any_paragraph_language(read: Read) -> None:
    collection = read("xquad", "en:de,de:ar")
    assert collection.queries["eng-Latn"].ids.to_pylist() == [f"q{i}" for i in range(6)]
    # A paragraph is named by the smallest id of its questions, so names are equal in every language.
    assert collection.corpora["deu-Latn"].ids.to_pylist() == ["q0", "q2", "q4"]
    assert collection.corpora["ara-Arab"].text.to_pylist() == [f"ar paragraph {i}." for i in range(3)]
    qrels = collection.qrels[pair("deu-Latn", "ara-Arab")]
    assert list(zip(qrels.query_ids.to_pylist(), qrels.passage_ids.to_pylist(), strict=True)) == [
        (f"q{i}", f"q{i // 2 * 2}") for i in range(6)
    ]
    assert collection.clusters["deu-Latn"] == ["q0", "q0", "q2", "q2", "q4", "q4"]
    assert len({id(one) for one in collection.qrels.values()}) == 1  # ids are equal, so judgements are shared


def test_questions_of_equal_text_are_merged_where_a_card_says_so(read: Read) -> None:
    raw = BENCHMARKS["xquad"][0]()
    rows = [{"id": f"q{i}", "context": f"c{i}", "question": "the same?" if i < 2 else f"q {i}"} for i in range(4)]
    raw.repositories["google/xquad"]["xquad.en/validation-00000-of-00001.parquet"] = parquet(rows)
    assert len(read("xquad", "en:en", raw).queries["eng-Latn"]) == 4
    collection = read("xquad", "en:en", raw, replace(load("xquad"), dedupe="text"))
    assert collection.queries["eng-Latn"].ids.to_pylist() == ["q0", "q2", "q3"]
    judged = judge(collection, pair("eng-Latn", "eng-Latn"))
    assert np.diff(judged.indptr).tolist() == [2, 1, 1]  # the merged question has both paragraphs


def test_xquad_r_finds_the_answer_sentence_of_every_language_in_one_pool(read: Read) -> None:
    collection = read("xquad-r", "en:mixed")
    assert len(collection.corpora) == 11
    assert collection.corpora["deu-Latn"].text[0].as_py() == (
        "de paragraph 0 says 0. de paragraph 0 says 0. de paragraph 0 says 1. de paragraph 0 says 2."
    )
    judged = judge(collection, pair("eng-Latn", "mixed"))
    assert np.diff(judged.indptr).tolist() == [11] * 6
    qrels = collection.qrels[pair("eng-Latn", "mixed")]
    rows = zip(qrels.query_ids.to_pylist(), qrels.passage_ids.to_pylist(), strict=True)
    # Question 5 is answered by sentence 5 % 3 = 2 in German and 5 % 2 = 1 elsewhere.
    assert {p for q, p in rows if q == "q5" and p[:2] in ("de", "en")} == {"de/q4#2", "en/q4#1"}


def test_mlqa_has_one_corpus_for_each_passage_language(read: Read) -> None:
    collection = read("mlqa")
    assert [len(collection.corpora[language]) for language in ("eng-Latn", "deu-Latn")] == [3, 2]
    judged = judge(collection, pair("deu-Latn", "eng-Latn"))
    assert len(judged.query_rows) == 4
    assert len(collection.queries["eng-Latn"]) == 6
    assert judge(collection, pair("eng-Latn", "deu-Latn")).unjudged == 2  # German lacks a paragraph


def test_mlqa_gives_the_corpora_of_mteb_by_option_one_query_language_at_a_time(read: Read) -> None:
    task = replace(load("mlqa"), options={"view": "mteb"})
    assert len(read("mlqa", "de:en", task=task).corpora["eng-Latn"]) == 2  # only the pair's own paragraphs
    with pytest.raises(UsageError, match=r"run pairs with .* apart"):
        read("mlqa", "de:en,en:en", task=task)


def test_belebele_names_queries_by_link_and_number_in_every_language(read: Read) -> None:
    collection = read("belebele")
    assert collection.queries["deu-Latn"].ids.to_pylist()[:2] == [f"https://en.wikinews.org/wiki/0#{i}" for i in (1, 2)]
    assert collection.queries["deu-Latn"].ids == collection.queries["ara-Arab"].ids
    assert collection.corpora["deu-Latn"].text.to_pylist() == [f"deu_Latn passage {i}" for i in range(3)]
    assert len({id(one) for one in collection.qrels.values()}) == 1


def test_miracl_reads_shards_in_numerical_order_and_joins_titles(read: Read) -> None:
    corpus = read("miracl", "en:en").corpora["eng-Latn"]
    texts = dict(zip(corpus.ids.to_pylist(), corpus.text.to_pylist(), strict=True))
    assert texts["2#1"] == "Title 2 en passage 1 of 2"
    # 12 passages over shards 0, 1, 10: each shard has every third of (0#0, 0#1, 0#2, 1#0, ...).
    assert corpus.ids.to_pylist()[:5] == ["0#0", "1#0", "2#0", "3#0", "0#1"]


def test_miracl_keeps_a_passage_whose_id_equals_the_query_s(read: Read) -> None:
    raw = miracl_hn(("en", "sw"))
    files = raw.repositories["mteb/MIRACLRetrievalHardNegatives"]
    files["en-corpus/dev-00000-of-00001.parquet"] = parquet(
        {"_id": str(i), "title": "", "text": f"p{i}"} for i in range(3)
    )
    files["en-qrels/dev-00000-of-00001.parquet"] = parquet(
        {"query-id": str(i), "corpus-id": str(i), "score": 1} for i in range(3)
    )
    judged = judge(read("miracl-hn", "en:en", raw), pair("eng-Latn", "eng-Latn"))
    assert judged.positions.tolist() == [0, 1, 2]


@pytest.mark.parametrize("key", ["_id", "id"])
def test_miracl_hn_reads_ids_by_either_name(key: str, read: Read) -> None:
    assert read("miracl-hn", "sw:sw", miracl_hn(key=key)).corpora["swa-Latn"].ids[0].as_py() == "0#0"


def test_repeated_passages_are_merged_and_counted_only_when_they_are_the_same(read: Read) -> None:
    raw = miracl_hn()
    files = raw.repositories["mteb/MIRACLRetrievalHardNegatives"]
    rows = [{"_id": f"{i % 3}#0", "title": "T", "text": f"text {i % 3}"} for i in range(5)]
    files["en-corpus/dev-00000-of-00001.parquet"] = parquet(rows)
    collection = read("miracl-hn", "en:en", raw)
    assert collection.corpora["eng-Latn"].ids.to_pylist() == ["0#0", "1#0", "2#0"]
    assert collection.merged == {"eng-Latn": 2}
    rows[4]["text"] = "another text"
    files["en-corpus/dev-00000-of-00001.parquet"] = parquet(rows)
    with pytest.raises(DataError, match=r"row 5: the id '1#0' was in row 2 with another text"):
        read("miracl-hn", "en:en", raw)


def test_curev1_and_mkqa_ask_in_several_languages_for_one_english_corpus(read: Read) -> None:
    collection = read("curev1")
    assert set(collection.corpora) == {"eng-Latn"}
    assert collection.clusters["spa-Latn"] == collection.clusters["eng-Latn"]  # questions are translations
    assert collection.qrels[pair("spa-Latn", "eng-Latn")].grades.tolist() == [2] * 4  # written as 2.0 in the files
    assert collection.corpora["eng-Latn"].ids.to_pylist() == ["d0", "d1", "d2", "d3", "d4"]
    assert collection.merged == {"eng-Latn": 1}  # passage 2 belongs to two disciplines


def test_neuclir_asks_in_english_and_takes_each_language_s_judgements(read: Read) -> None:
    collection = read("neuclir")
    assert collection.queries["eng-Latn"].text[0].as_py() == "Topic 1 What is it?"
    persian = collection.qrels[pair("eng-Latn", "fas-Arab")]
    assert persian.passage_ids.to_pylist() == ["f1", "f2"]
    assert persian.grades.tolist() == [3, 0]
    assert collection.qrels[pair("eng-Latn", "zho-Hans")].query_ids.to_pylist() == ["2"]


def test_ciral_tells_apart_the_questions_of_each_language(read: Read) -> None:
    collection = read("ciral")
    assert len(collection.queries["eng-Latn"]) == 8  # two for each of the four languages
    assert collection.qrels[pair("eng-Latn", "yor-Latn")].query_ids.to_pylist() == ["yo/1", "yo/2"]


def test_mmarco_takes_quotes_as_they_stand(read: Read) -> None:
    assert read("mmarco", "de:de").corpora["deu-Latn"].text[1].as_py() == 'german "passage 1'


def run_of(collection: Collection, query: str, positions: list[list[int]]) -> tuple[Run, pa.Table]:
    judged = judge(collection, pair(query, "eng-Latn"))
    hits = np.array(positions, dtype=np.int64)
    return Run(judged.pair, judged.query_rows, hits, np.ones(hits.shape, dtype=np.float32)), judged


def test_xor_counts_every_question_with_an_answer_and_judges_passages_without_titles(read: Read) -> None:
    collection = read("xor")
    assert collection.corpora["eng-Latn"].text.to_pylist()[0] == 'Oslo Oslo is in "Norway" today.'
    assert collection.answers["jpn-Jpan"] == [("Norway", "no")]
    # Passage 2 is titled "Norway pages" but does not say Norway: no hit. "yes" alone is not counted.
    finnish = run_of(collection, "fin-Latn", [[1, -1], [1, -1]])
    values = score(*finnish, ["R@2kt"], collection)
    assert values[0][0] == 0
    assert np.isnan(values[0][1])
    assert score(*run_of(collection, "jpn-Jpan", [[0, -1]]), ["R@2kt"], collection).tolist() == [[1.0]]


def test_xor_has_no_english_questions() -> None:
    task = find_task("xor")
    assert select_pairs(task, "en:en,english") == ()


def test_xor_expects_all_questions_of_the_file(read: Read) -> None:
    with pytest.raises(DataError, match="3 queries in all languages, but the card xor expects 2110"):
        read("xor", task=replace(find_task("xor"), expected={}))


def test_mkqa_leaves_out_questions_without_a_short_answer_and_finds_aliases(read: Read) -> None:
    collection = read("mkqa")
    assert collection.queries["deu-Latn"].text.to_pylist() == ["de question 1"]
    assert collection.answers["deu-Latn"] == [("Wien", "Vienna")]
    values = score(*run_of(collection, "deu-Latn", [[0, -1]]), ["answer-recall@20"], collection)
    assert values.tolist() == [[1.0]]


def test_a_count_that_differs_from_the_card_is_an_error(read: Read) -> None:
    with pytest.raises(DataError, match=r"6 queries in eng-Latn, but the card xquad expects 1190"):
        read("xquad", "en:en", task=find_task("xquad"))
    task = find_task("miracl-hn")
    expected = {language: replace(counts, queries=None) for language, counts in task.expected.items()}
    with pytest.raises(DataError, match=r"4 passages in eng-Latn, but the card miracl-hn expects 178768"):
        read("miracl-hn", "en:en", task=replace(task, expected=expected))


def test_a_renamed_column_is_named_with_the_columns_there_are(read: Read) -> None:
    raw = miracl_hn()
    files = raw.repositories["mteb/MIRACLRetrievalHardNegatives"]
    files["en-corpus/dev-00000-of-00001.parquet"] = parquet([{"_id": "1", "heading": "", "body": "x"}])
    with pytest.raises(DataError, match=r"has no column 'text'; it has '_id', 'heading', 'body'"):
        read("miracl-hn", "en:en", raw)
    raw = BENCHMARKS["belebele"][0]()
    raw.repositories["facebook/belebele"]["data/eng_Latn.jsonl"] = jsonl([{"link": "x", "passage": "y"}])
    with pytest.raises(DataError, match=r"'question_number', 'flores_passage', 'question'; it has 'link', 'passage'"):
        read("belebele", "en:en", raw)


def test_a_missing_config_or_split_names_what_there_is(read: Read) -> None:
    raw = miracl_hn(("sw",))
    with pytest.raises(CardError, match=r"no config 'en-queries'; it has sw-corpus, sw-queries, sw-qrels"):
        read("miracl-hn", "en:en", raw)
    task = load("miracl-hn")
    task = replace(task, files={**task.files, "queries": "#{code}-queries:test"})
    with pytest.raises(CardError, match=r"config 'sw-queries' has no split 'test'; it has dev"):
        read("miracl-hn", "sw:sw", raw, task)


def test_judgements_of_unknown_passages_and_queries_are_errors(read: Read) -> None:
    raw = miracl_hn()
    files = raw.repositories["mteb/MIRACLRetrievalHardNegatives"]
    name = "en-qrels/dev-00000-of-00001.parquet"
    files[name] = parquet([{"query-id": "0", "corpus-id": "nowhere", "score": 1}])
    with pytest.raises(DataError, match=r"row 1: the passage 'nowhere' is in no corpus of the card"):
        read("miracl-hn", "en:en", raw)
    files[name] = parquet([{"query-id": "nobody", "corpus-id": "0#0", "score": 1}])
    with pytest.raises(DataError, match=r"row 1: the query 'nobody' is in no query file of the card"):
        read("miracl-hn", "en:en", raw)


def test_a_second_load_converts_nothing_and_files_that_changed_are_converted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = miracl_hn()
    task = load("miracl-hn")
    task = replace(task, source={**task.source, "path": str(raw.write(tmp_path / "raw"))})
    pairs = select_pairs(task, "en:en")
    first = readers.read(task, pairs).corpora["eng-Latn"]
    with monkeypatch.context() as patched:
        patched.setattr("clear_bench.readers.arrow._write", lambda *_: pytest.fail("converted again"))
        again = readers.read(task, pairs).corpora["eng-Latn"]
    assert (again.digest, again.text_digest) == (first.digest, first.text_digest)
    assert again.text == first.text
    files = raw.repositories["mteb/MIRACLRetrievalHardNegatives"]
    rows = [{"_id": f"{i}#0", "title": "", "text": f"a longer text {i}"} for i in range(4)]
    files["en-corpus/dev-00000-of-00001.parquet"] = parquet(rows)
    raw.write(tmp_path / "raw")
    assert readers.read(task, pairs).corpora["eng-Latn"].text[0].as_py() == "a longer text 0"


def test_options_that_nobody_reads_are_refused() -> None:
    task = find_task("miracl")
    with pytest.raises(UsageError, match=r"\[options.corpus\]: unknown key 'titel'; did you mean 'title'"):
        readers.check(replace(task, options={**task.options, "corpus": {"titel": "x"}}))
    with pytest.raises(CardError, match=r"\{lang\} means nothing there"):
        readers.check(replace(task, files={**task.files, "qrels": "x/{lang}.tsv"}))
    with pytest.raises(UsageError, match="format 'tabel'; did you mean 'table'"):
        readers.check(replace(task, options={**task.options, "queries": {"format": "tabel"}}))
    with pytest.raises(CardError, match="candidates is 'words'"):
        readers.check(replace(find_task("xquad"), options={"candidates": "words"}))
