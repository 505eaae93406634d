"""Result folders are whole or absent, and a changed byte is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_results import as_manifest, make_manifest, make_scores

from clear_bench import disk
from clear_bench.errors import EnvironmentFault, InputError, TamperedError, UsageError
from clear_bench.json_schema import violation
from clear_bench.store.folders import atomic_folder
from clear_bench.store.manifest import manifest_digest
from clear_bench.store.results import RUN, SCORES, read_result, read_results, recover_result, save_result
from clear_bench.store.trec import read_run
from clear_bench.types import Manifest

PAIR = "eng-Latn:eng-Latn"


def manifest() -> Manifest:
    made = make_manifest("m", "t", [PAIR])
    return as_manifest(made | {"task": made["task"] | {"metrics": ["nDCG@10"]}})


def write(folder: Path, value: float = 0.5) -> Manifest:
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

    def fail(path: Path) -> Manifest:
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
    with pytest.raises(TamperedError, match="not finite numbers"):
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
    def with_run(path: Path) -> Manifest:
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


# --- a result that somebody else sealed: digests are no signature

DE = "deu-Latn:eng-Latn"
Change = Callable[[dict[str, Any]], object]


def saved(folder: Path) -> Path:
    """Save two pairs of six queries each, with a run."""

    def both(path: Path) -> Manifest:
        scores = make_scores([PAIR, DE], 6)
        pq.write_table(scores, path / SCORES)
        hits = scores.select(["query_language", "passage_language", "query_id"])
        hits = hits.append_column("rank", pa.array([1] * len(hits)))
        hits = hits.append_column("passage_id", pa.array(["p"] * len(hits)))
        pq.write_table(hits.append_column("similarity", pa.array([0.5] * len(hits))), path / RUN)
        return as_manifest(make_manifest("m", "t", [PAIR, DE]))

    return save_result(folder / "m" / "t", both)


def reseal(folder: Path, change: Change = lambda manifest: None) -> None:
    """Compute the digests of a changed result anew, as anyone can."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    for name in content.get("files", {}):
        if (folder / name).is_file():
            content["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    content["manifest_digest"] = manifest_digest(content)
    path.write_text(json.dumps(content))


def rename(manifest: dict[str, Any], pair: str) -> None:
    """Give the second pair another name wherever it stands."""
    manifest["pairs"] = [PAIR, pair]
    manifest["counts"]["queries"] = {PAIR: 6, pair: 6}


NAMES = [
    "../../t",
    "/t",
    "a/b",
    "a\\b",
    "..",
    "t\n::error::x",
    "",
    "nul",
    "COM1.txt",
    "t.",
    "t" * 300,
    "t\u202e",
    "\x1b[31m",
]
MANIFESTS: dict[str, Change] = {
    **{f"task {name[:20]!r}": lambda m, name=name: m["task"].update(name=name) for name in NAMES},
    **{f"pair {name[:20]!r}": lambda m, name=name: rename(m, f"{name}:eng-Latn") for name in NAMES},
    **{
        f"without {key}": lambda m, key=key: m.pop(key)
        for key in ("task", "model", "pairs", "files", "counts", "digests")
    },
    "a file that climbs": lambda m: m["files"].update({"../../settings.py": "0" * 64}),
    "a file nobody reads": lambda m: m["files"].update({"x.py": "0" * 64}),
    "no scores": lambda m: m["files"].pop(SCORES),
    "a number for a name": lambda m: m["model"].update(name=7),
    "a list for a task": lambda m: m.update(task=[]),
    "metrics that are one text": lambda m: m["task"].update(metrics="nDCG@10"),
    "another main metric": lambda m: m["task"].update(main_metric="MAP@10"),
    "a metric that does not exist": lambda m: m["task"].update(metrics=["nDCG@10", "recall@10", "best@10"]),
    "no pairs": lambda m: m.update(pairs=[]),
    "a pair twice": lambda m: m.update(pairs=[PAIR, PAIR, DE]),
    "a pair without queries": lambda m: m["counts"]["queries"].update({DE: 0}),
    "other counts": lambda m: m["counts"]["queries"].update({DE: 5}),
    "a truth for a count": lambda m: m["counts"]["queries"].update({DE: True}),
    "null": lambda m: m.update(created=None),
    "a date": lambda m: m.update(created="yesterday"),
    "a share of another machine": lambda m: m["task"].update(card="//server/card.toml"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_sealed_manifest_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    reseal(folder)
    read_result(folder)
    reseal(folder, MANIFESTS[name])
    with pytest.raises(TamperedError):
        read_result(folder)


def column(name: str, values: list[Any], kind: pa.DataType | None = None) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values, kind))


TABLES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "above the metric's range": column("nDCG@10", [1.1] * 12),
    "below it": column("nDCG@10", [-0.1] * 12),
    "per cent": column("nDCG@10", [50.0] * 12),
    "NaN": column("nDCG@10", [float("nan")] * 12),
    "infinite": column("nDCG@10", [float("inf")] * 12),
    "nulls in a metric that counts every query": column("nDCG@10", [0.5] * 11 + [None]),
    "texts": column("nDCG@10", ["0.5"] * 12),
    "truths": column("nDCG@10", [True] * 12),
    "whole numbers": column("nDCG@10", [1] * 12),
    "lists": column("nDCG@10", [[0.5]] * 12),
    "numbers for ids": column("query_id", list(range(12))),
    "a null for an id": column("query_id", [None, *"bcdefghijkl"]),
    "bytes for ids": column("query_id", [b"\xff"] * 12),
    "every row twice": lambda table: pa.concat_tables([table, table]),
    "one row in place of another": lambda table: pa.concat_tables([table.slice(0, 11), table.slice(6, 1)]),
    "a row missing": lambda table: table.slice(1),
    "a pair missing": lambda table: table.slice(6),
    "no row": lambda table: table.slice(0, 0),
    "a pair that is not listed": column("query_language", ["fra-Latn"] * 6 + ["deu-Latn"] * 6),
    "a metric missing": lambda table: table.drop_columns(["recall@10"]),
    "a metric that is not listed": lambda table: table.append_column("MAP@10", table["nDCG@10"]),
    "a column twice": lambda table: table.append_column("nDCG@10", table["nDCG@10"]),
    "other columns": lambda table: pa.table({"a": [1]}),
}


