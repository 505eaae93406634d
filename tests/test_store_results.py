"""Result folders are whole or absent, and a changed byte is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import make_manifest

from clear_bench import disk
from clear_bench.errors import EnvironmentFault, InputError, TamperedError, UsageError
from clear_bench.store.results import SCORES, manifest_digest, read_result, read_results, save_result

PAIR = "eng-Latn:eng-Latn"


def manifest() -> dict[str, Any]:
    made = make_manifest("m", "t", [PAIR])
    return made | {"task": made["task"] | {"metrics": ["nDCG@10"]}}


def write(folder: Path, value: float = 0.5) -> dict[str, Any]:
    columns = {"query_language": ["eng-Latn"], "passage_language": ["eng-Latn"], "query_id": ["q"], "cluster_id": ["c"]}
    pq.write_table(pa.table(columns | {"nDCG@10": [value]}), folder / SCORES)
    return manifest()


def test_saved_result_reads_back(tmp_path: Path) -> None:
    result = read_result(save_result(tmp_path / "m" / "t", write))
    assert (result.model, result.task, result.scores.metrics) == ("m", "t", ("nDCG@10",))
    assert result.scores.table["nDCG@10"].to_pylist() == [0.5]
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["t"]


def test_model_folder_gives_every_task(tmp_path: Path) -> None:
    for task in ("b", "a"):
        save_result(tmp_path / "m" / task, write)
    assert [result.path.name for result in read_results(tmp_path / "m")] == ["a", "b"]


def test_other_result_in_the_way_is_refused_without_force(tmp_path: Path) -> None:
    folder = save_result(tmp_path / "m" / "t", write)
    with pytest.raises(UsageError, match="--force"):
        save_result(folder, write)
    save_result(folder, lambda path: write(path, 0.25), force=True)
    assert read_result(folder).scores.table["nDCG@10"].to_pylist() == [0.25]
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["t"]


def test_failure_while_writing_leaves_nothing_and_keeps_the_old_result(tmp_path: Path) -> None:
    folder = save_result(tmp_path / "m" / "t", write)

    def fail(path: Path) -> dict[str, Any]:
        write(path)
        raise InputError("no")

    with pytest.raises(InputError):
        save_result(folder, fail, force=True)
    assert read_result(folder).scores.table["nDCG@10"].to_pylist() == [0.5]
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["t"]


def test_edited_scores_are_refused(tmp_path: Path) -> None:
    folder = save_result(tmp_path / "m" / "t", write)
    write(folder, 0.9)
    with pytest.raises(TamperedError, match=r"scores\.parquet was changed"):
        read_result(folder)


def test_edited_manifest_is_refused(tmp_path: Path) -> None:
    folder = save_result(tmp_path / "m" / "t", write)
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"name": "m"', '"name": "better"'))
    with pytest.raises(TamperedError, match="was edited"):
        read_result(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_number_are_refused_even_when_sealed(tmp_path: Path, value: float) -> None:
    folder = save_result(tmp_path / "m" / "t", lambda path: write(path, value))
    with pytest.raises(TamperedError, match="no finite number"):
        read_result(folder)


def test_other_schema_version_is_named(tmp_path: Path) -> None:
    folder = save_result(tmp_path / "m" / "t", write)
    path = folder / "manifest.json"
    content = json.loads(path.read_text()) | {"schema": "clear-bench/result/9"}
    path.write_text(json.dumps(content | {"manifest_digest": manifest_digest(content)}))
    with pytest.raises(InputError, match="clear-bench/result/9"):
        read_result(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null"])
def test_file_that_is_no_manifest_is_refused(tmp_path: Path, content: str) -> None:
    folder = save_result(tmp_path / "m" / "t", write)
    (folder / "manifest.json").write_text(content)
    with pytest.raises(InputError):
        read_result(folder)


def test_missing_run_is_accepted_and_a_missing_score_file_is_not(tmp_path: Path) -> None:
    def with_run(path: Path) -> dict[str, Any]:
        (path / "run.parquet").write_bytes(b"run")
        return write(path)

    folder = save_result(tmp_path / "m" / "t", with_run)
    (folder / "run.parquet").unlink()
    read_result(folder)
    (folder / SCORES).unlink()
    with pytest.raises(TamperedError, match="is missing"):
        read_result(folder)


def test_empty_folder_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished result"):
        read_results(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_results(tmp_path / "absent")


def test_full_disk_is_an_environment_fault_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file.txt"
    disk.write_text(target, "old")

    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "sync", full)
    with pytest.raises(EnvironmentFault, match="disk is full"):
        disk.write_text(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["file.txt"]
