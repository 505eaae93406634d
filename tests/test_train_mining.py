from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from toy_training import RECIPES, WORDS, smoke, smoke_of_rows, write_rows

from clear_bench.api.training.mining import mine, with_mined
from clear_bench.cli import invoke
from clear_bench.errors import UsageError
from clear_bench.losses import LOSSES
from clear_bench.train.files import read_texts, text_id
from clear_bench.train.sources import english_side, read_rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def read(path: Path) -> dict[str, list[str]]:
    with gzip.open(path, "rt") as lines:
        return {row["_id"]: row["neg"] for row in map(json.loads, lines)}


@pytest.mark.parametrize("margin", [0.0, 0.01])
def test_negatives_are_the_nearest_passages_below_the_positive(
    base: Path, collection: Path, tmp_path: Path, margin: float
) -> None:
    from sentence_transformers import SentenceTransformer

    settings = [f"mine.model={base}", f"mine.margin={margin}", "mine.keep=4", "mine.depth=24"]
    found = read(mine(smoke(base, collection, *settings), tmp_path))
    queries = read_texts(collection / "queries/en.jsonl.gz", "train")
    passages = read_texts(collection / "corpus/en.jsonl.gz", "train")
    model = SentenceTransformer(str(base), device="cpu")
    q = model.encode([f"query: {text}" for text in queries.values()])
    d = model.encode([f"passage: {text}" for text in passages.values()])
    similarities = (q @ d.T).astype(np.float64)
    names = list(passages)
    for i, item in enumerate(queries):
        limit = similarities[i, i] * (1 - margin)
        clear = [j for j in np.argsort(-similarities[i]) if similarities[i, j] < limit - 1e-6 and j != i]
        doubtful = {names[j] for j in range(len(names)) if abs(similarities[i, j] - limit) <= 1e-6}
        if not doubtful:
            assert found[item] == [names[j] for j in clear[:4]]


