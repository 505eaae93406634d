"""`clear-bench verify` finds what was changed, `clear-bench export` writes what was found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_task import write_task, write_vectors

from clear_bench.cli import invoke
from clear_bench.store.results import RUN, SCORES, read_manifest, seal

CARD = ("--task", "task/card.toml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """The finished result of a toy task, with metrics that the stored depth allows and one that it does not."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "task")
    write_vectors(tmp_path / "vectors")
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", "task/card.toml", "--out", "out"]
    assert invoke([*line, "--metrics", "nDCG@3,recall@1,MRR@5", "--run-depth", "3"]) == 0
    capsys.readouterr()
    return next(Path("out").glob("*/toy"))


def change(folder: Path, name: str, edit: Callable[[pa.Table], pa.Table]) -> None:
    """Edit a file and seal the folder anew, as somebody would who knows how."""
    pq.write_table(edit(pq.ParquetFile(folder / name).read()), folder / name)
    seal(folder, read_manifest(folder))


def first_cell(column: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    def edit(table: pa.Table) -> pa.Table:
        values = [value, *table[column].to_pylist()[1:]]
        return table.set_column(table.column_names.index(column), column, pa.array(values, table[column].type))

    return edit


def test_untouched_result_is_recomputed_as_far_as_its_depth_goes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["verify", str(folder), *CARD, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["results"][0]["recomputed"] == ["nDCG@3", "recall@1"]
    assert document["results"][0]["not_recomputed"] == {"MRR@5": "it looks at 5 ranks, 3 are stored"}
    assert invoke(["schema", "verify"]) == 0
    jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out)).validate(document)


def test_model_folder_verifies_every_task(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["verify", str(folder.parent), *CARD]) == 0
    out = capsys.readouterr().out
    assert "recomputed and equal: nDCG@3, recall@1" in out
    assert "not recomputed: MRR@5" in out


def test_changed_byte_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / RUN
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert invoke(["verify", str(folder), *CARD]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "run.parquet was changed after the run" in captured.err


def test_score_that_the_run_does_not_give_is_found_under_a_new_seal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, SCORES, first_cell("nDCG@3", 0.123))
    assert invoke(["verify", str(folder), *CARD]) == 3
    error = capsys.readouterr().err
    assert "nDCG@3 of eng-Latn:eng-Latn, query q0, is stored as 0.123" in error


def test_hits_that_do_not_give_the_scores_are_found_under_a_new_seal(folder: Path) -> None:
    change(folder, RUN, first_cell("passage_id", "p7"))
    assert invoke(["verify", str(folder), *CARD]) == 3


def test_other_collection_on_this_machine_is_not_comparable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qrels = Path("task/qrels.tsv")
    qrels.write_text(qrels.read_text().replace("q0\tp0", "q0\tp1"))
    assert invoke(["verify", str(folder), *CARD]) == 3
    assert "differs from the one that was evaluated" in capsys.readouterr().err


def test_own_card_is_found_from_any_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = folder.absolute()
    monkeypatch.chdir("/")
    assert invoke(["verify", str(result)]) == 0
    assert "recomputed and equal: nDCG@3, recall@1" in capsys.readouterr().out


def test_own_card_that_is_gone_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("task").rename("moved")
    assert invoke(["verify", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "task/card.toml" in error
    assert "--task" in error
    assert invoke(["verify", str(folder), "--task", "moved/card.toml"]) == 0


def test_card_that_was_replaced_by_one_of_another_task_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_task(Path("task"), name="other")
    assert invoke(["verify", str(folder)]) == 2
    assert "task/card.toml is not the card of 'toy'" in capsys.readouterr().err


def test_every_task_of_a_folder_is_verified_after_one_that_fails(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_task(Path("zebra"), name="zebra")
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", "zebra/card.toml", "--out", "out"]
    assert invoke(line) == 0
    assert invoke(["verify", str(folder.parent), *CARD, "--task", "zebra/card.toml"]) == 0
    (folder / RUN).write_bytes(b"")
    capsys.readouterr()
    assert invoke(["verify", str(folder.parent)]) == 3
    captured = capsys.readouterr()
    assert "toy/run.parquet was changed" in captured.err
    assert "zebra: files match the manifest; recomputed and equal: nDCG@10" in captured.out


def test_card_of_another_task_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["verify", str(folder), "--task", "mini"]) == 3
    assert "mini" in capsys.readouterr().err


def test_missing_result_says_what_to_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["verify", str(tmp_path / "nowhere")]) == 3
    assert "OUT/<model>" in capsys.readouterr().err


def test_export_writes_one_trec_file_per_pair(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["export", str(folder), "--trec", "--out", "runs"]) == 0
    paths = capsys.readouterr().out.split()
    assert len(paths) == 9
    assert sorted(map(Path, paths)) == sorted(Path("runs").iterdir())
    lines = [line.split() for line in Path(paths[0]).read_text().splitlines()]
    assert len(lines) == 8 * 3
    assert {line[1] for line in lines} == {"Q0"}
    assert {line[5] for line in lines} == {folder.parent.name}
    assert [int(line[3]) for line in lines[:3]] == [1, 2, 3]
    similarities = [float(line[4]) for line in lines[:3]]
    assert similarities == sorted(similarities, reverse=True)


def test_export_without_a_format_is_usage_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["export", str(folder)]) == 2
    assert "--trec" in capsys.readouterr().err


def test_export_of_a_board_without_its_run_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / RUN).unlink()
    assert invoke(["export", str(folder), "--trec", "--out", "runs"]) == 3
    assert "run the evaluation again" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_board_says_that_only_digests_were_checked_and_recomputes_on_request(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["leaderboard", "out", "--out", "boards"]
    assert invoke(line) == 0
    assert "1 results: digests checked" in capsys.readouterr().err
    assert invoke([*line, "--recompute"]) == 0
    assert "recomputed and equal: nDCG@3, recall@1" in capsys.readouterr().err
    change(folder, SCORES, first_cell("nDCG@3", 0.123))
    assert invoke(line) == 0
    assert invoke([*line, "--recompute"]) == 3
    assert "is stored as 0.123" in capsys.readouterr().err
    (folder / RUN).unlink()
    assert invoke([*line, "--recompute"]) == 0
    assert "digests checked, nothing recomputed: " in capsys.readouterr().err
