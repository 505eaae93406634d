from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from toy_training import make_checkpoint, smoke, write_lines

from clear_bench.errors import UsageError
from clear_bench.models import open_checkpoint
from clear_bench.train.plan import prepare
from clear_bench.train.trainer import train
from clear_bench.train.vocabulary import _always, _trimmed_spec, trim

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy checkpoint with some words as pieces of their own, in the middle of its vocabulary."""
    return make_checkpoint(tmp_path_factory.mktemp("base"), words=["river", "stone", "gewinter", "zebra", "##ber"])


def test_a_trimmed_checkpoint_embeds_the_given_texts_as_before(base: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["the river", "a stone in winter", "timber"]
    trim(base, tmp_path / "small", [f"query: {text}" for text in texts])
    before, after = (SentenceTransformer(str(path), device="cpu") for path in (base, tmp_path / "small"))
    vocabulary = after.tokenizer.get_vocab()
    assert {"river", "stone", "##ber"} <= set(vocabulary)
    assert not {"zebra", "gewinter"} & set(vocabulary)
    assert after[0].auto_model.get_input_embeddings().num_embeddings == len(vocabulary)
    np.testing.assert_array_equal(before.encode(texts, prompt_name="query"), after.encode(texts, prompt_name="query"))
    # Another text falls back to shorter pieces, never to the unknown one.
    assert "[UNK]" not in after.tokenizer.tokenize("zebra")
    assert open_checkpoint(str(tmp_path / "small")).prompts == open_checkpoint(str(base)).prompts


def test_a_unigram_segmentation_stays_the_best_path() -> None:
    pieces = [("<s>", 0.0), ("<unk>", 0.0), ("\u2581", -4.0), ("a", -4.0), ("b", -4.0), ("c", -4.0), ("ab", -3.0),
              ("abc", -5.5), ("\u2581ab", -3.5), ("cab", -6.0), ("rare", -20.0), ("other", -9.0)]  # fmt: skip
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=1))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>"])
    spec = json.loads(tokenizer.to_str())
    used = set(tokenizer.encode("ab cab").ids)
    kept = sorted(used | _always(spec))
    small = Tokenizer.from_str(json.dumps(_trimmed_spec(spec, kept)))
    assert small.encode("ab cab").tokens == tokenizer.encode("ab cab").tokens
    # The lowest score stays, since it sets the price of what is unknown; an unused piece goes.
    assert "rare" in small.get_vocab()
    assert "other" not in small.get_vocab()
    assert small.encode("x").ids == [kept.index(2), kept.index(1)]


def test_other_tokenizers_are_refused() -> None:
    spec = json.loads(Tokenizer(models.BPE({"a": 0}, [])).to_str())
    with pytest.raises(UsageError, match="BPE tokenizer cannot be trimmed"):
        _always(spec)


def test_a_run_trains_and_saves_the_trimmed_vocabulary(base: Path, collection: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    write_lines(tmp_path / "eval" / "corpus" / "en.jsonl.gz", [{"_id": "1", "text": "a zebra"}])
    settings = ["model.trim_vocabulary=true", f"model.vocabulary_texts=['{tmp_path / 'eval'}']", "training.steps=2"]
    out = train(smoke(base, collection, *settings), tmp_path / "out")
    vocabulary = SentenceTransformer(str(out), device="cpu").tokenizer.get_vocab()
    assert {"zebra", "river"} <= set(vocabulary)
    words = {
        word
        for texts in prepare(smoke(base, collection)).rows.columns.values()
        for text in texts
        for word in text.split()
    }
    assert ("gewinter" in vocabulary) == ("gewinter" in words)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["vocabulary"] == len(vocabulary)
    assert manifest["base"]["fingerprint"] == open_checkpoint(str(base)).fingerprint
