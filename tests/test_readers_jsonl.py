"""The `jsonl` reader: what it makes of good files, and which line it names in bad ones."""

from __future__ import annotations

import gzip
import json
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clear_bench import readers
from clear_bench.errors import CardError, DataError, EnvironmentFault, UsageError
from clear_bench.qrels import judge
from clear_bench.readers import lines
from clear_bench.tasks import load_card, select_pairs
from clear_bench.types import Collection, LanguagePair, Qrels

Rows = Sequence[Mapping[str, Any]]

QUERIES: dict[str, Rows] = {
    "en": [{"_id": "q1", "text": "What?"}, {"_id": "q2", "text": "Who?"}, {"_id": "q3", "text": "Why?"}],
    "de": [{"_id": "q1", "text": "Was?"}, {"_id": "q2", "text": "Wer?"}],
    "ar": [{"_id": "q1", "text": "ماذا؟"}, {"_id": "q3", "text": "لماذا؟"}],
}
CORPUS: dict[str, Rows] = {
    "en": [
        {"_id": "p1", "title": "One", "text": "first"},
        {"_id": "p2", "text": "second"},
        {"_id": "q3", "text": "3rd"},
    ],
    "de": [{"_id": "p1", "title": "", "text": " erster "}, {"_id": "p2", "text": "zweiter"}],
    "ar": [{"_id": "p2", "title": None, "text": "الثاني"}],
}
QRELS = [("q1", "p1", "1"), ("q2", "p2", "2"), ("q2", "p1", "1"), ("q3", "q3", "1"), ("q1", "p2", "-1")]
EN_EN, DE_EN, EN_DE, EN_AR = (LanguagePair(q, p) for q, p in [
    ("eng-Latn", "eng-Latn"), ("deu-Latn", "eng-Latn"), ("eng-Latn", "deu-Latn"), ("eng-Latn", "ara-Arab")
])  # fmt: skip


def jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def tsv(rows: Iterable[Sequence[str]]) -> bytes:
    return "".join("\t".join(row) + "\n" for row in [("query-id", "corpus-id", "score"), *rows]).encode()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


class Data:
    """A collection in three languages on disk; tests change a file or a key of the card and read it again."""

    def __init__(self, folder: Path, suffix: str = ".jsonl") -> None:
        self.folder, self.suffix = folder, suffix
        for side, rows in (("queries", QUERIES), ("corpus", CORPUS)):
            for code in rows:
                put(self.path(side, code), jsonl(rows[code]))
        put(folder / "qrels.tsv", tsv(QRELS))

    def path(self, side: str, code: str) -> Path:
        return self.folder / side / f"{code}{self.suffix}"

    def card(
        self, text: str = "", qrels: str = "qrels.tsv", corpus: str = "corpus/{code}.jsonl", pairs: str = "all"
    ) -> Path:
        path = self.folder / "card.toml"
        lines = [
            'name = "demo"', 'reader = "jsonl"', 'languages = ["en", "de", "ar"]', f'pairs = "{pairs}"',
            'metrics = ["nDCG@10"]', 'main_metric = "nDCG@10"', 'licence = "CC0-1.0"', 'source = { path = "." }',
            f'files = {{ corpus = "{corpus}", queries = "queries/{{code}}.jsonl", qrels = "{qrels}" }}',
            'codes = { en = "en", de = "de", ar = "ar" }', text,
        ]  # fmt: skip
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def read(self, text: str = "", patterns: str = "all", **files: str) -> Collection:
        task = load_card(self.card(text, **files))
        return readers.read(task, select_pairs(task, patterns))


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def judgements(qrels: Qrels) -> set[tuple[str, str, int]]:
    return set(zip(qrels.query_ids.to_pylist(), qrels.passage_ids.to_pylist(), qrels.grades.tolist(), strict=True))


def test_texts_have_their_titles_joined_and_their_edges_trimmed(data: Data) -> None:
    corpora = data.read().corpora
    # mteb: (title + " " + text).strip() where there is a title; a query is left as it is.
    assert corpora["eng-Latn"].text.to_pylist() == ["One first", "second", "3rd"]
    assert corpora["deu-Latn"].text.to_pylist() == ["erster", "zweiter"]
    assert data.read('join = ": "').corpora["eng-Latn"].text[0].as_py() == "One: first"


