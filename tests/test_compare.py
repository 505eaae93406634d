"""Two results, query by query: what is refused, what is computed, what is printed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import save
from paired_results import EN, drawn, made, save_scores
from scipy import stats as scipy_stats

from clear_bench.cli import invoke
from clear_bench.compare import Resampling, compare, document, labels, measure, read_side
from clear_bench.errors import InputError, NotComparableError, TamperedError
from clear_bench.types import LanguagePair

FAST = Resampling(200)
DE_EN, EN_DE, DE, DE_AR = "deu-Latn:eng-Latn", "eng-Latn:deu-Latn", "deu-Latn:deu-Latn", "deu-Latn:ara-Arab"
EN_AR, AR_EN = "eng-Latn:ara-Arab", "ara-Arab:eng-Latn"


def pair_of(text: str) -> LanguagePair:
    return LanguagePair(*text.split(":"))


# --- one cell


def test_a_cell_is_the_paired_comparison_of_its_queries(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    old, new = rng.random(50), rng.random(50)
    one = compare([made(tmp_path / "a", {EN: old})], [made(tmp_path / "b", {EN: new}, "org/new")], resampling=FAST)
    row, oracle = one.cells[pair_of(EN)], scipy_stats.ttest_rel(new, old)
    assert (row.base, row.candidate) == pytest.approx((old.mean(), new.mean()))
    assert row.delta == pytest.approx((new - old).mean())
    assert row.percent == pytest.approx(100 * (new - old).mean() / old.mean())
    assert row.headroom == pytest.approx((new - old).mean() / (1 - old.mean()))
    assert row.delta / (row.estimate.se or 0) == pytest.approx(oracle.statistic)
    # One of 50 queries may be lost or won that the sample does not show, so the interval is wider than Student's.
    low, high = oracle.confidence_interval()
    assert row.p is not None
    assert row.lower is not None
    assert row.upper is not None
    assert oracle.pvalue < row.p < 1.2 * oracle.pvalue
    assert 1 < (row.upper - row.lower) / (high - low) < 1.2
    assert row.effect == pytest.approx((new - old).mean() / (new - old).std(ddof=1))
    assert (row.wins, row.ties, row.losses) == ((new > old).sum(), 0, (new < old).sum())
    assert (row.n, row.clusters) == (50, 50)
    assert row.bootstrap is not None
    assert row.bootstrap[0] < row.delta < row.bootstrap[1]


def test_queries_are_paired_by_id_whatever_their_order(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 20)
    cells = {EN: values, DE_EN: values**2}
    same = compare([made(tmp_path / "a", cells)], [made(tmp_path / "b", cells, reverse=True)], resampling=FAST)
    assert same.is_identical
    assert all(row.delta == 0 and row.p == 1 and (row.lower, row.upper) == (0, 0) for row in same.cells.values())


def test_two_correct_answers_lost_and_one_won_count_as_they_are(tmp_path: Path) -> None:
    # 10 queries in 5 clusters: two fall from 1 to 0, one rises from 0 to 0.5
    old, new = [1.0] * 8 + [0.0] * 2, [0.0, 0.0] + [1.0] * 6 + [0.5, 0.0]
    one = compare([made(tmp_path / "a", {EN: old}, size=2)], [made(tmp_path / "b", {EN: new}, size=2)], resampling=FAST)
    row = one.cells[pair_of(EN)]
    assert (row.wins, row.ties, row.losses, row.clusters) == (1, 7, 2, 5)
    assert row.delta == pytest.approx(-0.15)
    # cluster sums -2, 0, 0, 0, 0.5 around 2 x -0.15 each: sum of squares 1.7^2 + 3 x 0.3^2 + 0.8^2 = 3.8
    assert row.estimate.se == pytest.approx(np.sqrt(5 / 4 * 3.8) / 10)


def test_one_cluster_gives_a_difference_without_interval_and_says_why(tmp_path: Path) -> None:
    sides = [made(tmp_path / name, {EN: [0.1, 0.2, 0.3 + shift]}, size=3) for name, shift in (("a", 0.0), ("b", 0.1))]
    one = compare([sides[0]], [sides[1]], resampling=FAST)
    row = one.cells[pair_of(EN)]
    assert (row.lower, row.p, row.p_adjusted, row.bootstrap, row.mde) == (None, None, None, None, None)
    assert row.reason is not None
    assert "one cluster" in row.reason
    json.dumps(document([one], FAST), allow_nan=False)


def test_queries_that_a_metric_does_not_count_for_either_model_are_left_out(tmp_path: Path) -> None:
    kept: list[float | None] = [None, 0.5, 0.5, 0.5]
    other: list[float | None] = [0.0, 0.5, 1.0, None]
    sides = [
        made(tmp_path / name, {EN: [0.5] * 4}, extra={"LPR-top1": column})  # type: ignore[dict-item]
        for name, column in (("a", kept), ("b", other))
    ]
    cells = measure([sides[0]], [sides[1]], "LPR-top1")
    assert cells.outcomes[:, 0].tolist() == [1, 1, 0]
    assert cells.candidate[0, 0] == 0.75


# --- seeds


def test_seeds_are_averaged_query_by_query(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    old, new = rng.random((3, 30)), rng.random((2, 30))
    sides = [
        [made(tmp_path / f"{name}{i}", {EN: values}) for i, values in enumerate(scores)]
        for name, scores in (("a", old), ("b", new))
    ]
    row = compare(*sides, resampling=FAST).cells[pair_of(EN)]
    oracle = scipy_stats.ttest_rel(new.mean(axis=0), old.mean(axis=0))
    assert row.delta / (row.estimate.se or 0) == pytest.approx(oracle.statistic)
    assert row.spread == pytest.approx((old.mean(axis=1).std(ddof=1), new.mean(axis=1).std(ddof=1)))


def test_equal_averages_over_seeds_are_no_difference(tmp_path: Path) -> None:
    # (0.1 + 0.2) / 2 and (0.2 + 0.1) / 2 and 0.15 differ in the last bit
    sides = [[0.1, 0.2], [0.2, 0.1]], [[0.15, 0.15], [0.15, 0.15]]
    results = [[made(tmp_path / f"{i}{j}", {EN: v}) for j, v in enumerate(side)] for i, side in enumerate(sides)]
    assert compare(*results, resampling=FAST).is_identical


def test_a_comma_joins_seeds_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [save_scores(tmp_path / f"m{i}" / "xquad", {EN: np.linspace(0, 1 - i / 10, 20)}) for i in range(3)]
    assert invoke(["compare", f"{paths[0]},{paths[1]}", str(paths[2]), "--resamples", "100"]) == 0
    assert "averaged over 2 and 1 seeds" in capsys.readouterr().out


# --- what cannot be compared


def refused(tmp_path: Path, right: dict[str, Any], left: dict[str, Any] | None = None) -> str:
    cells = {EN: np.linspace(0, 1, 10)}
    base = made(tmp_path / "a", **{"cells": cells, **(left or {})})
    other = made(tmp_path / "b", **{"cells": cells, **right})
    with pytest.raises(NotComparableError) as caught:
        compare([base], [other], resampling=FAST)
    return str(caught.value)


@pytest.mark.parametrize(
    ("part", "key", "word"),
    [("queries", "eng-Latn", "queries"), ("corpora", "eng-Latn", "passages"), ("qrels", EN, "judgements")],
)
def test_other_texts_or_judgements_are_refused_with_both_digests(
    tmp_path: Path, part: str, key: str, word: str
) -> None:
    digests = {"queries": {"eng-Latn": "1" * 64}, "corpora": {"eng-Latn": "2" * 64}, "qrels": {EN: "3" * 64}}
    digests[part] = {key: "f" * 64}
    message = refused(tmp_path, {"digests": digests})
    assert f"{word} of {key} differ" in message
    assert "ffffffffffff" in message
    assert str(tmp_path / "a") in message


def test_other_texts_of_languages_that_are_not_compared_do_not_matter(tmp_path: Path) -> None:
    digests = {"queries": {"eng-Latn": "1" * 64, "deu-Latn": "f" * 64}, "corpora": {}, "qrels": {}}
    sides = [
        made(tmp_path / "a", {EN: [0.0, 1.0], DE: [0.0, 1.0]}),
        made(tmp_path / "b", {EN: [0.0, 1.0]}, digests=digests),
    ]
    assert compare([sides[0]], [sides[1]], resampling=FAST).is_identical


def test_missing_and_extra_queries_are_refused_by_name(tmp_path: Path) -> None:
    message = refused(tmp_path, {"cells": {EN: np.zeros(10)}, "ids": [*(f"q{i:05d}" for i in range(9)), "stranger"]})
    assert "'q00009'" in message
    assert "'stranger'" in message


def test_results_of_different_limits_are_refused_and_it_says_so(tmp_path: Path) -> None:
    message = refused(tmp_path, {"cells": {EN: np.zeros(5)}, "partial": True, "limit": 5})
    assert "--limit None and 5" in message


def test_other_clusters_are_refused(tmp_path: Path) -> None:
    assert "clusters of queries differ" in refused(tmp_path, {"size": 5})


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    assert "'xquad'" in refused(tmp_path, {"task": "mlqa"})


def test_another_metric_is_refused_with_what_there_is(tmp_path: Path) -> None:
    assert "MRR@10" in refused(tmp_path, {"metric": "MRR@10"})


def test_no_common_pair_is_refused(tmp_path: Path) -> None:
    assert DE in refused(tmp_path, {"cells": {DE: np.zeros(10)}})


def test_pairs_that_one_side_lacks_are_left_out_and_noted(tmp_path: Path) -> None:
    base = made(tmp_path / "a", {EN: [0.0, 1.0], DE: [0.0, 1.0]})
    one = compare([base], [made(tmp_path / "b", {EN: [0.0, 1.0]})], resampling=FAST)
    assert list(one.cells) == [pair_of(EN)]
    assert "1 pairs of" in one.notes[0]


def test_an_edited_score_is_refused_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [save_scores(tmp_path / name / "xquad", {EN: np.linspace(0, 1, 10)}) for name in "ab"]
    with open(paths[1] / "scores.parquet", "ab") as file:
        file.write(b"x")
    assert invoke(["compare", str(paths[0]), str(paths[1])]) == 3
    shown = capsys.readouterr()
    assert not shown.out
    assert "changed after the run" in shown.err


def test_scores_that_do_not_fit_the_manifest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="other pairs"):
        made(tmp_path / "a", {EN: [0.0, 1.0]}, pairs=[EN, DE])


@pytest.mark.parametrize("what", ["empty", "missing"])
def test_a_folder_without_results_exits_3(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    path = save_scores(tmp_path / "a" / "xquad", {EN: [0.0, 1.0]})
    assert invoke(["compare", str(path), str(tmp_path / what)]) == 3
    assert str(tmp_path / what) in capsys.readouterr().err


def test_a_task_that_is_not_there_is_refused_with_the_near_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(save_scores(tmp_path / "a" / "xquad", {EN: [0.0, 1.0]}))
    assert invoke(["compare", path, path, "--tasks", "xqaud"]) == 3
    assert "did you mean 'xquad'?" in capsys.readouterr().err


def test_seeds_without_a_common_task_and_two_results_of_one_task_are_refused(tmp_path: Path) -> None:
    paths = [save_scores(tmp_path / "a" / task, {EN: [0.0, 1.0]}, task=task) for task in ("xquad", "mlqa")]
    with pytest.raises(InputError, match="no task that all seeds share"):
        read_side(f"{paths[0]},{paths[1]}")
    save_scores(tmp_path / "a" / "again", {EN: [0.0, 1.0]})
    with pytest.raises(InputError, match="both results of 'xquad'"):
        read_side(str(tmp_path / "a"))


def test_folders_without_a_common_task_exit_3(tmp_path: Path) -> None:
    paths = [str(save_scores(tmp_path / task / task, {EN: [0.0, 1.0]}, task=task)) for task in ("xquad", "mlqa")]
    assert invoke(["compare", *paths]) == 3


def test_a_nan_in_the_file_never_reaches_a_comparison(tmp_path: Path) -> None:
    with pytest.raises(TamperedError, match="not finite numbers"):
        made(tmp_path / "a", {EN: [0.0, float("nan")]})


# --- names


def test_two_models_under_one_name_are_told_apart_by_their_fingerprints(tmp_path: Path) -> None:
    first, second = (
        read_side(str(save(tmp_path, "org/x", fingerprint=mark * 64, codes=["eng-Latn"]))) for mark in "ab"
    )
    assert labels([first["xquad"], second["xquad"]]) == ("org/x (aaaaaaaa)", "org/x (bbbbbbbb)")
    assert labels([first["xquad"], first["xquad"]]) == ("org/x", "org/x")


def test_two_candidates_under_one_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = save(tmp_path, "org/old", codes=["eng-Latn"])
    new = [str(save(tmp_path, "org/x", fingerprint=mark * 64, codes=["eng-Latn"])) for mark in "ab"]
    assert invoke(["compare", str(base), *new, "--resamples", "0"]) == 0
    shown = capsys.readouterr().out
    assert "org/x (aaaaaaaa) against org/old on" in shown
    assert "org/x (bbbbbbbb) against org/old on" in shown


@pytest.mark.parametrize("name", ["org/x|<script>", "$\\frac{", "[/bold]", "::error::boom", "a\x1b[31mb"])
def test_hostile_names_are_printed_harmlessly(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [save_scores(tmp_path / side / "xquad", {EN: np.linspace(0, 1, 10)}, name) for side in "ab"]
    assert invoke(["compare", *map(str, paths), "--resamples", "50"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert not any(line.lstrip().startswith("::") for line in shown.splitlines())


# --- tables


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models on a 4 x 4 matrix whose pairs share queries."""
    out = tmp_path_factory.mktemp("matrices")
    codes = ["eng-Latn", "deu-Latn", "ara-Arab", "swa-Latn"]
    scores = {"queries": 120, "clusters": 24}
    return (
        save(out, "org/old", codes=codes, scores=scores),
        save(out, "org/new", codes=codes, scores=scores | {"seed": 1, "shift": 0.02}),
    )


