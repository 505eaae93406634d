from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import make_collection

from clear_bench.errors import DataError, InputError, UsageError
from clear_bench.losses import LOSSES
from clear_bench.losses.roles import resolve_roles
from clear_bench.train.batches import checksum, plan_batches
from clear_bench.train.guard import find_leaks, guard, shingles
from clear_bench.train.parts import DataPart
from clear_bench.train.rows import Rows, clean, join_rows
from clear_bench.train.sources import read_rows

CLEAR = LOSSES["clear"][0].roles


def made_rows(columns: dict[str, list[str]], languages: list[str] | None = None) -> Rows:
    count = len(next(iter(columns.values())))
    return Rows(columns, languages or ["de"] * count, resolve_roles(columns, ()))


def numbered(count: int, languages: list[str] | None = None) -> Rows:
    names = ("anchor", "positive", "cross_anchor", "negative_1")
    return made_rows({name: [f"{name} {i}" for i in range(count)] for name in names}, languages)


def test_a_collection_joins_each_translated_query_with_its_passage_and_negatives(tmp_path: Path) -> None:
    rows = read_rows(DataPart(collection=str(make_collection(tmp_path)), negatives=1), CLEAR)
    first = {name: texts[0] for name, texts in rows.columns.items()}
    english, german = first["anchor"].split(), first["cross_anchor"].split()
    assert german == [f"ge{english[0]}", f"ge{english[1]}", "0"]
    assert first["positive"] == f"{english[0]} about {english[1]} no 0"
    # The query negative is the German query of the negative passage, which is the next item.
    assert first["negative_1"].endswith("no 1")
    assert first["neg_query_1"].startswith("ge")
    assert first["neg_query_1"].endswith(" 1")


def test_untranslated_queries_are_counted_and_their_passages_skipped_as_negatives(tmp_path: Path) -> None:
    rows = read_rows(DataPart(collection=str(make_collection(tmp_path)), negatives=3), CLEAR)
    # French lacks 0, 5, 10, 15, 20: five rows, and every row that has one of them among its three negatives.
    assert rows.languages.count("de") == 24
    assert rows.drops == {"no translated query": 5, "too few translated negatives": 24 - 5 - rows.languages.count("fr")}
    two = read_rows(DataPart(collection=str(make_collection(tmp_path)), negatives=2), CLEAR)
    # With one spare negative each row still finds two.
    assert two.languages.count("fr") == 19


def test_english_as_a_target_and_unknown_languages_are_refused(tmp_path: Path) -> None:
    folder = str(make_collection(tmp_path))
    with pytest.raises(UsageError, match="cannot be English"):
        read_rows(DataPart(collection=folder, languages=("en",), negatives=1), CLEAR)
    with pytest.raises(DataError, match="it has de, en, fr"):
        read_rows(DataPart(collection=folder, languages=("xx",), negatives=1), CLEAR)


def test_a_bridge_language_fills_its_role(tmp_path: Path) -> None:
    data = DataPart(collection=str(make_collection(tmp_path)), languages=("fr",), negatives=1, bridge="de")
    rows = read_rows(data, LOSSES["clear_bridge"][0].roles)
    assert rows.of("bridge")[0][0].startswith("ge")


def test_files_are_read_by_column_name_in_any_order(tmp_path: Path) -> None:
    row = {
        "neg_query_1": "nx",
        "language": "de",
        "lang_question": "x",
        "paragraphs": "d",
        "neg_1": "n",
        "en_question": "q",
    }
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row | {"en_question": f"q{i}"}) + "\n" for i in range(3)))
    rows = read_rows(DataPart(files=(str(tmp_path / "rows.jsonl"),), negatives=1), CLEAR)
    assert rows.roles.order(CLEAR) == ("en_question", "paragraphs", "neg_1", "lang_question", "neg_query_1")
    assert rows.columns["en_question"] == ["q0", "q1", "q2"]
    assert rows.languages == ["de"] * 3
    with pytest.raises(UsageError, match="2, but the data has 1 columns of negative"):
        read_rows(DataPart(files=(str(tmp_path / "rows.jsonl"),), negatives=2), LOSSES["infonce_q"][0].roles)