def test_one_file_of_judgements_is_shared_by_all_pairs_and_kept_whole(data: Data) -> None:
    collection = data.read()
    assert len(collection.qrels) == 9
    assert len({id(qrels) for qrels in collection.qrels.values()}) == 1
    assert judgements(collection.qrels[DE_EN]) == {(q, p, int(g)) for q, p, g in QRELS}


def test_a_passage_with_the_id_of_the_query_stays(data: Data) -> None:
    collection = data.read()
    assert "q3" in collection.corpora["eng-Latn"].ids.to_pylist()
    assert judge(collection, EN_EN).query_rows.tolist() == [0, 1, 2]


def test_partial_translations_are_dropped_and_counted(data: Data) -> None:
    collection = data.read()
    found = judge(collection, EN_AR)
    # Arabic has p2 only: q2 stays, q1 is judged there with a negative grade and lacks p1, q3 lacks q3.
    assert (found.query_rows.tolist(), found.untranslated, found.unjudged) == ([1], 2, 0)
    assert len(judge(collection, DE_EN).query_rows) == 2


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_file_is_found_with_and_without_gz_and_reads_the_same(tmp_path: Path, suffix: str) -> None:
    plain = Data(tmp_path / "plain").read()
    other = Data(tmp_path / "other", suffix).read()
    for language, texts in plain.corpora.items():
        assert other.corpora[language].digest == texts.digest
    packed = Data(tmp_path / "packed", ".jsonl").read(corpus="corpus/{code}.jsonl.gz")
    assert packed.corpora.keys() == plain.corpora.keys()


def test_only_the_languages_of_the_pairs_are_read_and_they_do_not_depend_on_the_others(data: Data) -> None:
    whole = data.read('cluster = "passage"')
    part = data.read('cluster = "passage"', patterns="de:en")
    assert (list(part.queries), list(part.corpora), list(part.qrels)) == (["deu-Latn"], ["eng-Latn"], [DE_EN])
    assert part.queries["deu-Latn"].digest == whole.queries["deu-Latn"].digest
    assert part.corpora["eng-Latn"].digest == whole.corpora["eng-Latn"].digest
    assert part.qrels[DE_EN].digest == whole.qrels[DE_EN].digest
    assert part.clusters["deu-Latn"] == whole.clusters["deu-Latn"]


def test_ids_that_only_another_language_has_are_no_error(data: Data) -> None:
    # German lacks q3, Arabic lacks p1: the reader asks the other files before it calls an id dangling.
    assert set(data.read(patterns="de:ar").corpora) == {"ara-Arab"}


def test_numbers_as_ids_become_texts(data: Data) -> None:
    put(data.path("queries", "en"), jsonl([{"_id": 7, "text": "What?"}, {"_id": "q2", "text": "Who?"}]))
    put(data.folder / "qrels.tsv", tsv([("7", "p1", "1")]))
    assert data.read(patterns="en:en").queries["eng-Latn"].ids.to_pylist() == ["7", "q2"]


def test_blank_lines_carriage_returns_and_a_byte_order_mark_are_harmless(data: Data) -> None:
    before = data.read().queries["eng-Latn"].digest
    content = data.path("queries", "en").read_bytes()
    put(data.path("queries", "en"), b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n\r\n").removesuffix(b"\r\n\r\n"))
    put(data.folder / "qrels.tsv", tsv(QRELS).replace(b"\n", b"\r\n") + b"\r\n")
    assert data.read().queries["eng-Latn"].digest == before


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
ROW = st.fixed_dictionaries(
    {"_id": st.one_of(TEXTS, st.integers(-(2**70), 2**70)), "text": TEXTS},
    optional={"title": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))), "more": st.integers()},
)


