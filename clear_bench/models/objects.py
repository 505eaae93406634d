"""Use a model in memory instead of a checkpoint: an object with `encode`, or a loaded SentenceTransformer."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import CheckpointError, UsageError, UserError
from clear_bench.models import prompts
from clear_bench.models.checkpoint import SAVED, fingerprinted, open_checkpoint
from clear_bench.models.layout import read_optional
from clear_bench.models.rows import Advance, EncodedRows, strings
from clear_bench.settings import ModelSettings, Precision
from clear_bench.types import Checkpoint, Side, Similarity, Texts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from clear_bench.models.encoder import SentenceEncoder

log = logging.getLogger(__name__)

CHUNK = 256
"""Texts handed to the object at once."""
PROBES = ["clear-bench", "Wie spät ist es?", "今天天气怎么样？"]
"""Texts whose vectors tell one object from another."""


class ObjectEncoder:
    """Encodes with any object whose `encode` takes a list of strings and returns one vector for each."""

    def __init__(self, model: Any) -> None:  # Any: duck-typed, see the module
        self.model = model

    def encode(self, texts: Texts, rows: range, side: Side, prompt: str, advance: Advance) -> EncodedRows:
        """Encode some rows, each after the prompt, in chunks of `CHUNK` in their own order."""
        parts = []
        for start in range(rows.start, rows.stop, CHUNK):
            chunk = strings(texts, range(start, min(start + CHUNK, rows.stop)))
            parts.append(self.vectors([prompt + text for text in chunk]))
            if parts[-1].shape[1] != parts[0].shape[1]:
                msg = (
                    f"{type(self.model).__name__}.encode gave {parts[-1].shape[1]} dimensions for texts from "
                    f"{texts.ids[start].as_py()!r} on in {texts.language}, and {parts[0].shape[1]} before"
                )
                raise CheckpointError(msg)
            advance(len(chunk))
        return EncodedRows(np.concatenate(parts))

    def vectors(self, texts: list[str]) -> NDArray[np.float32]:
        """Return one vector per text, [n, d]. Raise `CheckpointError` when the object returns anything else."""
        given = self.model.encode(texts)
        vectors = _to_array(given) if not isinstance(given, list) else np.stack([_to_array(one) for one in given])
        if vectors.ndim != 2 or len(vectors) != len(texts):
            msg = (
                f"{type(self.model).__name__}.encode gave an array of shape {vectors.shape} for {len(texts)} texts; "
                "expected one vector for each"
            )
            raise CheckpointError(msg)
        return vectors


def from_object(
    model: object,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
    *,
    name: str | None = None,
) -> tuple[Checkpoint, SentenceEncoder | ObjectEncoder]:
    """Return a checkpoint and an encoder for a model in memory.

    A SentenceTransformer has the fingerprint of the folder that it came from where its weights are still those, and
    else one of its weights; any other object has one of its name and of the vectors of a few probe texts. Raises
    `UsageError` for an object without `encode`.
    """
    if not callable(getattr(model, "encode", None)):
        msg = f"a model is a path, a hub id or an object with `encode(list of strings)`, not a {type(model).__name__}"
        raise UsageError(msg)
    called, library = name or type(model).__name__, sys.modules.get("sentence_transformers")
    if library is not None and isinstance(model, library.SentenceTransformer):
        return _from_library(model, settings, called)
    encoder = ObjectEncoder(model)
    probe = np.round(encoder.vectors(PROBES), 4) + np.float32(0)  # no negative zeros
    content = hashlib.sha256(probe.tobytes()).hexdigest()
    draft = Checkpoint(
        name=called,
        path=None,
        fingerprint="",
        weights_digest=content,
        prompts=prompts.settle(called, [], {}, settings.query_prompt, settings.passage_prompt),
        similarity=settings.similarity or "cosine",
        precision="fp32",
        truncate_dim=settings.truncate_dim,
    )
    # The name is part of what an object is known by.
    return fingerprinted(draft, {"content": content, "name": called}), encoder


def _from_library(model: SentenceTransformer, settings: ModelSettings, name: str) -> tuple[Checkpoint, SentenceEncoder]:
    from clear_bench.models.encoder import SentenceEncoder

    encoder = SentenceEncoder(model, settings.batch_tokens)
    encoder.refuse_batch_dependence()
    saved, content = prompts.carried(model.prompts, "this SentenceTransformer"), _content(model)
    if same := _as_in_its_folder(model, content, settings):
        return replace(same, name=name, path=None), encoder
    draft = Checkpoint(
        name=name,
        path=None,
        fingerprint="",
        weights_digest=content,
        prompts=prompts.settle(name, [], saved, settings.query_prompt, settings.passage_prompt),
        similarity=settings.similarity or _measure(model.similarity_fn_name),
        max_seq_length=model.max_seq_length,
        precision=_precision(model),
        truncate_dim=settings.truncate_dim,
    )
    return fingerprinted(draft, {"content": content, "name": None}), encoder


class _Tensor(Protocol):
    def detach(self) -> _Tensor: ...
    def float(self) -> _Tensor: ...
    def cpu(self) -> _Tensor: ...
    def numpy(self) -> NDArray[np.float32]: ...


def _to_array(given: Sequence[float] | NDArray[np.floating] | _Tensor) -> NDArray[np.float32]:
    """Convert a NumPy array, a torch tensor of any device and precision, or a plain list."""
    if hasattr(given, "detach"):
        given = given.detach().float().cpu().numpy()
    return np.asarray(given, dtype=np.float32)


def _content(model: SentenceTransformer) -> str:
    """Hash everything that decides the vectors: modules, weights, tokenizer."""
    import torch

    content = hashlib.sha256(f"{model!r} {model.truncate_dim}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        content.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is not None:
        # Truncation and padding are left behind by whoever used the tokenizer last.
        rules = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
        content.update(json.dumps(rules, sort_keys=True).encode())
    return content.hexdigest()


def _as_in_its_folder(model: SentenceTransformer, content: str, settings: ModelSettings) -> Checkpoint | None:
    """Open the folder that a model was loaded from. Return None if it is gone or holds another model by now.

    The folder is loaded once more for it: which tensor of a file is which of the model's, only the library knows.
    """
    from clear_bench.models.loading import load_encoder

    folder = Path(str(getattr(getattr(model, "transformers_model", None), "name_or_path", "") or "."))
    if not (folder / "modules.json").is_file() or model.truncate_dim is not None:
        return None
    own = ModelSettings(
        query_prompt=settings.query_prompt,
        passage_prompt=settings.passage_prompt,
        similarity=settings.similarity or _measure(model.similarity_fn_name),
        max_seq_length=model.max_seq_length,
        truncate_dim=settings.truncate_dim,
        precision=_precision(model),
        device="cpu",
    )
    try:
        if _texts(model.prompts) != _texts(read_optional(folder / SAVED).get("prompts")):  # changed on the object
            mine = prompts.saved_prompts(_texts(model.prompts))
            query = mine["query"] if own.query_prompt is None else own.query_prompt
            passage = mine["passage"] if own.passage_prompt is None else own.passage_prompt
            own = replace(own, query_prompt=query, passage_prompt=passage)
        found = open_checkpoint(str(folder), own)
        return found if _content(load_encoder(found, own).model) == content else None
    except UserError as error:
        log.info("%s cannot be opened for the fingerprint of a model that came from it: %s", folder, error)
        return None


def _measure(name: str | None) -> Similarity:
    return "dot" if name == "dot" else "cosine"


def _texts(given: object) -> dict[str, str]:
    return {name: text for name, text in prompts.carried(given, "this SentenceTransformer").items() if text}


def _precision(model: SentenceTransformer) -> Precision:
    known: dict[str, Precision] = {"torch.bfloat16": "bf16", "torch.float16": "fp16"}
    return known.get(str(model.dtype), "fp32")
