"""manifest.json of a result folder: read and written by one rule, whoever sealed it, and checked against its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clear_bench.disk import is_plain_name, sha256_file, sync, write_text
from clear_bench.documents import Document, digest_of, read_as, read_json
from clear_bench.errors import InputError, TamperedError
from clear_bench.json_schema import violation
from clear_bench.question import INPUTS
from clear_bench.store.tables import count_queries
from clear_bench.types import Manifest

SCHEMA = "clear-bench/result/1"
SCORES, RUN, MTEB, MANIFEST = "scores.parquet", "run.parquet", "mteb.json", "manifest.json"


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest; raises `InputError` where there is none and `TamperedError` where it was edited."""
    path = folder / MANIFEST
    if not path.is_file():
        msg = f"{folder}: no {MANIFEST}; give a result folder OUT/<model>/<task> or OUT/<model>"
        raise InputError(msg)
    refuse_link(path)
    content = read_json(path, TamperedError)
    if content.get("schema") != SCHEMA:
        msg = f"{path}: schema {content.get('schema')!r}, but this version reads {SCHEMA!r}; run the evaluation again"
        raise InputError(msg)
    if content.get("manifest_digest") != manifest_digest(content):
        raise TamperedError(f"{path} was edited after the run: its digest does not match; run the evaluation again")
    if problem := violation(content, _schema(), "the manifest"):
        raise TamperedError(f"{path} is not the manifest of a result: {problem}; run the evaluation again")
    manifest = read_as(Manifest, content, f"{path} is not the manifest of a result", TamperedError)
    if problem := _problem(manifest):
        raise TamperedError(f"{path} is not the manifest of a result: {problem}; run the evaluation again")
    return manifest


def seal(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json with the rows of every pair, the digests of the files beside it and of itself."""
    beside = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    for path in beside:
        sync(path)
    counts = replace(manifest.counts, queries=count_queries(folder / SCORES))
    digests = {path.name: sha256_file(path) for path in beside}
    content = replace(manifest, schema=SCHEMA, counts=counts, files=digests).to_dict()
    content["manifest_digest"] = manifest_digest(content)
    write_text(folder / MANIFEST, as_text(content))


def as_text(content: Document) -> str:
    """Return the text of manifest.json."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def manifest_digest(content: Mapping[str, Any]) -> str:  # Any: JSON
    """Hash a manifest without its own digest, in canonical JSON."""
    return digest_of({key: value for key, value in content.items() if key != "manifest_digest"})


def refuse_link(path: Path) -> None:
    """Keep a folder of somebody else's from having files of ours read and copied."""
    if path.is_symlink():
        msg = f"{path} is a link, but the files of a result lie in its folder; copy what it points to there"
        raise TamperedError(msg)


@cache
def _schema() -> Document:
    schema: Document = json.loads(files("clear_bench").joinpath("schemas/result.json").read_text("utf-8"))
    return schema


def _problem(manifest: Manifest) -> str | None:
    """Return why a manifest cannot be one of ours, whoever sealed it; names that go into paths are checked here."""
    task = manifest.task
    for name in (task.name, *(side for pair in manifest.pairs for side in pair.split(":"))):
        if not is_plain_name(name):
            return f"the name {name!r} cannot be a part of a file's name"
    if task.main_metric not in task.metrics:
        return f"its main metric {task.main_metric!r} is not among its metrics {', '.join(task.metrics)}"
    if sorted(manifest.counts.queries) != sorted(manifest.pairs):
        return "it counts the queries of other pairs than it lists"
    for name in INPUTS:
        found = manifest.digests.further.get(name, {})
        if not isinstance(found, Mapping) or not all(isinstance(digest, str) for digest in found.values()):
            return f"its digests of {name} are not texts by name"
    return None
