"""List the parts of a checkpoint folder: its modules, and every file that belongs to them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from clear_bench.errors import CheckpointError

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5"})
"""Endings of files that can run code when they are read."""
PARTS = frozenset({".json", ".safetensors", ".txt", ".model", ".jinja", ".tiktoken", ".codes"})
"""Endings of files that can change a vector: configuration, weights, tokenizer."""
ROUTERS = frozenset({"Router", "Asym"})
"""Classes of modules that hold modules in folders of their own, named in a file beside them."""
MAX_DEPTH = 8
"""Depth of Routers inside Routers; a deeper one is a folder that contains itself by a link."""
INDEXES = (".safetensors.index.json", ".bin.index.json")
"""Endings of files that name the parts of large weights."""
LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
SAVED_SETTINGS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")
"""Keys under which sentence-transformers keeps arguments for transformers."""
LEADS_ELSEWHERE = re.compile(r"\w+_file|\w*name_or_path|adapter_kwargs|config|state_dict")
"""Settings among those that load something else than the files in this folder."""


class Module(NamedTuple):
    """One line of modules.json, or of a Router's own list."""

    type: str
    path: str
    """Folder, relative to the checkpoint; empty for the root."""

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.type.rpartition(".")[2]


def read_json(path: Path) -> object:
    """Parse a JSON file. Raise `CheckpointError` with the place of a mistake."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        if LONE_SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()  # half a character is not text
    except (ValueError, OSError, RecursionError) as error:
        msg = f"{path} cannot be read as JSON: {error}"
        raise CheckpointError(msg) from error
    return content


def read_optional(path: Path) -> dict[str, object]:
    """Parse a JSON object. Return an empty one when there is no such file."""
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        msg = f"{path} holds a JSON {type(content).__name__}; expected an object, {{...}}"
        raise CheckpointError(msg)
    return content


def part_of(content: Mapping[str, object], key: str, path: Path) -> dict[str, object]:
    """Return the object under a key of a JSON object, or an empty one when the key is missing."""
    part = content.get(key)
    if part is not None and not isinstance(part, dict):
        msg = f"{path}: {key!r} is {part!r:.100}; expected an object, {{...}}"
        raise CheckpointError(msg)
    return part or {}


def strings_in(value: object) -> list[str]:
    """Read a field that others write as one string or as a list; anything that is not text is ignored."""
    items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str) and item.encode("utf-8", "replace").decode() == item]


def read_modules(folder: Path) -> list[Module]:
    """Read modules.json, and what its Routers hold; a plain transformers folder has none and gives an empty list."""
    path = folder / "modules.json"
    if path.is_file():
        modules = read_json(path)
        if not isinstance(modules, list) or not all(isinstance(m, dict) and _is_module(m) for m in modules):
            msg = f"{path}: expected a list of modules, each with a text as 'type' and as 'path'"
            raise CheckpointError(msg)
        return [part for m in modules for part in _with_parts(folder, Module(m["type"], m["path"]), path, 0)]
    if (folder / "config.json").is_file():
        return []
    msg = (
        f"{folder} is not a checkpoint: it has neither modules.json (sentence-transformers) "
        "nor config.json (transformers)"
    )
    raise CheckpointError(msg)


def _is_module(line: Mapping[str, object]) -> bool:
    return isinstance(line.get("type"), str) and isinstance(line.get("path"), str)


def _with_parts(folder: Path, module: Module, named_in: Path, depth: int) -> Iterator[Module]:
    """Yield a module, and after it the modules inside it when it is a Router."""
    _refuse_outside(folder, module.path, named_in)
    yield module
    inner = folder / module.path
    names = ["router_config.json", *(["config.json"] if module.name in ROUTERS else [])]
    path = next((inner / name for name in names if (inner / name).is_file()), inner / names[0])
    for name, kind in part_of(read_optional(path), "types", path).items():
        if not isinstance(kind, str) or not PurePosixPath(name).parts or depth == MAX_DEPTH:
            msg = f"{path}: 'types' names {name!r} as {kind!r}; expected a folder inside, and the class of its module"
            raise CheckpointError(msg)
        yield from _with_parts(folder, Module(kind, str(PurePosixPath(module.path, name))), path, depth + 1)


def _refuse_outside(folder: Path, name: str, named_in: Path) -> None:
    """Refuse a path that leads out of the checkpoint, by its parts or by a link."""
    windows = PureWindowsPath(name)
    if windows.anchor or PurePosixPath(name).is_absolute() or ".." in windows.parts or "\0" in name:
        msg = f"{named_in}: the path {name!r} leads out of the checkpoint"
        raise CheckpointError(msg)
    refuse_link_outside(folder, folder / name)


def refuse_link_outside(folder: Path, path: Path) -> None:
    """Refuse a link to a file or folder elsewhere. In a hub's cache, the blobs belong to the checkpoint."""
    try:
        target, home = path.resolve(), folder.resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, RuntimeError) as error:  # a link to itself, a name that is too long
        name = path.relative_to(folder).as_posix()
        msg = f"{folder}: the path {name!r:.200} cannot be followed: {error.args[-1]!r:.100}"
        raise CheckpointError(msg) from error
    snapshots = next((one for one in (home, *home.parents) if one.name == "snapshots"), None)
    if not target.is_relative_to(home) and not (snapshots and target.is_relative_to(snapshots.parent / "blobs")):
        msg = (
            f"{folder}: {path.relative_to(folder).as_posix()!r} leads out of the checkpoint, to {target}, where "
            "pickles could lie and changes would not be seen; copy it into the folder"
        )
        raise CheckpointError(msg)


