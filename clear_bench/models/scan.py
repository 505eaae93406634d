"""Look through a checkpoint folder before anything is loaded: no pickles, no foreign code, whole weight files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import prod
from pathlib import Path

from clear_bench.errors import CheckpointError
from clear_bench.models.kinds import refuse_other_kinds
from clear_bench.models.layout import PICKLES, Module, model_files, read_json, read_modules, refuse_other_sources

TRAINER_STATE = re.compile(r"(optimizer|scheduler|scaler|training_args|rng_state|random_states)[\w.-]*")
"""What trainers leave beside the weights; nothing reads it for an evaluation."""
MODULES = "sentence_transformers."
"""Where the modules of a plain checkpoint come from."""
READ_FIRST = ("model.safetensors", "model.safetensors.index.json")
"""Where one of them is, a pickle beside it is never read."""
BYTES_OF = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
"""Bytes of one value; of other types, the length is not checked."""
HEADER_LIMIT = 100_000_000
"""The safetensors format's own bound on its header."""


def scan(folder: Path, *, allow_pickle: bool, trust_remote_code: bool, twins: bool = False) -> list[Path]:
    """Give the files that belong to the model (root and module folders), after every check that needs no torch.

    With `twins`, a pickle beside safetensors of the same folder is passed over: it is never read. Raises
    `CheckpointError` for a folder that is no checkpoint, damaged weights, and pickles or code without their flag.
    """
    modules = read_modules(folder)
    refuse_other_kinds(folder)
    refuse_other_sources(folder, modules)
    files = model_files(folder, modules)
    if not trust_remote_code:
        _refuse_code(folder, modules, files)
    if not allow_pickle:
        _refuse_pickles(folder, files, twins)
    weights = [path for path in files if path.suffix == ".safetensors"]
    for path in weights:
        check_safetensors(path)
    if not weights and not any(is_pickle(path) for path in files):
        msg = (
            f"{folder} holds no weights: expected a *.safetensors file in it or in its module folders "
            "(a hub model that is published only as pickles needs --allow-pickle)"
        )
        raise CheckpointError(msg)
    return files


def is_pickle(path: Path) -> bool:
    """Whether a file is pickled weights, by its name."""
    harmless = TRAINER_STATE.fullmatch(path.stem) or path.name.startswith("openvino")
    return path.suffix.lower() in PICKLES and not harmless


def check_safetensors(path: Path) -> None:
    """Check that the file holds all the bytes that its header promises; reads only the header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if start == b"version ":
            msg = f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its repository"
            raise CheckpointError(msg)
        if len(start) < 8 or length > HEADER_LIMIT or 8 + length > size:
            msg = f"{path} is no whole safetensors file ({size:,} bytes): its header is missing or cut; copy it again"
            raise CheckpointError(msg)
        promised = 8 + length + _data_bytes(file.read(length), path)
    if promised != size:
        what = "is truncated" if size < promised else "has bytes that belong to no tensor"
        msg = f"{path} {what}: its header promises {promised:,} bytes, the file has {size:,}; copy it again"
        raise CheckpointError(msg)


def _data_bytes(header: bytes, path: Path) -> int:
    """Sum up a safetensors header: where the last tensor ends, every tensor as long as its shape says."""
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        end = 0
        for name, tensor in tensors.items():
            first, last = tensor["data_offsets"]
            if not 0 <= first <= last < 2**63:
                msg = f"{path}: tensor {name!r} has the offsets {first!r:.30} and {last!r:.30}"
                raise CheckpointError(msg)
            if last - first != prod(tensor["shape"]) * BYTES_OF.get(tensor["dtype"], last - first):
                msg = f"{path}: tensor {name!r} has {last - first:,} bytes; its shape is {tensor['shape']}"
                raise CheckpointError(msg)
            end = max(end, last)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{path} is no safetensors file: its header is not valid ({error})"
        raise CheckpointError(msg) from error
    return end


def _refuse_code(folder: Path, modules: list[Module], files: list[Path]) -> None:
    """Refuse a checkpoint that brings code of its own or names classes of other packages."""
    found = [f"module type {m.type!r} in modules.json" for m in modules if not m.type.startswith(MODULES)]
    for path in files:
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".py" and not path.name.startswith("train"):  # a training script is shown, never run
            found.append(name)
        elif path.name.endswith("config.json") and _names_code(path):
            found.append(f"auto_map in {name}")
    if found:
        msg = f"{folder} runs code of its own ({', '.join(found)}); read it, then allow it with --trust-remote-code"
        raise CheckpointError(msg)


def _names_code(path: Path) -> bool:
    """Whether a configuration names classes of its own; other JSON files may end like one, and hold a list."""
    content = read_json(path)
    return isinstance(content, dict) and "auto_map" in content


def _refuse_pickles(folder: Path, files: list[Path], twins: bool) -> None:
    """Refuse pickles wherever they lie: sentence-transformers' Dense reads one even under use_safetensors."""
    found = [path for path in {*files, *_everything(folder)} if is_pickle(path)]
    if twins:
        found = [path for path in found if not any((path.parent / name).is_file() for name in READ_FIRST)]
    if found:
        names = ", ".join(path.relative_to(folder).as_posix() for path in sorted(found)[:5])
        msg = (
            f"{folder} holds pickled weights ({names}), which can run any code when they are read; "
            "save the model as safetensors, remove them, or allow them with --allow-pickle"
        )
        raise CheckpointError(msg)


def _everything(folder: Path) -> Iterator[Path]:
    """Walk the folder, without hidden folders and the checkpoints that a trainer keeps inside."""
    for path in folder.iterdir():
        if path.is_file():
            yield path
        elif path.is_dir() and not path.is_symlink() and not path.name.startswith((".", "checkpoint-")):
            yield from _everything(path)
