"""Loads a checkpoint with sentence-transformers and encodes texts in length-sorted batches of about equal work."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import NDArray
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer

from clear_bench.errors import CheckpointError, EnvironmentFault, UsageError
from clear_bench.models.rate import matmul_rate, operations
from clear_bench.models.rows import Advance, EncodedRows, strings
from clear_bench.models.shape import default_batch_tokens
from clear_bench.types import Checkpoint, Side, Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MISSING = re.compile(r"^(\S+) *\| (?:\x1b\[\d+m)?MISSING", re.MULTILINE)
"""A line of transformers' report on a load, which a test holds to its wording."""
AHEAD = 4096
"""Texts that are tokenised at once, while the device encodes those before them."""
MEASURED_AFTER = 5.0
"""Seconds of encoding before the device's peak is measured, which takes a part of a second."""
LOADING_ERRORS = (
    OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, UnpicklingError, SafetensorError,
    StrictDataclassError,
)  # fmt: skip
"""What transformers and sentence-transformers raise for files that do not fit each other."""


class SentenceEncoder:
    """Encodes with sentence-transformers: in our batches where the model is a plain transformer, else by `encode`."""

    def __init__(self, model: SentenceTransformer, batch_tokens: int | None = None) -> None:
        self.model = model.eval()
        self.is_plain = is_plain(model)
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
        """Say what share of the device's peak an encoding had; None where it is too short to measure the peak for."""
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
        """Give token ids, specials included, and how many texts were cut."""
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
        """Run one batch; where the device's memory does not suffice, in halves."""
        try:
            features = {name: self._to_device(array) for name, array in self._pad(ids).items()}
            vectors: torch.Tensor = self.model({**features, "modality": "text"})["sentence_embedding"]
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
        return vectors[:, : self.model.truncate_dim]

    def _pad(self, ids: list[list[int]]) -> dict[str, NDArray[np.int64]]:
        tokenizer: PreTrainedTokenizerFast = self.model.tokenizer
        width = max(map(len, ids))
        left = tokenizer.padding_side == "left"
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
        """Let sentence-transformers do it: routers, static embeddings, models with rules of their own."""
        encode = self.model.encode_query if side == "query" else self.model.encode_document
        vectors = encode(texts, prompt=prompt, show_progress_bar=False, convert_to_tensor=True)
        advance(len(texts))
        return EncodedRows(vectors.float().cpu().numpy())


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


def batches(lengths: NDArray[Any], budget: int) -> Iterator[range]:  # Any: integers
    """Cut texts, sorted from long to short, into batches of at most `budget` tokens, padding counted; one at least."""
    start = 0
    while start < len(lengths):
        stop = start + max(1, budget // max(1, int(lengths[start])))
        yield range(start, min(stop, len(lengths)))
        start = stop


def load(
    checkpoint: Checkpoint,
    *,
    device: str | None = None,
    batch_tokens: int | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> SentenceEncoder:
    """Load a checkpoint that `open_checkpoint` has checked; raises `CheckpointError` when it does not load."""
    if checkpoint.path is None:
        msg = f"{checkpoint.name!r} has no weights to load: it stands for an object or for precomputed vectors"
        raise UsageError(msg)
    dtype = DTYPES[checkpoint.precision]
    safe = not allow_pickle or any(checkpoint.path.glob("*.safetensors"))
    try:
        with _no_loading_bar(), _loading_report() as report:
            model = SentenceTransformer(
                str(checkpoint.path),
                device=check_device(device),
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                model_kwargs={"dtype": dtype, "use_safetensors": safe},
            )
    except (ImportError, torch.OutOfMemoryError) as error:
        msg = f"{checkpoint.name} cannot be loaded here: {error}"
        raise EnvironmentFault(msg) from error
    except LOADING_ERRORS as error:
        msg = f"{checkpoint.name} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise CheckpointError(msg) from error
    _refuse_missing(report, checkpoint)
    model.to(dtype)
    if checkpoint.max_seq_length is not None and isinstance(model[0], Transformer):
        model.max_seq_length = checkpoint.max_seq_length
    return SentenceEncoder(model, batch_tokens)


def check_device(device: str | None) -> str | None:
    """Refuse a device that is not there before the weights are read."""
    try:
        wanted = torch.device(device or "cpu")
    except RuntimeError as error:
        msg = f"--device {device}: no such kind of device; give cpu, cuda, cuda:1 or mps"
        raise UsageError(msg) from error
    missing = (wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count()) or (
        wanted.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        msg = (
            f"--device {device}: there is no such device here, or this build of torch {torch.__version__} cannot use it"
        )
        raise EnvironmentFault(msg)
    return device


@contextmanager
def _no_loading_bar() -> Iterator[None]:
    """Keep transformers' bar for loading weights off stderr: ours tells the progress."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


@contextmanager
def _loading_report() -> Iterator[list[str]]:
    """Collect what transformers reports about the weights instead of printing it: it fills gaps with random numbers."""
    logger, report = logging.getLogger("transformers.modeling_utils"), list[str]()

    def collect(record: logging.LogRecord) -> bool:
        report.append(record.getMessage())
        return "LOAD REPORT" not in report[-1]

    level = logger.level
    if not logger.isEnabledFor(logging.WARNING):
        logger.setLevel(logging.WARNING)  # a quiet user needs to be told all the same
    logger.addFilter(collect)
    try:
        yield report
    finally:
        logger.removeFilter(collect)
        logger.setLevel(level)


def _refuse_missing(report: list[str], checkpoint: Checkpoint) -> None:
    """Refuse weights with gaps; the pooler of a plain transformer is no part of its token vectors."""
    missing = [name for text in report for name in MISSING.findall(text) if "pooler" not in name]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        msg = (
            f"{checkpoint.name} lacks weights that its configuration asks for, and they would be random: "
            f"{', '.join(missing[:3])}{more}; copy the whole checkpoint, or mend config.json"
        )
        raise CheckpointError(msg)
