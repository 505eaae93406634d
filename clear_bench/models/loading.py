"""Load the weights of a checkpoint with sentence-transformers. Refuse weights with gaps, which it fills at random."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from clear_bench.errors import CheckpointError, EnvironmentFault, MissingExtraError, UsageError

try:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "sentence_transformers", "cpu") from None

from clear_bench.models.encoder import SentenceEncoder
from clear_bench.models.faults import library_faults
from clear_bench.settings import ModelSettings
from clear_bench.types import Checkpoint

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MISSING = re.compile(r"^(\S[^|\n]*?) *\| (?:\x1b\[\d+m)?MISSING", re.MULTILINE)
"""A line of transformers' report on a load, which a test holds to its wording; several layers are one line, as
`layer.{2, 3}.output.dense.weight`."""


def load_encoder(
    checkpoint: Checkpoint,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
) -> SentenceEncoder:
    """Load a checkpoint that `open_checkpoint` has checked. Raise `CheckpointError` when it does not load."""
    if checkpoint.path is None:
        msg = f"{checkpoint.name!r} has no weights to load: it stands for an object or for precomputed vectors"
        raise UsageError(msg)
    dtype = DTYPES[str(checkpoint.precision)]
    safe = not settings.allow_pickle or any(checkpoint.path.glob("*.safetensors"))
    device = check_device(settings.device)
    with library_faults(f"{checkpoint.name} cannot be loaded"), _no_loading_bar(), _loading_report() as report:
        model = SentenceTransformer(
            str(checkpoint.path),
            device=device,
            local_files_only=True,
            trust_remote_code=settings.trust_remote_code,
            model_kwargs={"dtype": dtype, "use_safetensors": safe},
        )
        _refuse_missing(report, checkpoint)
        model.to(dtype)
        if checkpoint.max_seq_length is not None and isinstance(model[0], Transformer):
            model.max_seq_length = checkpoint.max_seq_length
        encoder = SentenceEncoder(model, settings.batch_tokens)
    encoder.refuse_batch_dependence()
    return encoder


def check_device(device: str | None) -> str | None:
    """Return the device. Refuse one that does not exist before the weights are read."""
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
    """Hide transformers' progress bar for loading weights: we show our own."""
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
    """Collect transformers' report on the weights instead of printing it. It tells which gaps were filled at random."""
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
    """Refuse weights with gaps; the pooler of a plain transformer plays no part in its token vectors."""
    missing = [name for text in report for name in MISSING.findall(text) if "pooler" not in name]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        msg = (
            f"{checkpoint.name} lacks weights that its configuration asks for, and they would be random: "
            f"{', '.join(missing[:3])}{more}; copy the whole checkpoint, or mend config.json"
        )
        raise CheckpointError(msg)