def test_a_few_untranslated_queries_are_dropped_and_many_refused() -> None:
    rows = clean(made_rows({"anchor": ["a", "b", "c"], "positive": ["d", "e", "f"], "cross_anchor": ["x", "b", "z"]}))
    assert rows.drops == {"cross_anchor not translated": 1}
    with pytest.raises(DataError, match="2 of 3 rows"):
        clean(made_rows({"anchor": ["a", "b", "c"], "positive": ["d", "e", "f"], "cross_anchor": ["a", "b", "z"]}))


def test_data_without_a_usable_row_is_refused() -> None:
    with pytest.raises(DataError, match="no training row is left"):
        clean(made_rows({"anchor": [], "positive": []}))


def test_a_negative_is_never_the_row_itself() -> None:
    joined = join_rows({"a": "A", "b": "B"}, {"a": "pa", "b": "pb"}, {"a": ["a", "b"], "b": ["b"]},
                       {"de": {"a": "xa", "b": "xb"}}, count=1)  # fmt: skip
    assert joined.columns["negative_1"] == ["pb"]
    assert joined.ids == {"positive": ["a"], "negative_1": ["b"]}
    assert joined.drops == {"too few translated negatives": 1}


def test_passages_are_one_by_text_or_by_id() -> None:
    rows = made_rows({"anchor": ["q", "r", "s"], "positive": ["A", "B", "C"], "negative_1": ["a", "C", "D"]})
    apart = rows.passage_numbers()
    assert len(set(apart.values())) == 5
    # A and a are two versions of passage 1; D goes by the id of B.
    known = replace(rows, ids={"positive": ["1", "2", "3"], "negative_1": ["1", "3", "2"]}).passage_numbers()
    assert known["A"] == known["a"]
    assert known["B"] == known["D"]
    assert len(set(known.values())) == 3
    kept = replace(rows, ids={"positive": ["1", "2", "3"]}).keep([True, False, True], "why not")
    assert kept.ids == {"positive": ["1", "3"]}


def test_files_may_carry_passage_ids(tmp_path: Path) -> None:
    row = {"anchor": "q", "positive": "d", "positive_id": 7, "negative_1": "n", "negative_1_id": 8}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    rows = read_rows(DataPart(files=(str(tmp_path / "rows.jsonl"),), negatives=1), LOSSES["infonce_q"][0].roles)
    assert rows.ids == {"positive": ["7"], "negative_1": ["8"]}


def test_batches_hold_one_language_and_no_row_twice() -> None:
    rows = numbered(40, ["de"] * 25 + ["fr"] * 15)
    batches = plan_batches(rows, size=5, count=30, seed=1)
    assert all(len({rows.languages[i] for i in batch}) == 1 for batch in batches)
    assert all(len(set(batch)) == 5 for batch in batches)


def test_mixed_batches_mix_languages() -> None:
    rows = numbered(40, ["de", "fr"] * 20)
    batches = plan_batches(rows, size=8, count=10, seed=1, mode="mixed")
    assert any(len({rows.languages[i] for i in batch}) == 2 for batch in batches)


def test_every_row_is_seen_once_before_any_is_seen_twice() -> None:
    batches = plan_batches(numbered(20), size=5, count=8, seed=3)
    assert sorted(i for batch in batches[:4] for i in batch) == list(range(20))
    assert sorted(i for batch in batches[4:] for i in batch) == list(range(20))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), shared=st.integers(1, 2))
def test_no_text_of_a_row_is_a_false_negative_in_its_batch(seed: int, shared: int) -> None:
    # Rows in groups of `shared` have one positive; each row's negative is another row's positive.
    count = 24
    positive = [f"d{i // shared}" for i in range(count)]
    negative = [positive[(i + shared) % count] for i in range(count)]
    rows = made_rows({"anchor": [f"q{i}" for i in range(count)], "positive": positive, "negative_1": negative})
    for batch in plan_batches(rows, size=3, count=12, seed=seed):
        for i in batch:
            others = {text for j in batch if j != i for text in (positive[j], negative[j])}
            assert positive[i] not in others


