"""`evaluate` in a notebook: every text once, scores that an oracle confirms, models and questions told apart."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from raw_benchmarks import BENCHMARKS, load
from toy_task import CODES, WordEncoder, write_task, write_vectors

import clear_bench
from clear_bench import ModelSettings, SearchSettings, evaluate, load_task
from clear_bench.disk import cache_root
from clear_bench.errors import CheckpointError, NotComparableError, UsageError
from clear_bench.store.results import read_result

PROBES = 3
"""Texts that an object is fingerprinted by, each time it is opened."""


@pytest.fixture
def card(tmp_path: Path) -> str:
    return str(write_task(tmp_path / "task"))


def test_public_names_are_few_sorted_and_there() -> None:
    assert len(clear_bench.__all__) <= 20
    assert clear_bench.__all__ == sorted(clear_bench.__all__)
    assert all(getattr(clear_bench, name) for name in clear_bench.__all__)
    assert set(clear_bench.__all__) <= set(dir(clear_bench))


def test_every_setting_is_a_keyword_of_evaluate_with_its_own_default() -> None:
    given = inspect.signature(evaluate).parameters
    for kind in (ModelSettings, SearchSettings):
        for one in fields(kind):
            assert given[one.name].default == one.default, one.name


def test_matrix_encodes_every_text_set_once(card: str) -> None:
    model = WordEncoder()
    done = evaluate(model, card)
    # 3 x 3 pairs of 8 queries and 8 passages are 6 sets of 8 texts, not 18 sets.
    assert len(model.texts) == PROBES + 6 * 8
    assert len(set(model.texts[PROBES:])) == 6 * 8
    assert len(done.scores["toy"].provenance.pairs) == 9
    assert done.scores["toy"].provenance.counts.encoded_texts == 48


def test_second_evaluation_encodes_nothing(card: str) -> None:
    evaluate(WordEncoder(), card)
    model = WordEncoder()
    done = evaluate(model, card, pairs="de:en")
    assert len(model.texts) == PROBES
    assert done.scores["toy"].provenance.counts.encoded_texts == 0
    assert done.scores["toy"].provenance.counts.texts == 16


def test_pooled_judgements_bring_the_share_of_judged_hits(card: str) -> None:
    qrels = Path(card).parent / "qrels.tsv"
    assert "judged@10" not in evaluate(WordEncoder(), card, pairs="de:en").scores["toy"].metrics
    qrels.write_text(qrels.read_text() + "".join(f"q{i}\tp{(i + 1) % 8}\t0\n" for i in range(8)))
    scores = evaluate(WordEncoder(), card, pairs="de:en").scores["toy"]
    assert scores.metrics[-1] == "judged@10"
    # All 8 passages are hits of each query, and 2 of them are judged.
    assert scores.table["judged@10"].to_pylist() == [0.25] * 8


def test_printing_an_evaluation_shows_the_tables_of_a_run(card: str, tmp_path: Path) -> None:
    done = evaluate(WordEncoder(), card, name="words|<b>")
    shown = str(done)
    assert shown == repr(done)
    assert shown.startswith("words|<b> on toy: nDCG@10 x 100\n\nlanguage")
    assert "\nquery " in shown
    page = done._repr_html_()
    assert page.count("<table>") == 3
    assert "words|&lt;b&gt; on toy" in page


def test_two_tasks_with_the_same_texts_share_their_vectors(tmp_path: Path) -> None:
    cards = [str(write_task(tmp_path / name, name)) for name in ("one", "two")]
    model = WordEncoder()
    done = evaluate(model, cards)
    assert list(done.scores) == ["one", "two"]
    assert len(model.texts) == PROBES + 48


def test_objects_of_one_name_and_other_vectors_are_told_apart(card: str, tmp_path: Path) -> None:
    """mteb gives every local model one name, so its cache returned the good model's score for a random one."""
    good = evaluate(WordEncoder(), card, out=tmp_path / "out")
    other = WordEncoder(dimensions=5)
    bad = evaluate(other, card, out=tmp_path / "out")
    assert len(other.texts) > PROBES
    assert good.checkpoint.fingerprint != bad.checkpoint.fingerprint
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert good.scores["toy"].provenance.identity != bad.scores["toy"].provenance.identity


