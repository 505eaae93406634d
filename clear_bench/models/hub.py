"""Checkpoints on a model hub: safetensors and configuration only, unless pickles or code were allowed."""

from __future__ import annotations

from pathlib import Path

from clear_bench.errors import CheckpointError
from clear_bench.hub import Repository, snapshot

WANTED = (
    *("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.codes", "README.md"),
    "artifact.metadata",  # nothing loads it, but it says what kind of model a folder holds
)
NOT_WANTED = ("onnx/*", "openvino/*", "*/onnx/*", "coreml/*", "tf_model*", "flax_model*")


def fetch(repository: str, revision: str | None, *, offline: bool, allow_pickle: bool, code: bool) -> tuple[Path, str]:
    """Return the local folder of a hub repository and the commit that it is.

    Raises `CheckpointError` where the hub has no such repository or revision for this user, and `EnvironmentFault`
    where the hub cannot be reached and the checkpoint is not in its local cache.
    """
    found = Repository(
        kind="model",
        name=repository,
        revision=revision,
        at=f"{repository!r}" + (f" at revision {revision!r}" if revision else ""),
        remedy="to go on offline, copy the model's folder here and give its path, or fetch it once where the hub is "
        f"reachable (`hf download {repository}`) and bring HF_HOME along; `embedded:me5-small-q4` needs no hub",
        invalid=CheckpointError,
        refused=CheckpointError,
        unlike="is neither a folder here nor a hub id of the form organisation/name",
        revision_advice="; give a branch, a tag or a commit of it",
        elsewhere=f"there is no folder {repository!r} here, and ",
    )
    patterns = [*WANTED, *(["*.bin", "*.pt"] if allow_pickle else []), *(["*.py"] if code else [])]
    folder = snapshot(found, patterns, offline, NOT_WANTED)
    return folder, folder.name