@given(
    rows=st.lists(ROW, min_size=1, max_size=20, unique_by=lambda row: str(row["_id"])),
    block=st.integers(1, 300),
    escaped=st.booleans(),
    packed=st.booleans(),
)
def test_rows_are_what_python_reads_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], block: int, escaped: bool, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("rows") / ("rows.jsonl.gz" if packed else "rows.jsonl")
    put(path, "".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK", block)
        passages = readers.rows.read_rows(path, " ")
        queries = readers.rows.read_rows(path)
        with_field = readers.rows.read_rows(path, fields=["more"])
    assert passages.ids.to_pylist() == queries.ids.to_pylist() == [str(row["_id"]) for row in rows]
    assert queries.text.to_pylist() == with_field.text.to_pylist() == [row["text"] for row in rows]
    joined = [f"{row['title']} {row['text']}" if row.get("title") else row["text"] for row in rows]
    assert passages.text.to_pylist() == [text.strip() for text in joined]
    assert with_field.fields["more"] == [row.get("more") for row in rows]


def test_repeated_rows_are_merged_and_counted(data: Data, caplog: pytest.LogCaptureFixture) -> None:
    put(data.path("corpus", "en"), jsonl([*CORPUS["en"], CORPUS["en"][1], CORPUS["en"][1]]))
    put(data.path("queries", "en"), jsonl([QUERIES["en"][0], *QUERIES["en"]]))
    with caplog.at_level(logging.WARNING):
        collection = data.read()
    assert collection.merged == {"eng-Latn": 2}
    assert collection.corpora["eng-Latn"].ids.to_pylist() == ["p1", "p2", "q3"]
    assert collection.queries["eng-Latn"].ids.to_pylist() == ["q1", "q2", "q3"]
    assert "merged 1 repeated queries of eng-Latn" in caplog.text


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id": "p9"}', "'text' is missing"),
        ('{"text": "x"}', "'_id' is missing"),
        ('{"_id": "p9", "text": null}', "'text' is missing"),
        ('{"_id": "p9", "text": ["x"]}', "'text' is \\['x'\\], but must be a text"),
        ('{"_id": "p9", "text": "x", "title": 5}', "'title' is 5, but must be a text"),
        ('{"_id": 1.5, "text": "x"}', "'_id' is 1.5, but must be a text"),
        ('{"_id": true, "text": "x"}', "'_id' is True, but must be a text"),
        ('{"_id": " ", "text": "x"}', "'_id' is blank"),
        ('{"_id": "p9", "text": " \\t"}', "'text' is blank"),
        ('{"_id": "p9", "title": " ", "text": ""}', "the text of 'p9' is blank"),
        ('{"_id": "p9", "text": "\\ud800"}', "half of a surrogate pair"),
        ('{"_id": "p9", "text": "x"', "not valid JSON"),
        ('{"_id": "p9", "text": "x"} {"_id": "p8", "text": "y"}', "not valid JSON: Extra data"),
        ('["p9", "x"]', "is not a JSON object"),
        ("[" * 100_000, "not valid JSON"),
        ('{"_id": "p9", "text": "caf\udce9"}', "not UTF-8: byte b'\\\\xe9'"),
        ('{"_id": "p1", "text": "other"}', "the id 'p1' was on line 1 with another text"),
    ],
)
def test_the_line_that_is_wrong_is_named(tmp_path: Path, suffix: str, line: str, message: str) -> None:
    data = Data(tmp_path, suffix)
    path = data.path("corpus", "en")
    content = jsonl(CORPUS["en"]) + line.encode(errors="surrogateescape") + b"\n"
    put(path, content + jsonl([{"_id": "p10", "text": "fine"}]))
    with pytest.raises(DataError, match=rf"corpus/en\.jsonl(\.gz)?, line 4: .*{message}"):
        data.read()


def test_a_repeated_id_is_named_by_both_lines_whatever_blank_lines_stand_between(data: Data) -> None:
    put(data.path("queries", "de"), b'{"_id": "q1", "text": "Was?"}\n\n\n{"_id": "q1", "text": "Wann?"}\n')
    with pytest.raises(DataError, match=r"queries/de\.jsonl, line 4: the id 'q1' was on line 1 with another text"):
        data.read()