def test_scores_equal_those_of_a_plain_loop(card: str) -> None:
    """The matrix, computed again with nothing but NumPy on the same vectors."""
    done = evaluate(WordEncoder(), card, metrics=["recall@1", "MRR@10"])
    collection, model = load_task(card), WordEncoder()

    def unit(language: str, side: str) -> np.ndarray:
        texts = getattr(collection, side)[language].text.to_pylist()
        vectors = model.encode(texts).astype(np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    for query in CODES:
        for passage in CODES:
            similarities = unit(query, "queries") @ unit(passage, "corpora").T
            ranks = 1 + (similarities > np.diag(similarities)[:, None]).sum(axis=1)
            assert done.matrix("toy", "recall@1").loc[query, passage] == pytest.approx((ranks == 1).mean(), abs=1e-12)
            assert done.matrix("toy", "MRR@10").loc[query, passage] == pytest.approx((1 / ranks).mean(), abs=1e-12)


def test_permuted_corpus_gives_the_same_scores(tmp_path: Path) -> None:
    first, second = write_task(tmp_path / "a"), write_task(tmp_path / "b")
    for path in (tmp_path / "b").rglob("*.jsonl"):
        lines = path.read_text().splitlines(keepends=True)
        # Passages that are the same text tie, and only the id may decide.
        path.write_text("".join(reversed(lines)))
    for folder in ("a", "b"):
        path = tmp_path / folder / "corpus" / "en.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row | {"text": "all the same"}) + "\n" for row in rows))
    one, other = (evaluate(WordEncoder(), str(card)).to_pandas() for card in (first, second))
    keys = ["query_language", "passage_language", "query_id"]
    columns = [*keys, "nDCG@10", "recall@1", "MRR@10"]
    # The last bits of a similarity are no part of the promise, ranks are.
    left, right = (frame.sort_values(keys)[columns].reset_index(drop=True) for frame in (one, other))
    assert left.equals(right)


def test_long_form_and_matrix_agree(card: str) -> None:
    done = evaluate(WordEncoder(), card)
    long = done.to_pandas()
    assert list(long.columns[:2]) == ["model", "task"]
    assert len(long) == 9 * 8
    means = long.groupby(["query_language", "passage_language"], sort=False)["nDCG@10"].mean()
    for (query, passage), value in means.items():
        assert done.matrix("toy").loc[query, passage] == pytest.approx(value, abs=1e-12)


def test_limit_keeps_the_first_queries_by_id_and_marks_the_result(tmp_path: Path) -> None:
    card = write_task(tmp_path / "task")
    path = tmp_path / "task" / "queries" / "en.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    done = evaluate(WordEncoder(), str(card), pairs="en:de", limit=3)
    scores = done.scores["toy"]
    assert sorted(scores.table["query_id"].to_pylist()) == ["q0", "q1", "q2"]
    assert scores.provenance.partial is True
    assert scores.provenance.limit == 3
    assert scores.provenance.counts.texts == 3 + 8, "the corpus stays whole"


def test_whole_evaluation_is_not_partial(card: str) -> None:
    assert evaluate(WordEncoder(), card, pairs="en:en").scores["toy"].provenance.partial is False


def test_saved_scores_read_back_as_they_were(card: str, tmp_path: Path) -> None:
    done = evaluate(WordEncoder(), card, out=tmp_path / "out", name="words")
    folder = tmp_path / "out" / done.checkpoint.slug / "toy"
    assert folder.parent.name.startswith("words-")
    assert read_result(folder).scores.table.equals(done.scores["toy"].table)
    assert evaluate(WordEncoder(), card, name="words").scores["toy"].table.equals(done.scores["toy"].table)


def test_prompts_reach_the_encoder_and_the_fingerprint(card: str) -> None:
    plain, prompted = WordEncoder(), WordEncoder()
    one = evaluate(plain, card, pairs="en:en")
    other = evaluate(prompted, card, pairs="en:en", query_prompt="query: ", passage_prompt="passage: ")
    assert "query: en what is river 0" in prompted.texts
    assert "passage: en river 0 is described here" in prompted.texts
    assert one.checkpoint.fingerprint != other.checkpoint.fingerprint


def test_instruction_of_the_card_fills_the_template(tmp_path: Path) -> None:
    card = write_task(tmp_path / "task", extra='instruction = "Find the page"')
    model = WordEncoder()
    evaluate(model, str(card), pairs="en:en", query_prompt="Instruct: {instruction}\nQuery: ")
    assert "Instruct: Find the page\nQuery: en what is river 0" in model.texts
    assert "en river 0 is described here" in model.texts


def test_dot_product_does_not_normalise(tmp_path: Path) -> None:
    card = str(write_task(tmp_path / "task"))
    vectors = write_vectors(tmp_path / "vectors", noise=0.1)
    path = vectors / "passages" / "en.npy"
    block = np.load(path)
    block[3] *= 1000  # the longest passage is the first hit of whatever points its way
    np.save(path, block)
    cosine = evaluate(None, card, vectors=vectors, pairs="en:en")
    (vectors / "vectors.json").write_text('{"similarity": "dot"}')
    dot = evaluate(None, card, vectors=vectors, pairs="en:en")
    assert cosine.checkpoint.fingerprint != dot.checkpoint.fingerprint
    queries = np.load(vectors / "queries" / "en.npy").astype(np.float64)
    expected = (queries @ block.T.astype(np.float64)).argmax(axis=1) == np.arange(8)
    assert dot.scores["toy"].table["recall@1"].to_pylist() == expected.astype(float).tolist()
    assert sum(cosine.scores["toy"].table["recall@1"].to_pylist()) > expected.sum()


def test_truncated_dimensions_equal_vectors_cut_by_hand(tmp_path: Path) -> None:
    card = str(write_task(tmp_path / "task"))
    vectors = write_vectors(tmp_path / "vectors")
    cut = evaluate(None, card, vectors=vectors, truncate_dim=3)
    for path in vectors.rglob("*.npy"):
        np.save(path, np.load(path)[:, :3])
    by_hand = evaluate(None, card, vectors=vectors)
    assert cut.scores["toy"].table.equals(by_hand.scores["toy"].table)
    with pytest.raises(UsageError, match="--truncate-dim 9 is more than the 3 dimensions"):
        evaluate(None, card, vectors=vectors, truncate_dim=9)


def test_half_precision_store_is_half_as_large_and_part_of_the_identity(tmp_path: Path) -> None:
    card = str(write_task(tmp_path / "task"))
    vectors = write_vectors(tmp_path / "vectors")
    full = evaluate(None, card, vectors=vectors, cache_dir=tmp_path / "32")
    half = evaluate(None, card, vectors=vectors, cache_dir=tmp_path / "16", store_dtype="float16")
    blocks = [np.load(path) for path in (tmp_path / "16").rglob("*.npy")]
    assert {str(block.dtype) for block in blocks} == {"float16"}
    assert full.scores["toy"].provenance.identity != half.scores["toy"].provenance.identity
    assert half.matrix("toy").to_numpy() == pytest.approx(full.matrix("toy").to_numpy(), abs=0.05)


def test_cache_dir_keeps_data_sets_and_vectors_and_nothing_stands_elsewhere(tmp_path: Path) -> None:
    folder = BENCHMARKS["ciral"][0]().write(tmp_path / "raw")
    task = load("ciral")
    task = replace(task, source={**task.source, "path": str(folder)})
    evaluate(WordEncoder(), task, pairs="en:sw", name="words", cache_dir=tmp_path / "mine")
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"datasets", "embeddings"}
    assert not (tmp_path / "cache").exists()  # the usual cache of a test
    load_task(str(write_task(tmp_path / "task")), cache_dir=tmp_path / "other")
    assert cache_root() == tmp_path / "cache"


