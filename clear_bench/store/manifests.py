"""The manifest of a result: read by one rule, whoever wrote it, and checked against its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from clear_bench.disk import is_plain_name
from clear_bench.documents import digest_of, read_json
from clear_bench.errors import InputError, TamperedError
from clear_bench.json_schema import violation

SCHEMA = "clear-bench/result/1"
SCORES, RUN, MTEB, MANIFEST = "scores.parquet", "run.parquet", "mteb.json", "manifest.json"

Manifest = dict[str, Any]  # Any: JSON


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Hash a manifest without its own digest, in canonical JSON."""
    content = {key: value for key, value in manifest.items() if key != "manifest_digest"}
    return digest_of(content)


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest; raises `InputError` where there is none and `TamperedError` where it was edited."""
    path = folder / MANIFEST
    if not path.is_file():
        msg = f"{folder}: no {MANIFEST}; give a result folder OUT/<model>/<task> or OUT/<model>"
        raise InputError(msg)
    refuse_link(path)
    manifest = read_json(path, TamperedError)
    if manifest.get("schema") != SCHEMA:
        msg = f"{path}: schema {manifest.get('schema')!r}, but this version reads {SCHEMA!r}; run the evaluation again"
        raise InputError(msg)
    if manifest.get("manifest_digest") != manifest_digest(manifest):
        raise TamperedError(f"{path} was edited after the run: its digest does not match; run the evaluation again")
    if problem := _problem(manifest):
        raise TamperedError(f"{path} is not the manifest of a result: {problem}; run the evaluation again")
    return manifest


def refuse_link(path: Path) -> None:
    """Keep a folder of somebody else's from having files of ours read and copied."""
    if path.is_symlink():
        msg = f"{path} is a link, but the files of a result lie in its folder; copy what it points to there"
        raise TamperedError(msg)


@cache
def _schema() -> dict[str, Any]:  # Any: JSON Schema
    schema: dict[str, Any] = json.loads(files("clear_bench").joinpath("schemas/result.json").read_text("utf-8"))
    return schema


def _problem(manifest: Manifest) -> str | None:
    """Say why a manifest cannot be one of ours, whoever sealed it; names that go into paths are checked here."""
    if found := violation(manifest, _schema(), "the manifest"):
        return found
    task, pairs = manifest["task"], manifest["pairs"]
    for name in (task["name"], *(side for pair in pairs for side in pair.split(":"))):
        if not is_plain_name(name):
            return f"the name {name!r} cannot be a part of a file's name"
    if task["main_metric"] not in task["metrics"]:
        return f"its main metric {task['main_metric']!r} is not among its metrics {', '.join(task['metrics'])}"
    if sorted(manifest["counts"]["queries"]) != sorted(pairs):
        return "it counts the queries of other pairs than it lists"
    return None