def test_a_damaged_gzip_file_is_refused_after_its_last_good_line(tmp_path: Path) -> None:
    data = Data(tmp_path, ".jsonl.gz")
    path = data.path("corpus", "en")
    # Random words do not compress away, so that the cut leaves whole lines before it.
    words = random.Random(0)
    rows = [{"_id": str(i), "text": "".join(words.choices("abcdefghij ", k=200)) + "."} for i in range(50)]
    whole = gzip.compress(jsonl([*CORPUS["en"], *rows]))
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:-6] + b"\0" + whole[-5:], b"no gzip at all"):
        path.write_bytes(content)
        with pytest.raises(
            DataError, match=r"corpus/en\.jsonl\.gz, after line \d+: the gzip file is damaged or cut off"
        ):
            data.read()
    path.write_bytes(gzip.compress(jsonl(CORPUS["en"])) + gzip.compress(jsonl(rows)))
    assert len(data.read().corpora["eng-Latn"]) == 53


@pytest.mark.parametrize("side", ["corpus", "queries"])
@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_rows_is_refused(data: Data, side: str, content: bytes) -> None:
    put(data.path(side, "de"), content)
    with pytest.raises(DataError, match=rf"{side}/de\.jsonl: the file has no rows"):
        data.read()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("q1", "p7", "1"), "line 7: the passage 'p7' is in no corpus of the card$"),
        (("q7", "p1", "1"), "line 7: the query 'q7' is in no query file of the card$"),
        (("q1", "p1", "2"), "line 7: 'q1' and 'p1' get 2 here and 1 on an earlier line"),
        (("q1", "p1"), "line 7: 2 tab-separated cells instead of 3"),
        (("q1 p1 1",), "line 7: 1 tab-separated cells instead of 3"),
        (("q1", "p1", "1.5"), "line 7: the grade '1.5' is not a whole number"),
        (("q1", "p1", ""), "line 7: the grade '' is not a whole number"),
        (("q1", "p1", "99999999999"), "line 7: the grade '99999999999' is not a whole number"),
        (("", "p1", "1"), "line 7: the query id '' or the passage id 'p1' is blank"),
    ],
)
@pytest.mark.parametrize("patterns", ["all", "de:ar"])
def test_a_wrong_judgement_is_named_whatever_pairs_are_read(
    data: Data, row: Sequence[str], message: str, patterns: str
) -> None:
    put(data.folder / "qrels.tsv", tsv([*QRELS, row]))
    with pytest.raises(DataError, match=rf"qrels\.tsv, {message}"):
        data.read(patterns=patterns)


def test_judgements_need_their_header_and_a_row(data: Data) -> None:
    put(data.folder / "qrels.tsv", b"q1\t0\tp1\t1\n")
    with pytest.raises(
        DataError, match=r"line 1: the header is 'q1\\t0\\tp1\\t1', but must be query-id corpus-id score"
    ):
        data.read()
    put(data.folder / "qrels.tsv", tsv([]))
    with pytest.raises(DataError, match="no judgements"):
        data.read()
    put(data.folder / "qrels.tsv", tsv([("q1", "p1", "1"), ("\udce9", "p1", "1")][:1]) + b"q\xff\tp1\t1\n")
    with pytest.raises(DataError, match="line 3: not UTF-8"):
        data.read()


def test_repeated_judgements_count_once(data: Data) -> None:
    put(data.folder / "qrels.tsv", tsv([*QRELS, QRELS[0]]))
    assert len(data.read().qrels[EN_EN].grades) == len(QRELS)


@pytest.mark.parametrize("name", ["corpus/de.jsonl", "queries/ar.jsonl", "qrels.tsv"])
def test_a_missing_file_is_the_cards_fault_and_found_before_reading(data: Data, name: str) -> None:
    (data.folder / name).unlink()
    task = load_card(data.card())
    for step in (readers.check, readers.read):
        with pytest.raises(CardError, match=rf"there is no file .*{name}"):
            step(task)
    readers.check(load_card(data.card(pairs="english"))) if name != "qrels.tsv" else None


def test_a_file_that_may_not_be_read_is_the_machines_fault(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    task = load_card(data.card())
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(EnvironmentFault, match=r"en\.jsonl cannot be read: Permission denied"):
        readers.read(task)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"corpus": "corpus/{lang}.jsonl"}, r"\{lang\} means nothing there; known: \{code\}"),
        ({"corpus": "corpus/en.jsonl"}, r"lacks \{code\}, but has to serve eng-Latn, deu-Latn, ara-Arab"),
        ({"qrels": "qrels/{}.tsv"}, r"\{\} means nothing there"),
    ],
)
def test_a_file_name_that_cannot_mean_a_file_per_language_is_refused(
    data: Data, files: dict[str, str], message: str
) -> None:
    with pytest.raises(CardError, match=message):
        data.read(**files)