def model_files(folder: Path, modules: list[Module]) -> list[Path]:
    """List the files that the model is loaded from: those of the root and of module folders, and weights by name.

    Hidden files and folders inside module folders do not belong to it. Raises `CheckpointError` for a file outside the
    checkpoint folder.
    """
    files = {path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    for inner in {PurePosixPath(module.path) for module in modules} - {PurePosixPath()}:
        files.update(_below(folder, folder / inner, frozenset()))
    files.update([path for file in sorted(files) for path in _weights_named_in(folder, file)])
    for path in files:
        if path.suffix.lower() in PARTS | PICKLES | {".py"}:
            refuse_link_outside(folder, path)
    return sorted(files)


def _below(folder: Path, place: Path, seen: frozenset[Path]) -> Iterator[Path]:
    """Walk a module folder, links included, hidden files and folders excluded."""
    refuse_link_outside(folder, place)
    if not place.is_dir() or place.resolve() in seen:
        return
    for path in sorted(place.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _below(folder, path, seen | {place.resolve()})
        elif path.is_file():
            yield path


def _weights_named_in(folder: Path, file: Path) -> list[Path]:
    """List the weight files that an index or a configuration names, which may lie anywhere below its folder.

    All safetensors files must exist. Of pickles only the existing ones are listed: a hub fetch may bring their index
    alone.
    """
    names: list[object] = []
    if file.name.endswith(INDEXES):
        names = list(part_of(read_optional(file), "weight_map", file).values())
    elif file.name == "config.json":
        names = [name for name in [read_optional(file).get("transformers_weights")] if name is not None]
    named = list(dict.fromkeys(map(str, names)))
    are_pickles = file.name.endswith(INDEXES[1])
    for name in named:
        _refuse_outside(folder, str(file.parent.relative_to(folder) / name), file)
        if not are_pickles and not name.endswith((".safetensors", INDEXES[0])):
            msg = f"{file} names {name!r} as weights; expected the name of a .safetensors file"
            raise CheckpointError(msg)
    missing = sorted(name for name in named if not (file.parent / name).is_file())
    if missing and not are_pickles:
        msg = f"{file} names {len(named)} weight files, of which {', '.join(missing)} is missing; copy the whole folder"
        raise CheckpointError(msg)
    found = [file.parent / name for name in named if name not in missing]
    return found + [part for path in found if path.suffix == ".json" for part in _weights_named_in(folder, path)]


def refuse_other_sources(folder: Path, modules: list[Module]) -> None:
    """Refuse a checkpoint whose settings load weights or a tokenizer from somewhere else."""
    for place in {folder, *(folder / module.path for module in modules)}:
        if (place / "adapter_config.json").is_file():
            base = read_optional(place / "adapter_config.json").get("base_model_name_or_path", "its base model")
            msg = f"{place} is a LoRA adapter, whose base is loaded from elsewhere; merge it into {base} and give that"
            raise CheckpointError(msg)
        for path in sorted(place.glob("sentence_*_config.json")):
            settings = read_optional(path)
            inner = [part_of(settings, key, path) for key in SAVED_SETTINGS]
            names = {key for one in (settings, *inner) for key, value in one.items() if value is not None}
            if elsewhere := sorted(name for name in names if LEADS_ELSEWHERE.fullmatch(name)):
                msg = f"{path} sets {', '.join(elsewhere)}, so that something else than this folder would be loaded"
                raise CheckpointError(msg)