def test_settings_that_vectors_cannot_take_are_refused(tmp_path: Path) -> None:
    vectors = write_vectors(tmp_path / "vectors")
    with pytest.raises(UsageError, match="query_prompt cannot be set for precomputed vectors"):
        evaluate("name", "mini", vectors=vectors, query_prompt="q: ")


@pytest.mark.parametrize("index", ["fiass", "torhc", "aut"])
def test_mistyped_index_is_found_before_anything_is_encoded(card: str, index: str) -> None:
    model = WordEncoder()
    with pytest.raises(UsageError, match="did you mean"):
        evaluate(model, card, index=index)
    assert len(model.texts) == PROBES


def test_object_without_encode_is_refused(card: str) -> None:
    with pytest.raises(UsageError, match="not a dict"):
        evaluate({}, card)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "vector that is zero")]
)
def test_one_unusable_vector_stops_the_evaluation(card: str, tmp_path: Path, value: float, message: str) -> None:
    """One NaN row raised nDCG@10 in mteb 2.26."""

    class Bad(WordEncoder):
        def encode(self, texts: list[str]) -> np.ndarray:
            vectors = super().encode(texts)
            vectors[[i for i, text in enumerate(texts) if "copper 0" in text]] = value
            return vectors

    with pytest.raises(CheckpointError, match=message) as caught:
        evaluate(Bad(), card, out=tmp_path / "out")
    assert "'q1'" in str(caught.value)
    assert not list((tmp_path / "out").rglob("*"))


