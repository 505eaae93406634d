from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_task import write_task
from toy_training import RECIPES, make_collection, smoke

from clear_bench.api import evaluate
from clear_bench.api.plan import make_plans
from clear_bench.api.training.evaluator import CardEvaluator, make_evaluator
from clear_bench.cli import invoke
from clear_bench.errors import UsageError
from clear_bench.score import means

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"))


def test_a_model_in_memory_is_worth_what_its_folder_is(base: Path, card: Path) -> None:
    from sentence_transformers import SentenceTransformer

    values = CardEvaluator(make_plans([str(card)]))(SentenceTransformer(str(base), device="cpu"))
    cells = means(evaluate(str(base), str(card)).scores["toy"], "nDCG@10")
    by_kind = {kind: [cell.value for pair, cell in cells.items() if pair.kind == kind] for kind in values}
    assert values["english"] == pytest.approx(by_kind["english"][0])
    assert values["x-en"] == pytest.approx(sum(by_kind["x-en"]) / 2)
    # Two pairs each to English, from English and between the others.
    everything = by_kind["x-en"] + by_kind["en-x"] + by_kind["direct"]
    assert values["cross"] == pytest.approx(sum(everything) / 6)


def test_a_selection_that_cannot_see_english_is_refused(card: Path) -> None:
    with pytest.raises(UsageError, match="add en:en"):
        CardEvaluator(make_plans([str(card)], ["direct"]))
    with pytest.raises(UsageError, match="add en:en"):
        CardEvaluator(make_plans([str(card)], ["english"]))


def test_a_recipe_without_tasks_has_no_evaluator(base: Path, tmp_path: Path) -> None:
    assert make_evaluator(smoke(base, tmp_path)) is None


def test_the_command_evaluates_the_recipes_tasks_and_selects_by_them(
    base: Path, card: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = [
        f"model.base={base}",
        f"data.collection={make_collection(tmp_path / 'c')}",
        f"evaluation.tasks=['{card}']",
        "evaluation.pairs=['en:en', 'x-en']",
        "evaluation.limit=5",
        "evaluation.english_margin=1.0",
        "training.steps=4",
        "training.evaluate_every=2",
    ]
    sets = [word for setting in settings for word in ("--set", setting)]
    assert invoke(["train", str(RECIPES / "smoke.toml"), *sets, "--out", str(tmp_path / "out"), "--json"]) == 0
    manifest = json.loads(capfd.readouterr().out)
    found = manifest["evaluations"]
    assert [entry["step"] for entry in found] == [0, 2, 4]
    assert set(found[0]) == {"step", "english", "x-en", "cross"}
    assert manifest["selected_step"] == max(found[1:], key=lambda entry: entry["cross"])["step"]
