"""Fetch a checkpoint from a model hub: safetensors and configuration only, unless pickles or code were allowed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from clear_bench.errors import CheckpointError, EnvironmentFault, MissingExtraError

WANTED = (
    "*.json",
    "*.safetensors",
    "*.txt",
    "*.model",
    "*.jinja",
    "*.tiktoken",
    "*.codes",
    "README.md",
    "artifact.metadata",
)
TOLD_BY = ("artifact.metadata",)
"""Files that nothing loads, but that say what kind of model a folder holds."""
NOT_WANTED = ("onnx/*", "openvino/*", "*/onnx/*", "coreml/*", "tf_model*", "flax_model*")


def fetch(repository: str, revision: str | None, *, offline: bool, allow_pickle: bool, code: bool) -> tuple[Path, str]:
    """Give the local folder of a hub repository and the commit that it is.

    Raises `CheckpointError` where the hub has no such repository or revision for this user, and `EnvironmentFault`
    where the hub cannot be reached and the checkpoint is not in its local cache.
    """
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError:
        raise MissingExtraError("huggingface_hub", "cpu") from None

    patterns = [*WANTED, *TOLD_BY, *(["*.bin", "*.pt"] if allow_pickle else []), *(["*.py"] if code else [])]
    at = f"{repository!r}" + (f" at revision {revision!r}" if revision else "")
    try:
        path = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=patterns,
            ignore_patterns=list(NOT_WANTED),
            local_files_only=offline,
        )
    except errors.GatedRepoError as error:
        msg = (
            f"the hub gives {at} to who accepted its terms: do so on its page, then set HF_TOKEN or run `hf auth login`"
        )
        raise CheckpointError(msg) from error
    except errors.RevisionNotFoundError as error:
        msg = f"{repository!r} has no revision {revision!r}; give a branch, a tag or a commit of it"
        raise CheckpointError(msg) from error
    except errors.RepositoryNotFoundError as error:
        msg = (
            f"there is no folder {repository!r} here and no {at} on the hub that this user may read; "
            "for a private repository set HF_TOKEN or run `hf auth login`"
        )
        raise CheckpointError(msg) from error
    except errors.HFValidationError as error:
        msg = f"{repository!r} is neither a folder here nor a hub id of the form organisation/name"
        raise CheckpointError(msg) from error
    except (errors.LocalEntryNotFoundError, vars(errors)["HTTPError"], OSError) as error:
        # HTTPError is of the library that the hub's client is built on, which changed from one version to the next.
        raise EnvironmentFault(_fault(at, repository, offline, error)) from error
    return Path(path), Path(path).name


def _fault(at: str, repository: str, offline: bool, error: Exception) -> str:
    """Word a hub that does not answer: what was wanted and how to go on without it. The message holds no token."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full while {at} is fetched; free some space, or point HF_HOME at another disk"
    remedy = (
        "to go on offline, copy the model's folder here and give its path, or fetch it once where the hub is reachable "
        f"(`hf download {repository}`) and bring HF_HOME along; `embedded:me5-small-q4` needs no hub"
    )
    if offline or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}:
        where = "neither in a folder here nor in the hub's local cache, and this run is offline"
        return f"{at} is {where}; {remedy}"
    where = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    return f"{where} cannot be reached for {at} ({type(error).__name__}); {remedy}"