def test_vectors_of_another_width_for_queries_are_refused(card: str, tmp_path: Path) -> None:
    vectors = write_vectors(tmp_path / "vectors")
    for path in (vectors / "queries").iterdir():
        np.save(path, np.load(path)[:, :5])
    with pytest.raises(clear_bench.errors.InputError, match="5") as caught:
        evaluate(None, card, vectors=vectors, out=tmp_path / "out")
    assert "8" in str(caught.value)
    assert not list((tmp_path / "out").rglob("*"))


def test_wrong_number_of_vectors_is_refused(card: str) -> None:
    class Short(WordEncoder):
        def encode(self, texts: list[str]) -> np.ndarray:
            return super().encode(texts)[: max(len(texts) - 1, 3)]

    with pytest.raises(CheckpointError, match="expected one vector for each"):
        evaluate(Short(), card)


def test_same_text_twice_under_two_ids_is_encoded_for_each_and_ties_by_id(tmp_path: Path) -> None:
    card = write_task(tmp_path / "task")
    path = tmp_path / "task" / "corpus" / "en.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows.append({"_id": "p0-copy", "text": rows[0]["text"]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = evaluate(WordEncoder(), str(card), pairs="en:en", out=tmp_path / "out")
    folder = tmp_path / "out" / done.checkpoint.slug / "toy"
    import pyarrow.parquet as pq

    hits = pq.ParquetFile(folder / "run.parquet").read().to_pandas()
    first = hits[hits.query_id == "q0"].sort_values("rank").passage_id.tolist()
    # trec_eval's rule: equal similarities go by id, descending by bytes.
    assert first[:2] == ["p0-copy", "p0"]


def test_comparing_limited_with_whole_results_is_refused(card: str, tmp_path: Path) -> None:
    from clear_bench.compare import compare

    def result(out: str, **settings: int) -> object:
        done = evaluate(WordEncoder(), card, out=tmp_path / out, **settings)
        return read_result(tmp_path / out / done.checkpoint.slug / "toy")

    with pytest.raises(NotComparableError):
        compare([result("a")], [result("b", limit=3)])  # type: ignore[list-item]
