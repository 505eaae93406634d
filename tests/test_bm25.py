"""BM25: what a term is, what a hit is worth, and the same run whatever the order of the corpus."""

from __future__ import annotations

import math
import random
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from clear_bench import readers
from clear_bench.api.retrievers.lexical import LexicalSearcher, lexical_checkpoint
from clear_bench.errors import InputError, UsageError
from clear_bench.indexes import bm25
from clear_bench.indexes.bm25 import BM25, terms
from clear_bench.qrels import judge
from clear_bench.score import score
from clear_bench.tasks import load_card
from clear_bench.types import LanguagePair, Run, Texts, make_texts

ENGLISH = LanguagePair("eng-Latn", "eng-Latn")
WORDS = ("ant", "bee", "cat", "dog", "elk", "fox")


def texts(*lines: str, ids: Sequence[str] | None = None) -> Texts:
    names = ids or [f"p{i}" for i in range(len(lines))]
    return make_texts("eng-Latn", pa.chunked_array([names], pa.string()), pa.chunked_array([lines], pa.string()))


def run(corpus: Texts, query: str, depth: int = 10) -> Run:
    return LexicalSearcher([corpus], corpus.ids).search(texts(query), np.array([0]), ENGLISH, depth)


def hits(corpus: Texts, query: str, depth: int = 10) -> list[tuple[str, float]]:
    """The passage ids and similarities of one query's hits."""
    found = run(corpus, query, depth)
    return [
        (corpus.ids[int(position)].as_py(), float(similarity))
        for position, similarity in zip(found.positions[0], found.similarities[0], strict=True)
        if position >= 0
    ]


def random_texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat's 2nd nap, in 1999_x!", ["the", "cat", "s", "2nd", "nap", "in", "1999", "x"]),
        ("Straße ΣΊΣΥΦΟΣ Ｆｕｌｌ ﬁne", ["strasse", "σίσυφοσ", "full", "fine"]),
        ("İstanbul ISPARTA", ["istanbul", "isparta"]),
        # Vowel signs are marks, which Python's \w does not match.
        ("हिन्दी में खोज", ["हिन्दी", "में", "खोज"]),
        ("می\u200cروم", ["میروم"]),
        ("Tiếng Việt", ["tiếng", "việt"]),
        ("东京都 3号线", ["东京", "京都", "3", "号线"]),
        ("水", ["水"]),
        ("トム・ソーヤー", ["トム", "ソー", "ーヤ", "ヤー"]),
        # Four characters, two of which carry a mark.
        ("กินข้าว", ["กิน", "นข้", "ข้า", "าว"]),
        ("한국어", ["한국", "국어"]),
        ("བོད་སྐད", ["བོད", "སྐད"]),
        ("—…!", []),
    ],
)
def test_terms_are_words_or_pairs_of_characters(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_similarities_follow_the_formula() -> None:
    corpus, query = random_texts(40, seed=1), "ant ant bee wolf"
    passages = [line.split() for line in corpus]
    mean_length = sum(map(len, passages)) / len(passages)

    def similarity(passage: list[str]) -> float:
        total = 0.0
        for term, asked in Counter(query.split()).items():
            frequency = passage.count(term)
            having = sum(term in other for other in passages)
            weight = math.log(1 + (len(passages) - having + 0.5) / (having + 0.5))
            total += asked * weight * frequency / (frequency + 0.9 * (1 - 0.4 + 0.4 * len(passage) / mean_length))
        return total

    expected = {f"p{i}": similarity(passage) for i, passage in enumerate(passages)}
    found = dict(hits(texts(*corpus), query, depth=40))
    assert set(found) == {name for name, value in expected.items() if value > 0}
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-6)  # float32


def test_a_passage_without_a_shared_term_is_no_hit() -> None:
    found = run(texts("ant bee", "cat", "dog"), "bee cat")
    assert sorted(found.positions[0, :2]) == [0, 1]
    assert found.positions[0, 2] == -1
    assert np.isnan(found.similarities[0, 2])