def test_bm25_finds_passages_that_share_words_but_less_than_the_positive(
    base: Path, collection: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bm25s")
    found = read(mine(smoke(base, collection, "mine.model=bm25", "mine.depth=24"), tmp_path))
    queries = read_texts(collection / "queries/en.jsonl.gz", "train")
    passages = read_texts(collection / "corpus/en.jsonl.gz", "train")
    assert any(found.values())
    for item, negatives in found.items():
        assert item not in negatives
        words = set(queries[item].split())
        assert all(words & set(passages[name].split()) for name in negatives)


def test_rows_are_joined_with_mined_negatives_and_the_queries_of_those(
    base: Path, collection: Path, tmp_path: Path
) -> None:
    recipe = with_mined(smoke(base, collection, f"mine.model={base}", "data.negatives=2"), tmp_path)
    rows = read_rows(recipe.data, LOSSES["clear"][0].roles)
    mined = read(tmp_path / "negatives.jsonl.gz")
    german = read_texts(collection / "queries/de.jsonl.gz", "train")
    for i, language in enumerate(rows.languages):
        if language == "de":
            chosen = [rows.ids[f"negative_{k}"][i] for k in (1, 2)]
            assert chosen == [name for name in mined[rows.ids["positive"][i]] if name in german][:2]
            assert rows.columns["neg_query_1"][i] == german[chosen[0]]
    source = next(source for source in rows.sources if source["path"] == "negatives.jsonl.gz")
    assert json.loads(source["provenance"])["margin"] == 0.05


def test_lost_queries_are_counted_and_the_same_mining_is_done_once(
    base: Path, collection: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Nothing is half as similar as the positive in this model, whose vectors all lie close together.
    recipe = smoke(base, collection, f"mine.model={base}", "mine.margin=0.5")
    path = mine(recipe, tmp_path)
    made = json.loads((tmp_path / "negatives.provenance.json").read_text())
    assert made["short_of_negatives"] == 24
    assert "24 of 24 queries have fewer than 1" in caplog.text
    stamp = path.stat().st_mtime_ns
    assert mine(recipe, tmp_path).stat().st_mtime_ns == stamp
    mine(smoke(base, collection, f"mine.model={base}", "mine.margin=0.01"), tmp_path)
    assert path.stat().st_mtime_ns != stamp


def test_mining_needs_a_collection(base: Path, collection: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.negatives_file itself"):
        smoke(base, collection, "mine.model=bm25", "data.negatives_file=x")
    with pytest.raises(UsageError, match=r"mine.margin is 1.0"):
        smoke(base, collection, "mine.model=bm25", "mine.margin=1")


def test_the_command_mines_before_it_trains(
    base: Path, collection: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = [f"model.base={base}", f"data.collection={collection}", f"mine.model={base}", "training.steps=1"]
    sets = [word for setting in settings for word in ("--set", setting)]
    assert invoke(["train", str(RECIPES / "smoke.toml"), *sets, "--out", str(tmp_path / "o"), "--json"]) == 0
    manifest = json.loads(capfd.readouterr().out)
    assert any("provenance" in source for source in manifest["data"]["sources"])


def cross(i: int) -> str:
    return f"wo ist {i}"


@pytest.mark.parametrize("margin", [0.0, 0.01])
def test_rows_of_a_file_get_the_nearest_passages_below_their_least_similar_positive(
    base: Path, tmp_path: Path, margin: float
) -> None:
    from sentence_transformers import SentenceTransformer

    # Rows 3 and 9 ask the same: each has the other's positive beside its own.
    path = write_rows(tmp_path / "r.jsonl", negatives=0, anchor=lambda i: f"what about {i % 6 if i == 9 else i}",
                      negative_1=lambda i: f"a given negative {i % 5}")  # fmt: skip
    settings = [f"mine.model={base}", f"mine.margin={margin}", "mine.keep=4", "mine.depth=20"]
    recipe = smoke_of_rows(base, path, tmp_path, *settings)
    found = read(mine(recipe, tmp_path))
    side = english_side(recipe.data)
    assert (len(side.queries), len(side.passages)) == (11, 12 + 5)
    assert len(side.positives[text_id("what about 3")]) == 2
    model = SentenceTransformer(str(base), device="cpu")
    names = list(side.passages)
    d = model.encode([f"passage: {text}" for text in side.passages.values()])
    checked = 0
    for item, text in side.queries.items():
        similarities = (model.encode(f"query: {text}") @ d.T).astype(np.float64)
        own = [names.index(name) for name in side.positives[item]]
        limit = min(similarities[own]) * (1 - margin)
        others = [j for j in np.argsort(-similarities) if j not in own]
        if all(abs(similarities[others] - limit) > 1e-6):
            clear = [j for j in others if similarities[j] < limit]
            assert found[item] == [names[j] for j in clear[:4]]
            checked += 1
    assert checked > 5


def test_mined_negatives_of_a_file_bring_their_own_queries_in_the_rows_language(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    path = write_rows(tmp_path / "r.jsonl", negatives=0, cross_anchor=cross, language=lambda i: "de" if i % 2 else "fr",
                      anchor=lambda i: f"no {i} about apple river stone")  # fmt: skip
    settings = ["mine.model=bm25", "mine.margin=0.001", "mine.keep=11", "mine.depth=12", "data.negatives=2"]
    recipe = with_mined(smoke_of_rows(base, path, tmp_path, *settings), tmp_path / "mined")
    rows = read_rows(recipe.data, LOSSES["clear"][0].roles)
    mined = read(tmp_path / "mined/negatives.jsonl.gz")
    assert len(rows) + rows.drops.get("too few translated negatives", 0) == 12
    for i, language in enumerate(rows.languages):
        for k in (1, 2):
            number = int(rows.columns[f"negative_{k}"][i].split()[-1])
            assert rows.columns[f"neg_query_{k}"][i] == cross(number)
            assert ("de" if number % 2 else "fr") == language
        same = [text_id(passage(number)) for number in range(12) if ("de" if number % 2 else "fr") == language]
        ranked = mined[text_id(rows.columns["anchor"][i])]
        assert [rows.ids[f"negative_{k}"][i] for k in (1, 2)] == [name for name in ranked if name in same][:2]
    # A loss without query negatives takes the first ones, whatever their language.
    english = read_rows(recipe.data, LOSSES["infonce_x"][0].roles)
    assert "neg_query_1" not in english.columns
    for i in range(len(english)):
        assert english.ids["negative_1"][i] == mined[text_id(english.columns["anchor"][i])][0]


def passage(number: int) -> str:
    return f"about {WORDS[number]} {WORDS[(number * 5 + 1) % 12]} no {number}"


def test_rows_with_too_few_mined_negatives_are_counted_and_ids_of_the_data_are_kept(base: Path, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "r.jsonl", negatives=0, positive_id=lambda i: f"doc{i}", cross_anchor=cross)
    recipe = smoke_of_rows(base, path, tmp_path, f"mine.model={base}", "mine.margin=0.01", "mine.depth=12")
    mined = read(mine(recipe, tmp_path / "mined"))
    assert all(name.startswith("doc") for found in mined.values() for name in found)
    rows = read_rows(with_mined(recipe, tmp_path / "mined").data, LOSSES["clear"][0].roles)
    short = sum(not found for found in mined.values())
    assert (len(rows), rows.drops) == (12 - short, {"too few translated negatives": short} if short else {})
    assert all(name.startswith("doc") for name in rows.ids["negative_1"])
