"""Read the size of a checkpoint from its files, and count tokens with its tokenizer; no weights are loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clear_bench.errors import CheckpointError, MissingExtraError
from clear_bench.models.faults import library_faults
from clear_bench.models.layout import read_modules, read_optional
from clear_bench.models.safetensors import tensor_shapes
from clear_bench.types import Checkpoint

Tokenise = Callable[[Sequence[str]], list[int]]
"""Counts the tokens of each text as the model would read them, special tokens included."""

CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 2048, 32768
"""On a CPU the activations of a batch should stay in the cache; a GPU wants a full device."""
_WIDTHS = ("out_features", "embedding_dimension", "word_embedding_dimension", "dim")


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a model."""

    dimensions: int
    """Width of its vectors, after `truncate_dim`."""
    hidden: int
    """Width of a token inside the model."""
    inner: int
    """Width inside a feed-forward layer."""
    parameters: int


def default_batch_tokens(device: str | None) -> int:
    """Return the tokens of one encoding batch, padding included, on `cpu` (or None), `cuda`, `cuda:1`, `mps`."""
    return CPU_BATCH_TOKENS if (device or "cpu").startswith("cpu") else GPU_BATCH_TOKENS


def read_shape(checkpoint: Checkpoint) -> Shape:
    """Read the size of a checkpoint from its configuration and the headers of its weights."""
    folder = _folder(checkpoint)
    config, full = _widths(folder)
    hidden = _hidden(config) or full
    inner = _number(config.get("intermediate_size")) or 4 * hidden
    return Shape(checkpoint.truncate_dim or full, hidden, inner, _parameters(folder))


def read_width(checkpoint: Checkpoint) -> int | None:
    """Read the width of a checkpoint's vectors from its configuration, or None if that does not say."""
    try:
        return checkpoint.truncate_dim or _widths(_folder(checkpoint))[1]
    except CheckpointError:
        return None


def _folder(checkpoint: Checkpoint) -> Path:
    if checkpoint.path is None:
        msg = f"{checkpoint.name!r} has no files that would say how large it is; give a checkpoint folder or a hub id"
        raise CheckpointError(msg)
    return checkpoint.path


def _widths(folder: Path) -> tuple[Mapping[str, object], int]:
    """Return the transformer's configuration and the width of the vectors before any is truncated."""
    modules = [folder / module.path for module in read_modules(folder)]
    config = read_optional((modules[0] if modules else folder) / "config.json")
    # The last module that names a width decides: a pooling layer, or a dense layer after it.
    inner_configs = (read_optional(path / "config.json") for path in reversed(modules[1:]))
    widths = (_number(found.get(name)) for found in inner_configs for name in _WIDTHS)
    full = next((width for width in widths if width), _hidden(config))
    if not full:
        msg = f"{folder} does not say how wide its vectors are: no hidden_size in config.json, and no pooling width"
        raise CheckpointError(msg)
    return config, full


def _hidden(config: Mapping[str, object]) -> int:
    return _number(config.get("hidden_size")) or _number(config.get("d_model"))


def open_tokeniser(checkpoint: Checkpoint) -> Tokenise | None:
    """Open the checkpoint's fast tokenizer. Return None when it has no tokenizer.json."""
    folder = checkpoint.path
    found = sorted(folder.glob("**/tokenizer.json")) if folder else []
    if not found:
        return None
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise MissingExtraError("tokenizers", "cpu") from error
    with library_faults(f"{found[0]} cannot be used"):
        tokenizer = Tokenizer.from_file(str(found[0]))
        tokenizer.no_padding()
        if checkpoint.max_seq_length is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(checkpoint.max_seq_length)

    def tokenise(texts: Sequence[str]) -> list[int]:
        with library_faults(f"{found[0]} cannot be used"):
            return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts))]

    return tokenise


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _parameters(folder: Path) -> int:
    """Count the parameters. Pickled weights are not opened; they are assumed to be float32."""
    shapes = [shape for path in folder.glob("**/*.safetensors") for shape in tensor_shapes(path)]
    if shapes:
        return sum(map(math.prod, shapes))
    return sum(path.stat().st_size for path in folder.glob("**/pytorch_model*.bin")) // 4