def test_batches_follow_from_the_seed_alone() -> None:
    rows = numbered(40, ["de", "fr"] * 20)
    first, second, other = (plan_batches(rows, size=5, count=20, seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert checksum(rows, first) == checksum(rows, second)
    assert checksum(rows, first) != checksum(rows, other)


def test_a_shorter_plan_is_the_beginning_of_a_longer_one() -> None:
    rows = numbered(40, ["de", "fr"] * 20)
    assert plan_batches(rows, size=5, count=30, seed=1)[:12] == plan_batches(rows, size=5, count=12, seed=1)


def test_the_checksum_sees_a_changed_text_and_a_changed_order() -> None:
    rows = numbered(10)
    batches = [[0, 1], [2, 3]]
    changed = made_rows({**rows.columns, "anchor": ["other", *rows.columns["anchor"][1:]]})
    found = {
        checksum(rows, batches),
        checksum(changed, batches),
        checksum(rows, batches[::-1]),
        checksum(rows, [[0, 1, 2, 3]]),
    }
    assert len(found) == 4


def test_temperature_evens_languages_out() -> None:
    rows = numbered(220, ["de"] * 200 + ["fr"] * 20)

    def share(temperature: float) -> float:
        batches = plan_batches(rows, size=5, count=600, seed=0, temperature=temperature)
        return float(np.mean([rows.languages[batch[0]] == "fr" for batch in batches]))

    # p ~ n^(1/T): 20/220 = 0.091 at T = 1; sqrt(20) / (sqrt(200) + sqrt(20)) = 0.240 at T = 2. Three standard errors.
    assert share(1) == pytest.approx(20 / 220, abs=3 * (0.091 * 0.909 / 600) ** 0.5)
    assert share(2) == pytest.approx(0.240, abs=3 * (0.24 * 0.76 / 600) ** 0.5)


def test_too_few_rows_for_a_batch_are_refused() -> None:
    with pytest.raises(UsageError, match="no language has 9 rows"):
        plan_batches(numbered(8), size=9, count=1, seed=0)
    same = made_rows({"anchor": [f"q{i}" for i in range(6)], "positive": ["d"] * 6})
    with pytest.raises(UsageError, match="without a text in common"):
        plan_batches(same, size=2, count=1, seed=0)


LONG = "The quick brown fox jumps over the lazy dog while nine old men sing songs about the sea and its many ships"


@pytest.mark.parametrize(
    ("passage", "is_leak"),
    [
        (LONG, True),
        (LONG.upper() + "!", True),
        (" ".join(LONG.split()[4:16]), True),  # cut out of it
        (LONG.replace("old", "young"), False),  # one word changes 5 of 18 grams: 13 of 18 are common, below 0.8
        (f"{LONG} and so on", True),
        ("Something else that has nothing at all to do with animals or with the wide and open water", False),
        ("The fox", False),
    ],
)
def test_passages_of_the_evaluation_are_found_cut_or_extended(passage: str, is_leak: bool) -> None:
    assert bool(find_leaks([passage], [("eval", LONG)], 0.8)) == is_leak


def test_short_texts_count_when_they_are_equal() -> None:
    assert find_leaks(["Print page"], [("e", "print page.")], 0.8)
    assert not find_leaks(["Print page"], [("e", "Print pages now")], 0.8)


def test_texts_without_spaces_are_compared_by_character() -> None:
    assert len(shingles("日本語の文章です")) == 4


def test_leaks_are_refused_by_name_or_dropped_with_their_negatives(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text(json.dumps({"_id": "e7", "text": LONG}) + "\n")
    rows = made_rows({"anchor": ["a", "b", "c"], "positive": [LONG, "pb", "pc"], "negative_1": ["pb", LONG, "pb"]})
    data = DataPart(not_in=(str(tmp_path / "e.jsonl"),))
    with pytest.raises(InputError, match=r"1 of 3 training passages.*e7"):
        guard(rows, data)
    kept = guard(rows, DataPart(not_in=(str(tmp_path / "e.jsonl"),), drop_leaks=True))
    assert kept.columns["anchor"] == ["c"]
    assert kept.drops == {"passage in the evaluation data": 2}