@pytest.mark.parametrize("name", TABLES)
def test_sealed_scores_that_cannot_be_scores_are_refused(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    pq.write_table(TABLES[name](pq.ParquetFile(folder / SCORES).read()), folder / SCORES)
    reseal(folder)
    with pytest.raises(TamperedError, match=r"scores\.parquet"):
        read_result(folder)


HITS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "ranks that repeat": lambda table: pa.concat_tables([table, table]),
    "ranks from 0": column("rank", [0] * 12),
    "a huge rank": column("rank", [2**63 - 1] * 12),
    "no finite similarity": column("similarity", [float("nan")] * 12),
    "similarities that rise with the rank": lambda table: pa.table(
        {name: table[name] for name in ("query_language", "passage_language")}
        | {"query_id": ["q"] * 12, "passage_id": [*"abcdef"] * 2}
        | {"rank": [1, 2, 3, 4, 5, 6] * 2, "similarity": [0.5, 0.25, 0.25, 0.125, 0.0625, 0.126] * 2}
    ),
    "texts for similarities": column("similarity", ["0.5"] * 12),
    "a null for a passage": column("passage_id", [None] * 12, pa.string()),
    "a language that climbs": column("query_language", ["/../../x"] * 12),
    "no ranks": lambda table: table.drop_columns(["rank"]),
}


@pytest.mark.parametrize("name", HITS)
def test_sealed_run_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    assert len(read_run(read_result(folder))) == 12
    pq.write_table(HITS[name](pq.ParquetFile(folder / RUN).read()), folder / RUN)
    reseal(folder)
    with pytest.raises(TamperedError, match=r"run\.parquet"):
        read_run(read_result(folder))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(64) + b"PAR1", b"query_id,nDCG@10\n"])
def test_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = saved(tmp_path)
    (folder / SCORES).write_bytes(content)
    reseal(folder)
    with pytest.raises(TamperedError, match=r"scores\.parquet"):
        read_result(folder)


TEXTS = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\xff\xfe",
    b'{"schema": "x", "schema": "y"}',
    b'{"schema": ' + b"9" * 5000 + b"}",
    b'{"schema": 1e999}',
    b'{"schema": "\\ud800"}',
    b'{"schema": "\\u0000"}',
    b'{"schema": NaN}',
]


@pytest.mark.parametrize("content", TEXTS, ids=lambda content: repr(content[:12]))
def test_manifest_that_is_no_plain_json_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = saved(tmp_path)
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(TamperedError, match=r"manifest\.json"):
        read_result(folder)


@pytest.mark.parametrize("name", ["manifest.json", SCORES, RUN])
def test_files_of_a_result_that_lie_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TamperedError, match="is a link"):
        read_result(folder)


@pytest.mark.parametrize("name", ["nul", "..", "a b", "x" * 200])
def test_task_name_that_cannot_name_a_folder_is_refused_before_work(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a folder"):
        save_result(tmp_path / "m" / name, write)


@pytest.mark.parametrize("name", MANIFESTS)
def test_schema_says_the_same_without_jsonschema(tmp_path: Path, name: str) -> None:
    schema = json.loads(files("clear_bench").joinpath("schemas/result.json").read_text("utf-8"))
    content = json.loads((saved(tmp_path) / "manifest.json").read_text())
    assert violation(content, schema) is None
    with suppress(KeyError):
        MANIFESTS[name](content)
    assert (violation(content, schema) is None) == jsonschema.Draft202012Validator(schema).is_valid(content)


def test_a_folder_that_could_not_be_filled_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "models" / "one"
    for text in ("old", "new"):
        with atomic_folder(target) as folder:
            (folder / "file").write_text(text)
    with suppress(ZeroDivisionError), atomic_folder(target) as folder:
        (folder / "file").write_text("half")
        _ = 1 / 0
    assert [path.name for path in target.parent.iterdir()] == ["one"]
    assert (target / "file").read_text() == "new"


def test_what_a_kill_left_goes_to_its_own_task_and_not_to_one_whose_name_begins_alike(tmp_path: Path) -> None:
    whole = save_result(tmp_path / "m" / "mteb-A.de", lambda path: write(path, 0.25))
    whole.rename(tmp_path / "m" / ".mteb-A.de.k1ll3d_0")  # as an unlocked folder that a killed process had filled
    read = [read_result(save_result(tmp_path / "m" / "mteb-A", write))]
    recover_result(whole)
    read.append(read_result(whole))
    assert [result.scores.table["nDCG@10"].to_pylist() for result in read] == [[0.5], [0.25]]
