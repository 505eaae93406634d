"""`clear-bench fetch` with the files that a user brings: taken, checked, converted once, found again offline."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from raw_benchmarks import Raw, miracl, mlqa, mrtydi, xor

from clear_bench.cli import invoke
from clear_bench.readers.given import brought
from clear_bench.tasks import find_task


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """Write XOR's card without the count of the real data."""
    text = Path(find_task("xor").folder, "xor.toml").read_text(encoding="utf-8").replace("total = 2110", "total = 3")
    path = tmp_path / "xor.toml"
    path.write_text(text, encoding="utf-8")
    return path


def files(tmp_path: Path, raw: Raw) -> Path:
    return raw.write(tmp_path / "brought")


def test_a_folder_of_official_files_serves_every_entry(
    tmp_path: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brought = files(tmp_path, xor())
    assert invoke(["fetch", str(card), "--source", str(brought), "--pairs", "fi:en,ja:en", "--offline"]) == 0
    out, err = capsys.readouterr()
    assert out == "xor: 2 pairs, 3 queries, 2 passages\n"
    assert "enwiki_20190201_w100.tsv is taken from" in err
    for path in brought.iterdir():
        path.unlink()  # small files were copied, the corpus was converted
    assert invoke(["fetch", str(card), "--pairs", "fi:en,ja:en", "--offline"]) == 0


def test_a_manifest_can_tell_which_files_were_brought(tmp_path: Path, card: Path) -> None:
    folder = files(tmp_path, xor())
    task = find_task(str(card))
    assert brought(task, task.pairs[:1]) == {}
    assert invoke(["fetch", str(card), "--source", str(folder), "--pairs", "fi:en", "--offline"]) == 0
    found = brought(task, task.pairs[:1])
    corpus = next(digests for entry, digests in found.items() if entry.endswith("enwiki_20190201_w100.tsv"))
    assert corpus == [hashlib.sha256((folder / "enwiki_20190201_w100.tsv").read_bytes()).hexdigest()]


def test_single_files_are_known_by_name_or_by_the_card_s_key(tmp_path: Path, card: Path) -> None:
    brought = files(tmp_path, xor())
    renamed = brought / "psgs_w100.tsv"
    (brought / "enwiki_20190201_w100.tsv").rename(renamed)
    questions = brought / "xor_dev_retrieve_eng_span_v1_1.jsonl"
    arguments = ["fetch", str(card), "--pairs", "fi:en", "--offline", "--source", str(questions)]
    assert invoke([*arguments, "--source", f"corpus={renamed}"]) == 0


def test_another_file_in_its_place_is_converted_anew(
    tmp_path: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brought = files(tmp_path, xor())
    fetch = ["fetch", str(card), "--pairs", "fi:en", "--offline", "--source", str(brought)]
    assert invoke(fetch) == 0
    (brought / "enwiki_20190201_w100.tsv").write_text("id\ttext\ttitle\n1\tonly one\tT\n")
    assert invoke(fetch) == 0
    assert "1 passages" in capsys.readouterr().out


def test_a_download_that_was_changed_in_the_cache_is_fetched_again(
    tmp_path: Path, card: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    official, fetched = files(tmp_path, xor()), []

    def download(url: str, target: Path) -> None:
        fetched.append(target.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((official / target.name).read_bytes())

    monkeypatch.setattr("clear_bench.readers.web.download", download)
    monkeypatch.setattr("clear_bench.hub.is_offline", lambda: False)
    fetch = ["fetch", str(card), "--pairs", "fi:en"]
    for _ in range(2):
        assert invoke(fetch) == 0
    assert sorted(fetched) == ["enwiki_20190201_w100.tsv", "xor_dev_retrieve_eng_span_v1_1.jsonl"]
    kept = next((tmp_path / "cache").rglob("web/*/xor_dev_retrieve_eng_span_v1_1.jsonl"))
    kept.write_text(kept.read_text().replace("answers", "answerz"))
    assert invoke(fetch) == 0
    assert fetched[2:] == [kept.name]
    assert "does not match its checksum; it is fetched again" in caplog.text


def test_given_files_that_were_changed_or_whose_note_is_damaged_are_refused(
    tmp_path: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch = ["fetch", str(card), "--pairs", "fi:en", "--offline"]
    assert invoke([*fetch, "--source", str(files(tmp_path, xor()))]) == 0
    cache = tmp_path / "cache"
    capsys.readouterr()
    assert invoke(["cache", "verify", "--cache-dir", str(cache)]) == 0
    kept = next(cache.rglob("given/*/files/*/xor_dev_retrieve_eng_span_v1_1.jsonl"))
    kept.write_text(kept.read_text().replace("answers", "answerz"))
    assert invoke(fetch) == 3
    assert (
        "xor_dev_retrieve_eng_span_v1_1.jsonl was given with --source and was changed since" in capsys.readouterr().err
    )
    (kept.parents[2] / "origin.json").write_text('{"sha256": 7')
    converted = next(cache.rglob("texts.arrow"))
    converted.write_bytes(converted.read_bytes()[:-1])
    assert invoke(fetch) == 3
    assert "origin.json is damaged" in capsys.readouterr().err
    assert invoke(["cache", "verify", "--cache-dir", str(cache)]) == 3
    shown = capsys.readouterr()
    assert "texts.arrow does not match its checksum" in shown.out
    assert "origin.json is damaged" in shown.out
    assert "2 damaged files" in shown.err


def test_a_file_that_fits_no_entry_names_what_the_card_reads(
    tmp_path: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.tsv"
    other.write_text("x")
    assert invoke(["fetch", str(card), "--source", str(other)]) == 3
    assert "enwiki_20190201_w100.tsv, xor_dev_retrieve_eng_span_v1_1.jsonl" in capsys.readouterr().err
    assert invoke(["fetch", str(card), "--source", f"corpsu={other}"]) == 3
    assert "did you mean 'corpus'" in capsys.readouterr().err
    assert invoke(["fetch", str(card), "--source", str(tmp_path / "nowhere.tsv")]) == 3
    assert "there is no such file" in capsys.readouterr().err


def test_a_file_that_could_be_any_language_s_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brought = files(tmp_path, mrtydi())
    topics = next(brought.rglob("mrtydi-v1.1-swahili/**/topics.test.txt"))
    assert invoke(["fetch", "mrtydi", "--pairs", "sw:sw", "--source", str(topics)]) == 3
    assert "could be any of 11 entries of card mrtydi" in capsys.readouterr().err


def test_a_large_file_is_linked_to_and_missed_when_it_is_gone(
    tmp_path: Path, card: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clear_bench.readers.given._COPY_BELOW", 0)
    brought = files(tmp_path, xor())
    fetch = ["fetch", str(card), "--pairs", "fi:en", "--offline"]
    assert invoke([*fetch, "--source", str(brought)]) == 0
    (brought / "enwiki_20190201_w100.tsv").unlink()
    assert invoke(fetch) == 0  # it was converted
    (brought / "xor_dev_retrieve_eng_span_v1_1.jsonl").unlink()
    assert invoke(fetch) == 4
    assert "was given with --source and is gone" in capsys.readouterr().err


def test_a_wrong_header_names_expected_and_found_columns(
    tmp_path: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brought = files(tmp_path, xor())
    (brought / "enwiki_20190201_w100.tsv").write_text("docid\ttext\ttitle\n1\tx\tT\n")
    assert invoke(["fetch", str(card), "--pairs", "fi:en", "--offline", "--source", str(brought)]) == 3
    assert "has no column 'id'; it has 'docid', 'text', 'title'" in capsys.readouterr().err


def test_a_source_is_for_one_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fetch", "xor,miracl", "--source", "x"]) == 2
    assert "belongs to one task, but 2 were named: xor, miracl" in capsys.readouterr().err


def test_english_questions_are_refused_where_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fetch", "xor", "--pairs", "en:en", "--offline"]) == 2
    assert "no pair matches 'en:en'; xor has" in capsys.readouterr().err


def test_copies_of_repositories_are_found_by_owner_and_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brought = files(tmp_path, miracl())
    assert invoke(["fetch", "miracl", "--pairs", "sw:sw", "--offline", "--source", str(brought)]) == 3
    err = capsys.readouterr().err
    assert "3 queries in swa-Latn, but the card miracl expects 482" in err  # read to the end: only the counts differ


def test_an_archive_serves_all_its_members(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brought = files(tmp_path, mlqa())
    archive = brought / "MLQA_V1.zip"
    assert invoke(["fetch", "mlqa", "--pairs", "de:en", "--offline", "--source", str(archive)]) == 3
    assert "4 queries in deu-Latn, but the card mlqa expects 4517" in capsys.readouterr().err


def test_offline_names_what_is_missing_and_ends_with_exit_code_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fetch", "xquad", "--offline"]) == 4
    assert "google/xquad at revision 51adfef1c1287aab1d2d91b5bead9bcfb9c68583" in capsys.readouterr().err


def test_the_cache_folder_can_be_chosen(tmp_path: Path, card: Path) -> None:
    cache = tmp_path / "elsewhere"
    source = files(tmp_path, xor())
    arguments = ["fetch", str(card), "--pairs", "fi:en", "--offline", "--source", str(source)]
    assert invoke([*arguments, "--cache-dir", str(cache)]) == 0
    facts = [json.loads(path.read_text()) for path in cache.rglob("about.json")]
    assert [(fact["rows"], fact["merged"]) for fact in facts] == [(2, 0)]
