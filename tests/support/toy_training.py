"""A tiny checkpoint and a tiny training collection, made in a second."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clear_bench.train.recipe import Recipe, load_recipe

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
"""Recipes of the tests; those of the package train real models."""
LANGUAGES = {"en": "", "de": "ge", "fr": "le"}
WORDS = ["apple", "river", "stone", "cloud", "table", "green", "light", "horse", "bread", "music", "winter", "glass"]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def make_collection(folder: Path, items: int = 24) -> Path:
    """Queries and passages about two words each; French lacks every fifth query."""
    rng = random.Random(0)
    topics = [rng.sample(WORDS, 2) for _ in range(items)]
    for code, prefix in LANGUAGES.items():
        queries = [{"_id": f"p{i}", "text": f"{prefix}{a} {prefix}{b} {i}"} for i, (a, b) in enumerate(topics)]
        passages = [
            {"_id": f"p{i}", "title": f"{prefix}{a}", "text": f"about {prefix}{b} no {i}"}
            for i, (a, b) in enumerate(topics)
        ]
        if code == "fr":
            queries = [row for i, row in enumerate(queries) if i % 5]
        write_lines(folder / "queries" / f"{code}.jsonl.gz", queries)
        write_lines(folder / "corpus" / f"{code}.jsonl.gz", passages)
    negatives = [{"_id": f"p{i}", "neg": [f"p{(i + k) % items}" for k in (1, 2, 3)]} for i in range(items)]
    write_lines(folder / "negatives.jsonl.gz", negatives)
    return folder


def make_checkpoint(folder: Path, words: Sequence[str] = ()) -> Path:
    """A two-layer BERT that spells: every character is a token, and so are `words`."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    characters = [chr(code) for code in range(33, 127)]
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *characters, *(f"##{c}" for c in characters)]
    tokenizer = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(names), max_position_embeddings=64, **size)).save_pretrained(folder / "bert")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert"), max_seq_length=48), Pooling(32, "mean"), Normalize()]
    model = SentenceTransformer(modules=modules, device="cpu")
    model.prompts = {"query": "query: ", "document": "passage: "}
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


def make_translator(folder: Path, *, ends: bool = True, licence: str = "cc-by-nc-4.0") -> Path:
    """A random NLLB that spells: two layers, four languages. Where no text `ends`, every translation is cut off."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    names = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *(chr(code) for code in range(33, 127))]
    languages = ["eng_Latn", "deu_Latn", "fra_Latn", "swh_Latn"]
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=languages, src_lang="fra_Latn")
    torch.manual_seed(0)
    size = {"d_model": 32, "max_position_embeddings": 128, "init_std": 0.5}
    for side in ("encoder", "decoder"):
        size |= {f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 64}
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    model = M2M100ForConditionalGeneration(M2M100Config(vocab_size=len(tokenizer), **size, **special))
    if ends:
        model.generation_config.forced_eos_token_id = 2
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(f"---\nlicense: {licence}\n---\n", encoding="utf-8")
    return folder


def write_rows(path: Path, negatives: int = 2, items: int = 12, **columns: Any) -> Path:
    """Rows with English columns only: the negatives of a row are the positives of the next ones."""
    texts = [f"about {WORDS[i % 12]} {WORDS[(i * 5 + 1) % 12]} no {i}" for i in range(items)]
    rows = [
        {
            "anchor": f"where is {i}",
            "positive": texts[i],
            **{f"negative_{k}": texts[(i + k) % items] for k in range(1, negatives + 1)},
            **{name: value(i) for name, value in columns.items()},
        }
        for i in range(items)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def smoke(base: Path, collection: Path, *overrides: str) -> Recipe:
    """The smoke recipe on a toy model and collection."""
    own = [f"model.base={base}", f"data.collection={collection}"]
    return load_recipe(RECIPES / "smoke.toml", [*own, *overrides])


def smoke_of_rows(base: Path, rows: Path, folder: Path, *overrides: str) -> Recipe:
    """The smoke recipe on a toy model and a file with role columns."""
    path = folder / "rows.toml"
    text = (
        (RECIPES / "smoke.toml").read_text(encoding="utf-8").replace('collection = "toy-help"', f'files = ["{rows}"]')
    )
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, [f"model.base={base}", *overrides])
