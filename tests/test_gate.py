"""The rule of the gate, its sentences, its configuration and its plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paired_results import EN, drawn, made
from scipy import stats as scipy_stats

from clear_bench.compare import Difference, difference, measure
from clear_bench.errors import InputError, UsageError
from clear_bench.gate import (
    Check,
    Rule,
    check,
    choose_pairs,
    document,
    judge,
    margin_plan,
    overall,
    read_rules,
    refuse_unusable,
)
from clear_bench.stats import Estimate
from clear_bench.types import LanguagePair

ENGLISH = LanguagePair("eng-Latn", "eng-Latn")


def changed(delta: float, se: float | None, n: int = 300, clusters: int | None = None, sd: float = 0.15) -> Difference:
    """A difference with this estimate."""
    estimate = Estimate(delta, se, sd, n, clusters or n)
    reason = None if se is not None else "all queries belong to one cluster"
    return Difference("en", ENGLISH, "nDCG@10", 0.9, 0.9 + delta, estimate, reason=reason)


def told(row: Difference, margin: float = 0.01) -> Check:
    return check(row, margin, "xquad", "English")


# --- the rule


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (-0.005, 0.004, "PASS"),
        (-0.009, -0.001, "PASS"),  # shown to be worse, but by less than the margin
        (-0.01, 0.01, "INCONCLUSIVE"),  # at the margin is not above it
        (-0.02, 0.001, "INCONCLUSIVE"),
        (-0.02, 0.0, "INCONCLUSIVE"),
        (-0.02, -0.001, "FAIL"),
        (0.0, 0.0, "PASS"),
    ],
)
def test_verdict_follows_the_bounds(lower: float, upper: float, verdict: str) -> None:
    assert judge((lower, upper), 0.01) == verdict


def test_no_bounds_are_inconclusive() -> None:
    assert judge(None, 0.01) == "INCONCLUSIVE"


def test_bounds_are_one_sided_with_students_quantiles_over_clusters() -> None:
    found = told(changed(-0.002, 0.004, n=50, clusters=10))
    half = scipy_stats.t.ppf(0.95, 9) * 0.004
    assert (found.lower, found.upper) == pytest.approx((-0.002 - half, -0.002 + half))


def test_a_result_passes_against_itself(tmp_path: Path) -> None:
    base = made(tmp_path / "a", {EN: drawn(40, 0.5)})
    found = told(difference(measure([base], [base], "nDCG@10"), 0))
    assert (found.verdict, found.delta, found.lower, found.upper) == ("PASS", 0, 0, 0)
    assert "did not change" in found.reason


@pytest.mark.parametrize(("n", "verdict"), [(2, "INCONCLUSIVE"), (299, "INCONCLUSIVE"), (301, "PASS"), (2000, "PASS")])
def test_two_models_with_equal_scores_pass_where_three_in_n_is_below_the_margin(
    tmp_path: Path, n: int, verdict: str
) -> None:
    scores = np.linspace(0, 1, n)
    sides = [made(tmp_path / name, {EN: scores}, f"org/{name}") for name in ("a", "b")]
    found = told(difference(measure([sides[0]], [sides[1]], "nDCG@10"), 0))
    assert found.verdict == verdict
    if n == 2:
        assert "about 300 more would settle it" in found.reason  # 298, in two digits


def test_one_cluster_is_inconclusive_with_its_reason() -> None:
    found = told(changed(0.02, None, clusters=1))
    assert (found.verdict, found.lower, found.upper) == ("INCONCLUSIVE", None, None)
    assert "one cluster" in found.reason


def test_the_same_loss_on_every_query_is_judged_without_error() -> None:
    assert told(changed(-0.02, 0.0)).verdict == "FAIL"
    assert told(changed(-0.005, 0.0)).verdict == "PASS"


def test_all_must_pass_and_a_failure_outweighs_an_open_one() -> None:
    passed, failed, opened = (told(changed(delta, 0.004)) for delta in (0.02, -0.05, -0.005))
    assert [one.verdict for one in (passed, failed, opened)] == ["PASS", "FAIL", "INCONCLUSIVE"]
    assert overall([passed, passed]) == "PASS"
    assert overall([passed, opened]) == "INCONCLUSIVE"
    assert overall([opened, failed, passed]) == "FAIL"
    assert overall([]) == "INCONCLUSIVE"


def test_document_has_the_fields_of_the_schema() -> None:
    content = document([told(changed(-0.05, 0.004))])
    assert list(content) == ["schema", "verdict", "checks"]
    assert list(content["checks"][0]) == [
        *("task", "query_language", "passage_language", "metric", "delta", "lower", "upper", "margin"),
        *("n_queries", "n_clusters", "verdict", "reason"),
    ]


# --- the sentence


def test_an_open_verdict_says_what_would_settle_it() -> None:
    # sd .15 on 300 queries; 1,430 are needed at margin 1 point when nothing changed: 1,130 more, in two digits 1,200
    sentence = told(changed(-0.004, 0.15 / np.sqrt(300))).reason
    assert sentence.startswith(
        "INCONCLUSIVE: English nDCG@10 fell 0.4 points (one-sided 95 % bounds -1.8 and +1.0, margin 1.0)"
    )
    assert "on 300 queries of xquad; about 1,200 more would settle it if the models are equal" in sentence


def test_clusters_are_named_and_make_more_queries_necessary() -> None:
    # design effect 1.8: 1.8 x 1,430 or some less, 2,274 more, in two digits 2,300
    row = changed(-0.004, 0.15 * np.sqrt(1.8 / 300), clusters=60)
    assert "on 300 queries of xquad in 60 clusters; about 2,300 more" in told(row).reason


def test_enough_queries_for_equal_models_may_be_too_few_for_the_loss_that_was_seen() -> None:
    # 714 would do at sd .10; the loss of 0.6 points leaves 0.4 to the margin: (2.486 x .10 / .004)^2 = 3,864, and
    # some 2 % more for what is unseen
    row = changed(-0.006, 0.10 / np.sqrt(750), n=750, sd=0.10)
    found = told(row)
    assert found.verdict == "INCONCLUSIVE"
    assert "about 3,200 more would settle it if the true loss is no larger" in found.reason


def test_two_clusters_are_told_to_be_too_few() -> None:
    found = told(changed(-0.001, 0.0015, n=4000, clusters=2, sd=0.15))
    assert found.verdict == "INCONCLUSIVE"
    assert "few independent clusters" in found.reason


def test_a_margin_of_nothing_can_only_be_beaten() -> None:
    assert "margin of 0" in told(changed(0.001, 0.004), 0.0).reason
    assert told(changed(0.05, 0.004), 0.0).verdict == "PASS"


@given(st.floats(-0.03, 0.03), st.floats(0.0001, 0.02), st.floats(0.001, 0.05))
def test_the_rounded_numbers_of_a_sentence_never_contradict_its_verdict(delta: float, se: float, margin: float) -> None:
    import re

    found = told(changed(delta, se), margin)
    numbers = re.search(r"bounds ([-+]?[\d.]+) and ([-+]?[\d.]+), margin ([\d.]+)", found.reason)
    assert numbers is not None
    low, high, limit = (float(number) for number in numbers.groups())
    assert judge((low, high), limit) == found.verdict or len(numbers[1].split(".")[1]) == 5


def test_gains_and_changes_too_small_to_show_are_worded() -> None:
    assert "rose 0.5 points" in told(changed(0.005, 0.001)).reason
    assert "changed by less than 0.1 points" in told(changed(0.00001, 0.001)).reason


# --- rules


def test_the_default_is_english_at_one_point() -> None:
    assert Rule() == Rule("English", ("en:en",), None, 0.01, (), "each")


@pytest.mark.parametrize("margin", [-0.01, 1.0, 1, float("nan"), float("inf")])
def test_margins_that_cannot_be_meant_are_refused(margin: float) -> None:
    with pytest.raises(UsageError, match=r"one point is 0\.01"):
        Rule(margin=margin)


@pytest.mark.parametrize("margin", [0.0, 1e-6, 0.3])
def test_no_margin_is_too_small_or_too_large(margin: float) -> None:
    assert Rule(margin=margin).margin == margin


def test_configuration_adds_gates_that_inherit_what_they_do_not_say() -> None:
    config = {
        "margin": 0.005,
        "tasks": ["xquad"],
        "gate": [
            {"pairs": ["direct"], "over": "mean", "margin": 0.02},
            {"name": "no language worse", "pairs": ["monolingual"], "metric": "recall@100"},
        ],
    }
    assert read_rules(config, "gate.toml") == [
        Rule("English", margin=0.005, tasks=("xquad",)),
        Rule("gate 1", ("direct",), None, 0.02, ("xquad",), "mean"),
        Rule("no language worse", ("monolingual",), "recall@100", 0.005, ("xquad",)),
    ]


def test_english_can_be_left_to_the_further_gates() -> None:
    assert [rule.name for rule in read_rules({"english": False, "gate": [{"pairs": ["de:en"]}]}, "x")] == ["gate 1"]


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"margn": 0.01}, "margin"),
        ({"gate": [{"pairs": ["direct"], "marginn": 0.1}]}, "margin"),
        ({"gate": [{"margin": 0.1}]}, "name the pairs"),
        ({"gate": {"pairs": ["direct"]}}, "two brackets"),
        ({"margin": "0.01"}, "must be a number"),
        ({"margin": True}, "must be a number"),
        ({"tasks": "xquad"}, "must be a list"),
        ({"tasks": [1]}, "must be a text"),
        ({"gate": [{"pairs": ["direct"], "over": "all"}]}, "'each' or 'mean'"),
        ({"english": False}, "no gate is left"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(config: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        read_rules(config, "gate.toml")


# --- what cannot carry a verdict


def test_partial_results_and_imported_means_are_refused(tmp_path: Path) -> None:
    for name, more, word in (
        ("a", {"partial": True, "limit": 50}, "--limit 50"),
        ("b", {"kind": "imported-means"}, "means"),
    ):
        with pytest.raises(InputError, match=word):
            refuse_unusable([made(tmp_path / name, {EN: [0.0, 1.0]}, **more)])


def test_a_result_without_an_english_cell_is_refused_and_the_tasks_that_have_one_are_named(tmp_path: Path) -> None:
    result = made(tmp_path / "a", {"deu-Latn:eng-Latn": [0.0, 1.0]}, task="xor")
    with pytest.raises(InputError, match=r"task 'xor'.*no English cell.*tasks that can: .*mini"):
        choose_pairs(result, ("en:en",))


def test_pairs_are_chosen_by_pattern(tmp_path: Path) -> None:
    result = made(tmp_path / "a", {EN: [0.0], "deu-Latn:eng-Latn": [0.0], "deu-Latn:ara-Arab": [0.0]})
    assert [str(pair) for pair in choose_pairs(result, ("*:en",))] == [EN, "deu-Latn:eng-Latn"]
    assert [str(pair) for pair in choose_pairs(result, ("direct", "en:en"))] == [EN, "deu-Latn:ara-Arab"]
    with pytest.raises(InputError, match="no pair en:de"):
        choose_pairs(result, ("en:de",))
    with pytest.raises(UsageError):
        choose_pairs(result, ("dierct",))


# --- the plan


def test_plan_gives_the_margin_of_the_tasks_own_queries_and_clusters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = np.clip(0.7 + 0.1 * np.repeat(rng.normal(size=200), 5) + 0.2 * rng.normal(size=1000), 0, 1)
    found = margin_plan(made(tmp_path / "a", {EN: scores, "deu-Latn:eng-Latn": scores}, size=5), "nDCG@10", 0.01)
    assert (found.n_queries, found.n_clusters) == (1000, 200)
    assert found.correlation == pytest.approx(0.2, abs=0.06)  # 0.1^2 / (0.1^2 + 0.2^2)
    assert found.design_effect == pytest.approx(1 + 4 * found.correlation)
    t = scipy_stats.t.ppf(0.95, 199) + scipy_stats.t.ppf(0.8, 199)
    student = t * 0.15 * np.sqrt(found.design_effect / 1000)
    assert student < found.margins[0.15] < 1.05 * student  # type: ignore[operator]
    assert 1 < found.needed[0.15] / (1391.08 * found.design_effect) < 1.05  # type: ignore[operator]


def test_plan_counts_only_the_queries_that_the_metric_counts(tmp_path: Path) -> None:
    result = made(tmp_path / "a", {EN: [0.0, 1.0, 0.5]}, extra={"R@2kt": [None, 1.0, 0.0]})  # type: ignore[dict-item]
    assert margin_plan(result, "R@2kt", 0.01).n_queries == 2


def test_plan_for_one_cluster_or_a_margin_of_nothing_has_gaps(tmp_path: Path) -> None:
    found = margin_plan(made(tmp_path / "a", {EN: [0.0, 1.0]}, size=2), "nDCG@10", 0.0)
    assert set(found.margins.values()) == {None}
    assert set(found.needed.values()) == {None}