@pytest.mark.parametrize("corpus", [("ant", "bee"), ("—", "…")], ids=["unknown word", "corpus without words"])
def test_a_query_may_have_no_hit(corpus: tuple[str, ...]) -> None:
    assert hits(texts(*corpus), "zebra") == []
    assert run(texts(*corpus), "!").positions.tolist() == [[-1, -1]]


def test_equal_passages_rank_by_id_descending_even_across_the_cut() -> None:
    corpus = texts("cat", "cat", "cat", "ant cat", ids=["a", "c", "b", "z"])
    assert [name for name, _ in hits(corpus, "cat")] == ["c", "b", "a", "z"]
    assert [name for name, _ in hits(corpus, "cat", depth=2)] == ["c", "b"]
    assert run(corpus, "cat").ties == 3


def test_the_order_of_the_corpus_changes_nothing() -> None:
    lines = random_texts(60, seed=2)
    names = [f"p{i}" for i in range(len(lines))]
    shuffled = list(zip(names, lines, strict=True))
    random.Random(3).shuffle(shuffled)
    other = texts(*(line for _, line in shuffled), ids=[name for name, _ in shuffled])
    for query in random_texts(20, seed=4):
        assert hits(texts(*lines), query, depth=7) == hits(other, query, depth=7)


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    index, queries = BM25(random_texts(50, seed=5)), random_texts(20, seed=6)
    whole = list(index.search(queries))
    monkeypatch.setattr(bm25, "_ENTRIES", 60)
    for (values, places), (expected, positions) in zip(index.search(queries), whole, strict=True):
        assert values.tolist() == expected.tolist()
        assert places.tolist() == positions.tolist()


def test_a_pool_is_one_corpus_in_position_order() -> None:
    parts = texts("ant", "bee"), texts("cat bee")
    ids = pa.chunked_array([["en/0", "en/1", "de/0"]], pa.string())
    found = LexicalSearcher(parts, ids).search(texts("cat", "ant"), np.array([0, 1]), ENGLISH, 2)
    assert found.positions.tolist() == [[2, -1], [0, -1]]


def test_only_the_query_rows_asked_for_are_searched() -> None:
    corpus = texts("ant", "bee")
    found = LexicalSearcher([corpus], corpus.ids).search(texts("ant", "fox", "bee"), np.array([2]), ENGLISH, 1)
    assert found.positions.tolist() == [[1]]


def test_an_empty_corpus_and_a_depth_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="corpus is empty"):
        LexicalSearcher([], pa.chunked_array([], pa.string()))
    with pytest.raises(UsageError, match="depth 0"):
        run(texts("ant"), "ant", depth=0)


def test_the_fingerprint_changes_only_when_similarities_may() -> None:
    """A new value here makes every BM25 result a result of another model: count `_SCHEME['terms']` up on purpose."""
    assert lexical_checkpoint().slug == "bm25-da8e09d8"


@pytest.mark.parametrize(("code", "least"), [("tha-Thai", 96.0), ("zho-Hans", 96.5)])
def test_unspaced_scripts_need_no_dictionary(shared_data: Path, code: str, least: float) -> None:
    """Measured beside: Thai 96.5 with pythainlp's newmm, Chinese 96.3 with jieba; 24 and 21 without segmentation."""
    task, pair = load_card(shared_data / "xquad"), LanguagePair(code, code)
    collection = readers.read(task, [pair])
    judged = judge(collection, pair)
    searcher = LexicalSearcher(collection.parts(code), collection.passage_ids(code))
    found = searcher.search(collection.queries[code], judged.query_rows, pair, 10)
    assert 100 * score(found, judged, ["nDCG@10"])[0].mean() > least


def test_it_has_no_weights_and_so_no_precision() -> None:
    assert lexical_checkpoint().precision is None


def test_it_runs_after_the_install_that_the_readme_names() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert all("clear-bench[run]" in extras[name] for name in ("cpu", "gpu"))
    assert any(line.startswith("bm25s") for line in extras["run"])
