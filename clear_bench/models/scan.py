"""Check a checkpoint folder before anything is loaded: no pickles, no code of others, whole weight files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from clear_bench.errors import CheckpointError
from clear_bench.models.kinds import refuse_other_kinds
from clear_bench.models.layout import PICKLES, Module, model_files, read_json, read_modules, refuse_other_sources
from clear_bench.models.safetensors import check_safetensors

TRAINER_STATE = re.compile(r"(optimizer|scheduler|scaler|training_args|rng_state|random_states)[\w.-]*")
"""What trainers leave beside the weights; nothing reads it for an evaluation."""
MODULES = "sentence_transformers."
"""Where the modules of a plain checkpoint come from."""
READ_FIRST = ("model.safetensors", "model.safetensors.index.json")
"""Where one of them is, a pickle beside it is never read."""


def scan(folder: Path, *, allow_pickle: bool, trust_remote_code: bool, twins: bool = False) -> list[Path]:
    """Return the files that belong to the model (root and module folders), after every check that needs no torch.

    With `twins`, a pickle beside safetensors of the same folder is ignored: it is never read. Raises
    `CheckpointError` for a folder that is not a checkpoint, damaged weights, and pickles or code without their flag.
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
