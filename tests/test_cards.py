"""Every card of the package can be used, says what users need to know, and promises the published counts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

import pytest

from clear_bench import metrics, readers
from clear_bench.cli import invoke
from clear_bench.readers.ir import FORMATS_WITH_ANSWERS
from clear_bench.readers.origins import origin
from clear_bench.tasks import Task, find_task, group_names, select_pairs, task_names

MEANINGS = {
    "africlirmatrix": "44b4bfa2dee4",
    "belebele": "0e6476bf537a",
    "ciral": "263f567eb074",
    "curev1": "b030af3d2957",
    "mini": "4a33f77b67b8",
    "miracl": "ea8ecb0fd3de",
    "miracl-hn": "c2501dfc6dac",
    "mkqa": "342ff990542d",
    "mlqa": "134b2fda9b7e",
    "mmarco": "fa0832d77586",
    "mrtydi": "e448f0b77e5d",
    "neuclir": "8e113342bc6f",
    "xor": "2a61c548f50b",
    "xquad": "95cf4fd5c87e",
    "xquad-r": "d9e078f01352",
}
"""Card -> digest of its languages, codes, counts, pools and pairs, taken when every table spelled every language."""
BENCHMARKS = tuple(name for name in task_names() if name != "mini")


@pytest.fixture(params=BENCHMARKS)
def task(request: pytest.FixtureRequest) -> Task:
    return find_task(request.param)


def text(task: Task) -> str:
    return Path(task.folder, f"{task.name}.toml").read_text(encoding="utf-8")


def test_the_benchmarks_of_the_field_are_there() -> None:
    assert set(BENCHMARKS) == {
        *("xor", "mrtydi", "miracl", "miracl-hn", "xquad", "xquad-r", "belebele", "mlqa", "mkqa"),
        *("neuclir", "ciral", "africlirmatrix", "curev1", "mmarco"),
    }


def test_a_card_passes_its_reader_s_check(task: Task) -> None:
    readers.check(task)


def test_a_card_says_licence_citation_grades_and_size(task: Task) -> None:
    assert task.licence
    assert task.citation
    assert task.grades
    assert task.description
    assert set(task.size) == {"download_gb", "disk_gb"}
    assert task.groups


def test_metrics_exist_and_the_stored_run_is_deep_enough_for_those_of_one_cutoff(task: Task) -> None:
    for name in task.metrics:
        metric = metrics.parse(name)
        assert metric.name == name
        if metric.depth is not None:
            assert metric.depth <= task.run_depth


def test_a_card_pins_what_it_reads_or_says_that_it_does_not(task: Task) -> None:
    hashes = task.options.get("hashes", {})
    entries = [entry for entry in task.files.values() if not entry.startswith("https://")]
    pinned = all(origin(task, entry).is_pinned for entry in entries) or hashes
    assert pinned or "not pinned" in text(task).lower()
    for stated in hashes.values():
        assert re.fullmatch(r"(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})", stated)


def test_files_of_git_hosts_are_pinned_to_a_commit(task: Task) -> None:
    for entry in task.files.values():
        if entry.startswith("https://raw.githubusercontent.com/"):
            assert re.match(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/", entry)


@pytest.mark.parametrize("name", MEANINGS)
def test_a_short_card_means_what_the_long_one_meant(name: str) -> None:
    task = find_task(name)
    expected = {language: astuple(counts) for language, counts in task.expected.items()}
    parts = [list(task.languages), dict(task.codes), expected, dict(task.pools), [str(pair) for pair in task.pairs]]
    assert hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12] == MEANINGS[name]


def test_codes_are_complete_and_different(task: Task) -> None:
    assert set(task.codes) == set(task.languages)


def total(task: Task, side: str) -> int:
    return sum(getattr(counts, side) or 0 for counts in task.expected.values())


@pytest.mark.parametrize(
    ("name", "languages", "pairs", "queries", "passages"),
    [
        ("mrtydi", 11, 11, 8_661, None),
        ("miracl", 18, 18, 13_495, 106_332_152),
        ("miracl-hn", 18, 18, 11_076, 2_449_382),
        ("xquad", 12, 144, 12 * 1_190, 12 * 240),
        ("xquad-r", 11, 11, 11 * 1_190, 13_014),
        ("belebele", 122, 14_884, 122 * 900, 122 * 488),
        ("mlqa", 7, 49, None, None),
        ("mkqa", 26, 26, 26 * 6_619, 2_681_468),
        ("neuclir", 4, 3, None, 10_038_768),
        ("curev1", 3, 3, 6_000, 244_600),
        ("xor", 8, 7, None, None),
        ("ciral", 5, 4, 364, None),
        ("africlirmatrix", 16, 15, None, None),
        ("mmarco", 14, 14, 14 * 6_980, 14 * 8_841_823),
    ],
)
def test_cards_promise_the_published_counts(
    name: str, languages: int, pairs: int, queries: int | None, passages: int | None
) -> None:
    task = find_task(name)
    assert (len(task.languages), len(task.pairs)) == (languages, pairs)
    assert queries in (None, total(task, "queries"))
    assert passages in (None, total(task, "passages"))


OFFICIAL: Mapping[str, tuple[str, ...]] = {
    "xor": ("R@2kt", "R@5kt"),
    "mrtydi": ("MRR@100", "recall@100"),
    "miracl": ("nDCG@10", "recall@100"),
    "miracl-hn": ("nDCG@10",),
    "xquad": ("nDCG@10",),
    "xquad-r": ("mAP",),
    "belebele": ("nDCG@10",),
    "mlqa": ("nDCG@10",),
    "mkqa": ("answer-recall@20", "answer-recall@100"),
    "neuclir": ("nDCG@20",),
    "ciral": ("nDCG@20", "recall@100"),
    "africlirmatrix": ("nDCG@10",),
    "curev1": ("nDCG@10",),
    "mmarco": ("MRR@10",),
}


def test_official_metrics_come_first(task: Task) -> None:
    official = OFFICIAL[task.name]
    assert task.main_metric in official
    assert set(official) <= set(task.metrics)


def test_tasks_judged_by_answers_have_no_judgements_and_the_others_do(task: Task) -> None:
    by_answer = any(metrics.parse(name).inputs == "answers" for name in task.metrics)
    if task.reader == "ir":
        assert by_answer == (task.options.get("queries", {}).get("format") in FORMATS_WITH_ANSWERS)
        assert by_answer == ("qrels" not in task.files)
    else:
        assert not by_answer


def test_tasks_that_overlap_training_sets_say_so() -> None:
    assert "miracl-train" in find_task("miracl").overlaps
    assert "mr-tydi-train" in find_task("mrtydi").overlaps
    assert "xor-tydi-train" in find_task("xor").overlaps
    assert "nq" in find_task("mkqa").overlaps


def test_groups_name_several_tasks() -> None:
    groups = group_names()
    assert groups["tydi"] == ("miracl", "mrtydi", "xor")
    assert groups["parallel"] == ("belebele", "mlqa", "xquad", "xquad-r")
    assert set(groups["direct"]) == {"belebele", "mlqa", "xquad"}
    assert set(groups["all"]) == set(task_names())
    for name in groups["english"]:
        assert select_pairs(find_task(name), "english")
    for name in groups["direct"]:
        assert select_pairs(find_task(name), "direct")


@pytest.mark.parametrize("name", ["xor", "neuclir", "ciral", "africlirmatrix", "xquad-r"])
def test_a_task_without_an_english_cell_is_not_in_the_group_of_english(name: str) -> None:
    assert select_pairs(find_task(name), "english") == ()
    assert name not in group_names()["english"]


def test_direct_pairs_are_all_but_those_with_english() -> None:
    assert len(select_pairs(find_task("belebele"), "direct")) == 121 * 120
    assert len(select_pairs(find_task("xquad"), "direct")) == 11 * 10
    assert len(select_pairs(find_task("mlqa"), "direct")) == 6 * 5


def test_parallel_sets_have_a_pool_of_all_languages() -> None:
    for name in ("xquad", "xquad-r", "belebele"):
        task = find_task(name)
        assert set(task.pools["mixed"]) == set(task.languages)
        assert len(select_pairs(task, "*:mixed")) == len(task.languages)


def test_the_table_of_tasks_shows_size_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["list", "tasks"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert " GB " in header
    assert " min. " in header
    miracl = next(line for line in lines if line.startswith("miracl "))
    # (13,495 + 106,332,152) texts / 1,000 a second / 60 = 1772.4 minutes
    assert " 75.0 " in miracl
    assert " 1,773 " in miracl