def test_keys_of_the_reader_are_checked(data: Data) -> None:
    with pytest.raises(UsageError, match=r"\[options\]: unknown key 'paralel'; did you mean 'parallel'"):
        data.read("options = { paralel = true }")
    with pytest.raises(CardError, match="'parallel' is 'yes', but must be a bool"):
        data.read('options = { parallel = "yes" }')
    card = data.card().read_text(encoding="utf-8")
    (data.folder / "card.toml").write_text(card.replace("files = { corpus", "files = { corpsu"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"\[files\]: unknown key 'corpsu'; did you mean 'corpus'"):
        readers.check(load_card(data.folder))
    (data.folder / "card.toml").write_text(card.replace('"jsonl"', '"jsnol"', 1), encoding="utf-8")
    with pytest.raises(UsageError, match="unknown reader 'jsnol'; did you mean 'jsonl'"):
        readers.check(load_card(data.folder))
    (data.folder / "card.toml").write_text(card.replace('path = "."', 'hub = "a/b"'), encoding="utf-8")
    with pytest.raises(CardError, match="reads local files"):
        readers.check(load_card(data.folder))


def test_select_keeps_the_queries_whose_fields_have_the_values(data: Data) -> None:
    rows = [{**row, "split": "dev" if i else "train", "level": i} for i, row in enumerate(QUERIES["en"])]
    put(data.path("queries", "en"), jsonl(rows))
    assert data.read('select = { split = "dev" }', "en:en").queries["eng-Latn"].ids.to_pylist() == ["q2", "q3"]
    chosen = data.read('select = { split = ["dev", "train"], level = [0, 2] }', "en:en")
    assert chosen.queries["eng-Latn"].ids.to_pylist() == ["q1", "q3"]
    # Judgements of queries that were not selected are no dangling ones, and they change no digest.
    assert len(chosen.qrels[EN_EN].grades) == len(QRELS)
    with pytest.raises(DataError, match=r"no query has split = 'test'; the file has 'train', 'dev'"):
        data.read('select = { split = "test" }', "en:en")
    with pytest.raises(DataError, match=r"no query has splt = 'dev'; the file has None"):
        data.read('select = { splt = "dev" }', "en:en")
    # True is no 1.
    with pytest.raises(DataError, match="no query has level = True"):
        data.read("select = { level = true }", "en:en")


def test_counts_that_differ_from_the_card_are_refused(data: Data) -> None:
    data.read("expected = { en = { queries = 3, passages = 3 }, ar = { passages = 1 } }")
    with pytest.raises(DataError, match=r"queries/de\.jsonl: 2 queries in deu-Latn, but the card demo expects 3"):
        data.read("expected = { de = { queries = 3 } }")
    with pytest.raises(DataError, match=r"corpus/en\.jsonl: 3 passages in eng-Latn, but the card demo expects 4"):
        data.read("expected = { en = { passages = 4 } }")
    data.read("expected = { de = { queries = 3 } }", patterns="en:en")


def test_queries_with_the_same_text_are_merged_within_their_language(data: Data) -> None:
    put(data.path("queries", "en"), jsonl([*QUERIES["en"], {"_id": "q4", "text": "What?"}]))
    put(data.path("queries", "de"), jsonl([*QUERIES["de"], {"_id": "q4", "text": "Welches?"}]))
    put(data.folder / "qrels.tsv", tsv([*QRELS, ("q4", "p2", "3"), ("q4", "p1", "2")]))
    plain, merged = data.read(), data.read('dedupe = "text"\nexpected = { en = { queries = 3 } }')
    assert plain.queries["eng-Latn"].ids.to_pylist() == ["q1", "q2", "q3", "q4"]
    assert merged.queries["eng-Latn"].ids.to_pylist() == ["q1", "q2", "q3"]
    assert merged.queries["deu-Latn"].ids.to_pylist() == ["q1", "q2", "q4"]
    english = {row for row in judgements(merged.qrels[EN_EN]) if row[0] in ("q1", "q4")}
    # The kept query takes over the judgements of the merged one; the higher grade stays.
    assert english == {("q1", "p1", 2), ("q1", "p2", 3)}
    assert ("q4", "p2", 3) in judgements(merged.qrels[DE_EN])
    assert data.read('dedupe = "text"', "en:en").qrels[EN_EN].digest == merged.qrels[EN_EN].digest


POOL = 'pools = { mixed = ["de", "ar"] }'


def test_a_pool_holds_every_members_copy_under_the_members_code(data: Data) -> None:
    collection = data.read(POOL, "en:mixed,de:mixed")
    pair = LanguagePair("eng-Latn", "mixed")
    assert collection.passage_ids("mixed").to_pylist() == ["de/p1", "de/p2", "ar/p2"]
    assert set(collection.corpora) == {"deu-Latn", "ara-Arab"}
    assert judgements(collection.qrels[pair]) == {
        ("q1", "de/p1", 1), ("q2", "de/p2", 2), ("q2", "ar/p2", 2), ("q2", "de/p1", 1), ("q1", "de/p2", -1),
        ("q1", "ar/p2", -1),
    }  # fmt: skip
    assert collection.qrels[pair] is collection.qrels[LanguagePair("deu-Latn", "mixed")]
    # q3 is answered in English only, so the pool cannot answer it.
    assert judge(collection, pair).query_rows.tolist() == [0, 1]


def test_queries_cluster_by_themselves_by_passage_or_by_a_field(data: Data) -> None:
    assert data.read().clusters["deu-Latn"] == ["q1", "q2"]
    # q2 has p2 with grade 2 and p1 with grade 1: the better passage names its cluster. A grade of -1 names none.
    assert data.read('cluster = "passage"').clusters == {
        "eng-Latn": ["p1", "p2", "q3"], "deu-Latn": ["p1", "p2"], "ara-Arab": ["p1", "q3"]
    }  # fmt: skip
    put(data.folder / "qrels.tsv", tsv([("q1", "p2", "1"), ("q1", "p1", "1")]))
    assert data.read('cluster = "passage"').clusters["eng-Latn"] == ["p1", "query q2", "query q3"]
    for code, rows in QUERIES.items():
        put(data.path("queries", code), jsonl([{**row, "article": int(row["_id"][1]) // 2} for row in rows]))
    assert data.read('cluster = "article"').clusters["eng-Latn"] == ["0", "1", "1"]
    with pytest.raises(DataError, match="resamples by 'chapter', where a query has None"):
        data.read('cluster = "chapter"')


def per_pair(data: Data) -> None:
    """Judgements in a file per pair: equal ids need not mean the same."""
    for query in QUERIES:
        for passage in CORPUS:
            known = {row["_id"] for row in QUERIES[query]}
            rows = [row for row in QRELS if row[0] in known]
            put(
                data.folder / "qrels" / f"{query}-{passage}.tsv.gz", tsv(rows if passage != "ar" else rows[1:2] or rows)
            )


def test_judgements_in_a_file_per_pair_stay_apart(data: Data) -> None:
    per_pair(data)
    put(data.folder / "qrels" / "en-de.tsv.gz", tsv([("q1", "p2", "5")]))
    collection = data.read(qrels="qrels/{query}-{passage}.tsv")
    assert judgements(collection.qrels[EN_DE]) == {("q1", "p2", 5)}
    assert len(collection.qrels[EN_EN].grades) == 5
    (data.folder / "qrels" / "de-ar.tsv.gz").unlink()
    with pytest.raises(CardError, match=r"no file .*de-ar\.tsv"):
        data.read(qrels="qrels/{query}-{passage}.tsv")


def test_clusters_of_different_languages_are_one_only_where_ids_mean_the_same(data: Data) -> None:
    per_pair(data)
    name = "qrels/{query}-{passage}.tsv"
    assert data.read(qrels=name).clusters["deu-Latn"] == ["de/q1", "de/q2"]
    assert data.read('cluster = "passage"', qrels=name).clusters["deu-Latn"] == ["de/p1", "de/p2"]
    assert data.read("options = { parallel = true }", qrels=name).clusters["deu-Latn"] == ["q1", "q2"]
    assert data.read("options = { parallel = false }").clusters["deu-Latn"] == ["de/q1", "de/q2"]
    # The label comes from the card's first pair that has one, whichever pairs run.
    put(data.folder / "qrels" / "en-en.tsv.gz", tsv([("q1", "p2", "1")]))
    assert data.read('cluster = "passage"', "en:de", qrels=name).clusters["eng-Latn"] == ["en/p2", "en/p2", "en/q3"]


def test_a_pool_of_pairs_with_their_own_judgements_takes_each_members(data: Data) -> None:
    per_pair(data)
    put(data.folder / "qrels" / "en-de.tsv.gz", tsv([("q1", "p1", "3")]))
    put(data.folder / "qrels" / "en-ar.tsv.gz", tsv([("q1", "p2", "4"), ("q1", "p1", "1")]))
    collection = data.read(POOL, "en:mixed", qrels="qrels/{query}-{passage}.tsv")
    assert judgements(collection.qrels[LanguagePair("eng-Latn", "mixed")]) == {("q1", "de/p1", 3), ("q1", "ar/p2", 4)}


def test_monolingual_judgements_may_carry_the_querys_code(data: Data) -> None:
    for code, rows in {"en": QRELS, "de": QRELS[:2], "ar": [("q1", "p2", "1")]}.items():
        put(data.folder / "qrels" / f"{code}.tsv", tsv(rows))
    collection = data.read(qrels="qrels/{code}.tsv", pairs="monolingual")
    assert judgements(collection.qrels[LanguagePair("ara-Arab", "ara-Arab")]) == {("q1", "p2", 1)}


def test_gold_answers_come_from_the_field_that_the_card_names(data: Data) -> None:
    for code, rows in QUERIES.items():
        put(
            data.path("queries", code), jsonl([{**row, "gold": "x" if i else ["y", "z"]} for i, row in enumerate(rows)])
        )
    assert data.read('options = { answers = "gold" }').answers["deu-Latn"] == [("y", "z"), ("x",)]
    assert data.read().answers == {}
    with pytest.raises(DataError, match="query 'q1': 'answer' is None, but must be a text or a list of texts"):
        data.read('options = { answers = "answer" }')


def test_xquad_is_read_whole(shared_data: Path) -> None:
    task = load_card(shared_data / "xquad")
    collection = readers.read(task)
    assert len(collection.qrels) == 144
    assert {len(texts) for texts in collection.queries.values()} == {1190}
    assert {len(texts) for texts in collection.corpora.values()} == {240}
    assert len(set(collection.clusters["tha-Thai"])) == 240
    assert collection.clusters["tha-Thai"] == collection.clusters["eng-Latn"]


def test_xquad_merged_by_text_is_as_large_as_mteb_has_it(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(shared_data / "xquad")
    card = (shared_data / "xquad" / "card.toml").read_text(encoding="utf-8").replace('path = "."', 'path = "data"')
    (tmp_path / "card.toml").write_text('dedupe = "text"\n' + card, encoding="utf-8")
    task = load_card(tmp_path)
    queries = readers.read(task, select_pairs(task, "monolingual")).queries
    # `unique_texts` in mteb's descriptive statistics of XQuADRetrieval, in the order of the card's languages.
    mteb = [1185, 1186, 1181, 1184, 1184, 1183, 1184, 1185, 1180, 1184, 1182, 1181]
    assert [len(queries[language]) for language in task.languages] == mteb


def test_libreoffice_help_is_read_with_its_partial_translations(shared_data: Path) -> None:
    task = load_card(shared_data / "libreoffice_help" / "card.toml")
    assert len(task.languages) == 26
    collection = readers.read(task, select_pairs(task, "dz:ko,pt_BR:en"))
    dzongkha = judge(collection, LanguagePair("dzo-Tibt", "kor-Hang"))
    ids = [set(collection.queries["dzo-Tibt"].ids.to_pylist()), set(collection.corpora["kor-Hang"].ids.to_pylist())]
    # A query and its section share their id there.
    assert len(dzongkha.query_rows) == len(ids[0] & ids[1])
    assert dzongkha.untranslated == len(ids[0] - ids[1])
