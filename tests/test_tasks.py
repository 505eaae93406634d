"""Task cards: what a card may say, what is refused and how, and which pairs a pattern means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clear_bench.errors import CardError, UsageError
from clear_bench.tasks import (
    PAIR_WORDS,
    Task,
    find_task,
    find_tasks,
    group_names,
    library,
    load_card,
    plan_pairs,
    select_pairs,
    task_names,
)
from clear_bench.types import LanguagePair

CARD: dict[str, str] = {
    "name": '"demo"',
    "title": '"Demo"',
    "reader": '"jsonl"',
    "languages": '["eng-Latn", "de", "arb_Arab"]',
    "pairs": '"all"',
    "metrics": '["nDCG@10", "recall@100"]',
    "main_metric": '"nDCG@10"',
    "licence": '"CC0-1.0"',
    "source": '{ path = "." }',
    "codes": '{ en = "EN", "deu-Latn" = "DE", ara = "AR" }',
}


def write(folder: Path, **changes: str | None) -> Path:
    """Write the demo card with some keys changed, added or (None) left out."""
    keys = {**CARD, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "card.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None), encoding="utf-8")
    return path


def pairs(*texts: str) -> set[LanguagePair]:
    return {LanguagePair(*text.split(":")) for text in texts}


@pytest.fixture
def demo(tmp_path: Path) -> Task:
    return load_card(write(tmp_path, pools='{ mixed = ["de", "ar"], any = ["en", "de", "ar"] }'))


def test_a_card_is_read_with_canonical_languages_and_its_defaults(tmp_path: Path) -> None:
    task = load_card(write(tmp_path, title=None))
    assert task.languages == ("eng-Latn", "deu-Latn", "ara-Arab")
    assert task.codes == {"eng-Latn": "EN", "deu-Latn": "DE", "ara-Arab": "AR"}
    assert len(task.pairs) == 9
    assert task.pairs[:4] == tuple(
        LanguagePair(q, p)
        for q, p in [("eng-Latn", language) for language in task.languages] + [("deu-Latn", "eng-Latn")]
    )
    assert (task.title, task.cluster, task.join, task.dedupe, task.run_depth) == ("demo", "query", " ", "none", 10)
    assert task.folder == tmp_path


def test_a_language_without_a_code_is_called_by_its_canonical_one(tmp_path: Path) -> None:
    assert load_card(write(tmp_path, codes='{ de = "x" }')).codes["ara-Arab"] == "ara-Arab"
    assert load_card(write(tmp_path, codes=None)).codes["deu-Latn"] == "deu-Latn"


def test_a_star_speaks_for_all_languages_and_a_row_of_its_own_goes_first(tmp_path: Path) -> None:
    task = load_card(
        write(
            tmp_path,
            codes='{ "*" = "listed", de = "GER" }',  # languages lists eng-Latn, de and arb_Arab
            expected='{ "*" = { queries = 3 }, en = { passages = 5 }, de = { queries = 4 } }',
            pools='{ mixed = "*" }',
        )
    )
    assert task.codes == {"eng-Latn": "eng-Latn", "deu-Latn": "GER", "ara-Arab": "arb_Arab"}
    counts = {language: (one.queries, one.passages) for language, one in task.expected.items()}
    assert counts == {"eng-Latn": (3, 5), "deu-Latn": (4, None), "ara-Arab": (3, None)}
    assert task.pools == {"mixed": ("eng-Latn", "deu-Latn", "ara-Arab")}


def test_every_optional_key_arrives(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        instruction='"Find the answer."',
        run_depth="100",
        join='""',
        dedupe='"text"',
        cluster='"article"',
        grades='"1 relevant"',
        citation='"@misc{x}"',
        overlaps='["NQ"]',
        groups='["parallel"]',
        select='{ split = "dev", kind = [1, 2] }',
        expected="{ de = { queries = 3, passages = 4 }, en = { passages = 5 } }",
        pools='{ mixed = ["en", "ar"] }',
        options="{ anything = { nested = 1 } }",
        files='{ corpus = "{code}.jsonl" }',
    )
    task = load_card(path)
    assert (task.instruction, task.run_depth, task.join, task.dedupe) == ("Find the answer.", 100, "", "text")
    assert (task.cluster, task.grades, task.citation) == ("article", "1 relevant", "@misc{x}")
    assert (task.overlaps, task.groups) == (("NQ",), ("parallel",))
    assert task.select == {"split": ("dev",), "kind": (1, 2)}
    assert (task.expected["deu-Latn"].queries, task.expected["eng-Latn"].passages) == (3, 5)
    assert task.expected["eng-Latn"].queries is None
    assert task.pools == {"mixed": ("eng-Latn", "ara-Arab")}
    assert (task.options, task.files) == ({"anything": {"nested": 1}}, {"corpus": "{code}.jsonl"})


@pytest.mark.parametrize("key", ["name", "reader", "languages", "pairs", "metrics", "main_metric", "licence", "source"])
def test_a_card_without_a_required_key_is_refused_by_its_name(tmp_path: Path, key: str) -> None:
    with pytest.raises(CardError, match=f"has no '{key}'"):
        load_card(write(tmp_path, **{key: None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": '"Demo 1"'}, "'Demo 1' cannot name a folder"),
        ({"licence": '" "'}, "'licence' is ' ', but must be a text that is not blank"),
        ({"languages": '"eng-Latn"'}, "'languages' is 'eng-Latn', but must be a list"),
        ({"languages": "[]"}, "'languages' is .*, but must be a list"),
        ({"languages": '["ar", "arb", "en", "de"]'}, r"'ara-Arab' twice, as \['ar', 'arb'\]"),
        ({"main_metric": '"nDCG@5"'}, "unknown main_metric 'nDCG@5'; did you mean 'nDCG@10'"),
        ({"pairs": '["de:en", "en:fr"]'}, "'en:fr' matches no pair of its languages"),
        ({"pairs": "[]"}, "'pairs' is"),
        ({"codes": '{ en = "x", de = "x" }'}, "same code"),
        ({"codes": '{ en = "a/b" }'}, "'a/b' must be letters"),
        ({"codes": "{ en = 5 }"}, "code or pool 5 must be letters"),
        ({"codes": '{ fr = "fr" }'}, r"\[codes\] has 'fr', which is none of the card's languages"),
        ({"codes": '{ "*" = "short" }'}, r"\[codes\] \"\*\" is 'short', but must be \"listed\""),
        ({"expected": '{ "*" = { queries = 0 } }'}, r"'\*' 'queries' is 0, but must be a whole number"),
        ({"pools": '{ de = ["en", "ar"] }'}, "pool 'de' is named like a language"),
        ({"pools": '{ mixed = ["en", "fr"] }'}, "'fr', which is none of the card's languages"),
        ({"pools": "{ mixed = [] }"}, "pool 'mixed' is"),
        ({"select": "{ split = [] }"}, r"\[select\] 'split' is \[\]"),
        ({"expected": '{ en = { queries = "many" } }'}, "'queries' is 'many', but must be a whole number"),
        ({"expected": "{ en = 5 }"}, "'eng-Latn' is 5, but must be a table"),
        ({"run_depth": "0"}, "'run_depth' is 0"),
        ({"run_depth": "true"}, "'run_depth' is True"),
        ({"dedupe": '"id"'}, "'dedupe' is 'id', but must be \"none\" or \"text\""),
        ({"source": "{}"}, "needs either path or hub"),
        ({"source": '{ path = ".", hub = "a/b" }'}, "needs either path or hub"),
        ({"source": "{ path = 3 }"}, "'path' is 3"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_with_the_value(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CardError, match=message):
        load_card(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"license": '"MIT"'}, "unknown key 'license'; did you mean 'licence'"),
        ({"source": '{ paht = "." }'}, r"\[source\]: unknown key 'paht'; did you mean 'path'"),
        ({"expected": "{ en = { query = 1 } }"}, "unknown key 'query'; did you mean 'queries'"),
        ({"languages": '["en", "de", "ara", "fra-Latin"]'}, "unknown language 'fra-Latin'; did you mean 'fra-Latn'"),
        ({"pairs": '"evrything"'}, "unknown pair 'evrything'"),
    ],
)
def test_a_name_that_does_not_exist_is_a_usage_error_with_the_nearest(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load_card(write(tmp_path, **changes))


def test_a_card_that_is_no_toml_or_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text('name = "demo"\nname =\n', encoding="utf-8")
    with pytest.raises(CardError, match=r"not valid TOML: .*line 2"):
        load_card(path)
    path.write_bytes(b'name = "\xff"\n')
    with pytest.raises(CardError, match="not UTF-8: byte 8"):
        load_card(path)
    with pytest.raises(CardError, match="there is no card at"):
        load_card(tmp_path / "other.toml")


def test_words_and_lists_in_a_card_choose_its_pairs_and_name_its_pools(tmp_path: Path) -> None:
    def of(text: str) -> set[str]:
        task = load_card(write(tmp_path, pairs=text, pools='{ mixed = ["de", "ar"] }'))
        return {re.sub(r"([a-z]{2})[a-z]-[A-Z][a-z]{3}", r"\1", str(pair)) for pair in task.pairs}

    assert of('"monolingual"') == {"en:en", "de:de", "ar:ar"}
    assert of('"direct"') == {"de:ar", "ar:de"}
    assert of('"cross"') == {"de:ar", "ar:de", "en:de", "en:ar", "de:en", "ar:en"}
    assert of('["*:en", "de:mixed"]') == {"en:en", "de:en", "ar:en", "de:mixed"}
    assert of('["*:mixed"]') == {"en:mixed", "de:mixed", "ar:mixed"}
    # A pool joins neither "all" nor a star: the card says where pools run by themselves.
    assert len(of('"all"')) == len(of('["*:*"]')) == 9


def test_sides_of_the_pairs_are_the_languages_to_load(tmp_path: Path) -> None:
    task = load_card(write(tmp_path, pairs='["de:en", "ar:en"]'))
    assert (task.query_languages, task.passage_languages) == (("deu-Latn", "ara-Arab"), ("eng-Latn",))
    task = load_card(write(tmp_path, pairs='["de:mixed"]', pools='{ mixed = ["ar", "de"] }'))
    assert task.passage_languages == ("ara-Arab", "deu-Latn")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("en:en", "eng-Latn:eng-Latn"),
        ("*:en", "eng-Latn:eng-Latn deu-Latn:eng-Latn ara-Arab:eng-Latn"),
        ("deu_Latn:ar", "deu-Latn:ara-Arab"),
        ("DE:AR", "deu-Latn:ara-Arab"),
        ("direct", "deu-Latn:ara-Arab ara-Arab:deu-Latn"),
        ("english", "eng-Latn:eng-Latn"),
        ("monolingual", "eng-Latn:eng-Latn deu-Latn:deu-Latn ara-Arab:ara-Arab"),
        ("x-en", "deu-Latn:eng-Latn ara-Arab:eng-Latn"),
        ("ar:de, en:en", "eng-Latn:eng-Latn ara-Arab:deu-Latn"),
        ("de:mixed", "deu-Latn:mixed"),
        ("ar:POOL", "ara-Arab:mixed ara-Arab:any"),
        ("fr:en", ""),
        ("", ""),
    ],
)
def test_a_pattern_means_pairs_in_the_order_of_the_card(demo: Task, patterns: str, expected: str) -> None:
    assert " ".join(map(str, select_pairs(demo, patterns))) == expected


def test_patterns_may_come_as_a_list_and_mean_a_pair_once(demo: Task) -> None:
    assert select_pairs(demo, ["all", "de:en", "de:*,*:de"]) == demo.pairs


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("dircet", "unknown pair 'dircet'; did you mean 'direct'"),
        ("en-de", "unknown pair 'en-de'.*write query:passage"),
        ("de:eng-Latin", "unknown language 'eng-Latin'; did you mean .*'eng-Latn'"),
        ("mixed:de", "unknown language 'mixed'"),
        ("de:pool9", "unknown language 'pool9'"),
        (":de", "unknown language ''"),
    ],
)
def test_a_pattern_that_means_nothing_anywhere_is_refused(demo: Task, pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select_pairs(demo, pattern)


SIDES = st.sampled_from(["*", "en", "de", "ar", "deu-Latn", "AR"])
PATTERNS = st.one_of(st.sampled_from(sorted(PAIR_WORDS)), st.builds("{}:{}".format, SIDES, SIDES))
TRIO = tuple(
    LanguagePair(q, p) for q in ("eng-Latn", "deu-Latn", "ara-Arab") for p in ("eng-Latn", "deu-Latn", "ara-Arab")
)


@given(st.lists(PATTERNS, max_size=4))
def test_several_patterns_mean_the_union_of_each(tmp_path_factory: pytest.TempPathFactory, patterns: list[str]) -> None:
    task = load_card(write(tmp_path_factory.mktemp("card")))
    united = {pair for pattern in patterns for pair in select_pairs(task, pattern)}
    assert select_pairs(task, ",".join(patterns)) == tuple(pair for pair in TRIO if pair in united)


def test_the_words_part_the_pairs_of_a_square(demo: Task) -> None:
    def size(word: str) -> int:
        return len(select_pairs(demo, word))

    assert size("monolingual") + size("cross") == size("all") == 9
    assert size("direct") + size("x-en") + size("en-x") == size("cross")


def test_several_tasks_share_patterns_and_a_lacking_one_is_warned_about(tmp_path: Path, demo: Task) -> None:
    small = load_card(write(tmp_path / "small", name='"small"', languages='["en", "fr"]', codes=None))
    chosen, warnings = plan_pairs([demo, small], "en:en,de:ar,en:mixed")
    assert set(chosen["demo"]) == pairs("eng-Latn:eng-Latn", "deu-Latn:ara-Arab", "eng-Latn:mixed")
    assert set(chosen["small"]) == pairs("eng-Latn:eng-Latn")
    assert len(warnings) == 2
    assert all("small has no pair" in warning for warning in warnings)


def test_a_pattern_that_every_task_lacks_is_refused_with_what_there_is(tmp_path: Path, demo: Task) -> None:
    with pytest.raises(UsageError, match=r"no pair matches 'fr:en'; demo has eng-Latn:eng-Latn, "):
        plan_pairs([demo], "en:en,fr:en")


def test_cards_are_found_by_name_by_path_and_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = write(tmp_path / "demo")
    assert find_task(str(card)).name == find_task(str(card.parent)).name == "demo"
    monkeypatch.chdir(tmp_path)
    assert find_task("demo").name == "demo"
    assert find_task("mini").name == "mini"


def test_an_unknown_task_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown task 'minni'; did you mean 'mini'"):
        find_task("minni")
    with pytest.raises(UsageError, match=r"there is no card at .*nowhere"):
        find_task(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="unknown task 'minni'"):
        find_tasks("mini,minni")


def test_several_names_give_each_card_once_in_the_order_asked_for(tmp_path: Path) -> None:
    card = write(tmp_path)
    assert [task.name for task in find_tasks([f"{card},mini", "mini"])] == ["demo", "mini"]
    assert [task.name for task in find_tasks("all")] == list(task_names())


def test_two_cards_of_one_name_are_refused(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    with pytest.raises(UsageError, match="two cards are named 'demo'"):
        find_tasks([str(first), str(second)])


def test_a_group_runs_its_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        groups = '["odd", "small"]' if name != "two" else '["small"]'
        write(tmp_path / name, name=f'"{name}"', groups=groups)
    cards = {name: tmp_path / name / "card.toml" for name in ("one", "three", "two")}
    monkeypatch.setattr(library, "_cards", lambda: cards)
    assert group_names() == {"all": ("one", "three", "two"), "odd": ("one", "three"), "small": ("one", "three", "two")}
    assert [task.name for task in find_tasks("two,odd")] == ["two", "one", "three"]


@pytest.mark.parametrize("name", task_names())
def test_a_card_of_the_package_is_named_like_its_file_and_no_group_hides_it(name: str) -> None:
    task = find_task(name)
    assert task.name == name
    assert name not in group_names()
    assert task.description
    assert task.grades
