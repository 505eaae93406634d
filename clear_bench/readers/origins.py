"""Parse the entries of a card's `[files]` table: where its files come from.

"data/{code}.jsonl"                         a path in the card's [source], folder or hub repository; * and ? match
"#{code}-corpus:dev"                        a config and a split that the repository's README declares
"hf://datasets/OWNER/NAME@REVISION/PATH"    another repository of the hub; "...@REVISION#CONFIG:SPLIT" too
"https://SITE/FILE"                         a file of an official site; "https://SITE/A.zip#PATH" is a member of it
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from clear_bench.errors import CardError

if TYPE_CHECKING:
    from clear_bench.tasks import Task

_HUB = re.compile(
    r"hf://datasets/(?P<place>[^/@#]+/[^/@#]+)@(?P<revision>[^/#]+)(?:/(?P<path>[^#]+)|#(?P<config>.+):(?P<split>.+))"
)
_CONFIG = re.compile(r"#(?P<config>.+):(?P<split>.+)")


@dataclass(frozen=True, slots=True)
class Origin:
    """One entry of `[files]` with its placeholders filled in."""

    entry: str
    """As it stands in the card, filled in: what messages show."""
    kind: Literal["folder", "hub", "web"]
    place: str = ""
    """Repository, or URL of the file or archive."""
    revision: str = ""
    path: str = ""
    """In the repository, folder or archive; may be a glob pattern."""
    config: str = ""
    split: str = ""

    @property
    def file_name(self) -> str:
        """Name of the file, or of the archive that holds it; may be a pattern, and is empty for a config."""
        return Path(urlsplit(self.place).path if self.kind == "web" else self.path).name

    @property
    def is_member(self) -> bool:
        """Whether the file is in an archive."""
        return self.kind == "web" and bool(self.path)

    @property
    def is_pinned(self) -> bool:
        """Whether the entry can never mean other bytes."""
        return self.kind != "hub" or re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None


def entry(task: Task, key: str, query: str | None = None, passage: str | None = None) -> str:
    """Fill in the placeholders of a card's entry: codes of the pair, and `{name}` from `[options.names]`.

    `{code}` and `{name}` are those of the language that the file is in: the query's unless only a passage is given.
    """
    values: dict[str, str] = {}
    names = task.options.get("names", {})
    for side, code, name in ((passage, "passage", "passage_name"), (query, "query", "query_name")):
        if side is not None:
            values |= {code: task.codes[side], name: str(names.get(task.codes[side], task.codes[side]))}
            values |= {"code": values[code], "name": values[name]}  # the query's, unless only a passage is given
    text = task.files[key]
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    if found := re.search(r"\{(.*?)\}", text):
        known = ", ".join(values)
        msg = (
            f"card {task.name}: [files] {key} = {task.files[key]!r}: {{{found[1]}}} means nothing there; known: {known}"
        )
        raise CardError(msg)
    return text


def has_placeholder(task: Task, key: str, *names: str) -> bool:
    """Whether an entry differs from language to language."""
    return any(f"{{{name}}}" in task.files[key] for name in names)


def origin(task: Task, text: str) -> Origin:
    """Parse an entry. Raises `CardError` for one that has none of the forms above."""
    if text.startswith(("https://", "http://")):
        url, _, member = text.partition("#")
        return Origin(text, "web", url, path=member)
    if text.startswith("hf://"):
        if found := hub_file(text):
            return found
        msg = (
            f"card {task.name}: [files]: {text!r} must be hf://datasets/OWNER/NAME@REVISION/PATH or "
            "hf://datasets/OWNER/NAME@REVISION#CONFIG:SPLIT"
        )
        raise CardError(msg)
    part = _part(task, text)
    if "hub" in task.source:
        return Origin(text, "hub", task.source["hub"], task.source.get("revision", "main"), **part)
    if "path" in task.source:
        return Origin(text, "folder", **part)
    msg = f"card {task.name}: [files]: {text!r} is not a URL, and the card's [source] names no repository or folder"
    raise CardError(msg)


def hub_file(text: str) -> Origin | None:
    """Parse the address of a file of the hub, hf://datasets/OWNER/NAME@REVISION/PATH; None for anything else."""
    found = _HUB.fullmatch(text)
    return Origin(text, "hub", **{name: value or "" for name, value in found.groupdict().items()}) if found else None


def _part(task: Task, text: str) -> dict[str, str]:
    if not text.startswith("#"):
        return {"path": text}
    if found := _CONFIG.fullmatch(text):
        return found.groupdict()
    msg = f"card {task.name}: [files]: {text!r} must be #CONFIG:SPLIT"
    raise CardError(msg)
