"""Training data is read with the care of evaluation data: what cannot be a text is refused where it stands."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_training import make_collection, write_lines

from clear_bench.errors import DataError, EnvironmentFault, UsageError
from clear_bench.losses import LOSSES
from clear_bench.readers.cells import column_names, read_cells
from clear_bench.readers.origins import hub_file
from clear_bench.train.batches import checksum, plan_batches
from clear_bench.train.files import place_texts, read_translations
from clear_bench.train.guard import guard
from clear_bench.train.parts import DataPart
from clear_bench.train.rows import POSITIVE, TWICE, Rows
from clear_bench.train.sources import read_rows

CLEAR, ENGLISH_ONLY = LOSSES["clear"][0].roles, LOSSES["infonce_q"][0].roles
ROW = {"anchor": "q", "positive": "p", "negative_1": "n"}


def read_collection(folder: Path, **settings: Any) -> Rows:
    return read_rows(DataPart(collection=str(folder), **{"negatives": 1, **settings}), CLEAR)


def read_files(*paths: Path, **settings: Any) -> Rows:
    return read_rows(DataPart(files=tuple(map(str, paths)), **{"negatives": 1, **settings}), ENGLISH_ONLY)


def spoil(path: Path, line: int, new: bytes) -> None:
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    lines[line - 1] = new
    path.write_bytes(gzip.compress(b"\n".join(lines)))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (b'{"_id": "p2", "text": null}', "'text' is missing"),
        (b'{"_id": "p2", "text": 5}', "'text' is 5"),
        (b'{"_id": "p2"}', "'text' is missing"),
        (b'{"_id": "p2", "text": "  "}', "'text' is blank"),
        (b'{"_id": "p2", "text": true}', "'text' is True"),
        (b'{"text": "words"}', "'_id' is missing"),
        (b'{"_id": null, "text": "words"}', "'_id' is missing"),
        (b'{"_id": 1.5, "text": "words"}', "'_id' is 1.5"),
        (b'{"_id": "p1", "text": "other words"}', "'p1' was on line 2 with another text"),
        (b'{"_id": "p2", "text": "quay \xff"}', "not UTF-8"),
        (b'{"_id": "p2", "text": "half', "not valid JSON"),
        (b'["p2", "words"]', "not a JSON object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("file", ["queries/en", "corpus/en", "queries/de"])
def test_a_line_of_a_collection_that_is_no_text_is_refused_with_file_and_line(
    wrong: bytes, why: str, file: str, tmp_path: Path
) -> None:
    path = make_collection(tmp_path) / f"{file}.jsonl.gz"
    spoil(path, 3, wrong)
    with pytest.raises(DataError, match=why) as caught:
        read_collection(tmp_path)
    assert f"{path}, line 3" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"_id": "p1"}, "'neg' is missing"),
        ({"_id": "p1", "neg": "p2"}, "'neg' is 'p2', but must be a list"),
        ({"_id": "p1", "neg": ["p2", None]}, "'neg' is missing"),
        ({"_id": "p1", "neg": [["p2"]]}, "must be a text"),
        ({"neg": ["p2"]}, "'_id' is missing"),
        ({"_id": "elsewhere", "neg": ["p2"]}, "the query 'elsewhere' is not in the training data"),
        ({"_id": "p1", "neg": ["p2", "elsewhere"]}, "the passage 'elsewhere' is not in the training data"),
        ({"_id": "p0", "neg": ["p9"]}, "'p0' was on an earlier line with other negatives"),
    ],
)
def test_a_line_of_negatives_that_cannot_be_meant_is_refused(wrong: dict[str, Any], why: str, tmp_path: Path) -> None:
    path = make_collection(tmp_path) / "negatives.jsonl.gz"
    spoil(path, 2, json.dumps(wrong).encode())
    with pytest.raises(DataError, match=why) as caught:
        read_collection(tmp_path)
    assert f"{path}, line 2" in str(caught.value)


def test_ids_that_are_numbers_are_the_ids_that_they_spell(tmp_path: Path) -> None:
    for side, code in (("queries", "en"), ("corpus", "en"), ("queries", "de")):
        rows = [{"_id": i if side == "queries" else str(i), "text": f"{side} {code} {i}"} for i in range(3)]
        write_lines(tmp_path / side / f"{code}.jsonl.gz", rows)
    write_lines(tmp_path / "negatives.jsonl.gz", [{"_id": i, "neg": [(i + 1) % 3]} for i in range(3)])
    assert read_collection(tmp_path).columns["negative_1"] == ["corpus en 1", "corpus en 2", "corpus en 0"]


def test_a_byte_order_mark_is_no_part_of_a_collection(tmp_path: Path) -> None:
    folder = make_collection(tmp_path)
    before = read_collection(folder).digest
    for path in folder.rglob("*.jsonl.gz"):
        path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + gzip.decompress(path.read_bytes())))
    assert read_collection(folder).digest == before


def test_a_language_that_the_collection_lacks_is_named(tmp_path: Path) -> None:
    folder = make_collection(tmp_path)
    with pytest.raises(DataError, match=r"data.bridge is 'sw', but .*corpus has only de, en, fr"):
        read_collection(folder, bridge="sw")
    with pytest.raises(DataError, match="no language sw; it has de, en, fr"):
        read_collection(folder, languages=("de", "sw"))
    write_lines(folder / "queries/en.jsonl.gz", [{"_id": "p0", "text": "a", "split": "train"}])
    with pytest.raises(DataError, match="no query has split = 'trian'"):
        read_collection(folder, split="trian", negatives=0)
    (folder / "corpus/en.jsonl.gz").unlink()
    with pytest.raises(DataError, match="passages in de, fr"):
        read_collection(folder)


def test_one_language_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = make_collection(tmp_path)
    (folder / "queries/de.jsonl").write_text('{"_id": "p0", "text": "other"}\n')
    with pytest.raises(DataError, match=r"de.jsonl.gz beside it are of one language"):
        read_collection(folder)


def test_a_backup_beside_a_file_is_not_read(tmp_path: Path) -> None:
    folder = make_collection(tmp_path)
    (folder / "queries/de.jsonl.bak").write_text("anything")
    assert set(read_collection(folder).languages) == {"de", "fr"}


def test_a_negative_that_is_the_positive_or_comes_twice_is_counted_and_left_out(tmp_path: Path) -> None:
    texts = {"a": "A", "b": "B", "c": "C", "a2": "A", "c2": "C"}
    for side, code in (("queries", "en"), ("corpus", "en"), ("queries", "de")):
        rows = [{"_id": i, "text": text if side == "corpus" else f"{code} {i}"} for i, text in texts.items()]
        write_lines(tmp_path / side / f"{code}.jsonl.gz", rows)
    negatives = [{"_id": "a", "neg": ["a", "a2", "c", "c", "c2", "b"]}, {"_id": "b", "neg": ["c", "a"]}]
    write_lines(tmp_path / "negatives.jsonl.gz", negatives)
    rows = read_collection(tmp_path, negatives=2)
    # a: itself and its text under another id are positives; c again by id and by text; b: nothing is left out.
    assert rows.left_out == {POSITIVE: 2, TWICE: 2}
    assert (rows.columns["negative_1"], rows.columns["negative_2"]) == (["C", "C"], ["B", "A"])
    assert rows.drops == {"too few translated negatives": 3}


def test_rows_of_a_file_that_are_short_of_negatives_are_dropped_and_the_negatives_counted(tmp_path: Path) -> None:
    rows = [
        {"anchor": "q0", "positive": "a", "negative_1": "b", "negative_2": "c"},
        {"anchor": "q1", "positive": "b", "negative_1": "b", "negative_2": "c"},
        {"anchor": "q2", "positive": "c", "negative_1": "a", "negative_2": "a"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_files(path, negatives=2)
    assert found.columns["anchor"] == ["q0"]
    assert (found.left_out, found.drops) == ({POSITIVE: 1, TWICE: 1}, {"too few negatives": 2})
    # One passage in two wordings has one id.
    named = [row | {f"{name}_id": f"{row[name]} of {i}" for name in list(row)[1:]} for i, row in enumerate(rows[:1])]
    named[0]["negative_2_id"] = named[0]["positive_id"]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*named, named[0] | {"anchor": "q3"}]))
    with pytest.raises(DataError, match="'too few negatives': 2"):
        read_files(path, negatives=2)


WORDS = ["NA", "1901", "true", "007", "2024-01-05", "null", "1e5", "-", "NaN", "None"]


def as_csv(cells: list[list[str]], separator: str) -> str:
    return "".join(separator.join(row) + "\n" for row in cells)


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "csv", "csv.gz", "tsv", "parquet"])
def test_texts_stay_texts_however_they_look_and_wherever_they_lie(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "run [1] *?"
    folder.mkdir()
    path = folder / f"rows.{ending}"
    rows = [{"anchor": word, "positive": f"p{word}", "negative_1": f"n{word}"} for word in WORDS]
    if ending == "parquet":
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in ROW}), path)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        if ending == "json":
            text = json.dumps(rows, indent=1)
        if "sv" in ending:
            text = as_csv([list(ROW), *([row[name] for name in ROW] for row in rows)], "," if "c" in ending else "\t")
        content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
        path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    assert read_files(path).columns["anchor"] == WORDS


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"anchor": "q", "positive": "p", "negative_1": null}', "line 2: 'negative_1' is missing"),
        ('{"anchor": "q", "positive": 5, "negative_1": "n"}', "line 2: 'positive' is 5"),
        ('{"anchor": "q", "negative_1": "n"}', "line 2: 'positive' is missing"),
        ('{"anchor": " ", "positive": "p", "negative_1": "n"}', "line 2: 'anchor' is blank"),
        ('{"anchor": ["q"], "positive": "p", "negative_1": "n"}', "line 2: 'anchor' is "),
        ('{"anchor": "q", "positive": "p", "negative_1": "n"', "line 2: not valid JSON"),
        ('"q"', "line 2: .* is not a JSON object"),
    ],
)
def test_a_row_of_a_file_that_lacks_a_text_is_refused_with_its_line(content: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n{content}\n")
    with pytest.raises(DataError, match=why):
        read_files(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"anchor,positive,negative_1\nq,p,n\nq,p\n", "line 3: 2 cells, but the header has 3"),
        (b"anchor,positive,negative_1\nq,p,n,x\n", "line 2: 4 cells"),
        (b"anchor,positive,negative_1\nq,,n\n", "line 2: 'positive' is blank"),
        (b'anchor,positive,negative_1\n"q\nq",p,n\nr,,n\n', "line 4: 'positive' is blank"),
        (b"anchor,positive,negative_1\nq,p \xff,n\n", "line 2: not UTF-8"),
        (b'anchor,positive,negative_1\n"q,p,n\n', "line 2: not comma-separated"),
        (b"anchor,positive,positive,negative_1\nq,p,p,n\n", "'positive' more than once"),
        (b"anchor,positive,negative_1\n", "the file has no rows"),
        (b"", "the file has no rows"),
    ],
)
def test_a_line_of_a_csv_file_that_cannot_be_a_row_is_refused(text: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text)
    with pytest.raises(DataError, match=why):
        read_files(path)


def test_a_quoted_cell_goes_over_lines_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('anchor,positive,negative_1\n\n"a, ""b""\n\nc",p,n\n' + f"{'long ' * 40_000},p,n\n")
    anchors = read_files(path).columns["anchor"]
    assert anchors[0] == 'a, "b"\n\nc'
    assert len(anchors[1]) == 200_000


def test_parquet_cells_must_be_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"anchor": [1901, 1902], "positive": ["p", "r"], "negative_1": ["n", "o"]}), path)
    with pytest.raises(DataError, match="row 1: 'anchor' is 1901"):
        read_files(path)
    wrong = pa.array([b"q", b"q \xff"]).view(pa.string())
    pq.write_table(pa.table({"anchor": wrong, "positive": ["p", "r"], "negative_1": ["n", "o"]}), path)
    with pytest.raises(DataError, match="row 2: not UTF-8"):
        read_files(path)
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="not a Parquet file, or a damaged one"):
        read_files(path)


def test_every_file_is_read_by_its_own_ending_and_must_have_the_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "b.csv").write_text("negative_1,positive,anchor\nm,r,s\n")
    assert read_files(tmp_path / "a.jsonl", tmp_path / "b.csv").columns["anchor"] == ["q", "s"]
    (tmp_path / "b.csv").write_text("positive,anchor\nr,s\n")
    with pytest.raises(DataError, match=r"b.csv: has no column 'negative_1'; it has 'positive', 'anchor'"):
        read_files(tmp_path / "a.jsonl", tmp_path / "b.csv")
    (tmp_path / "c.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"read from .jsonl, .csv and .tsv"):
        read_files(tmp_path / "c.xlsx")


@pytest.mark.parametrize("column", ["language", "positive_id"])
def test_a_language_or_an_id_that_is_missing_is_not_the_word_none(column: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW | {column: "x"}) + "\n" + json.dumps(ROW | {column: None}) + "\n")
    with pytest.raises(DataError, match=f"line 2: '{column}' is missing"):
        read_files(path)


def test_translations_are_read_with_the_same_care(tmp_path: Path) -> None:
    path = tmp_path / "translations.jsonl"
    row = {"language": "de", "query": "q", "translation": "x"}
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"translation": "y"}) + "\n")
    with pytest.raises(DataError, match="line 2: the query 'q' was on an earlier line with another translation to de"):
        read_translations(path)
    path.write_text(json.dumps(row | {"query": 5}) + "\n")
    with pytest.raises(DataError, match="line 1: 'query' is 5"):
        read_translations(path)
    folder = make_collection(tmp_path / "c")
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match=r"translations_file lists de, but .* has them"):
        read_collection(folder, translations_file=str(path))


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
def test_how_negatives_were_made_must_be_readable(content: str, tmp_path: Path) -> None:
    folder = make_collection(tmp_path)
    (folder / "negatives.provenance.json").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=r"negatives.provenance.json: "):
        read_collection(folder)


@pytest.mark.parametrize("key", ["negatives_file", "translations_file"])
def test_a_file_that_the_recipe_names_must_be_there(key: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"data.{key}: there is no file missing.jsonl"):
        read_collection(make_collection(tmp_path), **{key: "missing.jsonl"})


def test_the_leakage_guard_does_not_pass_over_texts_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.jsonl"
    path.write_text('{"_id": "e", "contents": "about apple"}\n')
    rows = read_collection(make_collection(tmp_path / "c"))
    with pytest.raises(DataError, match="line 1: 'text' is missing"):
        guard(rows, DataPart(not_in=(str(path),)))


def test_the_leakage_guard_knows_tasks_by_name() -> None:
    found = dict(place_texts("mini", ("corpus",), "data.not_in"))
    # 36 passages in six languages.
    assert len(found) == 216
    assert found["mini, eng-Latn: io"].startswith("Io ")
    with pytest.raises(UsageError, match=r"data.not_in: minni is neither a file, nor a folder"):
        list(place_texts("minni", ("corpus",), "data.not_in"))


def read_hub(folder: Path, **settings: Any) -> Rows:
    return read_rows(DataPart(hub=str(folder), negatives=1, **settings), ENGLISH_ONLY)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "parquet"])
def test_texts_of_a_hub_data_set_stay_texts(ending: str, tmp_path: Path) -> None:
    rows = [[word, f"p{word}", f"n{word}"] for word in WORDS]
    for half, part in (("train-0", rows[:5]), ("train-1", rows[5:])):
        path = tmp_path / f"{half}.{ending}"
        if ending == "parquet":
            pq.write_table(pa.table(dict(zip(ROW, map(list, zip(*part, strict=True)), strict=True))), path)
        elif ending == "jsonl":
            path.write_text("".join(json.dumps(dict(zip(ROW, row, strict=True))) + "\n" for row in part))
        else:
            path.write_text(as_csv([list(ROW), *part], "," if ending == "csv" else "\t"))
    assert read_hub(tmp_path).columns["anchor"] == WORDS


def test_a_line_of_a_hub_data_set_is_refused_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("anchor,positive,negative_1\nq,p,n\nr,,t\n")
    with pytest.raises(DataError, match=r"train.csv, line 3: 'positive' is blank"):
        read_hub(tmp_path)
    with pytest.raises(UsageError, match="nowhere"):
        read_hub(tmp_path, hub_split="nowhere")
    with pytest.raises(EnvironmentFault, match=r"data.hub 'nobody/nothing' cannot be had"):
        read_hub(Path("nobody/nothing"))


def test_a_hub_data_set_that_only_the_library_reads_is_refused_where_it_turned_texts_into_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from datasets import Dataset

    monkeypatch.setattr("clear_bench.train.hub.plain_files", lambda _: [])
    for anchors in (["q", "r"], [1901, 1902], [datetime.date(2024, 1, 5)] * 2, [None, "r"]):
        table = Dataset.from_dict({"anchor": anchors, "positive": ["p", "s"], "negative_1": ["n", "t"]})
        monkeypatch.setattr("clear_bench.train.hub.load", lambda _, table=table: table)
        if anchors == ["q", "r"]:
            assert read_hub(Path("owner/name")).columns["anchor"] == ["q", "r"]
        else:
            with pytest.raises(DataError, match=r"owner/name, row 1: 'anchor' is "):
                read_hub(Path("owner/name"))


def test_a_folder_in_place_of_a_hub_data_set_holds_plain_tables(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: train.csv\n  sep: ';'\n---\n")
    (tmp_path / "train.csv").write_text("anchor;positive;negative_1\nq;p;n\n")
    with pytest.raises(UsageError, match="is a folder without a split 'train' of plain"):
        read_hub(tmp_path)


def test_files_of_the_hub_are_fetched_at_their_commit_by_the_reader_of_evaluation_data() -> None:
    found = hub_file("hf://datasets/owner/name@0123abc/data/train [1].jsonl.gz")
    assert found is not None
    assert (found.place, found.revision, found.path) == ("owner/name", "0123abc", "data/train [1].jsonl.gz")
    assert hub_file("/tmp/train.jsonl") is None


def test_columns_of_json_lines_are_the_keys_of_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": "1"}\n\n{"b": "2"}\n')
    assert column_names(path) == ["a", "b"]
    cells = read_cells(path, ["b"])
    assert cells.columns["b"] == [None, "2"]
    with pytest.raises(DataError, match="line 1: 'b' is missing"):
        cells.texts("b")


def test_the_batches_of_a_valid_collection_are_those_that_they_always_were(tmp_path: Path) -> None:
    # Worked out before the readers of evaluation data read training data, too.
    rows = read_collection(make_collection(tmp_path), negatives=2)
    batches = plan_batches(rows, size=4, count=20, seed=0)
    assert rows.digest == "7704924de4d04631ba371ce6ec57ce8199a9f865a24d230c8087ce1b681616f7"
    assert checksum(rows, batches) == "4d72fa581e66e50fe1ffcd1af0f7020a6f34094db210385feee01f8fd89ef042"


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_the_committed_comparison_of_losses_is_still_of_these_batches(seed: str, shared_data: Path) -> None:
    from clear_bench.train.plan import prepare
    from clear_bench.train.recipe import load_recipe

    root = Path(__file__).resolve().parents[1]
    settings = [f"data.collection={shared_data / 'libreoffice_help'}", f"training.seed={seed}"]
    committed = json.loads((root / "leaderboards/training/main.json").read_text())["batches"][seed]
    assert prepare(load_recipe(root / "recipes/cpu-small.toml", settings)).checksum == committed
