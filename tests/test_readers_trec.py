"""TREC files as other tools write them: read to what pytrec_eval and ir_measures read, or refused by line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from clear_bench.cli import invoke
from clear_bench.errors import DataError
from clear_bench.readers.trec import read_trec_qrels, read_trec_run
from clear_bench.store.results import read_result

RUN = "q1 Q0 a 1 2.5 t\nq1\tQ0\tb  2\t-1e-3 t\n  q2 Q0 c 1 .5 t  \n"
QRELS = "q1 0 a 1\nq1\t0\tb\t-1\n q2 0  c 3 \n"


def put(folder: Path, content: str | bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "change",
    [
        str.encode,
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\n\n \t\n").encode(),
        lambda text: f"# made by hand\n{text}#\n".encode(),
        lambda text: text.removesuffix("\n").encode(),
        lambda text: gzip.compress(text.encode()),
        lambda text: gzip.compress(text[:9].encode()) + gzip.compress(text[9:].encode()),
    ],
    ids=[
        "plain",
        "mark",
        "windows",
        "blank lines",
        "comments",
        "no last newline",
        "gzip without .gz",
        "two gzip members",
    ],
)
def test_files_of_other_tools_hold_what_the_oracle_reads(change: object, tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    assert callable(change)
    assert read_trec_run(put(tmp_path, change(RUN))) == pytrec_eval.parse_run(RUN.splitlines())
    assert read_trec_qrels(put(tmp_path, change(QRELS))) == pytrec_eval.parse_qrel(QRELS.splitlines())


def test_a_tag_may_hold_blanks_and_an_id_other_spaces(tmp_path: Path) -> None:
    # trec_eval reads five columns, split by ASCII's white space, and leaves the rest of the line.
    path = put(tmp_path, "q\u00a01 Q0 東京\u3000駅 1 3 my system, version 2\n")
    assert read_trec_run(path) == {"q\u00a01": {"東京\u3000駅": 3.0}}


def test_an_imported_run_scores_as_in_trec_eval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Ties, ranks that contradict the similarities, negative grades, queries without hits or without judgements."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = np.random.default_rng(7)
    names = np.array([f"d{i}" for i in range(40)])
    qrels = {f"q{i}": {"d0": 1} | {str(d): int(rng.integers(-2, 4)) for d in rng.choice(names, 9)} for i in range(12)}
    run = {f"q{i}": {str(d): float(rng.integers(-2, 3)) for d in rng.permutation(names)[:30]} for i in range(2, 14)}
    lines = [f"{q} Q0 {d} {rng.integers(1, 99)} {s} t" for q, hits in run.items() for d, s in hits.items()]
    judged = [f"{q} 0 {d} {grade}" for q, row in qrels.items() for d, grade in row.items()]
    files = put(tmp_path, "\n".join(lines), "run"), put(tmp_path, "\n".join(judged), "qrels")
    line = (
        f"import trec --model m --task t --run de:en={files[0]} --qrels {files[1]} --metrics nDCG@10,MAP@10,recall@10"
    )
    assert invoke([*line.split(), "--out", str(tmp_path / "out")]) == 0
    table = read_result(Path(capsys.readouterr().out.strip())).scores.table.to_pydict()
    assert table["query_id"] == sorted(qrels)
    oracle = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut_10", "map_cut_10", "recall_10"}).evaluate(run)
    for ours, theirs in (("nDCG@10", "ndcg_cut_10"), ("MAP@10", "map_cut_10"), ("recall@10", "recall_10")):
        expected = [oracle.get(query, {theirs: 0.0})[theirs] for query in sorted(qrels)]
        np.testing.assert_allclose(table[ours], expected, atol=1e-12)
    for words in ("ranks of 12 of 12 queries contradict", "2 of 12 judged queries have no hit", "such as 'q12'"):
        assert words in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q Q0 a 1 2.5\n", "line 1: 5 columns instead of 6"),
        ("# c\n\nq Q0 a 1 high t\n", "line 3: the similarity is 'high', but must be a finite number"),
        ("q Q0 a 1 nan t\n", "'nan'"),
        ("q Q0 a 1 -inf t\n", "'-inf'"),
        ("q Q0 a 1 1e999 t\n", "'1e999'"),
        ("q Q0 a 1 1e39 t\n", "'1e39'"),  # beyond float32, which similarities are stored as
        ("q Q0 a 1 1_0 t\n", "'1_0'"),  # Python reads ten, C reads one
        ("q Q0 a 1 ٣ t\n", "'٣'"),
        ("q Q0 a 1 2 t\nq Q0 a 2 1 t\n", "line 2: query 'q' has the passage 'a' a second time"),
        ("q Q0 a 1 2 t\rq Q0 b 2 1 t\r", "line 1: a carriage return within the line"),
        ("q Q0 a 1 2 t\nq Q0 \0 2 1 t\n", "line 2: holds a NUL byte"),
        (b"q Q0 a 1 2 t\nq Q0 \xe9 2 1 t\n", "line 2: not UTF-8"),
        ("q Q0 a 1 2 t\n".encode("utf-16"), "line 1: the file is UTF-16; save it as UTF-8"),
        ("q Q0 a 1 2 t\n".encode("utf-32"), "line 1: the file is UTF-32"),
        ("q Q0 a 1 2 t\n".encode("utf-16-le"), "line 1: holds a NUL byte"),
        (gzip.compress(b"q Q0 a 1 2 t\n" * 99, mtime=0)[:-9], "damaged or cut off"),
        ("x" * (9 << 20), "line 1: 1 columns instead of 6"),
        ("", "is empty"),
        ("# nothing\n", "is empty"),
    ],
)
def test_a_run_that_would_give_a_wrong_number_is_refused(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read_trec_run(put(tmp_path, content))
    assert message in str(refused.value)
    assert str(tmp_path / "file") in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("grade", ["nan", "inf", "1e30", "2147483648", "-2147483649", "1.5", "0x1", "1_0", "٣", "yes"])
def test_a_grade_that_is_no_whole_number_of_32_bits_is_refused(grade: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"line 2: the grade '{grade}' is not a whole number of 32 bits"):
        read_trec_qrels(put(tmp_path, f"q 0 a 1\nq 0 b {grade}\n"))


def test_grades_to_the_ends_of_32_bits_are_read(tmp_path: Path) -> None:
    content = "q 0 a -2147483648\nq 0 b +2147483647\nq 0 c 1.0\nq 0 c 1\n"
    assert read_trec_qrels(put(tmp_path, content)) == {"q": {"a": -(2**31), "b": 2**31 - 1, "c": 1}}


def test_a_judgement_that_contradicts_an_earlier_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: 'q' and 'a' get 2 here and 1 on an earlier line"):
        read_trec_qrels(put(tmp_path, "q 0 a 1\nq 0 a 2\n"))
