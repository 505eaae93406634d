"""Encode texts with sentence-transformers, in length-sorted batches of about equal work."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer

from clear_bench.errors import CheckpointError, EnvironmentFault
from clear_bench.models.faults import library_faults
from clear_bench.models.rate import matmul_rate, operations
from clear_bench.models.rows import Advance, EncodedRows, strings
from clear_bench.models.shape import default_batch_tokens
from clear_bench.types import Side, Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

AHEAD = 4096
"""Texts that are tokenised at once, while the device encodes those before them."""
MEASURED_AFTER = 5.0
"""Seconds of encoding before the device's peak is measured."""
PROBES = (
    "a",
    "a text with many more words than the one beside it has, so that there is much to pad in the batch of both",
)
SAME = 0.99
"""Least cosine between a text's vectors in different batches, in half precision too."""


class SentenceEncoder:
    """Encodes with sentence-transformers: in our batches where the model is a plain transformer, else by `encode`."""

    def __init__(self, model: SentenceTransformer, batch_tokens: int | None = None) -> None:
        self.model = model.eval()
        self.is_plain = is_plain(model)
        self.pads_right = not any(map(_is_foreign, model.modules()))
        self.device = model.device
        self.batch_tokens = batch_tokens or default_batch_tokens(self.device.type)
        self._spent = 0.0
        self._peak: float | None = None

    def encode(self, texts: Texts, rows: range, side: Side, prompt: str, advance: Advance) -> EncodedRows:
        """Encode some rows, each after the prompt; batches depend on these rows alone."""
        if not self.is_plain:
            return self._by_library(strings(texts, rows), side, prompt, advance)
        started = time.perf_counter()
        given = [prompt + text for text in strings(texts, rows)]
        # What is tokenised at once has texts of about one length, so that its batches waste little on padding.
        longest_first = np.argsort([-len(text) for text in given], kind="stable")
        chunks = [longest_first[start : start + AHEAD] for start in range(0, len(given), AHEAD)]
        order, parts, lengths, truncated = list[NDArray[np.int64]](), list[torch.Tensor](), list[int](), 0
        # A thread tokenises the next texts while the device is busy with these.
        with ThreadPoolExecutor(1) as ahead, torch.inference_mode():
            tokenised = ahead.map(lambda chunk: self._tokenise([given[i] for i in chunk]), chunks)
            for chunk, (ids, cut) in zip(chunks, tokenised, strict=True):
                sizes = np.array([len(one) for one in ids])
                by_size = np.argsort(-sizes, kind="stable")
                for batch in batches(sizes[by_size], self.batch_tokens):
                    parts.append(self._forward([ids[i] for i in by_size[batch.start : batch.stop]]))
                    advance(len(batch))
                order.append(chunk[by_size])
                lengths += sizes.tolist()
                truncated += cut
            # One copy a shard: a GPU goes on with the next batch while this one is laid out.
            sorted_vectors = torch.cat(parts).float().cpu().numpy()
        vectors = np.empty_like(sorted_vectors)
        vectors[np.concatenate(order)] = sorted_vectors
        share = self._share(np.array(lengths), time.perf_counter() - started)
        return EncodedRows(vectors, sum(lengths), truncated, share)

    def _share(self, lengths: NDArray[np.int64], seconds: float) -> float | None:
        """Return the share of the device's peak that an encoding reached; None until enough was encoded to measure."""
        if self._peak is None:
            self._spent += seconds
            if self._spent < MEASURED_AFTER:
                return None
            try:
                self._peak = matmul_rate(self.device, next(self.model.parameters()).dtype)
            except torch.OutOfMemoryError:
                self._peak = math.nan
        try:
            share = operations(self.model[0].auto_model, lengths) / seconds / self._peak
        except AttributeError:  # a configuration that has other names for its sizes
            return None
        return None if math.isnan(share) else share

    def _tokenise(self, texts: list[str]) -> tuple[list[list[int]], int]:
        """Return token ids, special tokens included, and how many texts were truncated."""
        with library_faults("the tokenizer cannot be used"):
            tokenizer: PreTrainedTokenizerFast = self.model.tokenizer
            backend, limit = tokenizer.backend_tokenizer, self.model.max_seq_length
            backend.no_padding()
            if limit is None or limit > 1_000_000:
                backend.no_truncation()
            else:
                backend.enable_truncation(int(limit), direction=tokenizer.truncation_side)
            encodings = backend.encode_batch_fast(texts)
        return [encoding.ids for encoding in encodings], sum(bool(encoding.overflowing) for encoding in encodings)

    def _forward(self, ids: list[list[int]]) -> torch.Tensor:
        """Run one batch, in halves when the device has too little memory for it."""
        try:
            with library_faults("the model cannot encode", passing=(IndexError, torch.OutOfMemoryError)):
                features = {name: self._to_device(array) for name, array in self._pad(ids).items()}
                vectors: torch.Tensor = self.model({**features, "modality": "text"})["sentence_embedding"]
                vectors = vectors[:, : self.model.truncate_dim]
        except torch.OutOfMemoryError as error:
            if len(ids) == 1:
                msg = f"one text of {len(ids[0]):,} tokens does not fit into the memory of {self.device}; use the CPU"
                raise EnvironmentFault(msg) from error
            torch.cuda.empty_cache()
            half = len(ids) // 2
            return torch.cat([self._forward(ids[:half]), self._forward(ids[half:])])
        except IndexError as error:
            msg = "a token or position is beyond the embedding tables: tokenizer and weights do not belong together"
            raise CheckpointError(msg) from error
        return vectors

    def _pad(self, ids: list[list[int]]) -> dict[str, NDArray[np.int64]]:
        """Fill a batch up to its longest text, on the right wherever the model reads its attention mask."""
        tokenizer: PreTrainedTokenizerFast = self.model.tokenizer
        width = max(1, *map(len, ids))
        # Many models count positions from the first column, so that padding there would move a text's positions.
        left = tokenizer.padding_side == "left" and not self.pads_right
        features = {
            "input_ids": np.full((len(ids), width), tokenizer.pad_token_id or 0, dtype=np.int64),
            "attention_mask": np.zeros((len(ids), width), dtype=np.int64),
        }
        if "token_type_ids" in tokenizer.model_input_names:
            features["token_type_ids"] = np.zeros((len(ids), width), dtype=np.int64)
        for row, one in enumerate(ids):
            place = slice(width - len(one), width) if left else slice(len(one))
            features["input_ids"][row, place] = one
            features["attention_mask"][row, place] = 1
        return features

    def _to_device(self, array: NDArray[np.int64]) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _by_library(self, texts: list[str], side: Side, prompt: str, advance: Advance) -> EncodedRows:
        """Encode with sentence-transformers' own method: routers, static embeddings, models with rules of their own."""
        with self._library_pads_right(), library_faults("the model cannot encode", (torch.OutOfMemoryError,)):
            encode = self.model.encode_query if side == "query" else self.model.encode_document
            vectors = encode(texts, prompt=prompt, show_progress_bar=False, convert_to_tensor=True)
        advance(len(texts))
        return EncodedRows(vectors.float().cpu().numpy())

    @contextmanager
    def _library_pads_right(self) -> Iterator[None]:
        """Make sentence-transformers pad as we do, and restore the tokenizers afterwards."""
        transformers = [module for module in self.model.modules() if isinstance(module, Transformer)]
        tokenizers = {id(one.tokenizer): one.tokenizer for one in transformers if one.tokenizer is not None}
        sides = {key: one.padding_side for key, one in tokenizers.items()}
        try:
            for one in tokenizers.values() if self.pads_right else ():
                one.padding_side = "right"
            yield
        finally:
            for key, one in tokenizers.items():
                one.padding_side = sides[key]

    def refuse_batch_dependence(self) -> None:
        """Refuse a model that gives a text another vector when a longer one stands beside it in the batch."""
        if self.is_plain and self.batch_tokens == 1:
            return  # each text is a batch of its own
        for side in get_args(Side):
            alone, together = (self._probe(texts, side)[0].double() for texts in (PROBES[:1], PROBES))
            if not (torch.isfinite(alone + together).all() and alone.any() and together.any()):
                return  # every vector is checked when it is encoded, and the error names its text
            cosine = float(torch.cosine_similarity(alone, together, dim=0))
            if cosine < SAME:
                padding = getattr(self.model.tokenizer, "padding_side", "unknown")
                msg = (
                    f"the vector of a text depends on the texts that it is batched with (cosine {cosine:.3f} with the "
                    f"vector of the text alone; padding is on the {padding}): the model does not take its positions "
                    "from the attention mask; --batch-tokens 1 encodes each text alone"
                )
                raise CheckpointError(msg)

    def _probe(self, texts: Sequence[str], side: Side) -> torch.Tensor:
        if not self.is_plain:
            return torch.from_numpy(self._by_library(list(texts), side, "", lambda _: None).vectors)
        with torch.inference_mode():
            return self._forward(self._tokenise(list(texts))[0]).float().cpu()


def _is_foreign(module: torch.nn.Module) -> bool:
    """Whether a module's code came with a checkpoint: it may expect padding on the tokenizer's side."""
    return not type(module).__module__.startswith(("sentence_transformers.", "transformers.", "torch.", "peft."))


def is_plain(model: SentenceTransformer) -> bool:
    """Whether the model turns token ids and a mask into a vector with no rules beyond that."""
    first = model[0]
    rules = ("query_length", "document_length", "query_expansion", "processing_kwargs", "unpad_inputs")
    return (
        type(first) is Transformer
        and first.backend == "torch"
        and first.transformer_task == "feature-extraction"
        and set(first.modality_config) == {"text"}
        and bool(getattr(first.tokenizer, "is_fast", False))
        and not any(getattr(first, rule, None) for rule in rules)
        and all(getattr(module, "include_prompt", True) for module in model)
    )


def batches(lengths: NDArray[np.integer], budget: int) -> Iterator[range]:
    """Cut texts, sorted from long to short, into batches of at most `budget` tokens with padding, or of one text."""
    start = 0
    while start < len(lengths):
        stop = start + max(1, budget // max(1, int(lengths[start])))
        yield range(start, min(stop, len(lengths)))
        start = stop
