"""Files of dataset repositories on a hub, as the entries of a card name them: located, fetched and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from clear_bench.errors import CardError, DataError, EnvironmentFault
from clear_bench.hub import Repository, is_offline, snapshot
from clear_bench.readers.cache import digest
from clear_bench.readers.origins import Origin


def fetch(origin: Origin, offline: bool) -> list[Path]:
    """Return the local files of an entry of a card, fetched where they are missing.

    Raises `CardError` for a repository, revision, config, split or file that does not exist, and `EnvironmentFault`
    where the hub cannot be reached, wants a token or is busy for long.
    """
    readme = None if origin.path else _snapshot(origin, ["README.md"], offline) / "README.md"
    patterns = [origin.path] if readme is None else declared(readme, origin)
    folder = _snapshot(origin, patterns, offline)
    found = matching(folder, patterns)
    if not found:
        msg = f"{_at(origin)} has no file {' or '.join(patterns)}; {_contents(folder, origin, offline)}"
        raise CardError(msg)
    return found


def declared(readme: Path, origin: Origin) -> list[str]:
    """Return the path patterns that a repository's README declares for a config and split; `all` means every split.

    Raises `CardError` that names the configs or splits there are.
    """
    configs = _configs(readme)
    if origin.config not in configs:
        msg = f"{_at(origin)} has no config {origin.config!r}; it has {_some(configs) or 'none in its README'}"
        raise CardError(msg)
    splits = configs[origin.config]
    if origin.split == "all":  # as in the `datasets` library, which reserves the word
        return [pattern for patterns in splits.values() for pattern in patterns]
    if origin.split not in splits:
        msg = f"{_at(origin)}: config {origin.config!r} has no split {origin.split!r}; it has {_some(splits) or 'none'}"
        raise CardError(msg)
    return splits[origin.split]


def _configs(readme: Path) -> dict[str, dict[str, list[str]]]:
    """Read what a README declares, config -> split -> patterns; raises `CardError` for what cannot be read."""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        metadata = (metadata_load(readme) if readme.is_file() else None) or {}
        return {str(config["config_name"]): _splits(config) for config in metadata.get("configs") or []}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, YAMLError) as error:
        msg = f"{readme}: its head does not declare files that can be read: {error}"
        raise CardError(msg) from error


def matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """List the files below a folder that match any pattern, numbers in names counted as numbers."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    names = [name for name in files if any(fnmatch(name, pattern.removeprefix("./")) for pattern in patterns)]
    return [files[name] for name in sorted(names, key=_natural)]


def check_content(path: Path) -> None:
    """Compare a file of the hub's cache with the hash that it is stored under; raises `DataError` where they differ."""
    name = path.resolve().name
    algorithm = (
        "sha256" if re.fullmatch(r"[0-9a-f]{64}", name) else "git" if re.fullmatch(r"[0-9a-f]{40}", name) else ""
    )
    if algorithm and digest(path, algorithm) != name:
        msg = (
            f"{path}: the content does not have the hash that the hub names it by, {name}; "
            f"delete {path.resolve()} and fetch it again"
        )
        raise DataError(msg)


def _splits(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """Read `data_files` in any of its spellings: a path, paths, or a list or table by split."""
    files = config.get("data_files", [])
    if isinstance(files, str) or (isinstance(files, list) and all(isinstance(item, str) for item in files)):
        files = {"train": files}
    pairs = files.items() if isinstance(files, dict) else ((item["split"], item["path"]) for item in files)
    folder = f"{config['data_dir'].strip('/')}/" if config.get("data_dir") else ""
    return {
        str(split): [folder + path for path in ([paths] if isinstance(paths, str) else paths)] for split, paths in pairs
    }


def _snapshot(origin: Origin, patterns: Sequence[str], offline: bool) -> Path:
    repository = Repository(
        kind="dataset",
        name=origin.place,
        revision=origin.revision,
        at=_at(origin),
        remedy=f"to go on offline, run `hf download --repo-type dataset {origin.place} --revision {origin.revision}` "
        "or `clear-bench fetch` where the hub is reachable and bring HF_HOME along, or give the files with "
        "`clear-bench fetch TASK --source FOLDER`",
        invalid=CardError,
        refused=EnvironmentFault,
        unlike="is not a repository id of the form OWNER/NAME",
        revision_advice=f" any more; the card names it for {origin.entry!r}",
    )
    return snapshot(repository, patterns, offline)


def _contents(folder: Path, origin: Origin, offline: bool) -> str:
    """Return what a repository has instead: the content of the deepest folder of the wanted path that exists."""
    names = _listed(folder, origin, offline)
    parent = origin.path.split("*")[0].rpartition("/")[0]
    while parent and not any(name.startswith(f"{parent}/") for name in names):
        parent = parent.rpartition("/")[0]
    start = f"{parent}/" if parent else ""
    here = {start + name.removeprefix(start).split("/")[0] for name in names if name.startswith(start)}
    return f"it has {_some(sorted(here))}" if here else "what it has is not known offline"


def _listed(folder: Path, origin: Origin, offline: bool) -> list[str]:
    """List a repository at the commit that was fetched."""
    import huggingface_hub

    if offline or is_offline():
        return []
    return huggingface_hub.HfApi().list_repo_files(origin.place, repo_type="dataset", revision=folder.name)


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:12]) + (f", ... ({len(shown)} in all)" if len(shown) > 12 else "")


def _at(origin: Origin) -> str:
    return f"{origin.place} at revision {origin.revision}" if origin.place else origin.entry


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