def test_macro_means_are_plain_means_over_pairs(matrices: tuple[Path, Path]) -> None:
    old, new = (read_side(str(path))["xquad"] for path in matrices)
    one = compare(old, new, resampling=FAST)
    for name, kinds in {"x-en": ["x-en"], "direct": ["direct"], "monolingual": ["english", "monolingual"]}.items():
        deltas = [row.delta for pair, row in one.cells.items() if pair.kind in kinds]
        assert one.groups[name].delta == pytest.approx(np.mean(deltas))
    assert len(one.cells) == 16
    assert one.groups["english"].delta == one.cells[pair_of(EN)].delta
    assert list(one.groups) == ["english", "monolingual", "x-en", "en-x", "direct", "cross", "all"]


def test_adjusted_p_values_follow_the_kind_of_table(matrices: tuple[Path, Path]) -> None:
    old, new = (read_side(str(path))["xquad"] for path in matrices)
    one = compare(old, new, resampling=FAST)
    assert one.families["x-en"].adjustment == "max-t"  # the languages share their queries
    assert one.families["macro"].adjustment == "holm"
    heat = [row.p_adjusted for row in one.cells.values()]
    assert heat == pytest.approx(scipy_stats.false_discovery_control([row.p for row in one.cells.values()]))
    english = one.groups["english"]
    assert english.p_adjusted == english.p  # a question of its own


