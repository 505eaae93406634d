"""A manifest is one value: read with every key that it has, and written as it was read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_results import as_manifest, make_manifest, save

from clear_bench.errors import TamperedError
from clear_bench.store.manifest import MANIFEST, as_text, manifest_digest, read_manifest, seal
from clear_bench.types import ResultKind

COMMITTED = sorted(Path(__file__).parents[1].glob(f"leaderboards/**/{MANIFEST}"))
PAIR = "eng-Latn:eng-Latn"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_every_committed_manifest_gives_its_bytes_back(path: Path) -> None:
    assert as_text(read_manifest(path.parent).to_dict()) == path.read_text(encoding="utf-8")


def test_committed_manifests_are_found() -> None:
    assert len(COMMITTED) >= 22


def resealed(folder: Path, **changes: Any) -> Path:
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8")) | changes
    content["manifest_digest"] = manifest_digest(content)
    (folder / MANIFEST).write_text(as_text(content), encoding="utf-8")
    return folder


def test_keys_of_another_version_stay_where_they_are(tmp_path: Path) -> None:
    folder = save(tmp_path, codes=("eng-Latn",))
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    model, task = {"layout": [1], **content["model"], "born": "here"}, content["task"] | {"colour": {"of": [None, 1.5]}}
    path = resealed(folder, model=model, task=task, weather="dry", seconds={"encode": 1, "search": 0.5}) / MANIFEST
    before = path.read_text(encoding="utf-8")
    manifest = read_manifest(folder)
    assert as_text(manifest.to_dict()) == before
    seal(folder, manifest)
    assert path.read_text(encoding="utf-8") == before


def test_a_changed_part_is_written_in_its_place(tmp_path: Path) -> None:
    manifest = read_manifest(save(tmp_path, codes=("eng-Latn",)))
    before, changed = manifest.to_dict(), replace(manifest, limit=7, model=replace(manifest.model, truncate_dim=8))
    after = changed.to_dict()
    assert list(after) == list(before)
    assert after["limit"] == 7
    # The made manifest does not say `truncate_dim`; a value that it gets is told, the null that it has not.
    assert "truncate_dim" not in before["model"]
    assert after["model"] == before["model"] | {"truncate_dim": 8}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "guessed"}, "kind is 'guessed', but must be 'measured' or 'trec' or 'imported-means'"),
        ({"counts": {"queries": {PAIR: 60}, "texts": "many"}}, "counts.texts is 'many', but must be a whole number"),
        ({"counts": {"queries": {PAIR: 60}, "uncounted": []}}, "counts.uncounted is"),
        ({"earlier": [{"created": "2026-01-01T00:00:00+00:00"}]}, "earlier has no 'command'"),
        ({"digests": {"queries": {}, "corpora": {}, "qrels": {}, "clusters": {"eng-Latn": 7}}}, "digests of clusters"),
        ({"digests": {"queries": {}, "corpora": {}, "qrels": {}, "pools": "all"}}, "digests of pools"),
    ],
    ids=str,
)
def test_a_part_that_cannot_be_read_is_refused_once_for_all(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(TamperedError, match=words):
        read_manifest(resealed(save(tmp_path, codes=("eng-Latn",)), **changes))


def test_kinds_are_spelled_as_results_have_them() -> None:
    assert [*map(str, ResultKind)] == ["measured", "trec", "imported-means"]
    means = as_manifest(make_manifest("m", "t", [PAIR], kind="imported-means"))
    assert (means.kind, means.has_queries) == (ResultKind.IMPORTED_MEANS, False)
