from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_training import (
    RECIPES,
    make_translator,
    smoke,
    smoke_of_rows,
    write_lines,
    write_rows,
)

from clear_bench.api.training.mining import with_mined
from clear_bench.api.training.translating import translate, with_translated
from clear_bench.cli import invoke
from clear_bench.errors import CheckpointError, DataError, UsageError
from clear_bench.losses import LOSSES
from clear_bench.train.files import read_texts
from clear_bench.train.parts import TranslatePart
from clear_bench.train.recipe import Recipe
from clear_bench.train.sources import read_rows
from clear_bench.train.translate import CUT_OFF, TOO_LONG, Finished, Outcome, Translator, open_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
CLEAR = LOSSES["clear"][0].roles
SHORT = ["translate.max_length=24", "translate.num_beams=2", "translate.batch_size=5"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_translator(tmp_path_factory.mktemp("nllb"))


def swahili(model: Path, base: Path, collection: Path, *overrides: str) -> Recipe:
    return smoke(base, collection, f"translate.model={model}", "translate.languages=['sw']", *SHORT, *overrides)


def read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_translations_equal_those_of_transformers_one_by_one(
    model: Path, base: Path, collection: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    found = {row["query"]: row["translation"] for row in read(translate(swahili(model, base, collection), tmp_path))}
    tokenizer = AutoTokenizer.from_pretrained(model, src_lang="eng_Latn", local_files_only=True)
    plain = AutoModelForSeq2SeqLM.from_pretrained(model, local_files_only=True)
    token = tokenizer.convert_tokens_to_ids("swh_Latn")
    for text, translation in list(found.items())[:6]:
        ids = tokenizer(text, return_tensors="pt")
        made = plain.generate(**ids, forced_bos_token_id=token, num_beams=2, max_new_tokens=24)
        assert translation == tokenizer.decode(made[0], skip_special_tokens=True).strip()


def test_a_collection_gets_rows_in_the_languages_that_it_lacks(
    model: Path, base: Path, collection: Path, tmp_path: Path
) -> None:
    recipe = with_translated(swahili(model, base, collection), tmp_path)
    rows = read_rows(recipe.data, CLEAR)
    made = {row["query"]: row["translation"] for row in read(tmp_path / "translations.jsonl.gz")}
    english = read_texts(collection / "queries/en.jsonl.gz", "train")
    assert rows.languages.count("de") == 24
    own = [i for i, language in enumerate(rows.languages) if language == "sw"]
    assert len(own) == 24
    for i in own:
        assert rows.columns["cross_anchor"][i] == made[rows.columns["anchor"][i]]
        # The query negative is the translated query of the negative passage.
        assert rows.columns["neg_query_1"][i] == made[english[rows.ids["negative_1"][i]]]


def prefixed(_self: Any, texts: list[str], language: str) -> Any:
    return (Outcome(f"{language}: {text}") for text in texts)


def test_english_rows_of_a_file_get_translated_queries_and_query_negatives(
    model: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translator, "_generate", prefixed)
    settings = [f"translate.model={model}", "translate.languages=['deu_Latn','fr']", "data.negatives=2", *SHORT]
    recipe = with_translated(smoke_of_rows(base, write_rows(tmp_path / "r.jsonl"), tmp_path, *settings), tmp_path)
    rows = read_rows(recipe.data, CLEAR)
    assert (rows.languages.count("deu_Latn"), rows.languages.count("fr"), rows.drops) == (12, 12, {})
    for i, language in enumerate(rows.languages):
        number = int(rows.columns["anchor"][i].split()[-1])
        for column, other in (("cross_anchor", number), ("neg_query_1", number + 1), ("neg_query_2", number + 2)):
            assert rows.columns[column][i] == f"{language}: where is {other % 12}"


def test_a_query_is_no_negative_of_a_row_with_the_same_translation(
    model: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pairs(_self: Any, texts: list[str], _language: str) -> Any:
        return (Outcome(f"wo {int(text.split()[-1]) // 2}") for text in texts)

    monkeypatch.setattr(Translator, "_generate", pairs)
    settings = [f"translate.model={model}", "translate.languages=['de']", "data.negatives=1", *SHORT]
    recipe = with_translated(smoke_of_rows(base, write_rows(tmp_path / "r.jsonl"), tmp_path, *settings), tmp_path)
    rows = read_rows(recipe.data, CLEAR)
    assert len(rows) == 12
    assert all(a != b for a, b in zip(rows.columns["cross_anchor"], rows.columns["neg_query_1"], strict=True))


def test_negatives_without_a_query_drop_their_row_only_where_the_loss_takes_query_negatives(
    model: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translator, "_generate", prefixed)
    foreign = write_rows(tmp_path / "r.jsonl", negative_1=lambda i: f"asked by nobody {i}" if i < 4 else f"about {i}")
    settings = [f"translate.model={model}", "translate.languages=['de']", "data.negatives=1", *SHORT]
    recipe = with_translated(smoke_of_rows(base, foreign, tmp_path, *settings), tmp_path)
    # The second negative of each row is another row's positive; a spare one is used.
    assert len(read_rows(recipe.data, CLEAR)) == 12
    two = replace(recipe.data, negatives=2)
    assert len(read_rows(two, LOSSES["infonce_x"][0].roles)) == 12
    with pytest.raises(DataError, match="too few translated negatives': 12"):
        read_rows(two, CLEAR)
    # In a sweep, all losses get the rows of those that take query negatives.
    with pytest.raises(DataError, match="too few translated negatives': 12"):
        read_rows(replace(two, query_negatives=True), LOSSES["infonce_x"][0].roles)


def test_english_query_negatives_of_a_file_are_translated_too(
    model: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translator, "_generate", prefixed)
    given = write_rows(tmp_path / "r.jsonl", negatives=0, negative_1=lambda i: f"passage {i}",
                       neg_query_1=lambda i: f"what of {i}")  # fmt: skip
    settings = [f"translate.model={model}", "translate.languages=['de']", *SHORT]
    rows = read_rows(with_translated(smoke_of_rows(base, given, tmp_path, *settings), tmp_path).data, CLEAR)
    assert rows.columns["cross_anchor"] == [f"de: where is {i}" for i in range(12)]
    assert rows.columns["neg_query_1"] == [f"de: what of {i}" for i in range(12)]


def test_mined_negatives_of_a_file_bring_translated_queries(
    model: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translator, "_generate", prefixed)
    settings = [
        f"translate.model={model}",
        "translate.languages=['de']",
        f"mine.model={base}",
        "mine.margin=0.001",
        *SHORT,
    ]
    recipe = smoke_of_rows(base, write_rows(tmp_path / "r.jsonl", negatives=0), tmp_path, *settings)
    rows = read_rows(with_translated(with_mined(recipe, tmp_path / "m"), tmp_path / "t").data, CLEAR)
    assert len(rows) > 6
    for negative, query in zip(rows.columns["negative_1"], rows.columns["neg_query_1"], strict=True):
        assert query == f"de: where is {negative.split()[-1]}"
    assert {"negatives.jsonl.gz", "translations.jsonl.gz"} <= {source["path"] for source in rows.sources}


def test_an_interrupted_translation_goes_on_and_ends_the_same(
    model: Path, base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = swahili(model, base, collection)
    whole = read(translate(recipe, tmp_path / "whole"))
    original, calls = Translator.batch, []

    def stop(self: Any, texts: Any, language: str) -> Any:
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, texts, language)

    with monkeypatch.context() as patch:
        patch.setattr(Translator, "batch", stop)
        with pytest.raises(KeyboardInterrupt):
            translate(recipe, tmp_path / "cut")
    assert not (tmp_path / "cut" / "translations.jsonl.gz").exists()
    finished = tmp_path / "cut" / "finished.jsonl"
    assert len(finished.read_text().splitlines()) == 10
    # A crash in the middle of a line costs the batch of that line and no other.
    finished.write_bytes(finished.read_bytes()[:-20])
    calls.clear()
    monkeypatch.setattr(Translator, "batch", lambda *a: calls.append(len(a[1])) or original(*a))
    assert read(translate(recipe, tmp_path / "cut")) == whole
    # 24 texts in batches of five, of which the first was finished.
    assert calls == [5, 5, 5, 4]


def test_each_text_is_translated_once_for_a_language_and_its_settings(
    model: Path, base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, texts = Translator.batch, []
    monkeypatch.setattr(Translator, "batch", lambda *a: texts.extend(a[1]) or original(*a))
    path = translate(swahili(model, base, collection), tmp_path)
    assert len(texts) == len(set(texts)) == 24
    stamp = path.stat().st_mtime_ns
    assert translate(swahili(model, base, collection), tmp_path).stat().st_mtime_ns == stamp
    # The same language by another spelling is written anew from what is finished.
    translate(swahili(model, base, collection, "translate.languages=['swh_Latn']"), tmp_path)
    assert len(texts) == 24
    translate(swahili(model, base, collection, "translate.num_beams=1"), tmp_path)
    assert len(texts) == 48


def test_useless_translations_are_left_out_and_counted(
    model: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "c"
    queries = [{"_id": f"p{i}", "text": text} for i, text in enumerate(["empty", "same", "good", "x" * 30])]
    write_lines(folder / "queries/en.jsonl.gz", queries)
    write_lines(folder / "corpus/en.jsonl.gz", [{"_id": f"p{i}", "text": f"passage {i}"} for i in range(4)])
    known = {"empty": Outcome(""), "same": Outcome("same"), "good": Outcome("nzuri")}
    monkeypatch.setattr(Translator, "_generate", lambda _self, texts, _language: (known[text] for text in texts))
    recipe = with_translated(swahili(model, base, folder, "data.negatives=0"), tmp_path / "o")
    counts = json.loads((tmp_path / "o/translations.provenance.json").read_text())["counts"]
    dropped = {"empty": 1, "same as the query": 1, TOO_LONG: 1}
    assert counts == {"sw": {"texts": 4, "finished": 4, "dropped": dropped}}
    assert "3 of 4 translations to sw are left out" in caplog.text
    rows = read_rows(recipe.data, LOSSES["infonce_x"][0].roles)
    assert (rows.columns["cross_anchor"], rows.drops) == (["nzuri"], {"no translated query": 3})


def test_a_translation_that_never_ends_is_left_out(tmp_path: Path) -> None:
    found = open_model(str(make_translator(tmp_path / "endless", ends=False)))
    part = TranslatePart(str(tmp_path), ("de",), num_beams=1, max_length=8)
    assert Translator(found, part, "cpu").batch(["a b", "c" * 9], "de") == [
        Outcome(None, CUT_OFF),
        Outcome(None, TOO_LONG),
    ]


def test_manifest_and_model_card_say_who_translated(
    model: Path, base: Path, collection: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = [f"model.base={base}", f"data.collection={collection}", f"translate.model={model}",
                "translate.languages=['sw']", "training.steps=1", *SHORT]  # fmt: skip
    sets = [word for setting in settings for word in ("--set", setting)]
    command = ["train", str(RECIPES / "smoke.toml"), *sets, "--out", str(tmp_path / "o"), "--json"]
    # A dry run says how many are to do, and translates none of them.
    assert invoke([*command, "--dry-run"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["translations"] == {"sw": {"texts": 24, "finished": 0, "dropped": {}}}
    assert shown["languages"] == ["de", "fr", "sw"]
    assert not (tmp_path / "o/translated/finished.jsonl").exists()
    assert invoke(command) == 0
    manifest = json.loads(capfd.readouterr().out)
    (made,) = (json.loads(source["provenance"]) for source in manifest["data"]["sources"] if "provenance" in source)
    assert made["fingerprint"] == open_model(str(model)).fingerprint
    assert (made["licence"], made["languages"]) == ("cc-by-nc-4.0", {"sw": "swh_Latn"})
    assert made["settings"]["num_beams"] == 2
    assert made["counts"]["sw"]["texts"] == 24
    assert set(made["versions"]) >= {"transformers", "torch"}
    card = (tmp_path / "o/README.md").read_text()
    assert "machine translations by" in card
    assert "cc-by-nc-4.0" in card
    assert str(model) not in json.dumps(manifest["identity"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["translate.languages=['de','eng']"], "lists 'eng': queries are translated from English"),
        (["translate.languages=['de','deu_Latn']"], "lists deu-Latn twice"),
        (["translate.languages=['gerrman']"], "unknown language 'gerrman'"),
        (["translate.languages=[]"], "needs both"),
        (["data.translations_file=x"], r"data\.translations_file itself"),
        (["translate.num_beams=0"], "translate.num_beams is 0"),
        (["translate.beams=2"], "did you mean 'num_beams'"),
    ],
)
def test_a_recipe_that_cannot_be_translated_is_refused(
    settings: list[str], message: str, base: Path, collection: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        smoke(base, collection, "translate.model=m", "translate.languages=['sw']", *settings)


def test_languages_that_the_model_or_the_data_does_not_fit_are_refused(
    model: Path, base: Path, collection: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"unknown target of .* 'dan-Latn'; did you mean 'deu-Latn', 'fra-Latn'"):
        translate(swahili(model, base, collection, "translate.languages=['da']"), tmp_path)
    with pytest.raises(UsageError, match=r"lists deu, but .*queries has them"):
        translate(swahili(model, base, collection, "translate.languages=['deu','sw']"), tmp_path)
    with pytest.raises(UsageError, match=r"200, but .* has 128 positions"):
        translate(swahili(model, base, collection, "translate.max_length=200"), tmp_path)
    done = write_rows(tmp_path / "r.jsonl", cross_anchor=lambda i: f"wo ist {i}")
    settings = [f"translate.model={model}", "translate.languages=['de']"]
    with pytest.raises(UsageError, match="cross_anchor"):
        translate(smoke_of_rows(base, done, tmp_path, *settings), tmp_path)


def test_models_that_translate_nothing_or_hold_pickles_are_refused(model: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a translation model"):
        open_model(str(base))
    with pytest.raises(UsageError, match="neither a folder nor a hub id"):
        open_model("no-such-model")
    pickled = Path(shutil.copytree(model, tmp_path / "pickled"))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="has no safetensors"):
        open_model(str(pickled))
    shutil.copy(model / "model.safetensors", pickled)
    with pytest.raises(CheckpointError, match="pickled weights"):
        open_model(str(pickled))
    # Another tokenizer is another model.
    other = Path(shutil.copytree(model, tmp_path / "other"))
    (other / "tokenizer_config.json").write_text((other / "tokenizer_config.json").read_text() + "\n")
    assert open_model(str(other)).fingerprint != open_model(str(model)).fingerprint


def test_finished_texts_survive_in_their_file(tmp_path: Path) -> None:
    file = tmp_path / "f" / "finished.jsonl"
    Finished(file).add({"a": Outcome("eins"), "b": Outcome(None, CUT_OFF)})
    Finished(file).add({"c": Outcome("drei")})
    assert Finished(file).outcomes == {"a": Outcome("eins"), "b": Outcome(None, CUT_OFF), "c": Outcome("drei")}