def test_languages_without_common_queries_are_adjusted_by_holm(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sides = []
    for name, shift in (("a", 0.0), ("b", 0.05)):
        result = made(tmp_path / name, {EN: drawn(20, 0.5), DE: drawn(20, 0.5 + shift, seed=1)})
        own = [f"{language}-{i}" for language in ("en", "de") for i in range(20)]
        table = result.scores.table.set_column(3, "cluster_id", pa.array(own))
        pq.write_table(table, tmp_path / f"{name}.parquet")
        object.__setattr__(result.scores, "table", table)
        sides.append(result)
    one = compare([sides[0]], [sides[1]], resampling=FAST)
    assert one.families["monolingual"].adjustment == "holm"


def test_direct_pairs_are_split_by_the_languages_that_training_saw(matrices: tuple[Path, Path]) -> None:
    old, new = (read_side(str(path))["xquad"] for path in matrices)
    assert compare(old, new, resampling=FAST).seen == {}
    one = compare(old, new, trained={"eng-Latn", "deu-Latn", "ara-Arab"}, resampling=FAST)
    both = [DE_AR, "ara-Arab:deu-Latn"]
    assert one.seen["both"].delta == pytest.approx(np.mean([one.cells[pair_of(pair)].delta for pair in both]))
    assert set(one.seen) == {"both", "one"}
    assert {row.name for row in one.families["pivot-macro"].rows} == {"all", "both", "one"}


def test_pivot_statistic_is_the_direct_gain_less_the_mean_of_its_legs(matrices: tuple[Path, Path]) -> None:
    old, new = (read_side(str(path))["xquad"] for path in matrices)
    one = compare(old, new, resampling=FAST)
    rows = {row.pair: row for row in one.families["pivot"].rows}
    legs = [one.cells[pair_of(pair)].delta for pair in (DE_EN, EN_AR)]
    assert rows[pair_of(DE_AR)].delta == pytest.approx(one.cells[pair_of(DE_AR)].delta - np.mean(legs))
    assert len(rows) == 6
    assert one.pivot is not None
    assert one.pivot.delta == pytest.approx(np.mean([row.delta for row in rows.values()]))


def test_a_gain_in_english_alone_has_a_clearly_negative_pivot(tmp_path: Path) -> None:
    # X->en and en->X gain 5 points, the direct pair nothing
    pairs = {EN: 0.0, DE_EN: 0.05, EN_DE: 0.05, EN_AR: 0.05, AR_EN: 0.05, DE_AR: 0.0}
    base = {pair: drawn(600, 0.5, 0.1, seed=i) for i, pair in enumerate(pairs)}
    new = {pair: values + pairs[pair] + drawn(600, 0, 0.02, 50 + i) for i, (pair, values) in enumerate(base.items())}
    one = compare([made(tmp_path / "a", base)], [made(tmp_path / "b", new)], resampling=FAST)
    assert one.pivot is not None
    assert one.pivot.delta == pytest.approx(-0.05)
    assert one.pivot.upper is not None
    assert one.pivot.upper < 0


def test_gains_are_grouped_by_resource_class_with_a_trend(matrices: tuple[Path, Path]) -> None:
    from clear_bench.languages import resource_class

    old, new = (read_side(str(path))["xquad"] for path in matrices)
    one = compare(old, new, resampling=FAST)
    rows = {row.name: row for row in one.families["resource:x-en"].rows}
    assert set(rows) == {str(resource_class(code)) for code in ("deu-Latn", "ara-Arab", "swa-Latn")}
    x = [float(resource_class(code) or 0) for code in ("deu-Latn", "ara-Arab", "swa-Latn")]
    y = [one.cells[LanguagePair(code, "eng-Latn")].delta for code in ("deu-Latn", "ara-Arab", "swa-Latn")]
    assert one.trends["x-en"].slope == pytest.approx(scipy_stats.linregress(x, y).slope)
    assert one.trends["x-en"].languages == 3


def test_worst_language_is_named_for_both_models(matrices: tuple[Path, Path]) -> None:
    old, new = (read_side(str(path))["xquad"] for path in matrices)
    one = compare(old, new, resampling=FAST)
    rows = [row for pair, row in one.cells.items() if pair.kind == "x-en"]
    worst = one.worst["x-en"]
    assert worst.base.base == min(row.base for row in rows)
    assert worst.candidate.candidate == min(row.candidate for row in rows)
    assert worst.loss.delta == min(row.delta for row in rows)


def test_every_metric_of_a_pool_is_compared(tmp_path: Path) -> None:
    pools = {"deu-Latn:all": np.linspace(0, 1, 20), "eng-Latn:all": np.linspace(0, 1, 20)}
    extra = {"LPR": np.linspace(0, 1, 40), "top1-both": np.ones(40)}
    sides = [made(tmp_path / name, pools, metric="mAP", extra=extra) for name in "ab"]
    one = compare([sides[0]], [sides[1]], resampling=FAST)
    assert [(row.name, row.metric) for row in one.families["pool"].rows] == [
        (f"{code}:all", metric) for metric in ("mAP", "LPR", "top1-both") for code in ("de", "en")
    ]
    assert list(one.groups) == ["pool"]


def test_imported_means_give_differences_without_intervals(tmp_path: Path) -> None:
    imported = made(
        tmp_path / "a",
        {EN: [0.6], DE: [0.5]},
        kind="imported-means",
        digests={"queries": {}, "corpora": {}, "qrels": {}},
    )
    measured = made(tmp_path / "b", {EN: [0.5, 0.9], DE: [0.5, 0.5]})
    one = compare([imported], [measured], resampling=FAST)
    row = one.cells[pair_of(EN)]
    assert row.delta == pytest.approx(0.1)
    assert (row.p, row.lower, row.outcomes) == (None, None, None)
    content = document([one], FAST)["comparisons"][0]["cells"]["rows"][0]
    assert content["n_queries"] is None
    assert "imported as means" in content["reason"]
    assert any("imported" in note for note in one.notes)


def test_a_model_that_was_trained_on_the_task_is_flagged(tmp_path: Path) -> None:
    result = made(tmp_path / "a", {EN: [0.0, 1.0]})
    told = result.manifest
    model, task = replace(told.model, trained_on=("squad",)), replace(told.task, overlaps=("squad",))
    result = replace(result, manifest=replace(told, model=model, task=task))
    assert "trained on squad" in " ".join(compare([result], [result], resampling=FAST).notes)


# --- output


def test_the_same_result_twice_says_no_difference(
    matrices: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["compare", str(matrices[0]), str(matrices[0]), "--resamples", "100"]) == 0
    assert "no difference, every score is the same" in capsys.readouterr().out


def test_the_tables_fit_a_hundred_columns(matrices: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["compare", *map(str, matrices), "--resamples", "100", "--seen", "de,ar", "--all"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    for title in ("Means over pairs", "X→en", "en→X", "monolingual", "direct", "resource class", "Worst language"):
        assert title in shown


def test_json_carries_every_number_and_no_nan(matrices: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    import jsonschema

    assert (
        invoke(["compare", str(matrices[0]), str(matrices[1]), str(matrices[0]), "--json", "--resamples", "100"]) == 0
    )
    content = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert invoke(["schema", "compare"]) == 0
    jsonschema.validate(content, json.loads(capsys.readouterr().out))
    assert [one["candidate"]["name"] for one in content["comparisons"]] == ["org/new", "org/old"]
    assert [one["identical"] for one in content["comparisons"]] == [False, True]
    rows = content["comparisons"][0]["cells"]["rows"]
    assert len(rows) == 16
    assert all(row["n_queries"] == 120 and row["n_clusters"] == 24 and row["minimum_detectable"] > 0 for row in rows)


def test_the_same_command_gives_the_same_bytes(matrices: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for _ in range(2):
        invoke(["compare", *map(str, matrices), "--json", "--resamples", "100"])
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_a_metric_may_be_spelled_in_any_case_and_an_unknown_one_exits_2(
    matrices: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["compare", *map(str, matrices), "--metric", "RECALL@10", "--resamples", "0"]) == 0
    assert "recall@10" in capsys.readouterr().out
    assert invoke(["compare", *map(str, matrices), "--metric", "nDGC@10"]) == 2


def test_without_resampling_holm_stands_in_for_max_t(matrices: tuple[Path, Path]) -> None:
    old, new = (read_side(str(path))["xquad"] for path in matrices)
    one = compare(old, new, resampling=Resampling(0))
    assert one.families["x-en"].adjustment == "holm"
    assert one.cells[pair_of(EN)].bootstrap is None


def test_a_metric_that_counts_other_queries_on_each_side_is_not_comparable(tmp_path: Path) -> None:
    # The question decides which queries have a gold answer: nulls at the lost ones would hide the losses.
    old = made(tmp_path / "a", {EN: [1.0, 1.0, 0.0]}, extra={"R@2kt": [1.0, 1.0, None]})
    new = made(tmp_path / "b", {EN: [1.0, 0.0, 0.0]}, extra={"R@2kt": [1.0, None, None]})
    with pytest.raises(NotComparableError, match="R@2kt counts other queries"):
        compare([old], [new], metric="R@2kt", resampling=FAST)
