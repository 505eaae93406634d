"""A checkpoint that costs nothing: a tiny random BERT in a sentence-transformers folder, the same for the same seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clear_bench.models.safetensors import write_safetensors

HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 2, 64, 512
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PROMPTS = {"query": "query: ", "document": "passage: "}


def make_toy_checkpoint(
    folder: Path,
    seed: int = 0,
    prompts: Mapping[str, str] = PROMPTS,
    similarity: str = "cosine",
    max_seq_length: int = POSITIONS,
) -> Path:
    """Write the folder without importing torch. Its tokens are one or two bytes, so every language has some."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = _vocabulary()
    shapes = _shapes(len(vocabulary))
    rng = np.random.default_rng(seed)
    values = {name: _values(name, shape, rng) for name, shape in shapes.items()}
    write_safetensors(folder / "model.safetensors", [(name, shapes[name], lambda v=v: v) for name, v in values.items()])
    documents: dict[str, Any] = {
        "config.json": {
            "architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(vocabulary),
            "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "intermediate_size": INNER, "max_position_embeddings": POSITIONS, "type_vocab_size": 2,
            "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0, "dtype": "float32",
        },
        "tokenizer.json": _tokenizer(vocabulary, merges),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_seq_length,
            "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
            "mask_token": "[MASK]", "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "",
             "type": "sentence_transformers.base.modules.transformer.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling",
             "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
        ],
        "1_Pooling/config.json": {"embedding_dimension": HIDDEN, "pooling_mode": "mean", "include_prompt": True},
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction", "module_output_name": "token_embeddings",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "model_kwargs": {"add_pooling_layer": False},
        },
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer", "prompts": dict(prompts), "default_prompt_name": None,
            "similarity_fn_name": similarity,
        },
    }  # fmt: skip
    for name, content in documents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder


def _vocabulary() -> tuple[dict[str, int], list[list[str]]]:
    """Number the specials, the bytes (by GPT-2's printable stand-ins), and pairs that are frequent in most scripts."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in plain)
    stand_in = {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    letters, leads, continuations = range(97, 123), range(0xC2, 0xF5), range(0x80, 0xC0)
    pairs = [(a, b) for a in letters for b in letters] + [(a, b) for a in leads for b in continuations]
    merges = [[stand_in[a], stand_in[b]] for a, b in pairs]
    tokens = [*SPECIALS, *stand_in.values(), *("".join(pair) for pair in merges)]
    return {token: i for i, token in enumerate(tokens)}, merges


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    for i in range(LAYERS):
        for name, rows, columns in (
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", INNER, HIDDEN),
            ("output.dense", HIDDEN, INNER),
        ):
            shapes[f"encoder.layer.{i}.{name}.weight"] = (rows, columns)
            shapes[f"encoder.layer.{i}.{name}.bias"] = (rows,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{i}.{name}.weight"] = (HIDDEN,)
            shapes[f"encoder.layer.{i}.{name}.bias"] = (HIDDEN,)
    return shapes


def _values(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
    if "LayerNorm.weight" in name:
        return np.ones(shape, np.float32)
    scale = 0.02 if "position" in name or "type" in name else 0.2
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def _tokenizer(vocabulary: Mapping[str, int], merges: list[list[str]]) -> dict[str, Any]:
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    cls, text, sep = (
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    )
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[token], "content": token, **special} for token in SPECIALS],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [cls, text, sep],
            "pair": [cls, text, sep, {"Sequence": {"id": "B", "type_id": 1}}, sep],
            "special_tokens": {
                token: {"id": token, "ids": [vocabulary[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "vocab": dict(vocabulary), "merges": merges,
        },
    }  # fmt: skip
