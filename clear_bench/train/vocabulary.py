"""Trims the vocabulary of a checkpoint to the pieces that some texts use; those texts keep their segmentation."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from clear_bench.documents import Document
from clear_bench.errors import UsageError
from clear_bench.models.prompts import passage_prompt, query_prompt
from clear_bench.train.base import load_plain, sides
from clear_bench.train.files import place_texts
from clear_bench.train.plan import Prepared
from clear_bench.types import Checkpoint

CHUNK = 2000
WHOLE_SCRIPTS = ("CJK", "HANGUL")
"""Scripts of thousands of characters, of which only those are kept that the texts use."""


def trimmed(prepared: Prepared, checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """Return the base with the vocabulary of the training rows and `model.vocabulary_texts`; it is written once."""
    if not folder.is_dir():
        part = prepared.recipe.model
        given = [side.prompt for side in sides(part, checkpoint)]
        prompts = dict.fromkeys(["", *given, query_prompt(checkpoint), passage_prompt(checkpoint)])
        texts = chain(chain.from_iterable(prepared.rows.columns.values()), _place_texts(part.vocabulary_texts))
        trim(Path(str(checkpoint.path)), folder, (prompt + text for text in texts for prompt in prompts))
    return replace(checkpoint, path=folder)


def trim(source: Path, folder: Path, texts: Iterable[str]) -> None:
    """Write a copy of a checkpoint whose vocabulary holds the pieces of `texts`, special tokens and single characters.

    A segmentation is the best path over the pieces (unigram) or the longest match (WordPiece), so it stays the same
    without the pieces that it does not use. Raises `UsageError` for tokenizers of another kind.
    """
    model = load_plain(source)
    backend = model.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    spec: Document = json.loads(backend.to_str())
    kept = sorted(_used(backend, texts) | _always(spec))
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    _cut_rows(model, kept)
    model.save_pretrained(str(temporary), create_model_card=False, safe_serialization=True)
    for path in temporary.rglob("tokenizer.json"):
        path.write_text(json.dumps(_trimmed_spec(spec, kept), ensure_ascii=False), encoding="utf-8")
    for path in temporary.rglob("tokenizer_config.json"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        settings.pop("added_tokens_decoder", None)  # holds the old ids; tokenizer.json has the new ones
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")
    os.rename(temporary, folder)


def _used(backend: Tokenizer, texts: Iterable[str]) -> set[int]:
    used: set[int] = set()
    waiting = iter(texts)
    while chunk := list(islice(waiting, CHUNK)):
        for encoding in backend.encode_batch_fast(chunk):
            used.update(encoding.ids)
    return used


def _always(spec: Document) -> set[int]:
    """Return the ids to keep: special tokens, single characters, and the lowest score: unknown pieces depend on it."""
    pieces = _pieces(spec)
    kept = {token["id"] for token in spec["added_tokens"]}
    kept |= {i for i, piece in enumerate(pieces) if _is_character(piece)}
    if spec["model"]["type"] == "Unigram":
        vocabulary = spec["model"]["vocab"]
        scored = [i for i in range(len(vocabulary)) if i not in kept or vocabulary[i][1] != 0]
        kept |= {min(scored, key=lambda i: vocabulary[i][1]), spec["model"]["unk_id"]}
    else:
        kept.add(pieces.index(spec["model"]["unk_token"]))
    return kept


def _is_character(piece: str) -> bool:
    bare = piece.removeprefix("\u2581").removeprefix("##")
    return len(bare) <= 1 and not (bare and unicodedata.name(bare, "").startswith(WHOLE_SCRIPTS))


def _pieces(spec: Document) -> list[str]:
    """Return the pieces by id."""
    vocabulary = spec["model"]["vocab"]
    if spec["model"]["type"] == "Unigram":
        return [piece for piece, _ in vocabulary]
    if spec["model"]["type"] == "WordPiece":
        return sorted(vocabulary, key=lambda piece: int(vocabulary[piece]))
    msg = f"model.trim_vocabulary: a {spec['model']['type']} tokenizer cannot be trimmed; Unigram and WordPiece can"
    raise UsageError(msg)


def _trimmed_spec(spec: Document, kept: Sequence[int]) -> Document:
    new = {old: i for i, old in enumerate(kept)}
    model: Document = dict(spec["model"])
    if model["type"] == "Unigram":
        model |= {"vocab": [model["vocab"][i] for i in kept if i < len(model["vocab"])], "unk_id": new[model["unk_id"]]}
    else:
        pieces = _pieces(spec)
        model["vocab"] = {pieces[old]: i for old, i in new.items() if old < len(pieces)}
    added = [token | {"id": new[token["id"]]} for token in spec["added_tokens"]]
    return {**spec, "model": model, "added_tokens": added, "post_processor": _renumbered(spec["post_processor"], new)}


def _renumbered(value: object, new: Mapping[int, int]) -> object:
    """Return a part of the post-processor with the new ids of its special tokens, at any depth."""
    if isinstance(value, list):
        return [_renumbered(item, new) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _renumbered(item, new) for key, item in value.items()}
    if isinstance(value.get("ids"), list):
        changed["ids"] = [new[i] for i in value["ids"]]
    for key in ("sep", "cls"):
        if isinstance(value.get(key), list) and len(value[key]) == 2:
            changed[key] = [value[key][0], new[value[key][1]]]
    return changed


def _cut_rows(model: SentenceTransformer, kept: Sequence[int]) -> None:
    backbone = model[0].auto_model
    old = backbone.get_input_embeddings()
    config = backbone.config
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        if isinstance(getattr(config, name, None), int) and getattr(config, name) in kept:
            setattr(config, name, list(kept).index(getattr(config, name)))
    padding = None if old.padding_idx is None else list(kept).index(old.padding_idx)
    weight = old.weight.detach()[torch.tensor(kept)].contiguous()
    backbone.set_input_embeddings(torch.nn.Embedding(len(kept), weight.shape[1], padding, _weight=weight))
    config.vocab_size = len(kept)


def _place_texts(places: Iterable[str]) -> Iterator[str]:
    """Yield the texts of collections, files and tasks."""
    for place in places:
        yield from (text for _, text in place_texts(place, ("queries", "corpus"), "model.vocabulary_texts"))
