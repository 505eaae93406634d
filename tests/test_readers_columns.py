"""Tables of all kinds give the same columns, and say what is wrong with file, row and column."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from raw_benchmarks import jsonl, parquet, tsv

from clear_bench.errors import DataError
from clear_bench.readers.columns import Layout, read_columns

ROWS = [{"id": str(i), "text": f"text {i}", "number": i * 0.5} for i in range(3)]


def columns(
    path: Path, names: list[str], optional: tuple[str, ...] = (), layout: Layout | None = None
) -> list[list[str]]:
    blocks = list(read_columns(path, names, optional, layout or Layout()))
    return [[value for block in blocks for value in block[i].to_pylist()] for i in range(len(names) + len(optional))]


@pytest.fixture(params=["parquet", "jsonl", "jsonl.gz", "tsv", "tsv.gz"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"table.{request.param}"
    lines = tsv([list(ROWS[0]), *([*row.values()] for row in ROWS)])
    content = {"parquet": parquet(ROWS), "jsonl": jsonl(ROWS), "tsv": lines}[request.param.removesuffix(".gz")]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_every_kind_gives_the_same_columns_in_the_order_asked_for(path: Path) -> None:
    texts, ids, missing = columns(path, ["text", "id"], ("title",))
    assert ids == ["0", "1", "2"]
    assert texts == [f"text {i}" for i in range(3)]
    assert missing == [None] * 3


def test_a_missing_column_is_named_with_those_there_are(path: Path) -> None:
    with pytest.raises(DataError, match=r"has no column 'body'; it has 'id', 'text', 'number'"):
        columns(path, ["id", "body"])


def test_alternative_names_mean_the_first_that_is_there(path: Path) -> None:
    assert columns(path, ["_id|id"]) == [["0", "1", "2"]]
    with pytest.raises(DataError, match="has no column 'docid'"):
        columns(path, ["docid|key"])


def test_a_table_without_a_header_takes_names_from_the_card(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('1\tsaid "so\n2\tx\n')
    assert columns(path, ["id", "text"], layout=Layout(("id", "text"))) == [["1", "2"], ['said "so', "x"]]


def test_quotes_are_taken_off_where_the_card_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text('id\ttext\n1\t"said ""so"""\n')
    assert columns(path, ["text"], layout=Layout(quoted=True)) == [['said "so"']]


def test_blank_lines_are_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\n\n")
    assert columns(path, ["id"]) == [[]]
    path.write_bytes(b'\n{"id": "1"}\n\n{"id": "2"}\n')
    assert columns(path, ["id"]) == [["1", "2"]]


def test_whole_numbers_are_ids_and_fractions_are_not(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet([{"id": 7, "score": 2.0}]))
    assert columns(path, ["id", "score"]) == [["7"], ["2"]]
    path.write_bytes(parquet([{"id": 7, "score": 0.5}]))
    with pytest.raises(DataError, match="the column 'score' holds double, but must hold texts or whole numbers"):
        columns(path, ["score"])
    lines = tmp_path / "t.jsonl"
    lines.write_bytes(jsonl([{"id": 7}, {"id": "8"}]))
    assert columns(lines, ["id"]) == [["7", "8"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", b"PAR1 no", "not a Parquet file"),
        ("t.jsonl", b'{"id": "1"}\n{"id": \n', "line 2: not valid JSON"),
        ("t.jsonl", b'{"id": "1"}\n[]\n', "line 2: .* is not a JSON object"),
        ("t.jsonl", b'{"id": "1"}\n{"id": null}\n', "row 2: 'id' is missing"),
        ("t.jsonl", b'{"id": "1"}\n{"id": [1]}\n', r"line 2: 'id' is \[1\]"),
        ("t.jsonl", b'{"id": "1"}\n{"id": "\xff"}\n', "line 2: not UTF-8"),
        ("t.tsv", b"id\ttext\n1\n", "not a tab-separated file as expected"),
        ("t.tsv", b"id\n1\n\xff\n", "not a tab-separated file as expected"),
        ("t.jsonl.gz", gzip.compress(b'{"id": "1"}\n' * 99, mtime=0)[:-9], "damaged or cut off"),
        ("t.csv", b"id\n1\n", "not the name of a table"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        columns(path, ["id"])
