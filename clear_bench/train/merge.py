"""Interpolates the weights of a base and of a checkpoint trained from it (WiSE-FT, LM-Cocktail), without training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from clear_bench.disk import disk_faults, write_text
from clear_bench.errors import CheckpointError, UsageError
from clear_bench.models.checkpoint import open_checkpoint
from clear_bench.store.folders import atomic_folder
from clear_bench.train.base import load_plain

if TYPE_CHECKING:
    from clear_bench.types import Checkpoint

SCHEMA = "clear-bench/merged/1"


_MOST = 1000
"""The largest number of mixtures of one merge."""


def parse_weights(text: str) -> tuple[float, ...]:
    """Return the shares of the tuned model, 0 to 1, ascending, from `start:stop:step` or a comma-separated list.

    >>> parse_weights("0:1:0.25")
    (0.0, 0.25, 0.5, 0.75, 1.0)
    """
    try:
        if ":" in text:
            start, stop, step = (float(part) for part in text.split(":"))
            count = int((stop - start) / step + 1 + 1e-9)
            found = [round(start + i * step, 6) for i in range(min(count, _MOST + 1))]
        else:
            found = [float(part) for part in text.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError):
        found = []
    if not 0 < len(found) <= _MOST or not all(0 <= share <= 1 for share in found):
        msg = f"--weights {text!r}: give start:stop:step, as 0:1:0.1, or up to {_MOST} shares from 0 to 1"
        raise UsageError(msg)
    return tuple(sorted(set(found)))


class Interpolation:
    """A base and a tuned checkpoint of the same shape, loaded once and written at any mixture."""

    def __init__(self, base: Checkpoint, tuned: Checkpoint) -> None:
        """Load both; raises `CheckpointError` where modules, tokenizers, tensors or shapes differ."""
        self.names = (base.name, tuned.name)
        self.sources = (base, tuned)
        start = load_plain(Path(str(base.path)))
        self.model = load_plain(Path(str(tuned.path)))
        self.tuned = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        rows = _shared_rows(start, self.model, self.names)
        self.base = _aligned(start, self.model, rows)
        _refuse_unlike(self.base, self.tuned, self.names)

    def write(self, weight: float, folder: Path) -> Path:
        """Write (1 - weight) base + weight tuned as a checkpoint folder, completely or not at all."""
        mixed = {name: mix(self.base[name], tensor, weight) for name, tensor in self.tuned.items()}
        self.model.load_state_dict(mixed)
        with disk_faults(folder), atomic_folder(folder) as temporary:
            self.model.save_pretrained(str(temporary), create_model_card=False, safe_serialization=True)
            (temporary / "README.md").write_text(self._card(weight), encoding="utf-8")
            write_text(temporary / "manifest.json", json.dumps(self._manifest(weight), indent=2) + "\n")
        return folder

    def is_written(self, weight: float, folder: Path) -> bool:
        """Return whether a folder holds this very mixture."""
        file = folder / "manifest.json"
        return file.is_file() and json.loads(file.read_text(encoding="utf-8")) == self._manifest(weight)

    def _manifest(self, weight: float) -> dict[str, object]:
        parts = {"base": self.sources[0], "tuned": self.sources[1]}
        sources = {key: {"name": one.name, "fingerprint": one.fingerprint} for key, one in parts.items()}
        return {"schema": SCHEMA, "weight": weight, **sources, "trained_on": list(self._trained_on())}

    def _trained_on(self) -> dict[str, None]:
        return dict.fromkeys([*self.sources[0].trained_on, *self.sources[1].trained_on])

    def _card(self, weight: float) -> str:
        head = {
            "library_name": "sentence-transformers",
            "tags": ["sentence-transformers", "feature-extraction", "merge", "clear-bench"],
            "license": self.sources[1].licence or self.sources[0].licence,
            "datasets": list(self._trained_on()),
        }
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items() if value]
        text = f"{weight:g} x {self.names[1]} + {1 - weight:g} x {self.names[0]}, weight by weight."
        return "\n".join(["---", *lines, "---", "# Interpolated weights", "", text, ""])


def mix(base: Tensor, tuned: Tensor, weight: float) -> Tensor:
    """Return one interpolated tensor; tensors of integers (position ids) are those of the tuned model."""
    if not tuned.is_floating_point():
        return tuned
    return torch.lerp(base.to(torch.float32), tuned.to(torch.float32), weight).to(tuned.dtype)


def open_pair(base: str, tuned: str) -> tuple[Checkpoint, Checkpoint]:
    """Return both checkpoints; raises `CheckpointError` for one without weights."""
    found = open_checkpoint(base), open_checkpoint(tuned)
    for one in found:
        if one.path is None:
            msg = f"{one.name!r} has no weights to interpolate: name a folder, a hub id or embedded:NAME"
            raise CheckpointError(msg)
    return found


def _shared_rows(base: SentenceTransformer, tuned: SentenceTransformer, names: tuple[str, str]) -> Tensor | None:
    """Return the base's row of each piece of the tuned vocabulary; None where both have the same rows.

    A vocabulary that training trimmed is a part of the base's. Raises `CheckpointError` for any other difference.
    """
    if (one := [type(m).__name__ for m in base]) != (other := [type(m).__name__ for m in tuned]):
        msg = f"{names[0]} consists of {', '.join(one)}, {names[1]} of {', '.join(other)}: they cannot be interpolated"
        raise CheckpointError(msg)
    pieces, wanted = base.tokenizer.get_vocab(), tuned.tokenizer.get_vocab()
    if pieces == wanted:
        return None
    foreign = [piece for piece in wanted if piece not in pieces]
    if foreign or len(wanted) == len(pieces):
        example = f", such as {foreign[0]!r}" if foreign else ""
        msg = f"the tokenizers of {names[0]} and {names[1]} differ{example}: equal rows would mean different pieces"
        raise CheckpointError(msg)
    return torch.tensor([pieces[piece] for piece, _ in sorted(wanted.items(), key=lambda item: item[1])])


def _aligned(base: SentenceTransformer, tuned: SentenceTransformer, rows: Tensor | None) -> dict[str, Tensor]:
    """Return the base's tensors, with the token embeddings of the tuned vocabulary only."""
    state = dict(base.state_dict())
    if rows is not None:
        inputs = base[0].auto_model.get_input_embeddings().weight
        for name, tensor in state.items():
            if tensor.data_ptr() == inputs.data_ptr():
                state[name] = tensor[rows]
    # No vector comes from a pooler, and whether there is one depends on how a model was saved: the tuned one decides.
    wanted = tuned.state_dict()
    state = {name: tensor for name, tensor in state.items() if name in wanted or ".pooler." not in name}
    missing = {name: tensor.clone() for name, tensor in wanted.items() if name not in state and ".pooler." in name}
    return state | missing


def _refuse_unlike(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], names: tuple[str, str]) -> None:
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in (base, tuned)]
    for name in sorted({*base, *tuned}):
        one, other = (shape.get(name) for shape in shapes)
        if one != other:
            msg = f"tensor {name} is {one or 'missing'} in {names[0]} and {other or 'missing'} in {names[1]}"
            raise CheckpointError(f"{msg}: only checkpoints of one architecture can be interpolated")
