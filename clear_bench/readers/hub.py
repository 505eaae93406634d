"""Files of dataset repositories on a hub: fetched at a revision, resumed, checked, found again offline."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from clear_bench.disk import FORBIDDEN, FULL
from clear_bench.errors import CardError, DataError, EnvironmentFault, MissingExtraError
from clear_bench.readers.cache import digest
from clear_bench.readers.origins import Origin
from clear_bench.readers.retry import BusyError, asked_wait, attempt, may_pass


def fetch(origin: Origin, offline: bool) -> list[Path]:
    """Give the local files of an entry of a card, fetched where they are missing.

    Raises `CardError` for a repository, revision, config, split or file that does not exist, and `EnvironmentFault`
    where the hub cannot be reached, wants a token or is busy for long.
    """
    patterns = [origin.path] if origin.path else _declared(origin, _readme(origin, offline))
    folder = _snapshot(origin, patterns, offline)
    found = matching(folder, patterns)
    if not found:
        msg = f"{_at(origin)} has no file {' or '.join(patterns)}; {_contents(folder, origin, offline)}"
        raise CardError(msg)
    return found


def declared(readme: Path, origin: Origin) -> list[str]:
    """Give the path patterns that a repository's README declares for a config and split; `all` means every split.

    Raises `CardError` that names the configs or splits there are.
    """
    from huggingface_hub.repocard import metadata_load

    metadata: Mapping[str, Any] = (metadata_load(readme) if readme.is_file() else None) or {}  # Any: YAML
    configs = {str(config["config_name"]): config for config in metadata.get("configs", [])}
    if origin.config not in configs:
        msg = f"{_at(origin)} has no config {origin.config!r}; it has {_some(configs) or 'none in its README'}"
        raise CardError(msg)
    splits = _splits(configs[origin.config])
    if origin.split == "all":  # as in the `datasets` library, which reserves the word
        return [pattern for patterns in splits.values() for pattern in patterns]
    if origin.split not in splits:
        msg = f"{_at(origin)}: config {origin.config!r} has no split {origin.split!r}; it has {_some(splits) or 'none'}"
        raise CardError(msg)
    return splits[origin.split]


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


def _readme(origin: Origin, offline: bool) -> Path:
    return _snapshot(origin, ["README.md"], offline) / "README.md"


def _declared(origin: Origin, readme: Path) -> list[str]:
    return declared(readme, origin)


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


def _snapshot(origin: Origin, patterns: list[str], offline: bool) -> Path:
    """Fetch what matches the patterns; gives the folder of the repository at its commit."""
    try:
        from huggingface_hub import errors, snapshot_download
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise MissingExtraError("huggingface_hub", "cpu") from None
    if not sys.stderr.isatty():
        disable_progress_bars()
    transport = vars(errors)["HTTPError"]  # of the HTTP library that the hub's client is built on

    def action() -> Path:
        try:
            folder = snapshot_download(
                origin.place,
                repo_type="dataset",
                revision=origin.revision,
                allow_patterns=patterns,
                local_files_only=offline,
                max_workers=4,
            )
        except errors.RevisionNotFoundError:
            msg = f"{origin.place} has no revision {origin.revision!r} any more; the card names it for {origin.entry!r}"
            raise CardError(msg) from None
        except errors.HFValidationError:
            msg = f"{origin.place!r} is no repository id of the form OWNER/NAME"
            raise CardError(msg) from None
        except (errors.LocalEntryNotFoundError, transport, OSError) as error:
            raise _fault(origin, error, offline) from error
        return Path(folder)

    def give_up(reason: str) -> Exception:
        return EnvironmentFault(f"{_endpoint()} does not serve {_at(origin)}: {reason}; {_remedy(origin)}")

    return attempt(_at(origin), action, give_up)


def _fault(origin: Origin, error: BaseException, offline: bool) -> Exception:
    """Tell apart what went wrong by the hub's answer, which may stand below the error that the client raised."""
    from huggingface_hub import errors

    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ else error
    if isinstance(cause, OSError) and cause.errno in {*FULL, *FORBIDDEN}:
        state = "is full" if cause.errno in FULL else "cannot be written"
        return EnvironmentFault(f"{_at(origin)}: the disk of the hub's cache {state}; point HF_HOME at another folder")
    response = getattr(cause, "response", None)
    status = getattr(response, "status_code", 0)
    if isinstance(cause, errors.GatedRepoError) or status == 403:
        page = f"{_endpoint()}/datasets/{origin.place}"
        return EnvironmentFault(
            f"{_at(origin)} is behind an agreement: accept it at {page}, then set HF_TOKEN or run `hf auth login`"
        )
    if isinstance(cause, errors.RepositoryNotFoundError) or status == 401:
        return EnvironmentFault(
            f"{_endpoint()} has no dataset {_at(origin)} that this user may read; "
            "where it is private or gated, set HF_TOKEN or run `hf auth login`"
        )
    if response is not None and may_pass(status):
        return BusyError(f"HTTP status {status}", asked_wait(response.headers.get("Retry-After")))
    if offline or is_offline():
        return EnvironmentFault(
            f"{_at(origin)} is not wholly in the local cache, and this run is offline; {_remedy(origin)}"
        )
    if isinstance(cause, ConnectionError) or not isinstance(cause, FileNotFoundError):
        return BusyError(f"the connection failed ({type(cause).__name__})")
    return EnvironmentFault(f"{_endpoint()} cannot be reached for {_at(origin)}; {_remedy(origin)}")


def _remedy(origin: Origin) -> str:
    return (
        f"to go on offline, run `hf download --repo-type dataset {origin.place} --revision {origin.revision}` or "
        "`clear-bench fetch` where the hub is reachable and bring HF_HOME along, or give the files with "
        "`clear-bench fetch TASK --source FOLDER`"
    )


def _contents(folder: Path, origin: Origin, offline: bool) -> str:
    """Say what a repository has instead: the entries of the deepest folder of the wanted path that exists."""
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


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def is_offline() -> bool:
    """Whether the environment asks the hub's client to stay away from the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
